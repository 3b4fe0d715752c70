"""The view that a rule has of a training: all steps, the last ones by parameter, and all looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.records import History, Look, NonFinite, StepReading, WatchedParameter
from gainstage.rules.table import Lacking

__all__ = ["FIRST", "RECENT", "SEEN", "Numbers", "Window", "middle", "need_steps", "spread", "window_of"]

RECENT = 10
"""Steps whose median stands for the present: a median of ten survives four outliers."""

SEEN, FIRST = 256, 20
"""Last and first steps that a window holds."""

Numbers = NDArray[np.float64]


def _nothing() -> Numbers:
    return np.zeros((0, 0))


@dataclass(frozen=True)
class Window:
    """A training up to its last step.

    Args:
        steps: readings of the last steps.
        first: readings of the first steps.
        parameters: the parameters, in the order of the columns below.
        looks: all looks; the first one is before any step.
        gradients: norms of the gradients of the last steps, (steps, parameters); NaN where there was none.
        weights: norms of the parameters in those steps, from a sample.
        updates: norms of their updates in those steps, from the same sample.
        weights_at_start: norms of the parameters before the first step.
        nonfinite: the origin of a value that is not finite, where there was one.
        optimizer: class of the optimizer.
    """

    steps: tuple[StepReading, ...]
    first: tuple[StepReading, ...] = ()
    parameters: tuple[WatchedParameter, ...] = ()
    looks: tuple[Look, ...] = ()
    gradients: Numbers = field(default_factory=_nothing)
    weights: Numbers = field(default_factory=_nothing)
    updates: Numbers = field(default_factory=_nothing)
    weights_at_start: Numbers = field(default_factory=lambda: np.zeros(0))
    nonfinite: NonFinite | None = None
    optimizer: str = "optimizer"

    @property
    def now(self) -> StepReading:
        """Return the last step."""
        return self.steps[-1]

    def column(self, name: str) -> Numbers:
        """One number of every step, as an array; NaN where it is missing."""
        column: Numbers = self._columns[name]
        return column

    @cached_property
    def _columns(self) -> Any:
        return _Columns(self.steps)

    def recent(self, name: str, count: int = RECENT) -> float:
        """Median of a number over the last steps; NaN where it is missing."""
        return middle(self.column(name)[-count:])

    def earlier(self, name: str, count: int = 100, gap: int = RECENT) -> Numbers:
        """A number over the ``count`` steps before the last ``gap`` ones, missing and infinite ones left out."""
        values = self.column(name)[:-gap][-count:]
        return values[np.isfinite(values)]

    @cached_property
    def kernels(self) -> NDArray[np.intp]:
        """Columns of the parameters with two axes or more that an optimizer holds."""
        return np.array([i for i, p in enumerate(self.parameters) if p.kernel and p.held], dtype=np.intp)

    def gained(self, count: int = RECENT) -> float:
        """Share of the first loss that is gone: (first - recent) / |first|; NaN where the loss is not known.

        The first loss is that of the first step or the median of the first ten, whichever is lower, so that a first
        step that made everything worse counts as no progress.

        Args:
            count: steps whose median is the recent loss.
        """
        losses = np.array([math.nan if r.loss is None else r.loss for r in self.first[:RECENT]])
        if not losses.size or math.isnan(losses[0]):
            return math.nan
        first = min(float(losses[0]), middle(losses))
        return (first - self.recent("loss", count)) / abs(first) if first else math.nan

    @cached_property
    def improvement(self) -> float:
        """Return the share of the first loss that is gone, by the median of the last ten steps."""
        return self.gained()

    @property
    def as_usual(self) -> bool:
        """Report whether the last three updates and the rate were as usual, so that they led up to nothing."""
        updates, usual = self.column("update")[-4:-1], middle(self.earlier("update", gap=4))
        rates = self.column("rate")[-4:]
        steady = not np.isfinite(rates).all() or rates.max() <= 1.5 * rates.min()
        known = updates[~np.isnan(updates)]
        return bool(steady and (not usual > 0 or not known.size or known.max() <= 3 * usual))

    @property
    def improves(self) -> bool:
        """Report whether the loss has fallen by more than half of its first value."""
        return self.improvement > 0.5


class _Columns:
    """Arrays of single fields, made when they are first read."""

    def __init__(self, steps: Sequence[StepReading]) -> None:
        self._steps, self._made = steps, {}

    def __getitem__(self, name: str) -> Numbers:
        if name not in self._made:
            values = (getattr(step, name) for step in self._steps)
            self._made[name] = np.array([math.nan if v is None else float(v) for v in values])
        made: Numbers = self._made[name]
        return made

    _made: dict[str, Numbers]


def middle(values: Numbers) -> float:
    """Median of the values that are numbers; NaN where there are none.

    >>> middle(np.array([1.0, np.nan, 3.0, 100.0]))
    3.0
    """
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else math.nan


def spread(values: Numbers) -> float:
    """Robust standard deviation: 1.4826 times the median absolute deviation, which equals σ for normal values.

    >>> round(spread(np.array([0.0, 1.0, 2.0, 3.0, 1000.0])), 4)
    1.4826
    """
    return 1.4826 * middle(np.abs(values - middle(values)))


def need_steps(window: Window, count: int) -> None:
    """Refuse to judge before so many steps.

    Raises:
        Lacking: there were fewer.
    """
    if window.now.step < count:
        raise Lacking(f"{count} steps; there were {window.now.step}")


def window_of(history: History) -> Window:
    """The window that rules see of a finished history, whose single steps hold no parameters."""
    return Window(
        history.steps[-SEEN:], history.steps[:FIRST], history.parameters, history.looks,
        optimizer=history.optimizer or "optimizer",
    )  # fmt: skip
