"""Inference from a small number of draws or trainings."""

from gainstage.statistics.comparing import compared
from gainstage.statistics.figures import exact, factor, mean, share
from gainstage.statistics.outcomes import outcome_of, steps_to
from gainstage.statistics.resampling import beats, interquartile_mean, paired_difference, paired_ratio

__all__ = [
    "beats", "compared", "exact", "factor", "interquartile_mean", "mean", "outcome_of", "paired_difference",
    "paired_ratio", "share", "steps_to",
]  # fmt: skip
