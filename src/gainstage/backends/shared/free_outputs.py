"""Free coordinates of an output: what stands in front of a last sigmoid, tanh or softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["COORDINATES", "Coordinates"]

Array = npt.NDArray[np.floating[Any]]

_CLEAR = 1e-12  # probabilities are kept so far from 0 and 1 that their logarithm is finite


@dataclass(frozen=True, slots=True)
class Coordinates:
    """A change of variables between outputs o and unconstrained values u.

    Args:
        free: from outputs to free values; the last axis holds the classes.
        outputs: from free values to outputs.
        pull_back: from free values, outputs and the gradient by the outputs to the gradient by the free values.
        low, high: the open interval in which outputs lie.
        normalised: whether the outputs of one example sum to one, so that a target must as well.
    """

    free: Callable[[Array], Array]
    outputs: Callable[[Array], Array]
    pull_back: Callable[[Array, Array, Array], Array]
    low: float = -np.inf
    high: float = np.inf
    normalised: bool = False


def _probabilities(o: Array) -> Array:
    return np.clip(o, _CLEAR, 1 - _CLEAR)


def _softmax(u: Array) -> Array:
    e: Array = np.exp(u - u.max(-1, keepdims=True))
    total: Array = e.sum(-1, keepdims=True)
    return e / total


def _log_softmax(u: Array) -> Array:
    shifted: Array = u - u.max(-1, keepdims=True)
    total: Array = np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted - total


def _logit(o: Array) -> Array:
    p = _probabilities(o)
    return np.log(p) - np.log1p(-p)


def _sigmoid(u: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(u, -500, 500)))


COORDINATES: Mapping[str, Coordinates] = MappingProxyType(
    {
        "": Coordinates(lambda o: o, lambda u: u, lambda _u, _o, g: g),
        "sigmoid": Coordinates(_logit, _sigmoid, lambda _u, o, g: g * o * (1 - o), 0.0, 1.0),
        "tanh": Coordinates(
            lambda o: np.arctanh(np.clip(o, -1 + _CLEAR, 1 - _CLEAR)),
            np.tanh,
            lambda _u, o, g: g * (1 - o * o),
            -1.0,
            1.0,
        ),
        "softmax": Coordinates(
            lambda o: np.log(_probabilities(o)),
            _softmax,
            lambda _u, o, g: o * (g - (o * g).sum(-1, keepdims=True)),
            0.0,
            1.0,
            normalised=True,
        ),
        "log_softmax": Coordinates(
            lambda o: o, _log_softmax, lambda _u, o, g: g - np.exp(o) * g.sum(-1, keepdims=True), -np.inf, 0.0
        ),
    }
)
"""By the last function of the model; outputs behind another function are constrained in ways not known here."""
