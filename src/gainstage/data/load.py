"""One name to one dataset."""

from __future__ import annotations

from pathlib import Path

from gainstage.data.dataset import Dataset
from gainstage.data.sources import digits, from_file, mnist
from gainstage.data.synthetic import copy, gaussian
from gainstage.errors import InputError, UnknownNameError

__all__ = ["NAMES", "load"]

NAMES = ("digits", "mnist", "gaussian", "copy")
"""The datasets that have a name; everything else is a file."""


def load(name: str | Path, *, validation: float = 0.2, seed: int = 0, standardise: bool = True) -> Dataset:
    """A dataset by name: ``digits``, ``mnist``, ``gaussian``, ``copy``, or the path of a ``.npz`` file with x and y.

    Examples are shuffled with ``seed`` and split so that every class keeps its share (stratified). Values come as
    float32, standardised with the statistics of the training part: an image by one mean and one spread over all
    pixels, a table feature by feature. Labels come as int64.

    Args:
        name: of the dataset, or a path that ends in ``.npz``.
        validation: share of the examples held back, 0 ≤ validation < 1.
        seed: of the shuffle, and of synthetic data.
        standardise: False leaves the values as the source has them.

    Raises:
        UnknownNameError: no dataset has that name.
        MissingPackageError: the package that ships it is not installed.
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
