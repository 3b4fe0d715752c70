"""Activations of the form x · gate(x), smooth ones and their piecewise versions."""

from __future__ import annotations

import math

import numpy as np

from gainstage.theory.activations.elementary import normal_cdf, normal_pdf, sigmoid, sigmoid_slope, softplus
from gainstage.theory.activations.record import Activation, Array
from gainstage.theory.activations.registry import register


@register("gelu")
def _gelu() -> Activation:
    """X · Φ(x), Φ the normal distribution function (Hendrycks and Gimpel 2016)."""
    return Activation(
        function=lambda x: x * normal_cdf(x),
        derivative=lambda x: normal_cdf(x) + x * normal_pdf(x),
        bounds=(-0.16997120747990363, math.inf),
    )


@register("gelu_tanh", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate")
def _gelu_tanh() -> Activation:
    """The approximation x/2 · (1 + tanh(√(2/π)(x + 0.044715 x³))) of gelu (Hendrycks and Gimpel 2016)."""
    scale, cubic = math.sqrt(2 / math.pi), 0.044715

    def derivative(x: Array) -> Array:
        t = np.tanh(scale * (x + cubic * x**3))
        return np.asarray(0.5 * (1 + t) + 0.5 * x * (1 - t * t) * scale * (1 + 3 * cubic * x * x))

    return Activation(
        function=lambda x: 0.5 * x * (1 + np.tanh(scale * (x + cubic * x**3))),
        derivative=derivative,
        bounds=(-0.1700407505712541, math.inf),
    )


@register("quick_gelu", "gelu_quick")
def _quick_gelu() -> Activation:
    """The approximation x · sigmoid(1.702 x) of gelu (Hendrycks and Gimpel 2016)."""
    return _sigmoid_gate(1.702)


@register("silu", "swish")
def _silu() -> Activation:
    """X · sigmoid(x) (Elfwing 2017; Ramachandran 2017)."""
    return _sigmoid_gate(1.0)


def _sigmoid_gate(beta: float) -> Activation:
    return Activation(
        function=lambda x: x * sigmoid(beta * x),
        derivative=lambda x: sigmoid(beta * x) + beta * x * sigmoid_slope(beta * x),
        bounds=(-0.2784645427610738 / beta, math.inf),
    )


@register("mish")
def _mish() -> Activation:
    """X · tanh(log(1 + eˣ)) (Misra 2019)."""

    def derivative(x: Array) -> Array:
        t = np.tanh(softplus(x))
        return np.asarray(t + x * (1 - t * t) * sigmoid(x))

    return Activation(lambda x: x * np.tanh(softplus(x)), derivative, bounds=(-0.30884341301725043, math.inf))


@register("hardswish", "hard_silu")
def _hardswish() -> Activation:
    """X · clip(x + 3, 0, 6) / 6 (Howard 2019)."""
    return Activation(
        function=lambda x: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
        derivative=lambda x: np.where(x >= 3, 1.0, np.where(x <= -3, 0.0, x / 3 + 0.5)),
        kinks=(-3.0, 3.0),
        bounds=(-0.375, math.inf),
    )
