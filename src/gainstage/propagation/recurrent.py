"""Recurrent layers in the forward pass: a fixed point of the step from one state to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

from gainstage.errors import GainstageError, InputError
from gainstage.graph import Node, SignalGraph
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.records import WeightMoments
from gainstage.theory.recurrence.moments import RecurrentMoments, recurrent_moments

__all__ = ["Stage", "recurrent", "stages", "stages_back"]

Cell = Literal["rnn", "lstm", "gru"]
_GATES: Mapping[str, int] = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True, slots=True)
class Stage:
    """One layer of a recurrent stack.

    Args:
        moments: second moments in the limit of many units.
        level, correlation: E x² of its input, and the input's correlation over time.
        fan_in: fan-in of its input weights.
        units: number of units in one direction.
        input_weight: path of the weight on the input.
        state_weight: path of the weight on the previous state.
        field: recomputes ``moments`` with known correlations of the gradients.
    """

    moments: RecurrentMoments
    level: float
    correlation: float
    fan_in: int
    units: int
    input_weight: str
    state_weight: str
    field: Callable[..., RecurrentMoments]


def stages(run: ForwardPass, node: Node, x: Signal) -> list[Stage]:
    """Return the layers of a recurrent node, first to last.

    Args:
        run: the forward pass.
        node: the recurrent node.
        x: its input.

    Raises:
        GainstageError: the outputs grow without bound.
    """
    if node.function == "mixed":
        raise InputError("its cells are of several kinds")
    cell = _cell(node)
    inputs, states = _paths(node, "weight"), _paths(node, "state")
    directions = int(node.setting("directions", 1.0))
    steps = max(x.extent.positions, 1)
    level = x.pairs.level
    kinds = (x.pairs.positions, x.pairs.neighbour, x.pairs.across_both)
    alike, neighbour, examples = (pair / level if level > 0 else 0.0 for pair in kinds)
    found: list[Stage] = []
    for layer in range(0, len(states), directions):
        first = inputs[min(layer, len(inputs) - 1)]
        weight, state = _known(run, first), _known(run, states[layer])
        fan, units = _fan(run.graph, first), _fan(run.graph, states[layer])
        mean, *variances = _biases(run, node, cell, layer)
        field = partial(
            recurrent_moments,
            cast("Cell", cell),
            steps,
            level=level,
            correlation=min(max(alike, 0.0), 1.0),
            neighbour=min(max(neighbour, 0.0), 1.0),
            examples=min(max(examples, 0.0), 1.0),
            input_weight=fan * weight.second_moment,
            recurrent_weight=units * state.second_moment,
            bias=variances[0],
            recurrent_bias=variances[1],
            bias_mean=mean,
            activation_kind="relu" if node.function == "rnn_relu" else "tanh",
        )
        moments = field()
        found.append(Stage(moments, level, alike, fan, units, first, states[layer], field))
        level, alike, neighbour, examples = (
            moments.second_moment,
            moments.correlation,
            moments.neighbour,
            moments.examples,
        )
    return found


def stages_back(run: ForwardPass, node: Node, correlation: float, neighbour: float) -> list[Stage]:
    """Return the layers of a recurrent node with the gradients of the layer above; empty where they are unknown.

    Args:
        run, node: as above.
        correlation: correlation over time of the gradients at the last layer's outputs.
        neighbour: the same for adjacent steps.
    """
    found: list[Stage] = []
    for stage in reversed(run.recurrences.get(node.index, [])):
        alike, beside = (min(max(value, 0.0), 1.0) for value in (correlation, neighbour))
        moments = stage.field(gradient_correlation=alike, gradient_neighbour=beside)
        correlation, neighbour = moments.backward_correlation, moments.backward_neighbour
        found.insert(0, replace(stage, moments=moments))
    run.recurrences[node.index] = found
    return found


def recurrent(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a whole sequence through all layers of the node."""
    x = run.algebra.without_parts(operands[0])
    extent = run.extent(node)
    try:
        run.recurrences[node.index] = stages(run, node, x)
        last = run.recurrences[node.index][-1]
    except (GainstageError, IndexError, KeyError) as error:
        doubt = doubtful(node, str(error) or "its weights could not be determined")
        return run.algebra.new_source(replace(x, extent=extent, doubt=doubt))
    found = last.moments
    level = found.second_moment
    shared = min(max(found.mean**2, found.examples * level), level)
    pairs = SecondMoments(level, found.mean**2, found.correlation * level, shared, found.neighbour * level)
    noise = x.noise.with_cause(run.algebra.cause(), 2 * pairs.mean_squared_correlation(extent) / extent.units)
    return run.algebra.new_source(Signal(extent, pairs, found.mean, noise=noise, inherited=noise, doubt=x.doubt))


def _cell(node: Node) -> str:
    """Return the kind of cell; a user's own counts as a simple RNN."""
    return node.function if node.function in _GATES else "rnn"


def _paths(node: Node, slot: Literal["weight", "state"]) -> list[str]:
    return [use.parameter for use in node.uses_of(slot)]


def _known(run: ForwardPass, path: str) -> WeightMoments:
    parameter = run.graph.parameter(path)
    found = run.weights.get(parameter.path)
    return found if found is not None else WeightMoments(0.0, 1 / (3 * _fan(run.graph, path)))


def _fan(graph: SignalGraph, path: str) -> int:
    kernel = graph.parameter(path).kernel
    return int(kernel.fan_in) if kernel is not None else 1


def _biases(
    run: ForwardPass, node: Node, cell: str, layer: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the mean of both biases of every gate, and their variances over units: the input's and the state's."""
    gates = _GATES[cell]
    uses = node.uses_of("bias")
    per_layer = max(len(uses) // max(len(node.uses_of("state")), 1), 0)
    mine = [run.weights.get(run.graph.parameter(u.parameter).path) for u in uses[layer * per_layer :][:per_layer]]
    means, variances = [0.0] * gates, [[0.0] * gates, [0.0] * gates]
    for place, found in enumerate(mine):
        if found is None:
            continue
        if cell == "lstm" and abs(found.mean - 0.25) < 1e-6 and abs(found.second_moment - 0.25) < 1e-6:
            means[1] += 1.0  # ones in the forget gate only
            continue
        blocks = found.block_means or (found.mean,) * gates
        means = [m + block for m, block in zip(means, blocks, strict=True)]
        left = max(found.second_moment - sum(b * b for b in blocks) / gates, 0.0)
        added, of = found.block_variances or (left,) * gates, min(place, 1)
        variances[of] = [v + more for v, more in zip(variances[of], added, strict=True)]
    return tuple(means), tuple(variances[0]), tuple(variances[1])
