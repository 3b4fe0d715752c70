"""Inference from a small number of draws or trainings."""

from gainstage.statistics.comparing import compared
from gainstage.statistics.figures import exact, factor, mean, share
from gainstage.statistics.magnitudes import gaussian_magnitudes, magnitudes_of, normal_grid, relative_to_binade
from gainstage.statistics.number_formats import (
    FORMATS,
    NumberFormat,
    loss_scale,
    lost_updates,
    number_format,
    shares_in,
)
from gainstage.statistics.outcomes import outcome_of, steps_to
from gainstage.statistics.power_laws import power_law
from gainstage.statistics.resampling import beats, interquartile_mean, paired_difference, paired_ratio

__all__ = [
    "FORMATS", "NumberFormat", "beats", "compared", "exact", "factor", "gaussian_magnitudes", "interquartile_mean",
    "loss_scale", "lost_updates", "magnitudes_of", "mean", "normal_grid", "number_format", "outcome_of",
    "paired_difference", "paired_ratio", "power_law", "relative_to_binade", "share", "shares_in", "steps_to",
]  # fmt: skip
