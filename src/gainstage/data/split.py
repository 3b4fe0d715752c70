"""Shuffles, splits and standardises a dataset."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.data.dataset import Dataset
from gainstage.errors import InputError

__all__ = ["split", "stratify"]


def stratify(y: NDArray[np.int64], validation: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return shuffled indices of training and validation examples, with every class split in the same proportion.

    A class of n examples gives round(n · validation) of them to validation, but never all n.

    >>> train, validation = stratify(np.array([0, 0, 0, 0, 1, 1, 1, 1]), validation=0.25, seed=0)
    >>> len(train), len(validation)
    (6, 2)
    """
    rng = np.random.default_rng(seed)
    train, held = [], []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        count = min(round(len(members) * validation), len(members) - 1)
        held.append(members[:count])
        train.append(members[count:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(held))


def split(
    name: str,
    x: NDArray[np.float32] | NDArray[np.int64],
    y: NDArray[np.int64] | NDArray[np.float32],
    *,
    classes: int,
    shape: tuple[int, ...],
    validation: float = 0.2,
    seed: int = 0,
    standardise: bool = True,
    source: str = "",
) -> Dataset:
    """Shuffle, split, and standardise with the statistics of the training part alone.

    A table (``shape`` of one axis) is standardised feature by feature to mean 0 and standard deviation 1 over the
    training examples; constant features are only centred. An image is standardised by one mean and one standard
    deviation over all of its pixels: a pixel that is nearly always dark would otherwise become an outlier of tens of
    standard deviations. Tokens are not changed.

    Raises:
        InputError: ``validation`` is not a fraction, or no training example is left.
    """
    if not 0 <= validation < 1:
        raise InputError(f"The validation share is a fraction from 0 up to (not including) 1; received {validation}.")
    groups = y if classes and y.ndim == 1 else np.zeros(len(y))
    train, held = stratify(np.asarray(groups, np.int64), validation, seed)
    mean: NDArray[np.float32] | float = 0.0
    spread: NDArray[np.float32] | float = 1.0
    if standardise and np.issubdtype(x.dtype, np.floating):
        mean, spread = _statistics(x[train], table=len(shape) == 1)
        x = ((x - mean) / spread).astype(np.float32)
    return Dataset(
        name, x[train], y[train], x[held], y[held],
        classes=classes, shape=shape, mean=mean, spread=spread, source=source,
    )  # fmt: skip


def _statistics(
    x: NDArray[np.float32] | NDArray[np.int64], *, table: bool
) -> tuple[NDArray[np.float32] | float, NDArray[np.float32] | float]:
    if not table:
        spread = float(x.std(dtype=np.float64))
        return float(x.mean(dtype=np.float64)), spread if spread > 0 and math.isfinite(spread) else 1.0
    spreads = x.std(axis=0, dtype=np.float64)
    # Rounding gives a constant feature a standard deviation of about 1e-16 of its size, by which one must not divide.
    varied = spreads > 1e-7 * np.abs(x).max(axis=0)
    means = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    return means, np.where(varied, spreads, 1.0).astype(np.float32)
