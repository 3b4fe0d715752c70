"""The gradient of a backward pass against finite differences of the loss, in Keras's own precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from gainstage.backends.keras.measuring.gradients import gradient_by_first
from gainstage.backends.keras.models.batch import as_array, prepare, values_of
from gainstage.backends.keras.models.losses import criterion_of
from gainstage.backends.keras.tracing.trace import materialise, program_of, require_model
from gainstage.backends.keras.training.overfit import loss_of_flat
from gainstage.errors import InputError
from gainstage.records import GradientCheck

__all__ = ["gradient_checks"]

STEP = 3e-3
"""Length of the step over the norm of the parameter: the error of single precision is then 1e-4 of the loss."""

ROUNDING = 2e-6  # of the loss: some sixteen units in the last place


def gradient_checks(
    model: Any, inputs: Any, target: Any = None, *, loss: Any = None, seed: int = 0
) -> tuple[GradientCheck, ...]:
    """Compare the slope of the loss along one direction of every trainable weight; the model is never written.

    The direction has one half along the gradient and one half at random. Takes four forward passes a weight.

    Raises:
        InputError: there is no loss.
    """
    model, batch = require_model(model), prepare(inputs)
    criterion = criterion_of(model, loss, target)
    if criterion is None:
        raise InputError("Checking gradients needs a loss. Pass y and loss=, or compile the model.")
    materialise(model, inputs)
    program = program_of(model, batch, criterion)
    trainable = {p.path: program.parameters[p.path] for p in program.graph.parameters if p.trainable and p.reached}
    run = gradient_by_first(loss_of_flat(program, batch.arrays, criterion, trainable, seed))
    nothing, rng = ops.convert_to_tensor(0.0), np.random.default_rng(seed)
    flat = np.concatenate([as_array(values_of(v)).reshape(-1) for v in trainable.values()]).astype("float32")
    value, found = run(ops.convert_to_tensor(flat), nothing)
    size = abs(float(as_array(value)))
    whole = np.zeros_like(flat) if found is None else as_array(found)
    checks, place = [], 0
    for path, variable in trainable.items():
        part = slice(place, place + int(np.prod(variable.shape)))
        place = part.stop
        gradient, random = whole[part], rng.standard_normal(part.stop - part.start)
        if not gradient.any():
            continue
        direction = random / np.linalg.norm(random) + gradient / np.linalg.norm(gradient)
        length = STEP * (float(np.linalg.norm(flat[part])) or 1.0)

        def slope(step: float, part: slice = part, direction: Any = direction) -> float:
            ends = []
            for sign in (1, -1):
                moved = flat.copy()
                moved[part] += sign * step * direction
                ends.append(float(as_array(run(ops.convert_to_tensor(moved), nothing)[0])))
            return (ends[0] - ends[1]) / (2 * step)

        one, other = slope(length), slope(2 * length)
        doubt = abs(one - other) + ROUNDING * size / length
        checks.append(GradientCheck(path, float(gradient @ direction), one, doubt))
    return tuple(checks)
