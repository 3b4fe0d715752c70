"""The part that all callbacks share: the choices, and the watch of the training that is under way."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from gainstage.errors import InputError
from gainstage.workflows.watching import Watch, watch

__all__ = ["OneWatch"]


class OneWatch:
    """Opens a watch when a training begins and closes it when the training ends.

    Args:
        choices: arguments of ``gs.watch`` beside model and optimizer.

    Raises:
        InputError: ``gs.watch`` has no such argument.
    """

    watch: Watch | None = None
    """The watch of the last training; None before the first one. It can be printed and saved."""

    def __init__(self, **choices: Any) -> None:
        known = list(inspect.signature(watch).parameters)[2:]
        unknown = [name for name in choices if name not in known]
        if unknown:
            raise InputError(f"gs.watch has no argument {', '.join(unknown)}. Choose from {', '.join(known)}.")
        self._choices = choices

    def open_watch(self, model: Any, optimizers: Any, resume: Mapping[str, Any] | None = None) -> None:
        """Attach a watch to the training that begins.

        Args:
            model: the model that is trained.
            optimizers: one optimizer, or a list of them.
            resume: the state of an earlier part of the same training.
        """
        self.close_watch()
        choices = dict(self._choices)
        if resume:
            choices["resume"] = Watch.from_state_dict(resume)
        self.watch = watch(model, optimizers, **choices)

    def close_watch(self, error: BaseException | None = None) -> None:
        """Remove everything that was attached; a second call does nothing.

        Args:
            error: the exception that has ended the training.
        """
        if self.watch is not None:
            self.watch.__exit__(None if error is None else type(error), error, None)
