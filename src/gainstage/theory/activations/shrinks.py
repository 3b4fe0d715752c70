"""Activations that remove what is near zero."""

from __future__ import annotations

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations.record import Activation, Array
from gainstage.theory.activations.registry import register

# x - tanh(x) loses its digits near zero; there, its Taylor series in x².
_SERIES = np.polynomial.Polynomial([1 / 3, -2 / 15, 17 / 315, -62 / 2835, 1382 / 155925])


@register("tanhshrink")
def _tanhshrink() -> Activation:
    """X - tanh(x)."""

    def function(x: Array) -> Array:
        near = np.clip(x, -0.1, 0.1)
        return np.where(np.abs(x) < 0.1, near**3 * _SERIES(near * near), x - np.tanh(x))

    return Activation(function, lambda x: np.tanh(x) ** 2)


@register("softshrink")
def _softshrink(lambd: float = 0.5) -> Activation:
    """X moved towards zero by lambd, and zero within it (Donoho 1995)."""
    _not_negative("softshrink", lambd)
    return Activation(
        function=lambda x: np.sign(x) * np.maximum(np.abs(x) - lambd, 0.0),
        derivative=lambda x: np.where(np.abs(x) > lambd, 1.0, 0.0),
        kinks=(-lambd, lambd),
    )


@register("hardshrink")
def _hardshrink(lambd: float = 0.5) -> Activation:
    """X where |x| > lambd, zero elsewhere."""
    _not_negative("hardshrink", lambd)
    return Activation(
        function=lambda x: np.where(np.abs(x) > lambd, x, 0.0),
        derivative=lambda x: np.where(np.abs(x) > lambd, 1.0, 0.0),
        kinks=(-lambd, lambd),
    )


def _not_negative(activation: str, lambd: float) -> None:
    if lambd < 0:
        raise InputError(f"The setting 'lambd' of activation '{activation}' is at least 0; received {lambd:g}.")
