"""Generates synthetic tasks with a known solution, for tests and lessons."""

from __future__ import annotations

import math

import numpy as np

from gainstage.data.dataset import IGNORED, Dataset
from gainstage.data.split import split
from gainstage.errors import InputError

__all__ = ["copy", "gaussian"]


def gaussian(
    *,
    classes: int = 10,
    features: int = 32,
    examples: int = 2000,
    separation: float = 4.0,
    validation: float = 0.2,
    seed: int = 0,
    standardise: bool = True,
) -> Dataset:
    """Generate classes that are isotropic Gaussian clusters of standard deviation 1 around random centres.

    Args:
        classes: number of clusters, equally frequent.
        features: number of dimensions.
        examples: number of examples over all classes and both parts of the split.
        separation: distance of two centres (root mean square), in standard deviations of a cluster; two classes at
            exactly that distance are confused with probability Φ(−separation / 2).
        validation: share of examples held back.
        seed: seed of centres, noise and split.
        standardise: whether features are standardised.

    Raises:
        InputError: a size is not positive or there are fewer examples than classes.

    >>> gaussian(classes=3, features=2, examples=30).x_validation.shape
    (6, 2)
    """
    if min(classes, features) < 1 or examples < classes:
        raise InputError(
            f"Needs at least one class, one feature and one example a class; received classes={classes}, "
            f"features={features}, examples={examples}."
        )
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, features)) * separation / math.sqrt(2 * features)
    y = np.arange(examples, dtype=np.int64) % classes
    x = (centres[y] + rng.standard_normal((examples, features))).astype(np.float32)
    return split(
        "gaussian", x, y, classes=classes, shape=(features,), validation=validation, seed=seed,
        standardise=standardise, source=f"{classes} Gaussian clouds, {separation:g} spreads apart",
    )  # fmt: skip


def copy(
    *, length: int = 8, symbols: int = 10, examples: int = 2000, validation: float = 0.2, seed: int = 0
) -> Dataset:
    """Generate sequences of random tokens, a separator, and the same tokens again, for next-token prediction.

    Tokens 0 … symbols − 1 are symbols and ``symbols`` is the separator. Labels are the next token where it is
    determined (the second half) and ``IGNORED`` elsewhere. A perfect model reaches loss 0, and a model that guesses
    reaches log(symbols).

    Raises:
        InputError: a size is not positive.

    >>> task = copy(length=2, symbols=3, examples=10)
    >>> task.x_train.shape, task.classes
    ((8, 4), 4)
    """
    if min(length, symbols, examples) < 1:
        raise InputError(f"Sizes must be positive; received length={length}, symbols={symbols}, examples={examples}.")
    rng = np.random.default_rng(seed)
    word = rng.integers(0, symbols, (examples, length))
    tokens = np.concatenate([word, np.full((examples, 1), symbols), word], axis=1)
    labels = tokens[:, 1:].copy()
    labels[:, :length] = IGNORED
    return split(
        "copy", tokens[:, :-1].astype(np.int64), labels.astype(np.int64), classes=symbols + 1, shape=(2 * length,),
        validation=validation, seed=seed, source=f"copy {length} random tokens of {symbols}",
    )  # fmt: skip
