"""Invariances of a loss: softmax over the wrong axis of the logits, and outputs that it ignores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["alike_units", "ignored_share", "normalises_elsewhere", "spread_points"]

Array = npt.NDArray[np.floating[Any]]
Evaluate = Callable[[Array], tuple[float, Array]]

_EQUAL = 1e-4  # of the change that a random shift of all logits brings about: beyond rounding in single precision


def normalises_elsewhere(evaluate: Evaluate, outputs: Array, labels: Array | None) -> bool:
    """Report whether a loss on class labels normalises its logits over another axis than that of the classes.

    A softmax does not change when a constant is added to all logits that it is taken over. The axis of the classes is
    the one that the labels lack.

    Args:
        evaluate: the loss and its gradient, from outputs of the shape of ``outputs``.
        outputs: what the model returned, of any shape.
        labels: class numbers of the shape of ``outputs`` without the axis of the classes.

    >>> import numpy as np
    >>> y = np.array([[0, 2], [1, 0]])
    >>> def entropy(axis):
    ...     def loss(o):
    ...         logs = o - np.log(np.exp(o).sum(axis, keepdims=True))
    ...         return -float(np.take_along_axis(logs, y[..., None], -1).mean()), o
    ...     return loss
    >>> o = np.zeros((2, 2, 3))
    >>> normalises_elsewhere(entropy(-1), o, y), normalises_elsewhere(entropy(1), o, y)
    (False, True)
    """
    if labels is None or not np.issubdtype(labels.dtype, np.integer) or labels.ndim != outputs.ndim - 1:
        return False
    classes = [k for k in range(outputs.ndim) if outputs.shape[:k] + outputs.shape[k + 1 :] == labels.shape]
    if len(classes) != 1:
        return False
    random = np.random.default_rng(0)
    free = random.normal(size=outputs.shape)
    before, (moved, _) = evaluate(free)[0], evaluate(free + random.normal(size=outputs.shape))
    unit = abs(moved - before)
    if not np.isfinite(unit) or not unit > 0:
        return False

    def indifferent(axis: int) -> bool:
        shape = [1 if k == axis else size for k, size in enumerate(outputs.shape)]
        after, _ = evaluate(free + random.normal(size=shape))
        return bool(abs(after - before) <= _EQUAL * max(unit, abs(before)))

    others = [k for k in range(outputs.ndim) if k != classes[0] and outputs.shape[k] > 1]
    return not indifferent(classes[0]) and any(indifferent(axis) for axis in others)


def spread_points(free: Array, columns: Sequence[int]) -> tuple[Array, ...]:
    """Outputs at which a loss that compares at all reacts: random ones, and ones that are nearly equal.

    Args:
        free: (examples, ...), for the shape.
        columns: sizes of the parts that the last axis is made of; parts of one size are compared with each other.
    """
    random = np.random.default_rng(0)
    common = random.normal(size=max(columns, default=free.shape[-1]))
    row = np.concatenate([common[:size] for size in columns]) if columns else common[: free.shape[-1]]
    return random.normal(size=free.shape), row + 0.1 * random.normal(size=free.shape)


def ignored_share(gradients: Sequence[Array], target: Array) -> float:
    """Share of examples by whose outputs the loss has no gradient anywhere, where all have one value of their own.

    Args:
        gradients: by the outputs (examples, ...), at several outputs.
        target: (examples, ...).

    >>> import numpy as np
    >>> ignored_share([np.array([[0.0], [1.0], [0.0]])], np.array([0, 1, 0])).__round__(2)
    0.67
    """
    still = np.all([(g == 0).reshape(len(target), -1).all(1) for g in gradients], axis=0)
    rows = target.reshape(len(target), -1)
    if not still.any() or still.all() or len(np.unique(rows[still], axis=0)) != 1:
        return 0.0
    return 0.0 if (rows[~still] == rows[still][0]).all(1).any() else float(still.mean())


def alike_units(ends: Array, target: Array) -> float | None:
    """Spread of the ends within an example over that of its targets: zero where all units of an example end alike.

    None where an example has one target, or the targets of an example hardly differ from each other.

    >>> import numpy as np
    >>> alike_units(np.array([[1.0, 1.0], [2.0, 2.0]]), np.array([[0.0, 2.0], [1.0, 3.0]]))
    0.0
    """
    if target.ndim < 2 or target.shape[-1] < 2 or target.shape != ends.shape:
        return None
    values = target.astype(np.float64)
    within, over = (float(np.sqrt(np.mean((v - v.mean(-1, keepdims=True)) ** 2))) for v in (ends, values))
    return within / over if over > 0.1 * values.std() and over > 0 else None
