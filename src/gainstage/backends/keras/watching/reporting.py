"""The callback through which ``fit`` reports its steps to a watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import keras

__all__ = ["Reporting", "Steps"]


class Steps(Protocol):
    """Receives the steps of ``fit``."""

    def before_step(self, batch: int) -> None:
        """A step is about to be made, with the batch of that number in its epoch."""
        ...

    def after_step(self, batch: int, logs: Mapping[str, Any]) -> None:
        """A step was made; ``batch`` is the number of its last batch in the epoch."""
        ...


class Reporting(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports every step of ``fit`` to ``steps``, once there are any to report to."""

    steps: Steps | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Report that a step is about to be made."""
        if self.steps is not None:
            self.steps.before_step(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Report that a step was made."""
        if self.steps is not None:
            self.steps.after_step(batch, logs or {})
