"""TensorFlow's datasets as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from gainstage.errors import InputError

__all__ = ["MOST", "arrays_of", "first_batch"]

MOST = 1_000_000
"""Elements beyond which a source counts as endless."""

Array = np.ndarray[Any, Any]


def arrays_of(source: Any) -> tuple[Array, Array]:
    """All examples and labels of a ``tf.data.Dataset`` of (x, y), batched or not.

    It is batched where x and y begin with an axis of the same length in every element.

    Raises:
        InputError: it yields something else, nothing, or does not end.
    """
    items: list[tuple[Array, Array]] = []
    for item in source.as_numpy_iterator():
        if not isinstance(item, tuple) or len(item) != 2 or any(isinstance(part, (dict, tuple)) for part in item):
            raise InputError("A tf.data.Dataset has to yield pairs of one array of examples and one of labels.")
        x, y = np.asarray(item[0]), np.asarray(item[1])
        items.append((x, y))
        if len(items) > MOST:
            raise InputError(
                f"The tf.data.Dataset does not end within {MOST:,} elements. Pass a finite part of it: .take(n)"
            )
    if not items:
        raise InputError("The tf.data.Dataset is empty.")
    batched = all(x.ndim > 1 and y.ndim and len(x) == len(y) for x, y in items)
    try:
        if batched:
            return np.concatenate([x for x, _ in items]), np.concatenate([y for _, y in items])
        return np.stack([x for x, _ in items]), np.stack([y for _, y in items])
    except ValueError as error:
        raise InputError(f"The examples of the tf.data.Dataset are of different shapes: {error}") from error


def first_batch(source: Any) -> Any:
    """The first batch of a ``tf.data.Dataset``.

    Raises:
        InputError: there is none.
    """
    try:
        return next(iter(source))
    except StopIteration:
        raise InputError(f"The {type(source).__name__} is empty.") from None
