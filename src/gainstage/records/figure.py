"""Figure: one measured number with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure with its uncertainty.

    Args:
        name: what was measured.
        value: the estimate.
        low: lower end of the 95 % confidence interval; equal to ``value`` where nothing is random.
        high: its upper end.
        unit: of all three; empty for a pure number.
        n: how many independent draws or trainings are behind it; 0 where nothing is random.
        case: under which condition; name and case together are unique within an answer.
    """

    name: str
    value: float
    low: float
    high: float
    unit: str = ""
    n: int = 0
    case: str = ""
