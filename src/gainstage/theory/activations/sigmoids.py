"""Bounded activations, and the one-sided integrals of them (softplus and its kin)."""

from __future__ import annotations

import math

import numpy as np

from gainstage.theory.activations.elementary import positive, sigmoid, sigmoid_slope, softplus
from gainstage.theory.activations.record import Activation, Array
from gainstage.theory.activations.registry import register


@register("sigmoid", "logistic")
def _sigmoid() -> Activation:
    """1 / (1 + e⁻ˣ)."""
    return Activation(sigmoid, sigmoid_slope, bounds=(0.0, 1.0))


@register("tanh")
def _tanh() -> Activation:
    """(eˣ - e⁻ˣ) / (eˣ + e⁻ˣ)."""
    return _scaled_tanh(1.0, 1.0)


@register("lecun_tanh")
def _lecun_tanh() -> Activation:
    """1.7159 tanh(2x/3) (LeCun 1998, section 4.4)."""
    return _scaled_tanh(1.7159, 2 / 3)


def _scaled_tanh(height: float, slope: float) -> Activation:
    # 4 s(2x) s(-2x) is sech² without the cancellation of 1 - tanh².
    return Activation(
        function=lambda x: height * np.tanh(slope * x),
        derivative=lambda x: 4 * height * slope * sigmoid_slope(2 * slope * x),
        bounds=(-height, height),
    )


@register("erf")
def _erf() -> Activation:
    """The error function."""

    def function(x: Array) -> Array:
        from scipy.special import erf

        return np.asarray(erf(x), dtype=np.float64)

    return Activation(function, lambda x: 2 / math.sqrt(math.pi) * np.exp(-x * x), bounds=(-1.0, 1.0))


@register("softsign")
def _softsign() -> Activation:
    """X / (1 + |x|) (Bergstra 2009)."""
    return Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, (0.0,), bounds=(-1.0, 1.0))


@register("sin", "sine")
def _sin() -> Activation:
    """sin(x) (Sitzmann 2020)."""
    return Activation(np.sin, np.cos, bounds=(-1.0, 1.0))


@register("hardsigmoid")
def _hardsigmoid() -> Activation:
    """clip(x/6 + 1/2, 0, 1): the same in PyTorch and Keras 3 (Keras 2 had slope 0.2)."""
    return _ramp(1 / 6)


@register("sparse_sigmoid")
def _sparse_sigmoid() -> Activation:
    """clip((x + 1)/2, 0, 1)."""
    return _ramp(1 / 2)


def _ramp(slope: float) -> Activation:
    edge = 0.5 / slope
    return Activation(
        function=lambda x: np.clip(slope * x + 0.5, 0.0, 1.0),
        derivative=lambda x: np.where(np.abs(x) < edge, slope, 0.0),
        kinks=(-edge, edge),
        bounds=(0.0, 1.0),
    )


@register("softplus")
def _softplus(beta: float = 1.0) -> Activation:
    """log(1 + e^(beta x)) / beta (Dugas 2001)."""
    positive("softplus", "beta", beta)
    return Activation(lambda x: softplus(beta * x) / beta, lambda x: sigmoid(beta * x), bounds=(0.0, math.inf))


@register("logsigmoid")
def _logsigmoid() -> Activation:
    """log(1 / (1 + e⁻ˣ)), softplus seen in a mirror."""
    return Activation(lambda x: -softplus(-x), lambda x: sigmoid(-x), bounds=(-math.inf, 0.0))


@register("squareplus")
def _squareplus(b: float = 4.0) -> Activation:
    """(x + √(x² + b)) / 2 (Barron 2021)."""
    positive("squareplus", "b", b)

    def function(x: Array) -> Array:
        root = np.sqrt(x * x + b)
        # The second form has no cancellation where x is far below zero.
        return np.where(x > 0, (x + root) / 2, b / 2 / (root + np.abs(x)))

    return Activation(function, lambda x: 0.5 * (1 + x / np.sqrt(x * x + b)), bounds=(0.0, math.inf))


@register("sparse_plus")
def _sparse_plus() -> Activation:
    """0 below -1, x above 1, (x + 1)²/4 between."""
    return Activation(
        function=lambda x: np.where(np.abs(x) < 1, (x + 1) ** 2 / 4, np.maximum(x, 0.0)),
        derivative=lambda x: np.clip((x + 1) / 2, 0.0, 1.0),
        kinks=(-1.0, 1.0),
        bounds=(0.0, math.inf),
    )


@register("exponential", "exp")
def _exponential() -> Activation:
    """Eˣ; infinite, without a warning, where float64 ends."""

    def function(x: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(x)

    return Activation(function, function, bounds=(0.0, math.inf))
