"""Classifies the outcome of a training from its curve."""

from __future__ import annotations

import math

import numpy as np

from gainstage.records import TrainingCurve, TrialOutcome

__all__ = ["guess", "outcome_of", "steps_to"]

_ABOVE = 0.05
"""In a training that diverged, at most this share of the last batches has a loss below the start."""

_WINDOW = 10
"""Number of batches whose mean loss counts as the loss at a step."""


def outcome_of(curve: TrainingCurve) -> TrialOutcome:
    """Classify a training as ``diverged``, ``stuck`` or ``trained``.

    A training diverged when a loss was not finite, or when nearly all of the last batches have a loss above both the
    start and the best constant guess. The last batches are those of the last quarter of the steps, at least ten.
    Otherwise the training trained when the median of these batches is below the best constant guess by two standard
    errors (quartile distance over the root of their number). The batch losses of a network that guesses lie around the
    loss of guessing, or above it.

    >>> from gainstage.records import Evaluation
    >>> start = (Evaluation(0, 2.3, 0.1),)
    >>> outcome_of(TrainingCurve("net", (2.3, 1.1, 0.4, 0.2), start, chance_loss=2.3))
    'trained'
    >>> outcome_of(TrainingCurve("net", (2.3, 2.4, 2.2, 2.31), start, chance_loss=2.3))
    'stuck'
    >>> outcome_of(TrainingCurve("net", (2.3, 9.0, 70.0, 50.0), start, chance_loss=2.3))
    'diverged'
    """
    if curve.diverged or not math.isfinite(curve.final.loss):
        return "diverged"
    last = np.asarray(curve.losses[-max(len(curve.losses) // 4, _WINDOW) :], np.float64)
    if np.quantile(last, _ABOVE) > guess(curve):
        return "diverged"
    chance = math.inf if curve.chance_loss is None else curve.chance_loss
    low, middle, high = np.quantile(last, (0.25, 0.5, 0.75))
    return "trained" if middle + 2 * (high - low) / math.sqrt(len(last)) < chance else "stuck"


def guess(curve: TrainingCurve) -> float:
    """Return the loss of an untrained network: the start's, or that of the best constant guess if it is larger."""
    known = [v for v in (curve.evaluations[0].loss, curve.chance_loss) if v is not None and math.isfinite(v)]
    return max(known, default=math.inf)


def steps_to(curve: TrainingCurve, target: float) -> int | None:
    """Count the steps until the mean loss of ten batches is at most ``target``; None where it never is.

    >>> from gainstage.records import Evaluation
    >>> steps_to(TrainingCurve("net", (2.0,) * 10 + (1.0,) * 10, (Evaluation(0, 2.0),)), target=1.65)
    14
    """
    losses = np.asarray(curve.losses, np.float64)
    if len(losses) < _WINDOW:
        return None
    means = np.convolve(losses, np.full(_WINDOW, 1 / _WINDOW), mode="valid")
    reached = np.flatnonzero(means <= target)
    return int(reached[0]) + _WINDOW if len(reached) else None
