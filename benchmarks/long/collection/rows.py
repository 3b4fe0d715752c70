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


def rows_of(case: Architecture, measured: Measured, profiles: Sequence[Profile], *, real: bool) -> list[Row]:
    """Both directions at every weighted operation; where no gradient arrives there is nothing to compare.

    With a prediction for every seed the error is that of the mean difference, and a draw is held against its own band.
    """
    rows = []
    for column, (node, label) in enumerate(zip(measured.nodes.tolist(), measured.labels.tolist(), strict=True)):
        for direction, draws in (("forward", measured.forward[:, column]), ("backward", measured.backward[:, column])):
            if not draws.mean() > 0:
                continue
            figures = np.array([_predicted(profile, node, direction) for profile in profiles])
            expected, low, high = figures.T
            scatter = draws - expected if np.isfinite(expected).all() else draws
            error = float(scatter.std(ddof=1)) / math.sqrt(len(draws))
            inside = float(np.mean((draws >= low) & (draws <= high)))
            rows.append(
                Row(case.name, case.family, real, label, direction, float(draws.mean()), error, float(expected.mean()),
                    case.tolerance, inside)
            )  # fmt: skip
    return rows


def _predicted(profile: Profile, node: int, direction: Direction) -> tuple[float, float, float]:
    """A second moment and the ends of its band; nan where there is none."""
    found = profile.by_node.get(node)
    moments = None if found is None else found.forward if direction == "forward" else found.backward
    if moments is None:
        return math.nan, math.nan, math.nan
    low, high = moments.band or (math.nan, math.nan)
    return moments.second_moment, moments.second_moment * low, moments.second_moment * high


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
