"""Compares contenders pair by pair, over the seeds that they have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gainstage.records import Contrast, Figure, Measure
from gainstage.statistics.resampling import beats, paired_difference, paired_ratio

__all__ = ["Contender", "contrasts"]


@dataclass(frozen=True, slots=True)
class Contender:
    """The results of one contender, by seed.

    Args:
        name: name of the contender.
        scores: the final measure, by seed.
        steps: number of steps to the target loss, by seed; infinite where it was not reached.
    """

    name: str
    scores: Mapping[int, float]
    steps: Mapping[int, float]


def contrasts(contenders: Sequence[Contender], measure: Measure, *, grid: float, most: int) -> tuple[Contrast, ...]:
    """Compute a contrast for every pair of contenders that have seeds in common.

    Args:
        contenders: the contenders, in order.
        measure: the measure, which determines whether more is better.
        grid: distance between values that the measure can take; 0 for a continuous measure.
        most: number of steps of a training.
    """
    pairs = [
        (first, second, common)
        for first, second in combinations(contenders, 2)
        if (common := [seed for seed in first.scores if seed in second.scores])
    ]
    return tuple(
        _contrast(first, second, common, 1.0 if measure == "accuracy" else -1.0, grid, most, len(pairs))
        for first, second, common in pairs
    )


def _contrast(
    first: Contender, second: Contender, seeds: Sequence[int], sign: float, grid: float, most: int, comparisons: int
) -> Contrast:
    ones, others = ([side.scores[seed] for seed in seeds] for side in (first, second))
    name = f"{first.name} − {second.name}"
    difference = paired_difference(name, ones, others, comparisons=comparisons, resolution=grid)
    chance = beats(f"{first.name} beats {second.name}", [sign * v for v in ones], [sign * v for v in others])
    better = ""
    if difference.low > 0 or difference.high < 0:
        better = first.name if sign * difference.value > 0 else second.name
    speed, faster = _speed(first, second, seeds, most, comparisons), ""
    if speed is not None and not speed.low <= 1 <= speed.high:
        faster = first.name if speed.value < 1 else second.name
    return Contrast(first.name, second.name, difference, chance, better, speed, faster)


def _speed(first: Contender, second: Contender, seeds: Sequence[int], most: int, comparisons: int) -> Figure | None:
    """Return the ratio of steps to the target; a training that did not reach it counts with all its steps."""
    pairs = [(first.steps[seed], second.steps[seed]) for seed in seeds]
    pairs = [(one, other) for one, other in pairs if math.isfinite(one) or math.isfinite(other)]
    if not pairs:
        return None
    ones, others = ([min(pair[side], float(most)) for pair in pairs] for side in (0, 1))
    resolution = 1 + 1 / min(*ones, *others)
    return paired_ratio(f"{first.name} / {second.name}", ones, others, comparisons=comparisons, resolution=resolution)
