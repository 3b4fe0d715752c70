"""Makes datasets from the user's arrays, and explains why an array cannot be used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gainstage.data.dataset import Dataset
from gainstage.data.split import split
from gainstage.errors import InputError

__all__ = ["checked", "classes_of", "from_arrays"]

Examples = NDArray[np.float32] | NDArray[np.int64]
Labels = NDArray[np.int64] | NDArray[np.float32]


def from_arrays(
    x: ArrayLike,
    y: ArrayLike,
    x_validation: ArrayLike | None = None,
    y_validation: ArrayLike | None = None,
    *,
    values: bool = False,
    validation: float = 0.2,
    seed: int = 0,
    name: str = "arrays",
) -> Dataset:
    """Make a dataset from arrays, without standardising them.

    Args:
        x: examples along the first axis. Floating-point values become float32; integers of two axes are tokens, other
            integers are values.
        y: whole numbers are class labels, and so are one-hot rows; all other values are the targets of a regression.
        x_validation, y_validation: validation examples; without them a share of the examples is held back, in
            proportion for every class.
        values: treat whole numbers in ``y`` as the targets of a regression, too.
        validation: share of examples held back.
        seed: seed of the shuffle.
        name: name of the dataset.

    Raises:
        InputError: an array is empty, not numeric or not finite, or the arrays do not fit together.

    >>> data = from_arrays([[0.0], [1.0], [2.0], [3.0], [4.0]], [0, 1, 0, 1, 1])
    >>> data.classes, len(data.x_train), len(data.x_validation)
    (2, 4, 1)
    """
    if (x_validation is None) != (y_validation is None):
        raise InputError("Held-back examples need x and y; received one of them.")
    xs, ys = checked(np.asarray(x), np.asarray(y), f"the data '{name}'", values=values)
    classes, shape = classes_of(ys), tuple(xs.shape[1:])
    if x_validation is None or y_validation is None:
        return split(
            name, xs, ys, classes=classes, shape=shape, validation=validation, seed=seed, standardise=False, source=name
        )
    held_x, held_y = checked(
        np.asarray(x_validation), np.asarray(y_validation), f"the held-back data '{name}'", values=values
    )
    if held_x.shape[1:] != xs.shape[1:] or held_y.shape[1:] != ys.shape[1:] or held_y.dtype != ys.dtype:
        raise InputError(
            f"Held-back examples are of shape {held_x.shape[1:]} with labels of shape {held_y.shape[1:]} and type "
            f"{held_y.dtype}; those to train on of {xs.shape[1:]}, {ys.shape[1:]} and {ys.dtype}."
        )
    order = np.random.default_rng(seed).permutation(len(xs))
    classes = max(classes, classes_of(held_y))
    return Dataset(name, xs[order], ys[order], held_x, held_y, classes=classes, shape=shape, source=name)


def checked(x: NDArray[Any], y: NDArray[Any], where: str, *, values: bool = False) -> tuple[Examples, Labels]:
    """Return examples and labels in the types that trainings require.

    Raises:
        InputError: an array is empty, not numeric or not finite, or the numbers of examples and labels differ.
    """
    xs, ys = _examples(x, where), _labels(y, where, values=values)
    if len(xs) != len(ys):
        raise InputError(
            f"{where[0].upper()}{where[1:]} has {len(xs)} examples in x and {len(ys)} labels in y; they must be "
            "as many."
        )
    return xs, ys


def classes_of(y: Labels) -> int:
    """Return the number of classes, one above the largest label; 0 for the targets of a regression."""
    return int(y.max()) + 1 if np.issubdtype(y.dtype, np.integer) else 0


def _examples(x: NDArray[Any], where: str) -> Examples:
    _numeric(x, "x", where)
    if x.ndim < 2 or x.size == 0:
        raise InputError(f"x in {where} needs an axis of examples and at least one value each; its shape is {x.shape}.")
    if np.issubdtype(x.dtype, np.integer) and x.dtype != np.uint8 and x.ndim == 2:
        return x.astype(np.int64)
    return x.astype(np.float32)


def _labels(y: NDArray[Any], where: str, *, values: bool) -> Labels:
    _numeric(y, "y", where)
    if y.ndim < 1 or y.size == 0:
        raise InputError(f"y in {where} needs one label an example; its shape is {y.shape}.")
    if values:
        return y.astype(np.float32)
    if _is_one_hot(y):
        y = y.argmax(axis=1)
    if y.ndim == 2 and y.shape[1] == 1 and np.issubdtype(y.dtype, np.integer):
        y = y[:, 0]
    if y.ndim == 1 and np.all(y == np.floor(y)):
        labels = y.astype(np.int64)
        if labels.min() < 0:
            raise InputError(f"y in {where} has the class label {labels.min()}; labels count from 0.")
        return labels
    return y.astype(np.float32)


def _is_one_hot(y: NDArray[Any]) -> bool:
    """Report whether every row holds a single one and zeros; with several labels per example, other sums occur."""
    if y.ndim != 2 or y.shape[1] < 2 or not np.all((y == 0) | (y == 1)):
        return False
    return bool(np.all(y.sum(axis=1) == 1))


def _numeric(array: NDArray[Any], name: str, where: str) -> None:
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise InputError(f"{name} in {where} holds {array.dtype}; numbers are needed.")
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(f"{name} in {where} has {int(bad.sum())} NaN or infinite values, the first at index {first}.")
