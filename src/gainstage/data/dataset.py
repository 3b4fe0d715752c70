"""Dataset is a small classification or regression problem, split and ready for training."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError

__all__ = ["IGNORED", "Dataset"]

IGNORED = -100
"""The label of positions that do not count (PyTorch's ``ignore_index``), as they cannot be predicted."""


@dataclass(frozen=True)
class Dataset:
    """Examples and labels, split into training and validation.

    Args:
        name: name of the dataset.
        x_train: training examples, float32 ``(n, *example)``, or int64 tokens ``(n, positions)``.
        y_train: int64 labels ``(n,)`` (``(n, positions)`` for tokens), or float32 targets where ``classes`` is 0.
        x_validation: validation examples, standardised with the statistics of the training examples.
        y_validation: labels of the validation examples.
        classes: number of different labels; 0 for a regression.
        shape: the natural shape of one example, without the batch: ``(1, 28, 28)`` for an image stored as 784 values.
        mean: the value subtracted from every example: one number, or one per feature.
        spread: the standard deviation of the training examples, by which every example was divided; likewise.
        source: description of the data's origin.
    """

    name: str
    x_train: NDArray[np.float32] | NDArray[np.int64]
    y_train: NDArray[np.int64] | NDArray[np.float32]
    x_validation: NDArray[np.float32] | NDArray[np.int64]
    y_validation: NDArray[np.int64] | NDArray[np.float32]
    classes: int
    shape: tuple[int, ...]
    mean: NDArray[np.float32] | float = 0.0
    spread: NDArray[np.float32] | float = 1.0
    source: str = ""

    @property
    def features(self) -> int:
        """Return the number of values in one example."""
        return math.prod(self.x_train.shape[1:])

    @property
    def is_tokens(self) -> bool:
        """Report whether the examples are integer tokens for an embedding."""
        return bool(np.issubdtype(self.x_train.dtype, np.integer))

    @property
    def chance(self) -> tuple[float, float | None]:
        """Return loss and accuracy of the best constant guess on the training labels.

        For classes these are the entropy in nats and the share of the most frequent class; for a regression the
        variance of the targets and None.
        """
        if not self.classes:
            return float(np.var(self.y_train, axis=0).mean()), None
        labels = self.y_train[self.y_train != IGNORED].astype(np.int64)
        shares = np.bincount(labels, minlength=self.classes) / len(labels)
        present = shares[shares > 0]
        return float(-(present * np.log(present)).sum()), float(shares.max())

    def reshape(self, *shape: int) -> Dataset:
        """Return the same data with every example in another shape.

        Raises:
            InputError: the shape has another number of values.
        """
        if math.prod(shape) != self.features:
            raise InputError(
                f"Examples of '{self.name}' have {self.features} values; received the shape {shape}, which has "
                f"{math.prod(shape)}."
            )
        return replace(
            self, x_train=self.x_train.reshape(-1, *shape), x_validation=self.x_validation.reshape(-1, *shape)
        )
