"""Mirrored pairs: what a layer of units with opposite weights computes, and whether training can part the two.

Units in pairs, with rows (w, -w), whose readers weight them by (v, -v), hand on v·(f(h) - f(-h)): the odd part of the
activation. Training parts the two only by what they do alike, the even part.

Sources: Balduzzi et al. 2017 (arXiv:1702.08591, "looks-linear") and Burkholz and Dubatovka 2019 (arXiv:1806.06362) for
relu, whose odd part is linear.
"""

from __future__ import annotations

import math
from functools import lru_cache

from gainstage.errors import GainstageError
from gainstage.theory.activations import Activation, Array
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.plain_nets.mean_field import correlation_map
from gainstage.theory.plain_nets.operating import OperatingPoint, operating_point

__all__ = ["even_share", "mirror_fault", "odd_part", "plain_loss"]

_LEAST_EVEN = 0.01
"""The least share of a function's variance that has to be even. Measured after 200 steps, pairs of relu, gelu, silu,
elu and softplus (shares of .06 to .28) lie a tenth apart; those of a sigmoid and of odd functions (shares of 0) do not
part."""
_ALIKE = 1e-10
_WORTH = 6.0
_SOON = 0.05
_ROUNDED = 1e-6  # what the search for a level leaves


@lru_cache(maxsize=256)
def odd_part(act: Activation) -> Activation:
    """(f(x) - f(-x)) / √2: the signal that arrives from a pair, as one unit of the same weights would bring it.

    A sum over n paired units, with n/2 independent weights of variance s², has the second moment n s² E odd².

    >>> from gainstage.theory import activation
    >>> odd_part(activation("relu"))([-2.0, 2.0]).round(4).tolist()
    [-1.4142, 1.4142]
    """

    def function(x: Array) -> Array:
        return (act.function(x) - act.function(-x)) / math.sqrt(2)

    def derivative(x: Array) -> Array:
        return (act.derivative(x) + act.derivative(-x)) / math.sqrt(2)

    kinks = tuple(sorted({*act.kinks, *(-kink for kink in act.kinks)}))
    label = f"the odd part of {act.label}"
    return Activation(function, derivative, kinks, homogeneous=act.homogeneous, name=f"odd_{act.name}", label=label)


def even_share(act: Activation, q: float = 1.0) -> float:
    """The share of a function's variance that is even: what the two units of a pair do alike, from example to example.

    Args:
        act: the function.
        q: the level of its input.

    Raises:
        InputError: it carries nothing, or its moments are infinite.

    >>> from gainstage.theory import activation
    >>> round(even_share(activation("relu")), 4), round(even_share(activation("sigmoid")), 4)
    (0.2665, 0.0)
    """
    whole, odd = gaussian_moments(act, q), gaussian_moments(odd_part(act), q)
    return max(1 - odd.second_moment / 2 / whole.variance, 0.0) if whole.variance > 0 else 0.0


@lru_cache(maxsize=256)
def mirror_fault(act: Activation, depth: int) -> str:
    """Return the reason not to pair units of an activation in a run of so many layers; empty without one.

    Args:
        act: the activation.
        depth: layers in the run, at least 1.

    >>> from gainstage.theory import activation
    >>> mirror_fault(activation("gelu"), 50), mirror_fault(activation("tanh"), 50)
    ('', 'tanh is odd, so that training would never part the two units of a pair')
    """
    try:
        whole, odd = gaussian_moments(act), gaussian_moments(odd_part(act))
    except GainstageError as error:
        return f"{act.label}: {error}"
    carried = odd.second_moment / 2
    if whole.variance <= 0 or carried <= _ALIKE * whole.second_moment:
        return f"{act.label} is even, so that the two units of a pair would cancel"
    share = even_share(act)
    if share < _LEAST_EVEN:
        what = "odd" if whole.second_moment - carried <= _ALIKE else "odd but for a constant" if share < _ALIKE else ""
        told = f"is {what}" if what else f"has an even part of {share:.2g} of its variance alone"
        return (
            f"{act.label} {told}, so that training would {'never' if what else 'hardly'} part the two units of a pair"
        )
    try:
        point = operating_point(odd_part(act), depth)
    except GainstageError as error:
        return f"{act.label}: {error}"
    if depth * _growth(point) > math.log(2) + _ROUNDED:
        return (
            f"the odd part of {act.label} is far from linear: over {depth} layers gradients, or errors in the level, "
            f"would grow by {math.exp(min(depth * _growth(point), 700)):.3g}"
        )
    return ""


@lru_cache(maxsize=256)
def plain_loss(act: Activation, depth: int, *, batch_norm: bool = False) -> str:
    """Describe the loss of so many layers of an activation without mirrored pairs, where it is five sixths or more.

    At level 1, the larger one of two: by how much that shrinks which tells two examples apart (whose correlation is
    zero at first), and by how much gradients, or errors in the level, grow, less what they grow by with pairs. A
    mirrored layer [[A, -A], [-A, A]] has half as many features and a quarter of the independent weights, so that it
    does not pay before a plain run loses as much. In trainings both ways were even at a factor of about six: 8 layers
    of relu, 10 of gelu, 20 of mish. Elu and selu, whose odd part bends and whose even part is small, train better
    without pairs at 30 layers and 60: at the level that pairs would be run at, the even share has to be .05.

    Args:
        act: the activation.
        depth: layers of it, at least 1.
        batch_norm: whether a batch norm stands before every activation: it keeps examples apart, and lets gradients
            grow by E f'² / Var f a layer.

    Returns:
        In words; empty where less is lost.

    Raises:
        InputError: it carries nothing at level 1.

    >>> from gainstage.theory import activation
    >>> plain_loss(activation("relu"), 5), plain_loss(activation("elu"), 60)
    ('', '')
    >>> plain_loss(activation("relu"), 30)
    'of what tells examples apart, 8 layers of relu lose five sixths'
    >>> plain_loss(activation("gelu"), 30)
    'at level 1, errors in it would grow sixfold over 14 layers of gelu'
    """
    if even_share(act, 1.0 if batch_norm else operating_point(odd_part(act), depth).level) < _SOON:
        return ""
    plain, paired = gaussian_moments(act), gaussian_moments(odd_part(act))
    if batch_norm:
        layers = _layers_to(_WORTH, plain.chi_centred, paired.chi_centred)
        told = f"gradients would grow sixfold over {layers} batch-normalised layers of {act.label}"
        return told if depth >= layers else ""
    centred = operating_point(act, 1).centred
    slope, chi = (plain.slope_centred, plain.chi_centred) if centred else (plain.slope, plain.chi)
    layers = _layers_to(_WORTH, max(slope, chi), max(paired.slope, paired.chi))
    if depth >= layers:
        what = "errors in it" if slope > chi else "gradients"
        return f"at level 1, {what} would grow sixfold over {layers} layers of {act.label}"
    correlation = 0.0
    for layer in range(0 if centred else depth):
        following = min(correlation_map(act, 1.0, correlation, 1 / math.sqrt(plain.second_moment)), 1.0)
        if following >= 1 - 1 / _WORTH:
            return f"of what tells examples apart, {layer + 1} layers of {act.label} lose five sixths"
        if following - correlation < _ROUNDED:
            return ""
        correlation = following
    return ""


def _layers_to(factor: float, plain: float, paired: float) -> float:
    """After how many layers two factors a layer, both at least 1, are that far apart; infinite where they never are."""
    growth = math.log(max(plain, 1.0)) - math.log(max(paired, 1.0))
    return math.ceil(math.log(factor) / growth) if growth > _ROUNDED else math.inf


def _growth(point: OperatingPoint) -> float:
    """Log of the growth a layer, of gradients or of errors in the level."""
    return math.log(max(point.chi, point.slope, 1.0))
