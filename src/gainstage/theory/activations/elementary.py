"""The few functions that most activations are made of, written so that no finite input overflows or cancels."""

from __future__ import annotations

import math

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations.record import Array

__all__ = ["normal_cdf", "normal_pdf", "positive", "sigmoid", "sigmoid_slope", "softplus", "step"]


def softplus(x: Array) -> Array:
    """log(1 + eˣ)."""
    return np.logaddexp(0.0, x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e⁻ˣ), with full relative precision in both tails."""
    return np.exp(-softplus(-x))


def sigmoid_slope(x: Array) -> Array:
    """The derivative of the sigmoid."""
    return np.exp(-softplus(-x) - softplus(x))


def normal_pdf(x: Array) -> Array:
    """The density of N(0, 1)."""
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def normal_cdf(x: Array) -> Array:
    """The distribution function of N(0, 1)."""
    # Here, so that a gain that is known beforehand does not wait for SciPy.
    from scipy.special import ndtr

    return np.asarray(ndtr(x), dtype=np.float64)


def step(condition: Array) -> Array:
    """One where true, zero where false."""
    return np.asarray(condition, dtype=np.float64)


def positive(activation: str, setting: str, value: float) -> None:
    """Refuse a setting that is not above zero."""
    if value <= 0:
        raise InputError(f"The setting '{setting}' of activation '{activation}' is above 0; received {value:g}.")
