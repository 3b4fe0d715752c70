"""The data of a line chart, for the terminal and for SVG alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gainstage.errors import InputError

__all__ = ["Series", "series"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Args:
        label: name of the line.
        x: x coordinates, in increasing order.
        y: y coordinates; NaN and infinities interrupt the line and are marked.
        low: lower edge of a band around the line, or empty.
        high: upper edge of the band, or empty.
        notes: a remark for each point, or empty.

    Raises:
        InputError: there are no points, or the lengths differ.

    >>> Series("loss", x=(0.0, 1.0), y=(2.3, 1.9)).y[-1]
    1.9
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.x:
            raise InputError(f"The line {self.label!r} has no points; give it at least one.")
        optional = {"low": self.low, "high": self.high, "notes": self.notes}
        wrong = {name: len(v) for name, v in {"y": self.y, **optional}.items() if len(v) != len(self.x)}
        wrong = {name: size for name, size in wrong.items() if size or name == "y"}
        if wrong or bool(self.low) != bool(self.high):
            told = ", ".join(f"{name} {size}" for name, size in wrong.items()) or "one edge of a band without the other"
            raise InputError(f"The line {self.label!r} has {len(self.x)} points in x; received {told}.")


def series(label: str, y: Sequence[float], *, start: int = 0) -> Series:
    """Return a line over the whole numbers from ``start``.

    >>> series("loss", [2.3, 1.9]).x
    (0.0, 1.0)
    """
    return Series(label, tuple(float(start + i) for i in range(len(y))), tuple(map(float, y)))
