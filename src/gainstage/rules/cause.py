"""Why a signal or a gradient drifts, in words: the weights' spread against what the activation asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation, SignalGraph
from gainstage.records import Profile
from gainstage.rules.flow import reads
from gainstage.rules.layers import Layer, weights_in_words
from gainstage.rules.words import figure

if TYPE_CHECKING:
    from gainstage.theory import GaussianMoments

__all__ = ["Direction", "drift_in_words", "moments_at", "typical"]

Direction = Literal["forward", "backward"]


def typical(chain: Sequence[Layer]) -> Layer | None:
    """The layer whose gain is the median of those that are known."""
    known = sorted((layer for layer in chain if layer.gain is not None), key=lambda layer: layer.gain or 0.0)
    return known[len(known) // 2] if known else None


def moments_at(profile: Profile, node: Node) -> GaussianMoments | None:
    """Moments of an activation under a Gaussian of the level that was measured at its input."""
    # Imported here, so that reading a rule's page does not wait for NumPy.
    from gainstage.theory import activation, gaussian_moments

    source = profile.by_node.get(node.inputs[0]) if node.inputs else None
    level = source.forward.second_moment if source is not None else 1.0
    if not (math.isfinite(level) and level > 0):
        return None
    try:
        return gaussian_moments(activation(node.function, settings=dict(node.settings)), level)
    except GainstageError:
        return None


def drift_in_words(profile: Profile, chain: Sequence[Layer], direction: Direction) -> str:
    """One or two sentences about what a typical layer of the chain does to the signal or to the gradient."""
    layer = typical(chain)
    if layer is None:
        return "Each layer multiplies by about the same factor, and the factors multiply over depth."
    weights = weights_in_words(layer)
    sentence = f"{weights[0].upper()}{weights[1:]}"
    source = _activation_read(profile.graph, layer)
    moments = moments_at(profile, source) if source is not None else None
    if source is None or moments is None or layer.kernel is None:
        return f"{sentence}. The factors of all layers multiply over depth."
    if direction == "forward":
        passed, what = math.sqrt(moments.second_moment / moments.level), "the level of its input"
    else:
        passed, what = math.sqrt(moments.derivative_second_moment), "a gradient (the root mean square of its slope)"
    if not passed > 0:
        return f"{sentence}, and {source.function} lets nothing through at this level."
    needed = 1 / passed
    spread = figure(needed / math.sqrt(layer.kernel.fan_in))
    holds = (
        f"{source.function} before them passes on {figure(passed)} of {what}, so that holding it takes "
        f"{figure(needed)} times 1/√fan_in, a spread of {spread}"
    )
    return f"{sentence}; {holds}.{_off_centre(moments)}"


def _activation_read(graph: SignalGraph, layer: Layer) -> Node | None:
    source = reads(graph, layer.node)
    return source if source is not None and source.operation is Operation.ACTIVATION and source.function else None


def _off_centre(moments: GaussianMoments) -> str:
    """What a mean far from zero does: every layer adds it to all examples alike."""
    if moments.mean**2 <= 4 * moments.variance:
        return ""
    return (
        f" Its output has mean {figure(moments.mean)} and varies by only {figure(math.sqrt(moments.variance))} "
        "around it, "
        "so the examples grow alike as well."
    )
