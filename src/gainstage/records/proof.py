"""Proof compares two starts of one model by two short trainings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from gainstage.records.training import TrainingCurve

__all__ = ["Proof"]

_SURE = 3.0  # standard errors
_LEAST = 0.05  # of the loss


@dataclass(frozen=True, slots=True)
class Proof:
    """A training from the start before, and one from the start after, on the same batches in the same order.

    Args:
        before, after: the trainings.
    """

    before: TrainingCurve
    after: TrainingCurve

    @property
    def losses(self) -> tuple[float, float]:
        """Return the mean losses of the last quarter of the steps, before and after; infinite after divergence."""
        return _end(self.before), _end(self.after)

    @property
    def verdict(self) -> Literal["better", "alike", "worse"]:
        """Report whether the start after a fix trains better than the one before.

        The losses of the last quarter of the steps are compared in pairs. A difference counts where it exceeds three
        standard errors of its mean and five per cent of the loss.

        >>> slow = TrainingCurve("before", (2.3, 2.2, 2.3, 2.2, 2.3, 2.2, 2.3, 2.2), ())
        >>> quick = TrainingCurve("after", (2.3, 1.9, 1.5, 1.1, 0.8, 0.6, 0.5, 0.4), ())
        >>> Proof(slow, quick).verdict, Proof(slow, slow).verdict
        ('better', 'alike')
        """
        first, second = self.losses
        if not (math.isfinite(first) and math.isfinite(second)):
            return "alike" if first == second else "better" if math.isfinite(second) else "worse"
        count = _quarter(self.before)
        pairs = zip(self.before.losses[-count:], self.after.losses[-count:], strict=False)
        gains = [one - two for one, two in pairs]
        error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.inf
        if abs(fmean(gains)) <= max(_SURE * error, _LEAST * max(abs(first), abs(second))):
            return "alike"
        return "better" if second < first else "worse"


def _quarter(curve: TrainingCurve) -> int:
    return max(curve.steps // 4, 2)


def _end(curve: TrainingCurve) -> float:
    if curve.diverged or not curve.losses:
        return math.inf
    return fmean(curve.losses[-_quarter(curve) :])
