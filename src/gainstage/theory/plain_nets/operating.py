"""Operating points: the second moment at which to run an activation in a net of a given depth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Elementwise, activation
from gainstage.theory.gaussian.moments import GaussianMoments
from gainstage.theory.plain_nets.gains import MARGIN, carrying
from gainstage.theory.plain_nets.roots import bracket, root

__all__ = ["OperatingPoint", "gate_point", "operating_point"]

_LOWEST = 1e-8


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The level to run an activation at, and what keeps it there.

    Args:
        level: second moment of the pre-activations.
        gain: the factor on 1/√fan_in of the next layer's weights that gives its pre-activations the same level.
        centred: whether the next layer's bias takes off the activation's mean: -mean · Σ w for every unit. ``gain`` and
            ``chi`` are then those of the centred function.
        mean: E f at that level: what a centring bias takes off.
        chi: growth of the gradient's second moment per layer.
        slope: the factor on an error of the level per layer; above 1 the net leaves the level.
        reason: in words.
    """

    level: float
    gain: float
    centred: bool
    mean: float
    chi: float
    slope: float
    reason: str

    @property
    def stable(self) -> bool:
        """Whether a net left to itself stays at that level."""
        return self.slope <= 1 + MARGIN


def operating_point(kind: str | Activation | Elementwise, depth: int, *, growth: float = math.log(2)) -> OperatingPoint:
    """Choose level, gain and centring for a plain run of layers with one activation.

    - A positively homogeneous function (relu, leaky relu, linear) keeps any level with a gradient factor of 1: level 1.
    - A function whose mean is so large that keeping E f² makes gradients and differences between examples shrink
      (chi < 1, only for its mean: sigmoid, softplus) is centred.
    - Otherwise the level is the largest one, at most 1, at which over the whole depth neither the gradient's second
      moment nor an error in the level grows by more than ``exp(growth)``; 1 where no level does that, and the growth is
      reported.
    - It is errors in the level that decide for a function that does not keep its level by itself (gelu, silu, mish): it
      leaves a low level more slowly than a high one. Calibration mends the mean over a batch; where the errors of
      single examples grow, a few examples come to hold the whole signal.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        depth: layers in the run, at least 1.
        growth: log of the growth that is allowed over the run.

    Raises:
        UnknownNameError: no such activation.
        InputError: a depth or growth out of range, or a function that carries nothing at level 1.

    >>> from gainstage.theory import operating_point
    >>> point = operating_point("tanh", 50)
    >>> round(point.level, 3), round(point.gain, 3), point.centred
    (0.138, 1.12, False)
    >>> point.reason
    'tanh, 50 layers: level 0.138, so that gradients grow by no more than 2'
    """
    act = activation(kind)
    run = f"{act.label}, {_layers(act, depth, growth)}"
    unit = carrying(act, 1.0)
    if act.homogeneous:
        return _point(unit, False, f"{run}: level 1, since any level is kept and gradients with it")
    # Poincaré's inequality puts the centred chi at 1 or above; where f jumps it may not be, and centring mends nothing.
    centred = unit.chi < 1 - MARGIN and unit.chi_centred >= 1 - MARGIN
    if centred:
        run += f": centred, since its mean {unit.mean:.3g} would drown the differences between examples"

    def excess(level: float) -> float:
        try:
            return depth * math.log(_growth(carrying(act, level), centred)) - growth
        except InputError:  # a function with a dead zone is zero for small inputs
            return math.inf

    if excess(1.0) <= 0:
        return _point(unit, centred, f"{run}: level 1, {_promise(unit, centred, excess(1.0) + growth)}")
    found = bracket(excess, 1.0, 0.5, _LOWEST)
    if found is None:
        return _point(unit, centred, f"{run}: level 1, as no lower one is better, {_report(unit, centred)}")
    chosen = carrying(act, root(excess, *found, tolerance=1e-10))
    return _point(chosen, centred, f"{run}: level {chosen.level:.3g}, so that {_promise(chosen, centred, growth)}")


def gate_point(kind: str | Activation | Elementwise, depth: int, *, growth: float = math.log(2)) -> OperatingPoint:
    """Choose the level of a gate's pre-activation b in a plain run of units a · f(b).

    Both factors send a gradient back, so that its second moment grows by 1 + q E f'² / E f² a layer, q the level of b.
    The level is the largest one, at most 1, at which that stays below ``exp(growth)`` over the whole depth: a sigmoid
    that hardly moves at the start is a scaling by a half. Where no level does that (silu, relu, tanh: a gate that is
    zero at zero moves by its own size at any level) it is 1, and the growth is reported.

    Args:
        kind, depth, growth: as in ``operating_point``.

    Returns:
        ``gain`` is that of the next layer's weights, which read a · f(b) with a of level 1.

    Raises:
        UnknownNameError, InputError: as there.

    >>> point = gate_point("sigmoid", 16)
    >>> round(point.level, 3), round(point.gain, 3)
    (0.203, 1.955)
    """
    act = activation(kind)
    run = f"a gate of {act.label}, {_layers(act, depth, growth)}"

    def excess(level: float) -> float:
        return depth * math.log1p(carrying(act, level).chi) - growth

    chosen = carrying(act, 1.0)
    closed = not np.any(act.function(np.zeros(1)))
    found = bracket(excess, 1.0, 0.5, _LOWEST) if excess(1.0) > 0 and not closed else None
    if excess(1.0) <= 0:
        told = f"level 1, gradients grow by no more than {math.exp(excess(1.0) + growth):.3g}"
    elif found is None:
        told = f"level 1, where a layer multiplies gradients by {1 + chosen.chi:.4g}: wants a skip or a normalisation"
    else:
        chosen = carrying(act, root(excess, *found, tolerance=1e-10))
        told = f"level {chosen.level:.3g}, so that gradients grow by no more than {math.exp(growth):.3g}"
    gain = 1 / math.sqrt(chosen.second_moment)
    return OperatingPoint(chosen.level, gain, False, chosen.mean, 1 + chosen.chi, 1 + chosen.slope, f"{run}: {told}")


def _layers(act: Activation, depth: int, growth: float) -> str:
    """The length of a run in words.

    Raises:
        InputError: a depth or growth out of range.
    """
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise InputError(f"A depth is a whole number of layers, at least 1; received {depth!r} for '{act.label}'.")
    if not (growth > 0 and math.isfinite(growth)):
        raise InputError(f"The growth allowed is the log of a factor, finite and above 0; received {growth!r}.")
    return f"{depth} {'layer' if depth == 1 else 'layers'}"


def _chi(moments: GaussianMoments, centred: bool) -> float:
    return moments.chi_centred if centred else moments.chi


def _slope(moments: GaussianMoments, centred: bool) -> float:
    return moments.slope_centred if centred else moments.slope


def _report(moments: GaussianMoments, centred: bool) -> str:
    """Describe the growth at this level in a net without calibration or normalization."""
    factors = f"an error in it by {_slope(moments, centred):.4g} and gradients by {_chi(moments, centred):.4g}"
    return f"where a layer multiplies {factors}: wants calibration or a normalisation"


def _growth(moments: GaussianMoments, centred: bool) -> float:
    """Return the larger of the factors on the gradient and on an error of the level."""
    return max(_chi(moments, centred), _slope(moments, centred))


def _promise(moments: GaussianMoments, centred: bool, growth: float) -> str:
    """Describe what stays bounded over the whole depth."""
    what = "gradients, and errors in the level," if _slope(moments, centred) > 1 + MARGIN else "gradients"
    return f"{what} grow by no more than {math.exp(growth):.3g}"


def _point(moments: GaussianMoments, centred: bool, reason: str) -> OperatingPoint:
    power = moments.variance if centred else moments.second_moment
    return OperatingPoint(
        level=moments.level,
        gain=math.sqrt(moments.level / power),
        centred=centred,
        mean=moments.mean,
        chi=_chi(moments, centred),
        slope=_slope(moments, centred),
        reason=reason,
    )
