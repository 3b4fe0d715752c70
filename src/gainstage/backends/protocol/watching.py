"""Protocols of watching a training: the framework reports every step, and a listener receives the reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gainstage.records import Look, NonFinite, Profile, StepReading, WatchedParameter

__all__ = ["Attachment", "Listener", "Watcher", "Watching"]


class Listener(Protocol):
    """The framework-free half of a watch: it receives numbers, and its exceptions end the training on purpose."""

    @property
    def made(self) -> int:
        """The number of the last step that it knows of, of a training that is resumed."""
        ...

    def begin(self, model: str, optimizer: str, parameters: Sequence[WatchedParameter]) -> None:
        """Receive what is watched, before anything else."""
        ...

    def wants_look(self, step: int) -> bool:
        """Report whether every layer is looked at before the step of that number."""
        ...

    def wants_start(self) -> bool:
        """Report whether the first batch is checked before the first step."""
        ...

    def started(self, profile: Profile) -> None:
        """Receive the measurement of the first batch."""
        ...

    def stepped(
        self,
        reading: StepReading,
        gradients: NDArray[np.float64],
        weights: NDArray[np.float64],
        updates: NDArray[np.float64],
    ) -> None:
        """Receive one step: the norms of gradients, parameters and updates in the order of the parameters."""
        ...

    def looked(self, look: Look) -> None:
        """Receive one look at every layer."""
        ...

    def broke(self, origin: NonFinite) -> None:
        """Receive the origin of a value that is NaN or infinite."""
        ...

    def noted(self, note: str) -> None:
        """Receive a remark about what could not be seen; the same remark counts once."""
        ...


@dataclass(frozen=True)
class Watching:
    """The choices of a watch that a framework has to know.

    Args:
        listener: receives the numbers.
        loss: a loss in any form; one that is a module shows the labels of the first batch.
        x, y: a first batch for the check before the first step, where the caller has one at hand.
        probe: the largest number of examples in a look.
        intended: exceptions with which the listener ends the training; all others end the watch alone.
    """

    listener: Listener
    loss: Any = None
    x: Any = None
    y: Any = None
    probe: int = 64
    intended: tuple[type[BaseException], ...] = ()


class Attachment(Protocol):
    """A watch that is attached to a model and its optimizers."""

    @property
    def attached(self) -> bool:
        """Report whether it still sees steps."""
        ...

    def flush(self) -> None:
        """Hand over the steps that are still on the device."""
        ...

    def detach(self) -> None:
        """Remove everything that was attached; a second call does nothing."""
        ...


class Watcher(Protocol):
    """The module of a framework that watches trainings."""

    attach: Callable[[Any, Sequence[Any], Watching], Attachment]
    watched: Callable[[Any, Sequence[Any]], Listener | None]
    """The listener of a watch that is attached to that model and those optimizers already."""
