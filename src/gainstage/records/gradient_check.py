"""GradientCheck compares a gradient with finite differences."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GradientCheck"]


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """The slope of the loss along one direction of one parameter, found in two ways.

    Args:
        path: of the parameter.
        analytic: the gradient of the backward pass, times the direction.
        numeric: the central difference of the loss along the same direction.
        doubt: difference between two central differences, of one step and of twice that step, and their rounding error.
    """

    path: str
    analytic: float
    numeric: float
    doubt: float

    @property
    def error(self) -> float:
        """Return the difference of both slopes, relative to the larger one."""
        size = max(abs(self.analytic), abs(self.numeric))
        return abs(self.analytic - self.numeric) / size if size > 0 else 0.0

    @property
    def certain(self) -> bool:
        """Report whether the difference of both slopes is ten times what finite differences leave open."""
        return abs(self.analytic - self.numeric) > 10 * self.doubt
