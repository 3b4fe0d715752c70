"""Roughness of targets and outputs: their variation between neighbouring examples in a space of few dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.records import CoordinateFacts

__all__ = ["MOST", "coordinate_facts"]

Array = NDArray[np.floating[Any]]

MOST = 1024  # examples: all distances between them are taken
FEWEST = 32
_TWICE = (1.8, 2.4)  # of the distance to the nearest neighbour


def coordinate_facts(x: Array, target: Array, output: Array) -> CoordinateFacts | None:
    """Root mean square differences between nearest neighbours, over those between any two examples.

    Args:
        x: inputs, (examples, dimensions).
        target: values, (examples, ...).
        output: what the model returns at the start, (examples, ...).

    Returns:
        the facts; None for more than three dimensions, fewer than 32 examples, or values that do not vary.

    >>> x = np.linspace(0, 1, 64)[:, None]
    >>> facts = coordinate_facts(x, np.sin(30 * x), x)
    >>> round(facts.target, 2), round(facts.output, 2), facts.target_is_smooth
    (0.34, 0.04, True)
    """
    if x.ndim != 2 or not 1 <= x.shape[1] <= 3 or len(x) < FEWEST or not len(x) == len(target) == len(output):
        return None
    x, target, output = (a[:MOST].reshape(min(len(a), MOST), -1).astype(np.float64) for a in (x, target, output))
    apart = np.sqrt(np.square(x[:, None] - x[None]).sum(-1))
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(1)
    own = apart[np.arange(len(x)), nearest]
    typical = np.sqrt(2 * x.var(0).sum())
    if not (own > 0).all() or not typical > 0:
        return None
    farther = (apart >= _TWICE[0] * own[:, None]) & (apart <= _TWICE[1] * own[:, None])
    near, far = (_mean_square(target, pairs) for pairs in (_pairs(nearest), farther.nonzero()))
    steps = [np.sqrt(_mean_square(a, _pairs(nearest)) / (2 * v)) if (v := a.var(0).sum()) > 0 else 0.0
             for a in (target, output)]  # fmt: skip
    if not steps[0] > 0 or not steps[1] > 0:
        return None
    smooth = bool(far > SMOOTH * near)
    return CoordinateFacts(x.shape[1], float(np.median(own) / typical), float(steps[0]), float(steps[1]), smooth)


SMOOTH = 1.5  # of a smooth function the mean squared difference grows fourfold with twice the distance, of noise not


def _pairs(nearest: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.arange(len(nearest)), nearest


def _mean_square(values: Array, pairs: tuple[NDArray[np.intp], ...]) -> float:
    """Mean over pairs of the squared difference, summed over the units."""
    one, other = pairs
    return float(np.square(values[one] - values[other]).sum(-1).mean()) if len(one) else 0.0
