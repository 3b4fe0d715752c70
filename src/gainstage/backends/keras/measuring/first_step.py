"""What the optimizer's first step would do, worked out without making it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.errors import InputError
from gainstage.records import Step

__all__ = ["require_optimizer", "try_step"]


def require_optimizer(optimizer: Any) -> Any:
    """The optimizer itself, or the one of that name with Keras's defaults; the one inside of a loss scaling.

    Gradients are not scaled here, and a loss scaling would divide them all the same.

    Raises:
        InputError: it is none.

    >>> type(require_optimizer("adam")).__name__
    'Adam'
    """
    if isinstance(optimizer, str):
        try:
            return keras.optimizers.get(optimizer)
        except ValueError as error:
            raise InputError(
                f"Keras has no optimizer '{optimizer}'. Pass one, e.g. keras.optimizers.SGD(0.1)."
            ) from error
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise InputError(
            f"Expected a Keras optimizer, received {type(optimizer).__name__}. Pass an object such as "
            "keras.optimizers.SGD(learning_rate=0.1)."
        )
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer


def try_step(
    optimizer: Any,
    variables: Mapping[str, Any],
    gradients: Mapping[str, Any],
    value: float,
    loss_at: Callable[[Mapping[str, Any]], float],
    log: MagnitudeLog,
) -> tuple[Step, dict[str, float]]:
    """Take the step with a copy of the optimizer, on copies of the weights.

    Args:
        optimizer: stays as it is.
        variables: that it would change, by path.
        gradients: of the loss by them.
        value: the loss now.
        loss_at: the loss with other weights.
        log: takes the size of every update, where that was asked for.

    Returns:
        the step along which the loss changes, and ‖step‖ / ‖weight‖ of every weight.
    """
    paths = [path for path in variables if path in gradients]
    before = {path: values_of(variables[path]) for path in paths}
    copies = [keras.Variable(before[path], dtype=variables[path].dtype) for path in paths]
    scratch = type(optimizer).from_config(optimizer.get_config())
    scratch.build(copies)
    if optimizer.built and len(optimizer.variables) == len(scratch.variables):
        for own, known in zip(scratch.variables, optimizer.variables, strict=True):
            own.assign(known.value)
    scratch.apply([gradients[path] for path in paths], copies)
    after = {path: values_of(copy) for path, copy in zip(paths, copies, strict=True)}
    moves = {path: as_array(after[path]) - as_array(before[path]) for path in paths}
    for path, move in moves.items():
        log.add_step(path, move, as_array(before[path]))
    slope = sum(float(np.vdot(as_array(gradients[path]), move)) for path, move in moves.items())
    climbs = None if optimizer.built and int(as_array(optimizer.iterations.value)) else _cosine(slope, gradients, moves)
    moved = {path: move for path, move in moves.items() if as_array(gradients[path]).any()}
    shrinks, share = _decay(before, moved)
    loss_after = loss_at({path: ops.convert_to_tensor(values) for path, values in after.items()})
    relative = {}
    for path, old in before.items():
        size = float(np.linalg.norm(as_array(old)))
        if size > 0:
            relative[path] = float(np.linalg.norm(moves[path])) / size
    # L(1) = L(0) + slope + curvature / 2
    return Step(slope, 2 * (loss_after - value - slope), loss_after, climbs, shrinks, share), relative


def _cosine(product: float, one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Cosine between two vectors of all weights in ``other``, from their scalar product."""
    size = math.sqrt(sum(_square(one[path]) for path in other) * sum(_square(move) for move in other.values()))
    return product / size if 0 < size < math.inf else None


def _decay(weights: Mapping[str, Any], moves: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Cosine between the step of all matrices and minus those matrices, and ‖step‖ / ‖weights‖."""
    matrices = {path: move for path, move in moves.items() if move.ndim > 1}
    inward = -sum(float(np.vdot(as_array(weights[path]), move)) for path, move in matrices.items())
    weight = sum(_square(weights[path]) for path in matrices)
    step = sum(_square(move) for move in matrices.values())
    if not (0 < weight < math.inf and 0 < step < math.inf):
        return None, None
    return inward / math.sqrt(weight * step), math.sqrt(step / weight)


def _square(array: Any) -> float:
    return float(np.square(as_array(array), dtype=np.float64).sum())
