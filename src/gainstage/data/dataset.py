"""Dataset: a small classification or regression problem, split and ready to train on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError

__all__ = ["IGNORED", "Dataset"]

IGNORED = -100
"""A label that does not count (PyTorch's ``ignore_index``), for positions of a sequence that cannot be predicted."""


@dataclass(frozen=True)
class Dataset:
    """Examples and labels, split into training and validation.

    Args:
        name: what it is.
        x_train: training examples, float32 ``(n, *example)``, or int64 tokens ``(n, positions)``.
        y_train: int64 labels ``(n,)`` (``(n, positions)`` for tokens), or float32 targets where ``classes`` is 0.
        x_validation: validation examples, standardised with the statistics of the training examples.
        y_validation: their labels.
        classes: how many different labels there can be; 0 for a regression.
        shape: the natural shape of one example, without the batch: ``(1, 28, 28)`` for an image stored as 784 values.
        mean: what was subtracted from every example: one number, or one a feature.
        spread: what every example was divided by: the standard deviation of the training examples, likewise.
        source: where it comes from, in words.
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
        """Number of values in one example."""
        return math.prod(self.x_train.shape[1:])

    @property
    def is_tokens(self) -> bool:
        """Whether the examples are integers that an embedding looks up."""
        return bool(np.issubdtype(self.x_train.dtype, np.integer))

    @property
    def chance(self) -> tuple[float, float | None]:
        """Loss and accuracy of the best constant guess on the training labels.

        The entropy of the classes in nats and the share of the most frequent one; for a regression the variance of the
        targets and None.
        """
        if not self.classes:
            return float(np.var(self.y_train, axis=0).mean()), None
        labels = self.y_train[self.y_train != IGNORED].astype(np.int64)
        shares = np.bincount(labels, minlength=self.classes) / len(labels)
        present = shares[shares > 0]
        return float(-(present * np.log(present)).sum()), float(shares.max())

    def reshape(self, *shape: int) -> Dataset:
        """The same data with every example in another shape.

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
