"""A callback of Hugging Face's Trainer that watches a training."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from gainstage.integrations.one_watch import OneWatch

__all__ = ["WatchCallback"]


class WatchCallback(TrainerCallback, ExportableState, OneWatch):  # type: ignore[misc]
    """Watches a training of ``transformers.Trainer``: ``Trainer(…, callbacks=[WatchCallback()])``.

    The first batch is checked behind its backward pass, before the first step. Gradients are read before the Trainer
    clips them, which no event of the Trainer shows. A checkpoint holds the watch, so that a training that is resumed
    from it goes on in one history. ``examples/watch_transformers.py`` is a whole program.

    Args:
        choices: arguments of ``gs.watch`` beside model and optimizer: ``every``, ``to``, ``refuse``, ….

    Raises:
        InputError: ``gs.watch`` has no such argument.
        TrainingError: later, from ``train``, where ``refuse`` or ``on_finding="raise"`` asks for it.

    The Trainer reports no exception to its callbacks: behind one, ``close_watch()`` removes the hooks, and so does the
    next call of ``train``.
    """

    def __init__(self, **choices: Any) -> None:
        OneWatch.__init__(self, **choices)
        self.kept: dict[str, Any] | None = None

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **_others: Any
    ) -> None:
        """Attach the watch, and go on with that of the checkpoint where the training is resumed from one."""
        stored = (state.stateful_callbacks or {}).get(type(self).__name__) if state.global_step else None
        first = stored[0] if isinstance(stored, list) else stored
        kept = self.kept or (first or {}).get("attributes", {}).get("kept")
        self.open_watch(model, optimizer, kept)
        self.kept = None

    def on_train_end(self, args: Any, state: Any, control: Any, **_others: Any) -> None:
        """Remove the watch."""
        self.close_watch()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint of the Trainer keeps: the choices that JSON can hold, and the watch."""
        plain = {name: choice for name, choice in self._choices.items() if isinstance(choice, str | int | None)}
        kept = self.kept if self.watch is None else self.watch.state_dict()
        return {"args": plain, "attributes": {"kept": kept}}
