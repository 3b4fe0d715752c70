"""Linear and logarithmic axes: range, position, ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "Tick", "scale_for"]

LARGEST = 1e300  # figures beyond are drawn here, so that no difference of two overflows
FLATTEST = 1e-4  # a range this small against its values is drawn as a constant


@dataclass(frozen=True, slots=True)
class Tick:
    """A figure on an axis and how it is written."""

    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high``.

    >>> Scale(1e-4, 1.0, log=True).fraction(1e-2)
    0.5
    >>> [tick.label for tick in Scale(0.0, 1.0).ticks(5)]
    ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def fraction(self, value: float) -> float | None:
        """Where between 0 and 1; None for what has no place on this axis: NaN, infinities, and zero on a log axis."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """About ``most`` round figures."""
        return self._decades(max(most, 2)) if self.log else self._steps(max(most, 2))

    def _decades(self, most: int) -> tuple[Tick, ...]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        stride = math.ceil((last - first + 1) / most)
        return tuple(Tick(10.0**e, _power(e)) for e in range(last, first - 1, -stride))[::-1]

    def _steps(self, most: int) -> tuple[Tick, ...]:
        step = _round_step((self.high - self.low) / most)
        if self.whole:
            step = max(step, 1.0)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        largest = max(abs(self.low), abs(self.high))
        decimals = max(-math.floor(math.log10(step) + 1e-9), 0)
        plain = decimals <= 4 and largest < 1e6
        values = [i * step for i in range(first, last + 1)]
        return tuple(Tick(v, f"{v:.{decimals}f}" if plain else _scientific(v, step)) for v in values)


def scale_for(values: Iterable[float], *, log: bool = False, whole: bool = False) -> Scale:
    """The axis that holds all values that have a place on it.

    A logarithmic axis spans whole decades, at least one, a linear one ends at round figures: the noise of a constant
    does not fill the picture.

    Args:
        values: any numbers.
        log: whether the axis is logarithmic.
        whole: whether only whole numbers mean something, such as layers.
    """
    placed = [_bounded(v) for v in values if math.isfinite(v) and (v > 0 or not log)]
    if log:
        return _log_scale([max(v, 1 / LARGEST) for v in placed])
    low, high = min(placed, default=0.0), max(placed, default=1.0)
    if whole:
        return Scale(low - 0.5, high + 0.5, whole=True) if low == high else Scale(low, high, whole=True)
    if high - low <= FLATTEST * max(abs(low), abs(high), LARGEST**-0.5):
        room = abs(high) / 2 or 0.5
        low, high = low - room, high + room
    step = _round_step((high - low) / 5)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)


def _log_scale(placed: list[float]) -> Scale:
    low = math.floor(math.log10(min(placed, default=1.0)) + 1e-9)
    high = math.ceil(math.log10(max(placed, default=1.0)) - 1e-9)
    if low == high:
        low, high = low - 1, high + 1
    return Scale(10.0**low, 10.0**high, log=True)


def _bounded(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)


def _round_step(step: float) -> float:
    """The next of 1, 2, 5 × 10ᵏ."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(m for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def _scientific(value: float, step: float) -> str:
    """As many digits as tell neighbours apart."""
    if value == 0:
        return "0"
    digits = max(math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9), 0)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _power(exponent: int) -> str:
    return f"{10.0**exponent:.{max(-exponent, 0)}f}" if -3 <= exponent <= 3 else f"1e{exponent}"
