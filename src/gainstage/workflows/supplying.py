"""Data of any kind as a dataset."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gainstage.backends import Framework, workbench_of
from gainstage.data import Dataset, from_arrays, load
from gainstage.errors import InputError

__all__ = ["batch_of", "dataset_of", "default_loss"]

_SOURCES: tuple[tuple[str, tuple[str, ...], Framework], ...] = (
    ("torch.utils.data", ("Dataset", "DataLoader"), "torch"),
    ("tensorflow.data", ("Dataset",), "keras"),
)
"""Where the types of a framework's data live, and whose workbench reads them."""

_VALUES = {"mse", "l1", "huber"}
"""Losses whose targets are values also where they are whole numbers."""


def dataset_of(data: Any, *, loss: Any = None, seed: int = 0) -> Dataset:
    """What the user gave as a dataset.

    Args:
        data: a :class:`Dataset`; a name (``digits``, ``mnist``); a ``.npz`` file, taken as it is; arrays ``(x, y)`` or
            ``(x, y, x_validation, y_validation)``, also under these names in a mapping; a PyTorch ``Dataset`` or
            ``DataLoader``; a ``tf.data.Dataset``. Sources that know no validation part have a fifth held back.
        loss: where it is one of values, whole numbers are no classes.
        seed: of the shuffle.

    Raises:
        InputError: it is none of these, or its content cannot be used.
    """
    values = isinstance(loss, str) and loss in _VALUES
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (str, Path)):
        return load(data, seed=seed, standardise=not str(data).endswith(".npz"))
    if (arrays := _from_framework(data)) is not None:
        return from_arrays(*arrays, values=values, seed=seed, name=type(data).__name__)
    if isinstance(data, Mapping):
        unknown = set(data) - {"x", "y", "x_validation", "y_validation"}
        if unknown or not {"x", "y"} <= set(data):
            raise InputError(
                f"Data by name are x, y, and if you like x_validation and y_validation; received {[*data]}."
            )
        return from_arrays(**{name: _array(part) for name, part in data.items()}, values=values, seed=seed)
    if isinstance(data, (tuple, list)) and len(data) in (2, 4):
        return from_arrays(*map(_array, data), values=values, seed=seed)
    raise InputError(
        f"Cannot train on a {type(data).__name__}. Give arrays (x, y), a name such as 'digits', a .npz file, a PyTorch "
        "Dataset or DataLoader, or a tf.data.Dataset."
    )


def batch_of(x: Any, y: Any = None) -> tuple[Any, Any]:
    """The first batch and its labels, where ``x`` hands out many; else both as they are.

    Args:
        x: a batch, or a PyTorch ``DataLoader`` or ``Dataset``, or a ``tf.data.Dataset``.
        y: labels of a batch; those of a loader come with it.

    Raises:
        InputError: labels were given beside a loader, or it is empty.
    """
    framework = _framework_of_data(x)
    if framework is None:
        return x, y
    if y is not None:
        raise InputError(f"The labels of a {type(x).__name__} come with it; received y as well. Leave y out.")
    batch = workbench_of(framework, "Reading the data").first_batch(x)
    if isinstance(batch, (tuple, list)) and len(batch) in (1, 2):
        return (batch[0], batch[1] if len(batch) == 2 else None)
    return batch, None


def default_loss(y: Any) -> str | None:
    """The loss by name that fits labels which came with a loader: of classes for whole numbers, else of values."""
    kind = str(getattr(y, "dtype", ""))
    if not kind:
        return None
    return "cross_entropy" if "int" in kind else "mse"


def _from_framework(data: Any) -> tuple[Any, Any] | None:
    framework = _framework_of_data(data)
    return None if framework is None else workbench_of(framework, "Reading a tf.data.Dataset").arrays_of(data)


def _framework_of_data(data: Any) -> Framework | None:
    for module, names, framework in _SOURCES:
        home: Any = sys.modules.get(module) or getattr(sys.modules.get(module.split(".")[0]), "data", None)
        kinds = tuple(kind for name in names if isinstance(kind := getattr(home, name, None), type))
        if kinds and isinstance(data, kinds):
            return framework
    return None


def _array(part: Any) -> Any:
    """Tensors of any framework as arrays."""
    return part.detach().cpu().numpy() if hasattr(part, "detach") else part
