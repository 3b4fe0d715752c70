"""Correlation between a gradient and the element that it flows to, at small fan-in.

The gradient at an element is Σ w_k g_k over the outputs that it reaches, and each g_k passed an activation's derivative
s evaluated at a sum that contains w_k x. With a large fan-in the correlation vanishes. With a small one (depthwise
convolution) two taps with similar gradients, as in front of a mean over positions, give over Gaussian weights (Stein's
lemma)

    E w_k w_l s s' = E w_k² w_l² · ((x² + m²) E ṡ ṡ' + 2 x m E s̈ s'),

where m is the mean of the other taps' inputs and dots are derivatives. In addition, E g_k² depends on w_k² x².
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

__all__ = ["gate_derivatives", "with_gate_correlation"]

_FEW = 2e-3  # smaller relative corrections are neglected


def gate_derivatives(
    back: BackwardPass, flow: PendingGradient, signal: Signal
) -> tuple[SecondMoments, SecondMoments] | None:
    """Return E ṡ ṡ' and E s̈ s' times g g' at two positions, for a gradient that passed a derivative s of ``signal``.

    None where the gradient does not depend on the signal.
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


def with_gate_correlation(
    back: BackwardPass, node: Node, flow: PendingGradient, moved: PendingGradient, *, normed: bool
) -> PendingGradient:
    """Return the gradient in front of a weight, corrected for derivatives that depend on the element it flows to.

    Args:
        back: the backward pass.
        node: the weight.
        flow: the gradient behind the weight.
        moved: the gradient in front, where derivatives and weights are independent.
        normed: whether a batch norm behind divides by the weights' norm and subtracts the mean.
    """
    run, along = back.run, windows(node)
    x, kernel, known = run.signals[node.inputs[0]], node.kernel, _known(flow, node)
    if known is None and not along:
        return moved
    two = (known.pairs, known.bends) if known is not None else gate_derivatives(back, flow, run.signals[node.index])
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
    if known is not None:  # E w⁴ / E w² = 3 / (n + 2) for n weights divided by their norm
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
    """Return the gate response that a batch norm recorded for this gradient at this node, where still valid."""
    found = flow.gate_response
    return found if found is not None and (found.atom, found.node) == (flow.atom, node.index) else None


def _fourth(by: Mixing, terms: float, *, normed: bool) -> float:
    """Return E w_k² w_l², for weights divided by their norm where a batch norm does so."""
    square = (by.square / terms) ** 2
    return square * max(1 - by.scatter, 0.2) / (1 + by.scatter) if normed else square


def _root_of_square(inner: Function, centre: float, terms: tuple[float, float, float]) -> Function:
    """Return the function √(a + b x + c x²) of x minus a centre."""
    constant, linear, square = terms

    def value(of: Array) -> Array:
        x = inner.value(of) - centre
        return np.asarray(np.sqrt(np.maximum(constant + linear * x + square * x * x, 0.0)))

    return Function(("met again", centre, terms, inner.key), value, np.zeros_like, inner.kinks)


def _taps(window: Window) -> tuple[float, float]:
    """Return the mean number of taps that read an element along one axis, and its mean square."""
    mean, profile = window.backward(None)
    return mean, mean**2 * (1.0 if profile is None else float((profile**2).mean()))
