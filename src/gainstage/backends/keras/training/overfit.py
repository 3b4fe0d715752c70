"""Train copies of a Keras model's weights on one batch; the model itself is never written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from gainstage.backends.keras.measuring.first_step import require_optimizer
from gainstage.backends.keras.measuring.gradients import gradient_by_first
from gainstage.backends.keras.measuring.replay import replay
from gainstage.backends.keras.models.batch import as_array, prepare, values_of
from gainstage.backends.keras.models.losses import Criterion, criterion_of
from gainstage.backends.keras.tracing.trace import Program, materialise, program_of, require_model
from gainstage.backends.shared.overfitting import RATES, Candidate, OnStep, overfitted
from gainstage.errors import InputError
from gainstage.records import Overfit, Task

__all__ = ["loss_of_flat", "overfit"]


def overfit(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    loss: Any = None,
    optimizer: Any = None,
    task: Task,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Overfit | None:
    """Train on one batch, at most 200 steps with each of four optimizers and half a minute in all.

    The optimizer that was given is tried first, on a copy; then Adam at three rates until one learns the batch. All of
    it happens on copies of the weights. Dropout keeps the mask of its first pass.

    Args:
        model: a Keras 3 model or layer on any of its backends.
        inputs: the batch.
        target: labels.
        loss: as in a measurement.
        optimizer: a name or object.
        task: what a measurement knows of the loss.
        seed: of dropout and the like.
        on_step: called after every step.

    Returns:
        the trainings; None where no weight is trainable.

    Raises:
        InputError: there is no loss.
    """
    model, batch = require_model(model), prepare(inputs)
    criterion = criterion_of(model, loss, target)
    if criterion is None or task.loss is None:
        raise InputError("Learning a batch needs a loss. Pass y and loss=, or compile the model.")
    materialise(model, inputs)
    program = program_of(model, batch, criterion)
    trainable = {p.path: program.parameters[p.path] for p in program.graph.parameters if p.trainable and p.reached}
    if not trainable:
        return None
    run = gradient_by_first(loss_of_flat(program, batch.arrays, criterion, trainable, seed))
    given = [require_optimizer(optimizer)] if optimizer is not None else []
    shape = task.loss_shape
    lowest = shape.lowest if shape is not None and not shape.unbounded and math.isfinite(shape.lowest) else 0.0
    candidates = [
        *(
            Candidate(type(o).__name__, float(as_array(o.learning_rate)), _begin(run, trainable, o), True)
            for o in given
        ),
        *(Candidate("Adam", rate, _begin(run, trainable, keras.optimizers.Adam(rate))) for rate in RATES),
    ]
    return overfitted(candidates, lowest=min(lowest, task.loss.value), chance=task.loss.chance, on_step=on_step)


def loss_of_flat(
    program: Program, arrays: Any, criterion: Criterion, trainable: Mapping[str, Any], seed: int
) -> Callable[[Any, Any], Any]:
    """The loss as a function of all weights in one vector; the second argument is not used."""
    inputs = [ops.convert_to_tensor(array) for array in arrays]

    def function(flat: Any, _unused: Any) -> Any:
        weights, place = {}, 0
        for path, variable in trainable.items():
            size = int(np.prod(variable.shape))
            weights[path] = ops.cast(ops.reshape(flat[place : place + size], variable.shape), variable.dtype)
            place += size
        found = replay(program, inputs, weights, seed=seed)
        value = criterion.on_arrays(found.output)
        for penalty in found.penalties:
            value = value + ops.cast(ops.sum(penalty), value.dtype)
        return value

    return function


def _begin(
    run: Callable[[Any, Any], tuple[Any, Any]], trainable: Mapping[str, Any], optimizer: Any
) -> Callable[[], Callable[[], float]]:
    def begin() -> Callable[[], float]:
        flat = np.concatenate([as_array(values_of(v)).reshape(-1) for v in trainable.values()]).astype("float32")
        weights = keras.Variable(flat, name="weights")
        stepper = type(optimizer).from_config(optimizer.get_config())
        stepper.build([weights])
        nothing = ops.convert_to_tensor(0.0)

        def step() -> float:
            value, gradient = run(ops.convert_to_tensor(weights.value), nothing)
            if gradient is not None:
                stepper.apply([gradient], [weights])
            return float(as_array(value))

        return step

    return begin
