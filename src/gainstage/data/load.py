"""Loads a dataset by name."""

from __future__ import annotations

from pathlib import Path

from gainstage.data.dataset import Dataset
from gainstage.data.sources import digits, from_file, mnist
from gainstage.data.synthetic import copy, gaussian
from gainstage.errors import InputError, UnknownNameError

__all__ = ["NAMES", "load"]

NAMES = ("digits", "mnist", "gaussian", "copy")
"""Names of the packaged and synthetic datasets; every other name is a path."""


def load(name: str | Path, *, validation: float = 0.2, seed: int = 0, standardise: bool = True) -> Dataset:
    """Load ``digits``, ``mnist``, ``gaussian``, ``copy``, or the path of a ``.npz`` file with x and y.

    Examples are shuffled with ``seed`` and split so that every class keeps its share (stratified). Values are float32,
    standardised with the statistics of the training part: an image by one mean and one standard deviation over all
    pixels, a table feature by feature. Labels are int64.

    Args:
        name: name of the dataset, or a path that ends in ``.npz``.
        validation: share of the examples held back, 0 ≤ validation < 1.
        seed: seed of the shuffle and of synthetic data.
        standardise: False leaves the values as in the source.

    Raises:
        UnknownNameError: no dataset has that name.
        MissingPackageError: the package that contains the dataset is not installed.
        InputError: the file or an argument cannot be used.

    >>> load("digits").classes
    10
    """
    if not 0 <= validation < 1:
        raise InputError(f"The validation share is a fraction from 0 up to (not including) 1; received {validation}.")
    if isinstance(name, Path) or name.endswith(".npz"):
        return from_file(name, validation=validation, seed=seed, standardise=standardise)
    match name:
        case "digits":
            return digits(validation=validation, seed=seed, standardise=standardise)
        case "mnist":
            return mnist(validation=validation, seed=seed, standardise=standardise)
        case "gaussian":
            return gaussian(validation=validation, seed=seed, standardise=standardise)
        case "copy":
            return copy(validation=validation, seed=seed)
    raise UnknownNameError("dataset", name, (*NAMES, "a file ending in .npz"))
