"""How a training ended, read off its curve."""

from __future__ import annotations

import math

import numpy as np

from gainstage.records import TrainingCurve, TrialOutcome

__all__ = ["guess", "outcome_of", "steps_to"]

_ABOVE = 0.05
"""So small a share of the batches at the end may lie below the start in a training that went astray."""

_WINDOW = 10
"""Batches whose mean loss counts as the loss at a step."""


def outcome_of(curve: TrainingCurve) -> TrialOutcome:
    """``diverged``, ``stuck`` or ``trained``.

    A training diverged when a loss was not finite, or when nearly all batches of the last quarter of the steps (of
    the last ten, if that is more) lie above both the start and the best constant guess. Of the others it trained when
    the median of those batches is below the best constant guess by two standard errors (quartile distance over the
    root of their number); a network that guesses has batch losses that scatter around the guess, or above it.

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
    """The loss of a network that has learned nothing: of the start, or of the best constant guess if that is worse."""
    known = [v for v in (curve.evaluations[0].loss, curve.chance_loss) if v is not None and math.isfinite(v)]
    return max(known, default=math.inf)


def steps_to(curve: TrainingCurve, target: float) -> int | None:
    """After how many steps the mean loss of ten batches was at most ``target``; None where it never was.

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
