"""Piecewise linear and piecewise exponential activations that let the positive side through."""

from __future__ import annotations

import math

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations.elementary import positive
from gainstage.theory.activations.record import Activation, Elementwise
from gainstage.theory.activations.registry import register

_SELU_ALPHA = 1.6732632423543772
_SELU_SCALE = 1.0507009873554805


def _step(threshold: float) -> Elementwise:
    return lambda x: np.where(x > threshold, 1.0, 0.0)


def _leak(slope: float) -> Activation:
    return Activation(
        function=lambda x: np.where(x > 0, x, slope * x),
        derivative=lambda x: np.where(x > 0, 1.0, slope),
        kinks=(0.0,),
        bounds=(0.0 if slope <= 0 else -math.inf, math.inf),
        homogeneous=True,
    )


@register("linear", "identity")
def _linear() -> Activation:
    """Leave x as it is."""
    return Activation(lambda x: x, np.ones_like, homogeneous=True)


@register("relu")
def _relu() -> Activation:
    """max(x, 0) (Nair and Hinton 2010)."""
    return Activation(lambda x: np.maximum(x, 0.0), _step(0.0), (0.0,), (0.0, math.inf), homogeneous=True)


@register("leaky_relu")
def _leaky_relu(negative_slope: float = 0.01) -> Activation:
    """X where positive, negative_slope · x elsewhere (Maas 2013)."""
    return _leak(negative_slope)


@register("prelu")
def _prelu(slope: float = 0.25) -> Activation:
    """Leaky relu whose slope is learned, at the value it starts from (He 2015)."""
    return _leak(slope)


@register("rrelu")
def _rrelu(lower: float = 1 / 8, upper: float = 1 / 3) -> Activation:
    """Leaky relu with a random slope in training, at its mean slope as in evaluation (Xu 2015)."""
    if lower > upper:
        raise InputError(f"rrelu needs lower <= upper; received lower = {lower:g}, upper = {upper:g}.")
    return _leak((lower + upper) / 2)


@register("relu6")
def _relu6() -> Activation:
    """min(max(x, 0), 6) (Howard 2017)."""
    return _clip(0.0, 6.0)


@register("hardtanh")
def _hardtanh(min_val: float = -1.0, max_val: float = 1.0) -> Activation:
    """X clipped to [min_val, max_val] (Collobert 2004)."""
    if min_val >= max_val:
        raise InputError(f"hardtanh needs min_val < max_val; received {min_val:g} and {max_val:g}.")
    return _clip(min_val, max_val)


def _clip(low: float, high: float) -> Activation:
    return Activation(
        function=lambda x: np.clip(x, low, high),
        derivative=lambda x: np.where((x > low) & (x < high), 1.0, 0.0),
        kinks=(low, high),
        bounds=(low, high),
    )


@register("threshold")
def _threshold(threshold: float = 1.0, value: float = 0.0) -> Activation:
    """X above the threshold, value elsewhere (the frameworks have no defaults; Konda 2015 takes 1 and 0)."""
    return Activation(
        function=lambda x: np.where(x > threshold, x, value),
        derivative=_step(threshold),
        kinks=(threshold,),
        bounds=(min(threshold, value), math.inf),
        homogeneous=threshold == 0 and value == 0,
    )


@register("relu_squared", "relu2", "squared_relu")
def _relu_squared() -> Activation:
    """max(x, 0)² (So 2021)."""
    return Activation(
        lambda x: np.maximum(x, 0.0) ** 2, lambda x: 2 * np.maximum(x, 0.0), (0.0,), bounds=(0.0, math.inf)
    )


@register("elu")
def _elu(alpha: float = 1.0) -> Activation:
    """X where positive, alpha · (eˣ - 1) elsewhere (Clevert 2016)."""
    positive("elu", "alpha", alpha)
    return _exponential(1.0, alpha, 1.0)


@register("celu")
def _celu(alpha: float = 1.0) -> Activation:
    """X where positive, alpha · (e^(x/alpha) - 1) elsewhere (Barron 2017)."""
    positive("celu", "alpha", alpha)
    return _exponential(1.0, alpha, alpha)


@register("selu")
def _selu() -> Activation:
    """Elu scaled so that level 1 and mean 0 are a fixed point (Klambauer 2017, eq. 2)."""
    return _exponential(_SELU_SCALE, _SELU_ALPHA, 1.0)


def _exponential(scale: float, alpha: float, width: float) -> Activation:
    return Activation(
        function=lambda x: scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / width)),
        derivative=lambda x: scale * np.where(x > 0, 1.0, alpha / width * np.exp(np.minimum(x, 0.0) / width)),
        kinks=(0.0,),
        bounds=(-scale * alpha, math.inf),
    )
