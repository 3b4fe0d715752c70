"""A user's own function as an activation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations.foreign import callable_name, on_arrays
from gainstage.theory.activations.kinks import find_kinks
from gainstage.theory.activations.record import Activation, Array, Elementwise

__all__ = ["from_callable"]

# Central differences of fourth order: truncation h⁴ and rounding eps/h are equal near h = eps^(1/5).
_STEP = float(np.finfo(np.float64).eps) ** 0.2
_FAR = (1e2, 1e3, 1e4)


def from_callable(
    function: Elementwise, *, derivative: Elementwise | None = None, kinks: Sequence[float] | None = None
) -> Activation:
    """Make an activation of a function, after checking that it is one.

    Args:
        function: float64 array to float64 array, elementwise and deterministic; or a function or layer of a framework.
        derivative: f'; by default central differences of fourth order, one-sided next to a kink.
        kinks: where f is not smooth; by default they are searched for within ±40.

    Raises:
        InputError: it fails on an array, is not elementwise, not deterministic, not finite, or not float64.
    """
    name = callable_name(function)
    function, _ = on_arrays(function)
    quiet = _quiet(function)
    _check(function, f"The activation '{name}'")
    if kinks is None:
        found = find_kinks(quiet)
    else:
        found = tuple(sorted(float(kink) for kink in kinks))
        if not all(map(math.isfinite, found)):
            raise InputError(f"Kinks of the activation '{name}' are finite numbers; received {tuple(kinks)}.")
    slope = _differences(quiet, found)
    if derivative is not None:
        derivative, _ = on_arrays(derivative)
        _check(derivative, f"The derivative of the activation '{name}'")
        _compare(_quiet(derivative), slope, found, name)
        slope = _quiet(derivative)
    return Activation(quiet, slope, found, _bounds(quiet), _homogeneous(quiet), name, label=name)


def _quiet(function: Elementwise) -> Elementwise:
    def quiet(x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x))

    return quiet


def _check(function: Elementwise, who: str) -> None:
    x = np.linspace(-14.0, 14.0, 57)
    try:
        y = _quiet(function)(x.copy())
    except Exception as error:
        advice = "It takes a float64 NumPy array; a function of one number can be wrapped with numpy.vectorize."
        raise InputError(
            f"{who} raised {type(error).__name__} on an array of shape (57,): {error}. {advice}"
        ) from error
    if y.shape != x.shape:
        raise InputError(f"{who} is not elementwise: an array of shape (57,) became {y.shape}.")
    if y.dtype != np.float64:
        advice = "Moments need double precision: compute in float64."
        raise InputError(f"{who} returns {y.dtype} for float64 input. {advice}")
    if np.isnan(y).any():
        raise InputError(
            f"{who} returns NaN, first at x = {x[np.isnan(y)][0]:g}. It has to be defined on the whole line."
        )
    if np.isinf(y).any():
        raise InputError(f"{who} is infinite at x = {x[np.isinf(y)][0]:g}, so its moments are infinite too.")
    # Fewer elements, another order, another shape: all must leave every value as it was.
    scale = 1e-12 * max(1.0, float(np.abs(y).max()))
    if np.abs(_quiet(function)(x.copy()) - y).max() > scale:
        raise InputError(f"{who} is not deterministic: the same input gave two different outputs.")
    try:
        others = (
            (_quiet(function)(x[:19].copy()), y[:19]),
            (_quiet(function)(x[::-1].copy()), y[::-1]),
            (_quiet(function)(x.reshape(19, 3)), y.reshape(19, 3)),
        )
    except Exception as error:
        raise InputError(f"{who} is not elementwise: it raised {type(error).__name__} on another shape.") from error
    if any(one.shape != two.shape or np.abs(one - two).max() > scale for one, two in others):
        raise InputError(f"{who} is not elementwise: an element's value depends on the other elements.")


def _differences(function: Elementwise, kinks: tuple[float, ...]) -> Elementwise:
    places = np.asarray(kinks)

    def derivative(x: Array) -> Array:
        h = _STEP * np.maximum(1.0, np.abs(x))
        central = (8 * (function(x + h) - function(x - h)) - (function(x + 2 * h) - function(x - 2 * h))) / (12 * h)
        if not places.size:
            return np.asarray(central)
        gap = x[..., None] - places
        nearest = np.take_along_axis(gap, np.abs(gap).argmin(-1)[..., None], -1)[..., 0]
        away = np.where(nearest >= 0, h, -h)
        weights = ((0, -25 / 12), (1, 4.0), (2, -3.0), (3, 4 / 3), (4, -1 / 4))
        one_sided = sum(w * function(x + k * away) for k, w in weights) / away
        return np.asarray(np.where(np.abs(nearest) <= 2 * h, one_sided, central))

    return derivative


def _compare(given: Elementwise, measured: Elementwise, kinks: tuple[float, ...], name: str) -> None:
    x = np.linspace(-5.0, 5.0, 401) + 0.00123
    clear = np.abs(x[:, None] - np.asarray([*kinks, math.inf])).min(-1) > 0.01
    x = x[clear]
    one, two = given(x), measured(x)
    off = np.abs(one - two) - 1e-4 * np.maximum(1.0, np.abs(two))
    worst = int(off.argmax())
    if off[worst] > 0:
        raise InputError(
            f"The derivative given for the activation '{name}' is {one[worst]:.6g} at x = {x[worst]:.4g}, "
            f"where the function's own slope is {two[worst]:.6g}. Leave it out to have it measured."
        )


def _bounds(function: Elementwise) -> tuple[float, float]:
    """Bounds as they show on ±10⁴: a side that still rises by then is taken to be unbounded."""
    near = function(np.linspace(-_FAR[0], _FAR[0], 20001))
    low, high = float(near.min()), float(near.max())
    far = function(np.outer(_FAR[1:], (-1.0, 1.0)).ravel())
    slack = 0.02 * max(high - low, 1e-300)
    # A NaN out there compares as false and leaves both sides unbounded.
    return low if far.min() >= low - slack else -math.inf, high if far.max() <= high + slack else math.inf


def _homogeneous(function: Elementwise) -> bool:
    x = np.linspace(-6.0, 6.0, 121)
    y = function(x)
    return all(np.allclose(function(a * x), a * y, rtol=1e-9, atol=1e-12) for a in (0.01, 0.3, 2.0, 70.0))
