"""A callback of Lightning that watches a training."""

from __future__ import annotations

import copy
from typing import Any

from lightning.pytorch import Callback

from gainstage.integrations.one_watch import OneWatch

__all__ = ["WatchCallback"]


class WatchCallback(Callback, OneWatch):  # type: ignore[misc]
    """Watches a training of ``lightning.Trainer``: ``Trainer(callbacks=[WatchCallback()])``.

    The first batch is checked behind its backward pass, before the first step. Gradients are read before Lightning
    clips them and without a loss scale. A checkpoint of the trainer holds the watch, so that a training that is
    resumed from it goes on in one history. ``examples/watch_lightning.py`` is a whole program.

    Args:
        choices: arguments of ``gs.watch`` beside model and optimizer: ``every``, ``to``, ``refuse``, ….

    Raises:
        InputError: ``gs.watch`` has no such argument.
        TrainingError: later, from ``fit``, where ``refuse`` or ``on_finding="raise"`` asks for it.
    """

    def __init__(self, **choices: Any) -> None:
        Callback.__init__(self)
        OneWatch.__init__(self, **choices)
        self._kept: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach the watch when weights and optimizers are where they will be trained."""
        # A shallow copy shares weights, children and hooks, and not the trainer with its data, which a look would hold.
        self.open_watch(copy.copy(pl_module), trainer.optimizers, self._kept)
        self._kept = {}

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Remove the watch."""
        self.close_watch()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Remove the watch, and keep in its history what ended the training."""
        self.close_watch(exception)

    def state_dict(self) -> dict[str, Any]:
        """Return the watch for a checkpoint, as plain dicts and numbers."""
        return {} if self.watch is None else self.watch.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the watch of a checkpoint at the next training."""
        self._kept = state_dict
