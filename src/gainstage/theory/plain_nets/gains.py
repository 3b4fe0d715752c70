"""Gains: the factor on 1/√fan_in by which an activation's next layer keeps the second moment."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gainstage.errors import InputError, UnknownNameError, UnstableGainWarning, require_number
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.moments import GaussianMoments, gaussian_moments
from gainstage.theory.plain_nets.gates import gated_unit

__all__ = [
    "MARGIN", "Convention", "Stability", "batch_norm_growth", "carrying", "gain", "gated_chi",
    "layer_norm_growth", "level_gain", "stability",
]  # fmt: skip

Convention = Literal["second_moment", "centred", "backward", "pytorch"]
"""What a gain keeps: the second moment, the variance (the mean taken off), the gradient's second moment, or, for
``pytorch``, whatever ``torch.nn.init.calculate_gain`` returns."""

MARGIN = 1e-9
"""Differences below this are rounding: quadrature is good to about 1e-12."""


@dataclass(frozen=True, slots=True)
class Stability:
    """Evolution of a small error in the level.

    Args:
        level: the level that the gain keeps.
        slope: factor on an error of the level per layer.
    """

    level: float
    slope: float

    @property
    def stable(self) -> bool:
        """Report whether an error in the level does not grow; where it grows, a deep plain network leaves its level."""
        return self.slope <= 1 + MARGIN

    @property
    def depth(self) -> float:
        """The number of layers in which an error changes e-fold; infinite where it stays."""
        if abs(self.slope - 1) <= MARGIN:
            return math.inf
        return 1 / abs(math.log(self.slope)) if self.slope > 0 else 0.0


def gain(
    kind: str | Activation | Elementwise, convention: Convention = "second_moment", q: float = 1.0, **settings: float
) -> float:
    """The factor on 1/√fan_in for the layer that reads the activation's output.

    With weights of spread gain/√fan_in, pre-activations of level q give pre-activations of level q again
    (``second_moment``: √(q / E f²); ``centred``: √(q / Var f), for a bias or a normalisation that takes the mean off),
    or gradients keep their second moment on the way back (``backward``: 1 / √E f'²).

    Where the level is kept on a knife's edge (gelu, silu, mish, hardswish, relu²: see ``stability``) the gain comes
    with an ``UnstableGainWarning``.

    Args:
        kind: a name; a gated unit's name (``glu``, ``swiglu``, ``geglu``, ``reglu``, ``bilinear``: the gain then
            follows a · f(b), both of level q and independent); a function of a float64 array; a function or layer of
            PyTorch, Keras, TensorFlow or JAX; or an ``Activation``, with kinks of its own.
        convention: what is kept.
        q: the level of the pre-activations, a second moment; ``pytorch`` knows level 1 only.
        **settings: the numbers that an activation given by name takes, e.g. ``negative_slope=0.2``.

    Returns:
        The gain, a factor on a spread (not on a variance).

    Raises:
        UnknownNameError: no such activation, setting or convention.
        InputError: the function carries nothing at that level, or PyTorch has no gain for it.

    Sources: He et al. 2015, eq. 10 (``second_moment``) and eq. 14 (``backward``); Brock, De and Smith 2021, section 4
    (``centred``, for standardised weights).

    >>> from gainstage.theory import gain
    >>> round(gain("tanh"), 6), round(gain("relu", "centred"), 6), round(gain("tanh", "pytorch"), 6)
    (1.592537, 1.712859, 1.666667)
    >>> round(gain("leaky_relu", negative_slope=0.2), 6)  # √(2 / (1 + 0.2²))
    1.38675
    >>> import warnings
    >>> with warnings.catch_warnings(record=True, action="always") as caught:
    ...     round(gain("gelu"), 6)
    1.53353
    >>> str(caught[0].message)[:43]
    "'gelu' keeps level 1 with the gain 1.53353,"
    """
    if not isinstance(convention, str):
        raise InputError(
            f"The second argument is the convention; received {convention!r:.40}. Give a setting by its name: "
            "gain('leaky_relu', negative_slope=0.2)."
        )
    q = require_number(q, "The level q")
    if isinstance(kind, str) and "," in kind:  # as on the command line: leaky_relu,negative_slope=0.2
        kind, settings = _settled_by_name(kind, settings)
    if settings:
        kind = activation(kind, settings)
    factor = level_gain(kind, convention, q)
    if convention in ("second_moment", "centred") and gated_unit(kind) is None:
        act = activation(kind)
        moments = gaussian_moments(act, q)
        slope = moments.slope if convention == "second_moment" else moments.slope_centred
        if slope > 1 + MARGIN:
            warnings.warn(
                f"'{act.label}' keeps level {q:g} with the gain {factor:.6g}, but an error in the level grows by "
                f"{slope:.4g} a layer: a deep plain net runs away from it. Hold it by a normalisation, by skips, or by "
                f"calibrating on a batch.",
                UnstableGainWarning,
                stacklevel=2,
            )
    return factor


def _settled_by_name(text: str, settings: dict[str, float]) -> tuple[str, dict[str, float]]:
    name, *options = text.split(",")
    found = dict(settings)
    for option in options:
        key, given, value = option.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            given = ""
        if not given or not key:
            raise InputError(f"Cannot read '{option}' in '{text}'; settings are written like negative_slope=0.2.")
    return name, found


def level_gain(kind: str | Activation | Elementwise, convention: Convention = "second_moment", q: float = 1.0) -> float:
    """Return the same as ``gain``, without its warning, for callers that hold or report the level themselves.

    Args:
        kind: as for ``gain``.
        convention: what is kept.
        q: the level of the pre-activations.

    Raises:
        UnknownNameError: no such activation or convention.
        InputError: the function carries nothing at that level, or PyTorch has no gain for it.

    >>> from gainstage.theory import level_gain
    >>> round(level_gain("gelu"), 6), round(level_gain("swiglu"), 6)
    (1.53353, 1.676532)
    """
    if convention not in get_args(Convention):
        raise UnknownNameError("convention", convention, get_args(Convention), where=f"the gain of '{kind}'")
    if (gate := gated_unit(kind)) is not None:
        return _gated(gate, str(kind), convention, q)
    act = activation(kind)
    if convention == "pytorch":
        return _pytorch(act, q)
    moments = carrying(act, q)
    match convention:
        case "second_moment":
            return math.sqrt(q / moments.second_moment)
        case "centred":
            return math.sqrt(q / moments.variance)
        case "backward":
            if q * moments.derivative_second_moment <= 1e-18 * moments.second_moment:
                raise InputError(f"'{act.label}' has no backward gain: its derivative is zero at level {q:g}.")
            return 1 / math.sqrt(moments.derivative_second_moment)


def _gated(gate: Activation, name: str, convention: Convention, q: float) -> float:
    """Return the gain behind a · f(b), of mean zero; both factors send a gradient back, E f² and q E f'² of it."""
    if convention == "pytorch":
        raise InputError(f"PyTorch's calculate_gain has no '{name}'. Take 'second_moment'.")
    moments = carrying(gate, q)
    if convention == "backward":
        return 1 / math.sqrt(moments.second_moment + q * moments.derivative_second_moment)
    return 1 / math.sqrt(moments.second_moment)


def carrying(act: Activation, q: float) -> GaussianMoments:
    """Return the moments at a level above zero, of a function that is not constant there.

    Raises:
        InputError: the level is zero, or differences between inputs do not survive the function.
    """
    moments = gaussian_moments(act, q)
    if q == 0:
        raise InputError(f"A gain keeps a level above 0; received q = 0 for '{act.label}'.")
    if moments.variance <= 1e-13 * moments.second_moment:
        raise InputError(f"'{act.label}' carries no signal at level {q:g}: its output is constant.")
    return moments


def _pytorch(act: Activation, q: float) -> float:
    if q != 1:
        raise InputError(f"PyTorch's gains are for level 1; received q = {q!r} for '{act.label}'.")
    slope = dict(act.settings).get("negative_slope", 0.0)
    table = {
        "linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
        "leaky_relu": math.sqrt(2 / (1 + slope**2)),
    }  # fmt: skip
    if act.name not in table or not act.summary:  # a user's function may bear a name, but has no summary
        raise InputError(f"PyTorch's calculate_gain has no '{act.label}'; it knows {', '.join(sorted(table))}.")
    return table[act.name]


def stability(kind: str | Activation | Elementwise, q: float = 1.0) -> Stability:
    """What becomes of an error in the level when the gain √(q / E f²) keeps it: √q E[z f f'] / E f².

    Unit gain is **unstable** for gelu, silu, mish, hardswish and relu²: the error grows by 1.144, 1.173, 1.076, 1.224
    and 2 a layer, so a deep plain net leaves its level even when every layer's gain is right. Normalisation, skips or
    calibration hold it.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        q: the level that the gain keeps.

    Raises:
        InputError: the function carries nothing at that level.

    >>> from gainstage.theory import stability
    >>> round(stability("gelu").slope, 3), stability("gelu").stable
    (1.144, False)
    >>> stability("tanh").stable
    True
    """
    return Stability(float(q), carrying(activation(kind), q).slope)


def gated_chi(kind: str | Activation | Elementwise) -> float:
    """Growth of the gradient's second moment per gated layer a · f(b) that keeps level 1: 1 + E f'² / E f².

    Both factors send a gradient back, so a plain stack of gated units always explodes; a skip or norm has to hold it.

    Raises:
        InputError: the function carries nothing.

    >>> from gainstage.theory import gated_chi
    >>> round(gated_chi("silu"), 3), round(gated_chi("gelu"), 3)
    (2.067, 2.072)
    """
    return 1 + carrying(activation(kind), 1.0).chi


def batch_norm_growth(kind: str | Activation | Elementwise, batch: float = math.inf) -> float:
    """Growth of the gradient's second moment per layer of a deep batch-normalised plain net: E f'² / Var f.

    For large batches, whatever the weights: never below 1, and 1 for linear nets only (Yang et al. 2019). In a batch of
    B two examples are normalised to a correlation of -1/(B - 1), and so are their gradients; the statistics of B
    examples scatter, and the two projections of the normalisation take their share: relu grows by 1.59 at B = 16.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        batch: examples in the batch, at least 4; infinite by default.

    Raises:
        InputError: the function carries nothing, or a batch out of range.

    >>> from gainstage.theory import batch_norm_growth
    >>> round(batch_norm_growth("relu"), 6), round(batch_norm_growth("relu", batch=16), 2)       # π / (π - 1)
    (1.466942, 1.59)
    """
    act = activation(kind)
    moments = carrying(act, 1.0)
    if math.isinf(batch) and batch > 0:
        return moments.chi_centred
    if not batch >= 4:
        raise InputError(f"The batch statistics need 4 examples or more; received {batch!r} for '{act.label}'.")
    one, two, weight = _normalised_pair(batch)
    f, slope = act.function(np.stack((one, two))), act.derivative(np.stack((one, two)))
    bent = slope * np.stack((one, two))

    def apart(values: Array) -> float:
        """E g(x)² - E g(x) g(y)."""
        return float(weight @ (values[0] ** 2 - values[0] * values[1]))

    passed = float(weight @ slope[0] ** 2)
    # Of a gradient that sums to zero over the batch, what the normalisation takes off: the mean, the part along x.
    kept = passed - (apart(slope) + apart(bent)) / batch
    return kept / apart(f) * batch / (batch - 3)


def _normalised_pair(batch: float) -> tuple[Array, Array, Array]:
    """Return two of B normalized examples with weights: two coordinates, correlated by -1/(B-1), of a point on a
    sphere.
    """
    dimensions, c = batch - 1, -1 / (batch - 1)
    nodes, shares = np.polynomial.legendre.leggauss(60)
    # The share of the two coordinates in the square of the radius is distributed as a Beta(1, (B-3)/2).
    radius = np.sqrt(dimensions * -np.expm1(2 / (dimensions - 2) * np.log((nodes + 1) / 2)))
    angle = 2 * math.pi * (np.arange(512) + 0.37) / 512
    one, other = np.outer(radius, np.cos(angle)).ravel(), np.outer(radius, np.sin(angle)).ravel()
    return one, c * one + math.sqrt(1 - c * c) * other, np.repeat(shares / 2 / 512, 512)


def layer_norm_growth(kind: str | Activation | Elementwise) -> float:
    """Growth of the gradient's second moment per layer of a deep layer- or RMS-normalised plain net: E f'² / E f².

    Raises:
        InputError: the function carries nothing.

    >>> from gainstage.theory import layer_norm_growth
    >>> round(layer_norm_growth("tanh"), 3)
    1.178
    """
    return carrying(activation(kind), 1.0).chi
