"""Elements that a gradient meets again: the gates behind a weight of few terms saw the very element that it reaches.

The gradient at an element is Σ w_k g_k over the outputs that it reaches, and each g_k has come through a gate s that
saw w_k x. Among many terms that does not matter. Of few, as the taps of a depthwise convolution are, it does: two taps
whose gradients are alike, as they are next to a mean over places, give over Gaussian weights (by Stein's lemma)

    E w_k w_l s s' = E w_k² w_l² · ((x² + m²) E ṡ ṡ' + 2 x m E s̈ s'),

with m the mean of what the other taps read, and dots for derivatives. And the level of each g_k follows that of
w_k² x².
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.backward_pass import BackwardPass
from gainstage.propagation.back.dependences import ONE
from gainstage.propagation.function import Function
from gainstage.propagation.geometry import windows
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import FunctionOf, GateResponse, PendingGradient, Signal
from gainstage.propagation.weights import Mixing, mixing
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Window

__all__ = ["answering", "met_again"]

_FEW = 2e-3  # of a level: less is not followed


def answering(back: BackwardPass, flow: PendingGradient, signal: Signal) -> tuple[SecondMoments, SecondMoments] | None:
    """How a gradient that a gate let through answers to a signal, for two places: E ṡ ṡ' and E s̈ s' times g g'.

    None where it does not depend on it.
    """
    algebra = back.run.algebra
    if flow.dependence is None or signal.dependence is None or signal.dependence.function.affine is None:
        return None
    source, found = algebra.source(flow.dependence.source), algebra.expectation(flow.dependence)
    if not source.variance > 0 or not (share := algebra.regression(source, signal)):
        return None
    base = flow.base.scaled((flow.factor * share) ** 2 / source.variance)
    steep = source.pairs.each(lambda v: found.steepness(source.correlation(v)))
    return base * steep, base * source.pairs.each(lambda v: found.bend(source.correlation(v)))


def met_again(
    back: BackwardPass, node: Node, flow: PendingGradient, moved: PendingGradient, *, normed: bool
) -> PendingGradient:
    """The gradient in front of a weight, with what it owes to gates that saw the element that it reaches.

    Args:
        node: the weight.
        flow: the gradient as it arrives.
        moved: what it comes to where gates and weights are independent.
        normed: whether a batch norm divides by the weights' norm, and takes off the mean.
    """
    run, along = back.run, windows(node)
    x, kernel, known = run.signals[node.inputs[0]], node.kernel, _known(flow, node)
    if known is None and not along:
        return moved
    two = (known.pairs, known.bends) if known is not None else answering(back, flow, run.signals[node.index])
    if two is None or kernel is None or x.dependence is None or x.parts or not moved.base.level > 0:
        return moved
    by = mixing(run.graph, node, run.weights)
    counts = [_taps(window) for window in along]
    pairs = math.prod(square for _, square in counts) - math.prod(mean for mean, _ in counts)
    times_signal = (
        pairs * kernel.fan_out / kernel.receptive * _fourth(by, kernel.fan_in, normed=normed) / moved.base.level
    )
    gate_response, bent = max(times_signal * two[0].neighbour, 0.0), times_signal * two[1].neighbour
    centre, common = (x.mean, 0.0) if normed else (0.0, x.mean)
    level = x.variance if normed else x.pairs.level
    own = 0.0
    if known is not None:  # of n weights that are divided by their norm E w⁴ / (E w²) is 3 / (n + 2)
        own = known.response * (by.scatter + 1 / kernel.fan_in) / (1 + by.scatter)
    if max(gate_response * level, abs(own)) < _FEW:
        return moved
    terms = (1 - own + gate_response * common**2, 2 * bent * common, gate_response + own / level)
    dependence = FunctionOf(x.dependence.source, _root_of_square(x.dependence.function, centre, terms), ONE)
    more = terms[0] + terms[1] * (x.mean - centre) + terms[2] * level
    return replace(
        moved,
        base=replace(moved.base, level=moved.base.level * more / run.algebra.expectation(dependence).second),
        dependence=dependence,
    )


def _known(flow: PendingGradient, node: Node) -> GateResponse | None:
    """What a norm behind this node has told of the gradient, if that is still the same one."""
    found = flow.gate_response
    return found if found is not None and (found.atom, found.node) == (flow.atom, node.index) else None


def _fourth(by: Mixing, terms: float, *, normed: bool) -> float:
    """E w_k² w_l², of weights divided by their norm where a norm does so."""
    square = (by.square / terms) ** 2
    return square * max(1 - by.scatter, 0.2) / (1 + by.scatter) if normed else square


def _root_of_square(inner: Function, centre: float, terms: tuple[float, float, float]) -> Function:
    """√(a + b x + c x²), of x less a centre."""
    constant, linear, square = terms

    def value(of: Array) -> Array:
        x = inner.value(of) - centre
        return np.asarray(np.sqrt(np.maximum(constant + linear * x + square * x * x, 0.0)))

    return Function(("met again", centre, terms, inner.key), value, np.zeros_like, inner.kinks)


def _taps(window: Window) -> tuple[float, float]:
    """Along one axis: by how many taps an element is read, on average, and the mean square of that."""
    mean, profile = window.backward(None)
    return mean, mean**2 * (1.0 if profile is None else float((profile**2).mean()))
