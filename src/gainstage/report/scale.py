"""Linear and logarithmic axes: range, positions and ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Axis", "Scale", "SignedScale", "Tick", "scale_for"]

LARGEST = 1e300  # larger values are drawn here, so that no difference of two overflows
LOG_ROOM = 0.05  # share of a logarithmic axis that stays free at both ends
FLATTEST = 1e-4  # a range this small relative to its values is drawn as a constant


@dataclass(frozen=True, slots=True)
class Tick:
    """A value on an axis, and its label."""

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
        """Return the position between 0 and 1; None for NaN, infinities, and zero on a logarithmic axis."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return min(max((at - low) / (high - low), 0.0), 1.0)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """Return about ``most`` round values."""
        return self._decades(max(most, 2)) if self.log else self._steps(max(most, 2))

    def _decades(self, most: int) -> tuple[Tick, ...]:
        """Return powers of ten, with 2 and 5, or with 3, between them where there is room."""
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        for mantissas in ((1, 2, 5), (1, 3)) if last - first < 2 else ():
            every = [(m, e) for e in range(first - 1, last + 1) for m in mantissas]
            inside = [(m, e) for m, e in every if self.low <= m * 10.0**e <= self.high]
            if 2 <= len(inside) <= most + 1:
                return tuple(Tick(m * 10.0**e, _power(e, m)) for m, e in inside)
        stride = math.ceil((last - first + 1) / most)
        return tuple(Tick(10.0**e, _power(e)) for e in range(first, last + 1) if e % stride == 0)

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


@dataclass(frozen=True, slots=True)
class SignedScale:
    """An axis from ``-limit`` to ``limit``: linear within ``linear`` of zero, logarithmic beyond (an inverse sinh).

    >>> SignedScale(100.0, 0.1).fraction(0.0)
    0.5
    >>> [tick.label for tick in SignedScale(100.0, 1.0).ticks(7)]
    ['-100', '-10', '-1', '0', '1', '10', '100']
    """

    limit: float
    linear: float

    def fraction(self, value: float) -> float | None:
        """Return the position between 0 and 1; None for NaN and infinities."""
        if not math.isfinite(value):
            return None
        reach = math.asinh(min(self.limit / self.linear, LARGEST))
        at = math.asinh(min(max(value / self.linear, -LARGEST), LARGEST))
        return min(max((at / reach + 1) / 2, 0.0), 1.0)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """Return zero, and powers of ten on both sides of it."""
        last, first = math.floor(math.log10(self.limit) + 1e-9), math.ceil(math.log10(self.linear) - 1e-9)
        stride = max(math.ceil(2 * (last - first + 1) / max(most - 1, 2)), 1)
        powers = range(last, first - 1, -stride)
        above = [Tick(10.0**e, _power(e)) for e in powers][::-1]
        below = [Tick(-tick.value, f"-{tick.label}") for tick in reversed(above)]
        return (*below, Tick(0.0, "0"), *above)


Axis = Scale | SignedScale
"""The types of scale that a chart can have at its edges."""


def scale_for(values: Iterable[float], *, log: bool = False, whole: bool = False) -> Scale:
    """Return the axis that contains all values which have a position on it.

    A logarithmic axis spans at least one decade and leaves some room at both ends. A linear axis ends at round values,
    so that the noise of a constant does not fill the chart.

    Args:
        values: any numbers.
        log: whether the axis is logarithmic.
        whole: whether only whole numbers have a meaning, such as layers.
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
    low, high = math.log10(min(placed, default=1.0)), math.log10(max(placed, default=1.0))
    room = max((1 - (high - low)) / 2, min(LOG_ROOM * (high - low), 0.5), LOG_ROOM)
    return Scale(10.0 ** (low - room), 10.0 ** (high + room), log=True)


def _bounded(value: float) -> float:
    return min(max(value, -LARGEST), LARGEST)


def _round_step(step: float) -> float:
    """Return the next larger of 1, 2, 5 × 10ᵏ."""
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(m for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def _scientific(value: float, step: float) -> str:
    """Format a value with enough digits to distinguish neighbouring ticks."""
    if value == 0:
        return "0"
    digits = max(math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9), 0)
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _power(exponent: int, mantissa: int = 1) -> str:
    plain = -3 <= exponent <= 3
    return f"{mantissa * 10.0**exponent:.{max(-exponent, 0)}f}" if plain else f"{mantissa}e{exponent}"
