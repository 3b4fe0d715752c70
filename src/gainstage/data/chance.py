"""What guessing is worth."""

from __future__ import annotations

import numpy as np

from gainstage.data.dataset import IGNORED, Dataset

__all__ = ["chance"]


def chance(dataset: Dataset) -> tuple[float, float | None]:
    """Loss and accuracy of the best constant guess: entropy of the labels in nats, or the variance of the targets.

    >>> from gainstage.data import load
    >>> loss, accuracy = chance(load("digits"))
    >>> round(loss, 3), round(accuracy, 3)
    (2.302, 0.102)
    """
    if not dataset.classes:
        return float(np.var(dataset.y_train, axis=0).mean()), None
    labels = dataset.y_train[dataset.y_train != IGNORED].astype(np.int64)
    shares = np.bincount(labels, minlength=dataset.classes) / len(labels)
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum()), float(shares.max())
