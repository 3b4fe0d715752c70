"""The absolute values that theory expects in every tensor of a profile, from its moments alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import UnknownNameError
from gainstage.graph import Node, Operation
from gainstage.records import Magnitudes, NodeProfile, ParameterProfile, Profile, TensorMagnitudes
from gainstage.rules.words import place
from gainstage.statistics import gaussian_magnitudes, magnitudes_of, normal_grid, relative_to_binade
from gainstage.theory.activations import Activation, activation

__all__ = ["FirstUpdate", "expected_magnitudes"]

Array = NDArray[np.float64]
FirstUpdate = tuple[str, float]
"""Name of an optimizer and its learning rate."""

_OF_THE_RATE = {"adam": 1.0, "adamw": 1.0, "rmsprop": 10.0}
"""First steps that do not depend on the size of the gradient, over the rate; RMSprop's with a decay of 0.99."""


def expected_magnitudes(profile: Profile, update: FirstUpdate | None = None) -> Iterator[TensorMagnitudes]:
    """Yield the expected distribution of |x| of every output, gradient, weight and first update.

    Pre-activations, sums, weights and gradients count as Gaussian; an activation is a function of the Gaussian that it
    reads, a softmax has exponentials of Gaussian scores, and a gradient behind an activation is multiplied by its
    slope.

    Args:
        profile: predicted, or measured.
        update: the optimizer and its rate, for the first updates.
    """
    for at in profile.nodes:
        node = profile.graph.nodes[at.node]
        if at.forward.finite and at.forward.count:
            yield TensorMagnitudes("output", place(node), _output(profile, at, node), profile.dtype(at), at.node)
    for at in profile.nodes:
        if at.backward is not None and at.backward.finite and at.backward.count:
            node = profile.graph.nodes[at.node]
            yield TensorMagnitudes("gradient", place(node), _gradient(profile, at), profile.dtype(at), at.node)
    for measured in profile.parameters:
        yield from _of_parameter(profile, measured, update)


def _output(profile: Profile, at: NodeProfile, node: Node) -> Magnitudes:
    read = profile.by_node.get(node.inputs[0]) if len(node.inputs) == 1 else None
    if read is not None and read.forward.finite and read.forward.spread > 0:
        z, masses = normal_grid()
        function = _function(node)
        if function is not None:
            values = function(read.forward.mean + read.forward.spread * z)
            return magnitudes_of(values, masses, count=at.forward.count, nonfinite=0)
        if node.operation is Operation.SOFTMAX and node.shape:
            keys = node.shape[int(node.setting("axis", -1.0))]
            values = np.exp(read.forward.spread * z - read.forward.variance / 2) / keys
            return magnitudes_of(np.minimum(values, 1.0), masses, count=at.forward.count, nonfinite=0)
    return gaussian_magnitudes(at.forward.mean, at.forward.spread, at.forward.count)


def _function(node: Node) -> Activation | None:
    if node.operation is not Operation.ACTIVATION:
        return None
    try:
        return activation(node.function, dict(node.settings))
    except (UnknownNameError, TypeError, ValueError):
        return None


def _gradient(profile: Profile, at: NodeProfile) -> Magnitudes:
    """A Gaussian, times the slope of the activation where one alone reads the output."""
    backward = at.backward
    assert backward is not None
    readers = [n for n in profile.graph.nodes if at.node in n.inputs and n.stage == "model"]
    function = _function(readers[0]) if len(readers) == 1 else None
    if function is not None and at.forward.finite and at.forward.spread > 0:
        z, masses = normal_grid(fine=False)
        slope = function.derivative(at.forward.mean + at.forward.spread * z)
        size = math.sqrt(float((masses * slope * slope).sum()))
        if size > 0:
            values = np.outer(slope * (backward.rms / size), z)
            return magnitudes_of(values, np.outer(masses, masses), count=backward.count, nonfinite=0)
    return gaussian_magnitudes(0.0, backward.rms, backward.count)


def _of_parameter(
    profile: Profile, measured: ParameterProfile, update: FirstUpdate | None
) -> Iterator[TensorMagnitudes]:
    weight, gradient, dtype = measured.weight, measured.gradient, profile.parameter(measured).dtype
    if not weight.finite or not weight.count:
        return
    values = gaussian_magnitudes(weight.mean, weight.spread, weight.count)
    yield TensorMagnitudes("weight", measured.path, values, dtype)
    if gradient is None or not gradient.finite:
        return
    yield TensorMagnitudes(
        "weight_gradient", measured.path, gaussian_magnitudes(0.0, gradient.rms, gradient.count), dtype
    )
    if update is not None and gradient.rms > 0 and weight.rms > 0:
        yield TensorMagnitudes("step", measured.path, _step(measured, update), dtype)


def _step(measured: ParameterProfile, update: FirstUpdate) -> Magnitudes:
    name, rate = update
    z, masses = normal_grid(fine=False)
    fixed = _OF_THE_RATE.get(name)
    gradient = measured.gradient.rms if measured.gradient is not None else 0.0
    moves, chances = (rate * gradient * z, masses) if fixed is None else (np.array([rate * fixed]), np.ones(1))
    weights = measured.weight.mean + measured.weight.spread * z
    live = weights != 0
    pairs = np.broadcast_to(weights[live], (len(moves), int(live.sum())))
    ratios = relative_to_binade(np.broadcast_to(moves[:, None], pairs.shape), pairs)
    return magnitudes_of(ratios, np.outer(chances, masses[live]), count=measured.weight.count, nonfinite=0)
