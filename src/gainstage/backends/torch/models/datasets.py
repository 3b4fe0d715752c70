"""PyTorch's datasets and loaders as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, IterableDataset

from gainstage.backends.torch.models.random_states import random_state
from gainstage.errors import InputError

__all__ = ["MOST", "arrays_of", "first_batch"]

MOST = 1_000_000
"""Examples beyond which a source counts as endless."""

FIRST = 32
"""Examples of a dataset that make a batch."""

Arrays = tuple[NDArray[Any], NDArray[Any]]


def arrays_of(source: Dataset[Any] | DataLoader[Any]) -> Arrays:
    """All examples and labels of a dataset of (x, y), or of a loader of batches of them.

    Raises:
        InputError: it yields something else, nothing, or does not end.

    >>> data = torch.utils.data.TensorDataset(torch.zeros(6, 2), torch.arange(6))
    >>> [array.shape for array in arrays_of(DataLoader(data, batch_size=4))]
    [(6, 2), (6,)]
    """
    name = type(source).__name__
    batches = isinstance(source, DataLoader) and source.batch_sampler is not None
    xs, ys, count = [], [], 0
    for item in _items(source):
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            what = f"{len(item)} parts" if isinstance(item, (tuple, list)) else f"a {type(item).__name__}"
            raise InputError(f"A {name} has to yield pairs of examples and labels; received {what}.")
        x, y = (_array(part, name) for part in item)
        xs.append(x if batches else x[None])
        ys.append(y if batches else y[None])
        count += len(xs[-1])
        if count > MOST:
            raise InputError(f"The {name} has more than {MOST:,} examples. Pass a finite part of it as arrays.")
    if not xs:
        raise InputError(f"The {name} is empty.")
    try:
        return np.concatenate(xs), np.concatenate(ys)
    except ValueError as error:
        raise InputError(f"The examples of the {name} are of different shapes: {error}") from error


def first_batch(source: Dataset[Any] | DataLoader[Any]) -> Any:
    """The first batch of a loader, or the first examples of a dataset put together; random states stay as they are.

    Raises:
        InputError: there is none.

    >>> data = torch.utils.data.TensorDataset(torch.zeros(6, 2), torch.arange(6))
    >>> first_batch(DataLoader(data, batch_size=4))[1]
    tensor([0, 1, 2, 3])
    """
    loader = source if isinstance(source, DataLoader) else DataLoader(source, batch_size=FIRST)
    with random_state():
        try:
            return next(iter(loader))
        except StopIteration:
            raise InputError(f"The {type(source).__name__} is empty.") from None


def _items(source: Any) -> Iterator[Any]:
    if isinstance(source, (DataLoader, IterableDataset)):
        yield from source
        return
    try:
        size = len(source)
    except TypeError:
        raise InputError(
            f"A {type(source).__name__} without a length cannot be compared on; wrap it in a DataLoader."
        ) from None
    yield from (source[i] for i in range(size))


def _array(part: Any, name: str) -> NDArray[Any]:
    if isinstance(part, torch.Tensor):
        tensor = part.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    array = np.asarray(part)
    if array.dtype == object or array.dtype.kind in "US":
        raise InputError(f"The {name} yields a {type(part).__name__}; tensors, arrays or numbers are needed.")
    return array
