"""From a graph and the moments of its weights to a Profile, as if the model had been measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gainstage.errors import ModelError
from gainstage.graph import Node, Operation, SignalGraph, nearest_before
from gainstage.graph.groups import NONLINEAR, OUTWARD, SHOWN, STREAM
from gainstage.propagation.back.backward_pass import BackwardPass, Gradient
from gainstage.propagation.backward import backward
from gainstage.propagation.forward import forward
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.objective import Objective, objective
from gainstage.propagation.parameters import parameter_profiles
from gainstage.propagation.signal import Signal
from gainstage.records import (
    InputFacts,
    InputMoments,
    Moments,
    NodeProfile,
    Note,
    OutputFacts,
    Profile,
    Source,
    Task,
    UnitStats,
    WeightMoments,
)
from gainstage.theory.activations import activation

__all__ = ["predicted_passes", "predicted_profile"]

_ARITHMETIC = frozenset({"pow", "rsqrt", "sqrt", "reciprocal", "clamp", "abs", "log", "square"})
_NINE_OF_TEN = 1.6448536269514722


def predicted_profile(
    graph: SignalGraph,
    weights: Mapping[str, WeightMoments],
    inputs: Sequence[InputMoments] = (),
    *,
    training: bool = True,
    framework: str = "",
    dtype: str = "float32",
    notes: Sequence[Note] = (),
) -> Profile:
    """Predict the second moments of signal and gradient at every stage.

    Args:
        graph: the model, through its loss where it has one.
        weights: moments of the parameters by path.
        inputs: moments of the inputs in the graph's order; independent standard normal values by default.
        training: whether dropout is active.
        framework, dtype: recorded in the profile.
        notes: reasons for doubt that are known already.

    Raises:
        ModelError: the graph has no output that depends on an input.

    >>> from gainstage.graph import KernelShape, Node, Operation, Parameter, SignalGraph, Use
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (32, 64), example_axis=0, unit_axis=1),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (32, 128), uses=(Use("w", "weight"),),
    ...          kernel=KernelShape(128, 64), example_axis=0, unit_axis=1),
    ...     Node(2, Operation.ACTIVATION, "relu", (1,), (32, 128), function="relu", example_axis=0, unit_axis=1),
    ... )
    >>> net = SignalGraph(nodes, (Parameter("w", (128, 64), "float32", nodes=(1,)),), (0,), (2,))
    >>> profile = predicted_profile(net, {"w": WeightMoments(0.0, 2 / 64)})
    >>> [round(node.forward.second_moment, 6) for node in profile.nodes]
    [2.0, 1.0]
    """
    with np.errstate(all="ignore"):  # an infinite moment is a figure of the profile
        return _predicted(graph, weights, inputs, training, framework, dtype, notes)


def _predicted(
    graph: SignalGraph,
    weights: Mapping[str, WeightMoments],
    inputs: Sequence[InputMoments],
    training: bool,
    framework: str,
    dtype: str,
    notes: Sequence[Note],
) -> Profile:
    back, aim, output = _passes(graph, weights, inputs, training)
    run = back.run
    nodes = tuple(
        _node_profile(run, node, run.signals[node.index], back.gradients.get(node.index))
        for node in graph.nodes
        if node.index in run.signals and node.operation in SHOWN and node.function not in _ARITHMETIC
    )
    return Profile(
        graph,
        nodes,
        parameter_profiles(back, weights),
        _task(run, output, aim, training),
        Source("predicted", framework, "none", dtype, graph.nodes[graph.inputs[0]].shape if graph.inputs else ()),
        backward=bool(back.gradients),
        notes=(*notes, *_doubts(run, aim)),
    )


def _passes(
    graph: SignalGraph, weights: Mapping[str, WeightMoments], inputs: Sequence[InputMoments], training: bool
) -> tuple[BackwardPass, Objective, int]:
    """Return both passes, the gradient that starts the second one, and the output where it starts."""
    run = forward(ForwardPass(graph, weights, tuple(inputs), training))
    outputs = [i for i in graph.outputs if i in run.signals]
    if not outputs:
        raise ModelError("No output of the model depends on its input, so that there is nothing to predict.")
    aim = objective(run, outputs[0])
    ends = [i for i in graph.ends if i in run.signals] if graph.loss is None else outputs[:1]
    return backward(run, dict.fromkeys(ends, aim.start)), aim, outputs[0]


def predicted_passes(
    graph: SignalGraph,
    weights: Mapping[str, WeightMoments],
    inputs: Sequence[InputMoments] = (),
    *,
    training: bool = True,
) -> BackwardPass:
    """Predict both passes, for who needs more than a profile holds; arguments and errors as above."""
    with np.errstate(all="ignore"):
        return _passes(graph, weights, inputs, training)[0]


def _node_profile(run: ForwardPass, node: Node, signal: Signal, gradient: Gradient | None) -> NodeProfile:
    count = math.prod(node.shape)
    back = None
    if gradient is not None:
        level = gradient.pairs.level
        back = Moments(count, 0.0, level, level, band=_band(gradient.noise.variance))
    doubt = signal.doubt or (gradient.doubt if gradient is not None else "")
    return NodeProfile(node.index, _moments(signal, count), back, _units(run, node, signal), doubt=doubt)


def _moments(signal: Signal, count: int) -> Moments:
    level, variance = signal.pairs.level, signal.variance
    share = None
    if signal.extent.examples > 1:
        share = min(max(level - signal.pairs.examples, 0.0) / variance, 1.0) if variance > 0 else 0.0
    return Moments(count, signal.mean, variance, level, example_share=share, band=_band(signal.noise.variance))


def _band(noise: float) -> tuple[float, float]:
    """Return the 5 % and 95 % quantiles of a log-normal second moment, divided by its mean."""
    spread = math.sqrt(max(noise, 0.0))
    return math.exp(-noise / 2 - _NINE_OF_TEN * spread), math.exp(-noise / 2 + _NINE_OF_TEN * spread)


def _units(run: ForwardPass, node: Node, signal: Signal) -> UnitStats:
    extent, level = signal.extent, signal.pairs.level
    alike = signal.pairs.examples / level if level > 0 and extent.examples > 1 else None
    tokens = None
    if node.operation in STREAM and extent.positions > 1 and level > 0 and len(node.shape) in (3, 4):
        tokens = signal.pairs.positions / level
    found = UnitStats(
        extent.units, max(extent.count // max(extent.units, 1), 1), extent.examples,
        zero_share=signal.zero or None, example_correlation=alike, token_correlation=tokens,
    )  # fmt: skip
    if node.operation is not Operation.ACTIVATION or signal.parts or not node.inputs:
        return found
    before = run.signals.get(node.inputs[0])
    if before is None:
        return found
    if signal.zero > 0:
        found = replace(found, zero=int(extent.units * _never(before, node)))
    saturated = _saturated(run, node, before)
    return found if saturated is None else replace(found, saturated_share=saturated, stuck=0)


_DEAD = np.linspace(-6.0, 6.0, 241)


def _never(before: Signal, node: Node) -> float:
    """Return the probability that a rectified unit is zero for every example."""
    from scipy.special import ndtr

    del node
    if not before.variance > 0:
        return 1.0 if before.mean <= 0 else 0.0
    common = min(max(before.correlation(before.pairs.examples), 0.0), 1 - 1e-9)
    shift = before.mean / math.sqrt(before.variance)
    weight = np.exp(-0.5 * _DEAD**2)
    below = ndtr(-(shift + math.sqrt(common) * _DEAD) / math.sqrt(1 - common))
    # Positions of one example are similar, so each example counts once.
    return float(weight @ below**before.extent.examples / weight.sum())


def _saturated(run: ForwardPass, node: Node, before: Signal) -> float | None:
    """Return the share of elements within one hundredth of the range from a bound of the activation."""
    act = run.functions.of(node)
    if act is None or not act.bounded or before.dependence is None or act.name not in _BOUNDED:
        return None
    low, high = activation(act.name, dict(act.settings)).bounds
    margin = 0.01 * (high - low)
    z = np.linspace(-8.0, 8.0, 4001)
    weight = np.exp(-0.5 * z * z)
    values = act.function(before.mean + math.sqrt(before.variance) * z)
    outside = (values < low + margin) | (values > high - margin)
    return float(weight @ outside / weight.sum())


_BOUNDED = frozenset({"sigmoid", "hardsigmoid", "tanh", "erf", "hardtanh"})


def _task(run: ForwardPass, output: int, aim: Objective, training: bool) -> Task:
    graph = run.graph
    inputs = []
    for index in graph.inputs:
        node = graph.nodes[index]
        tokens = any(graph.nodes[r].operation is Operation.EMBEDDING for r in graph.consumers[index])
        signal = run.signals[index]
        if tokens:
            inputs.append(InputFacts(node.shape, "tokens", synthetic=True))
        else:
            kind = "image" if len(node.shape) >= 4 else "values"
            inputs.append(InputFacts(node.shape, kind, True, signal.mean, math.sqrt(signal.variance)))  # type: ignore[arg-type]
    node, signal = graph.nodes[output], run.signals[output]
    last = nearest_before(graph, output, lambda n: n.operation in NONLINEAR, through=OUTWARD)
    units = signal.extent.units
    within = math.sqrt(max(signal.pairs.level - signal.pairs.units, 0.0)) if units > 1 else None
    facts = OutputFacts(
        output, node.shape, units, graph.nodes[last[0]].function if len(last) == 1 else "", None, None, signal.mean,
        math.sqrt(signal.variance), within,
    )  # fmt: skip
    return Task(tuple(inputs), None, facts, aim.facts, None, run.examples, training)


def _doubts(run: ForwardPass, aim: Objective) -> list[Note]:
    """Return one note for each cause of doubt, at the first node that it affects."""
    seen: dict[str, str] = {}
    for index, signal in run.signals.items():
        if signal.doubt:
            seen.setdefault(signal.doubt, run.graph.nodes[index].path)
    notes = [
        Note("GS903", f"Predicted figures downstream are doubtful: {doubt}.", path) for doubt, path in seen.items()
    ]
    if aim.doubt:
        notes.append(Note("GS903", f"Predicted gradients are doubtful: {aim.doubt}."))
    return notes
