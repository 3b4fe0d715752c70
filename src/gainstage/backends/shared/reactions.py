"""Measures of how strongly outputs react when other examples, or the random numbers, change."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["EXAMPLES", "leak_of", "noise_of", "says_examples"]

Array = npt.NDArray[Any]

EXAMPLES = 8
"""So many examples are run again: effects that matter show in a few."""


def says_examples(labels: tuple[int, ...], floating: bool, first_input: tuple[int, ...]) -> bool:
    """Report whether labels establish the first axis as examples: one label per example, or images with label maps.

    Args:
        labels: shape of the labels.
        floating: whether they are floating-point numbers.
        first_input: shape of the model's first input.

    >>> says_examples((32,), False, (32, 10)), says_examples((32, 7), False, (32, 7))
    (True, False)
    """
    if not labels or not first_input or labels[0] != first_input[0]:
        return False
    one_each = len(labels) == 1 or (floating and len(labels) == 2 and len(first_input) == 2)
    return one_each or len(first_input) >= 4


def leak_of(before: Array, after: Array) -> float | None:
    """Median over the unchanged examples of the change of their output, over its root mean square.

    Args:
        before: outputs, (examples, ...).
        after: the same, with every example of an even index replaced by another one.
    """
    size = float(np.sqrt(np.mean(np.square(before, dtype=np.float64))))
    if before.shape != after.shape or not size > 0:
        return None
    changed = (after.astype(np.float64) - before)[1::2]
    each = np.sqrt(np.square(changed.reshape(len(changed), -1)).mean(-1)) / size
    return float(np.sort(each)[(len(each) - 1) // 2])


def noise_of(one: Array, other: Array) -> float | None:
    """Variance of the output of one example between two draws, over the variance between examples.

    Args:
        one, other: outputs of the same examples, (examples, ...), with other random numbers; at least two examples.
    """
    one, other = one.astype(np.float64), other.astype(np.float64)
    within = float(np.square(one - other).mean()) / 2
    mean = (one + other) / 2
    between = float(np.square(mean - mean.mean(0)).sum(0).mean()) / (len(mean) - 1) - within / 2
    if not within > 0:
        return None
    return within / between if between > 0 else float("inf")
