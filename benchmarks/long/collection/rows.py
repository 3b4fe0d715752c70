"""One predicted figure beside the measured ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from collection.case import Architecture, Family
from collection.measure import Measured
from gainstage.records import Profile

__all__ = ["Direction", "Row", "covered", "rows_of", "share_off", "summary", "worst"]

Direction = Literal["forward", "backward"]
ERRORS = 3.0  # standard errors


@dataclass(frozen=True, slots=True)
class Row:
    """A second moment at one weighted operation.

    Args:
        case: the architecture's name.
        family: its family.
        real: whether images were real.
        label: of the operation.
        direction: of the signal, or of the gradient.
        measured: mean over seeds.
        error: its standard error.
        predicted: nan where there is no prediction.
        tolerance: the relative error that is none.
        inside: the share of single draws within the printed band.
    """

    case: str
    family: Family
    real: bool
    label: str
    direction: Direction
    measured: float
    error: float
    predicted: float
    tolerance: float
    inside: float

    @property
    def relative(self) -> float:
        """How far the prediction is off, in parts of the measured figure."""
        return self.predicted / self.measured - 1

    @property
    def off(self) -> bool:
        """Beyond both three standard errors and the tolerance; a missing prediction is."""
        near = abs(self.predicted - self.measured) <= ERRORS * self.error
        return not (near or abs(self.relative) <= self.tolerance)

    def line(self) -> str:
        """For the terminal."""
        figures = f"predicted {self.predicted:10.4g}  measured {self.measured:10.4g} ± {self.error:.2g}"
        return f"  {self.direction:8} {self.label:48} {figures}  {self.relative:+.1%}"


def rows_of(case: Architecture, measured: Measured, profile: Profile, *, real: bool) -> list[Row]:
    """Both directions at every weighted operation; where no gradient arrives there is nothing to compare."""
    rows = []
    for column, (node, label) in enumerate(zip(measured.nodes.tolist(), measured.labels.tolist(), strict=True)):
        found = profile.by_node.get(node)
        for direction, draws in (("forward", measured.forward[:, column]), ("backward", measured.backward[:, column])):
            mean = float(draws.mean())
            if not mean > 0:
                continue
            moments = None if found is None else found.forward if direction == "forward" else found.backward
            expected, low, high = math.nan, math.nan, math.nan
            if moments is not None:
                expected = moments.second_moment
                low, high = (expected * edge for edge in moments.band or (math.nan, math.nan))
            error = float(draws.std(ddof=1)) / math.sqrt(len(draws))
            inside = float(np.mean((draws >= low) & (draws <= high)))
            figures = mean, error, expected, case.tolerance, inside
            rows.append(Row(case.name, case.family, real, label, direction, *figures))
    return rows


def share_off(rows: Iterable[Row]) -> float:
    """Of all rows, those that are off."""
    flags = [row.off for row in rows]
    return sum(flags) / len(flags) if flags else math.nan


def covered(rows: Iterable[Row]) -> float:
    """The share of single draws that lie within their bands."""
    shares = [row.inside for row in rows]
    return sum(shares) / len(shares) if shares else math.nan


def worst(rows: Sequence[Row]) -> float:
    """The largest relative error, with its sign; nan where a prediction is missing."""
    if not rows or any(math.isnan(row.predicted) for row in rows):
        return math.nan
    return max((row.relative for row in rows), key=abs)


def summary(rows: Sequence[Row]) -> str:
    """One architecture in a line."""
    first = rows[0]
    parts = []
    for direction in ("forward", "backward"):
        chosen = [row for row in rows if row.direction == direction]
        parts.append(
            f"{direction} {sum(row.off for row in chosen):2}/{len(chosen):2} off, worst {worst(chosen):+8.1%}, "
            f"band holds {covered(chosen):4.0%}"
        )
    return f"{first.case + (' (real)' if first.real else ''):44} {'   '.join(parts)}"
