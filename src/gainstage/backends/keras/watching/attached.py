"""Follow the steps of ``fit``: its losses, and at looks weights, updates, and the layers on a probe batch.

Keras shows a callback neither the batch nor the gradient of a step, on no backend; what is compiled keeps none. So the
layers and the gradient are those of a probe batch that the callback was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.record import record
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.keras.training.given import loss_of
from gainstage.backends.keras.watching.probe import layers_of, some_examples
from gainstage.backends.keras.watching.reporting import Reporting
from gainstage.backends.protocol.watching import Listener, Watching
from gainstage.errors import InputError
from gainstage.records import Look, Profile, StepReading, WatchedParameter

__all__ = ["Attached", "attach", "watched"]

PROBED = (
    "Keras shows callbacks neither batches nor gradients: layers and gradients are those of a probe batch, at looks, "
    "and weights and updates are read at looks."
)
UNPROBED = "No probe batch was given, so the first batch was not checked and the layers were not looked at: pass x, y."

Numbers = NDArray[np.float64]


def attach(model: Any, optimizers: Sequence[Any], watching: Watching) -> Attached:
    """Attach a watch to a callback.

    Args:
        model: compiled and built.
        optimizers: the callback that ``fit`` calls, which stands for the optimizer that the model was compiled with.
        watching: the choices of the watch, with the probe batch.

    Raises:
        InputError: something else was given, the model is not compiled, or nothing is trainable.
    """
    if len(optimizers) != 1 or not isinstance(optimizers[0], Reporting):
        raise InputError(
            "A training of Keras reports its steps to callbacks alone. Pass one to fit: callbacks=[gainstage."
            "integrations.keras.WatchCallback(x, y)]."
        )
    if getattr(model, "optimizer", None) is None:
        raise InputError("The model has no optimizer. Compile it: model.compile(optimizer, loss).")
    return Attached(model, optimizers[0], watching)


def watched(model: Any, optimizers: Sequence[Any]) -> Listener | None:
    """The listener of a watch that is attached to that model and that callback already; None without one."""
    steps = getattr(optimizers[0], "steps", None) if len(optimizers) == 1 else None
    return steps.listener if isinstance(steps, Attached) and steps.model is model else None


class Attached:
    """The watch of one call of ``fit``."""

    def __init__(self, model: Any, callback: Reporting, watching: Watching) -> None:
        self.model, self.listener = model, watching.listener
        self._callback, self._watching = callback, watching
        self._variables = list(model.trainable_variables)
        if not self._variables:
            raise InputError("The model has no trainable weight, so there is nothing to watch.")
        self._step = watching.listener.made + 1
        self._losses = _Unaveraged()
        self._before: list[Numbers] | None = None  # the weights before a step that is looked at
        self._profile: Profile | None = None
        paths = {id(variable): path for path, variable in named_parameters(model)[0].items()}
        self._paths = [paths.get(id(v), v.path) for v in self._variables]
        self.listener.begin(
            type(model).__name__,
            type(model.optimizer).__name__,
            [
                WatchedParameter(path, math.prod(v.shape), len(v.shape) > 1)
                for path, v in zip(self._paths, self._variables, strict=True)
            ],
        )
        self.listener.noted(UNPROBED if watching.x is None else PROBED)
        callback.steps = self
        if self.listener.wants_start() and watching.x is not None:
            self._guarded(self._check)

    @property
    def attached(self) -> bool:
        """Report whether the callback still reports to this watch."""
        return self._callback.steps is self

    def flush(self) -> None:
        """Every step is handed over when it was made."""

    def detach(self) -> None:
        """Let the callback report to nobody."""
        if self.attached:
            self._callback.steps = None

    # -- steps ---------------------------------------------------------------------------------------------------------

    def before_step(self, batch: int) -> None:
        """Look at the layers where it is time, and remember the weights."""
        if batch == 0:
            self._losses = _Unaveraged()
        steps = range(self._step, self._step + int(self.model.steps_per_execution))
        if any(self.listener.wants_look(step) for step in steps):
            self._guarded(self._look)

    def after_step(self, batch: int, logs: Mapping[str, Any]) -> None:
        """Hand over the loss, and at looks what the step has changed."""
        loss = self._losses.last(batch + 1, float(logs["loss"])) if "loss" in logs else None
        self._step += max(self._losses.batches, 1) - 1  # where one execution makes several steps
        self._guarded(lambda: self._tell(loss))
        self._step += 1

    def _check(self) -> None:
        x, y = self._watching.x, self._watching.y
        loss = loss_of(self._watching.loss, labelled=y is not None)
        self.listener.started(record(self.model, x, y, loss=loss))

    def _look(self) -> None:
        self._synchronise()
        self._before = [values_of(v).astype(np.float64) for v in self._variables]
        self._profile = None
        if self._watching.x is None:
            return
        x, y = some_examples(self._watching.x, self._watching.y, self._watching.probe)
        loss = loss_of(self._watching.loss, labelled=y is not None)
        if loss is None and y is not None:
            loss = self.model.loss  # named, so that no step of the optimizer is tried
        self._profile = record(self.model, x, y, loss=loss, detail="lean")

    def _tell(self, loss: float | None) -> None:
        missing = np.full(len(self._variables), math.nan)
        if self._before is None:
            self.listener.stepped(StepReading(self._step, loss=loss), missing, missing, missing)
            return
        self._synchronise()
        before, self._before = self._before, None
        weights = np.array([np.linalg.norm(b) for b in before])
        changes = [values_of(v) - b for v, b in zip(self._variables, before, strict=True)]
        updates = np.array([np.linalg.norm(change) for change in changes])
        gradients = missing
        if self._profile is not None:
            gradients = self._gradients(self._profile)
            relative = np.divide(updates, weights, out=np.zeros_like(updates), where=weights > 0)
            layers, examples = layers_of(self._profile)
            rows = (tuple(map(float, row)) for row in (gradients, weights, relative))
            self.listener.looked(Look(self._step, examples, layers, *rows))
        whole, known = float(np.linalg.norm(weights)), np.isfinite(gradients)
        reading = StepReading(
            self._step,
            loss=loss,
            gradient=float(np.linalg.norm(gradients[known])) if known.any() else None,
            weight=whole,
            update=float(np.linalg.norm(updates)) / whole if whole else None,
            rate=float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
        )
        self.listener.stepped(reading, gradients, weights, updates)

    def _gradients(self, profile: Profile) -> Numbers:
        measured = [profile.by_path.get(path) for path in self._paths]
        return np.array([math.nan if m is None or m.gradient is None else m.gradient.norm for m in measured])

    # -- conduct -------------------------------------------------------------------------------------------------------

    def _synchronise(self) -> None:
        """Bring the weights of a training on JAX, which are apart from the model meanwhile, into the model."""
        synchronise = getattr(self.model, "jax_state_sync", None)
        if synchronise is not None:
            synchronise()

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run a part of the watch; a failure of its own ends the watch and not the training."""
        if not self.attached:
            return
        try:
            run()
        except self._watching.intended:
            raise
        except Exception as error:
            self.listener.noted(f"The watch ended itself: {type(error).__name__}: {str(error)[:200]}")
            self.detach()


class _Unaveraged:
    """The loss of every step, from the running mean over the epoch that Keras shows.

    Exact for batches of one size; of a smaller last batch the difference from the mean is shown smaller.
    """

    def __init__(self) -> None:
        self._count, self._mean = 0, 0.0
        self.batches = 0

    def last(self, count: int, mean: float) -> float:
        """The loss of the steps since the last call.

        Args:
            count: batches in this epoch so far.
            mean: of their losses.
        """
        self.batches = count - self._count
        loss = (count * mean - self._count * self._mean) / max(self.batches, 1)
        self._count, self._mean = count, mean
        return loss
