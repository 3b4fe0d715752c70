"""Measured draws of one case, and one predicted figure beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gainstage.records import Profile
from second_list.case import Case

__all__ = ["Draws", "Row", "rows_of"]


@dataclass(frozen=True, slots=True)
class Draws:
    """Second moments at the weighted operations of one architecture.

    Args:
        nodes: their indices in the graph.
        labels: their names.
        forward: of their outputs, shape (draws, nodes).
        backward: of the gradients there, for random signs at the output; nan where none arrives.
    """

    nodes: np.ndarray
    labels: np.ndarray
    forward: np.ndarray
    backward: np.ndarray

    @classmethod
    def of(cls, profile: Profile) -> Draws:
        """One draw."""
        weighted = [one for one in profile.nodes if profile.node(one).operation.weighted and profile.node(one).uses]
        return cls(
            np.array([one.node for one in weighted], int),
            np.array([profile.node(one).label for one in weighted], str),
            np.array([[one.forward.second_moment for one in weighted]]),
            np.array([[one.backward.second_moment if one.backward else np.nan for one in weighted]]),
        )

    def beside(self, other: Draws) -> Draws:
        """Both, for the operations of the same number and name in both."""
        mine = list(zip(self.nodes.tolist(), self.labels.tolist(), strict=True))
        theirs = list(zip(other.nodes.tolist(), other.labels.tolist(), strict=True))
        i = [mine.index(one) for one in mine if one in theirs]
        j = [theirs.index(mine[k]) for k in i]
        return Draws(self.nodes[i], self.labels[i], np.vstack((self.forward[:, i], other.forward[:, j])),
                     np.vstack((self.backward[:, i], other.backward[:, j])))  # fmt: skip

    def first(self, draws: int) -> Draws:
        """The first draws."""
        return Draws(self.nodes, self.labels, self.forward[:draws], self.backward[:draws])

    def write(self, file: Path) -> None:
        """Keep them."""
        np.savez(file, nodes=self.nodes, labels=self.labels, forward=self.forward, backward=self.backward)

    @classmethod
    def read(cls, file: Path) -> Draws | None:
        """Return the draws that an earlier run stored, or None where it stored none."""
        if not file.exists():
            return None
        with np.load(file) as kept:
            return cls(kept["nodes"], kept["labels"], kept["forward"], kept["backward"])


@dataclass(frozen=True, slots=True)
class Row:
    """A second moment at one weighted operation.

    Args:
        case, style, class_token: of the architecture.
        examples: size of the batch.
        label: of the operation.
        direction: of the signal, or of the gradient.
        measured: mean over draws.
        error: its standard error.
        predicted: nan where there is no prediction.
        inside: the share of single draws within the printed band.
        doubt: what the prediction says against itself; empty where it stands by it.
    """

    case: str
    style: str
    class_token: bool
    examples: int
    label: str
    direction: Literal["forward", "backward"]
    measured: float
    error: float
    predicted: float
    inside: float
    doubt: str

    @property
    def relative(self) -> float:
        """The relative error |predicted/measured - 1|; infinite where nothing was predicted."""
        return math.inf if math.isnan(self.predicted) else abs(self.predicted / self.measured - 1)

    def within(self, share: float) -> bool:
        """Report whether the relative error is at most ``share``, or the difference at most two standard errors.

        >>> row = Row("a", "b", False, 8, "c", "forward", 1.0, 0.1, 1.15, 1.0, "")
        >>> row.within(0.1), row.within(0.2)
        (True, True)
        """
        return self.relative <= share or abs(self.predicted - self.measured) <= 2 * self.error


def rows_of(case: Case, examples: int, draws: Draws, profile: Profile) -> list[Row]:
    """Both directions at every weighted operation; where no gradient arrives there is nothing to compare."""
    rows = []
    for column, (node, label) in enumerate(zip(draws.nodes.tolist(), draws.labels.tolist(), strict=True)):
        found = profile.by_node.get(node)
        for direction, every in (("forward", draws.forward), ("backward", draws.backward)):
            values = every[:, column]
            if not values.mean() > 0:
                continue
            moments = None if found is None else found.forward if direction == "forward" else found.backward
            level = math.nan if moments is None else moments.second_moment
            low, high = (math.nan, math.nan) if moments is None or moments.band is None else moments.band
            inside = float(np.mean((values >= level * low) & (values <= level * high)))
            doubt = "" if found is None else found.doubt
            error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
            rows.append(Row(case.name, case.style, case.class_token, examples, label, direction,  # type: ignore[arg-type]
                            float(values.mean()), error, level, inside, doubt))  # fmt: skip
    return rows
