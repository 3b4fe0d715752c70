"""Figure is one measured number with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its confidence interval.

    Args:
        name: the measured quantity.
        value: the estimate.
        low: lower end of the 95 % confidence interval; equal to ``value`` where the quantity is not random.
        high: upper end of the 95 % confidence interval.
        unit: unit of value, low and high; empty for a pure number.
        n: number of independent draws or trainings; 0 where the quantity is not random.
        case: the condition of the measurement; name and case together are unique within an answer.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    n: int = 0
    case: str = ""
