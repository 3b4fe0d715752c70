"""Maximal update parametrisation and CompleteP: initial spreads, and how rates change with width and depth."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal, get_args

from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import Operation, Parameter, Role, SignalGraph
from gainstage.planning.assign import drawn
from gainstage.planning.branches import branches, innermost
from gainstage.planning.context import survey, weight_nodes
from gainstage.planning.recipes.recipe import RuleBased
from gainstage.records import Assignment

__all__ = ["Factors", "RateRule", "complete_p", "mup", "rate_factors", "readout_width", "residual_depth"]

RateRule = Literal["adam", "sgd", "muon"]


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors on one parameter's hyperparameters, relative to the model that they were found with.

    Args:
        rate: on the learning rate.
        decay: on the weight decay of AdamW, which multiplies it by the rate.
        eps: on the ε of Adam: how the entries of the gradient change in size.
        orthogonal: whether it is a hidden matrix, which Muon updates; Adam updates the others.
    """

    rate: float = 1.0
    decay: float = 1.0
    eps: float = 1.0
    orthogonal: bool = False


def mup(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """Maximal update parametrisation (Yang et al., arXiv:2203.03466, table 3): spreads.

    Hidden and input weights 1/√fan_in, the output 1/fan_in, embeddings of unit level, biases zero. The learning rates
    that belong to it are those of ``parameter_groups``.

    Raises:
        InputError: no output layer is reached.
    """
    readout_width(graph)

    def rule(parameter: Parameter) -> Assignment | None:
        return _spread(parameter, "mup")

    return RuleBased(graph, rule, "normal", _notes(graph, "muP", "base_width=…"))


def complete_p(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """CompleteP (Dey et al., arXiv:2505.01618, α = 1): muP's spreads, and 1/L at the end of each of L branches.

    CompleteP multiplies every residual branch by 1/L in the model's code. A factor on the last weight of the branch is
    the same function and needs no code; the rates of ``parameter_groups`` with ``base_depth`` are those of this form.

    Raises:
        InputError: no output layer is reached, or there is no residual branch.
    """
    readout_width(graph)
    found = branches(graph)
    if not found:
        raise InputError("The recipe 'complete_p' is for residual branches, and this model has none. Use 'mup'.")
    lengths = {index: branch.length for branch in found for index in branch.last}

    def rule(parameter: Parameter) -> Assignment | None:
        nodes = [node.index for node in weight_nodes(graph, parameter) if node.index in lengths]
        if nodes and parameter.kernel is not None and parameter.role.is_kernel:
            depth = max(lengths[index] for index in nodes)
            return drawn(parameter, "normal", f"complete_p: 1/√fan_in at the end of one of {depth} branches: 1/{depth}",
                         gain=1 / depth)  # fmt: skip
        return _spread(parameter, "complete_p")

    return RuleBased(graph, rule, "normal", _notes(graph, "CompleteP", "base_width=…, base_depth=…"))


def _spread(parameter: Parameter, name: str) -> Assignment | None:
    if parameter.kernel is None or not parameter.role.is_kernel:
        return None
    fan = parameter.kernel.fan_in
    if parameter.role is Role.HEAD:
        return drawn(parameter, "normal", f"{name}: 1/fan_in, so that outputs shrink with width", spread=1 / fan)
    return drawn(parameter, "normal", f"{name}: 1/√fan_in")


def _notes(graph: SignalGraph, name: str, arguments: str) -> tuple[str, ...]:
    notes = [f"{name} is its learning rates too: train with gainstage.parameter_groups(model, x, {arguments})."]
    if any(p.role in {Role.QUERY, Role.PACKED_ATTENTION} for p in graph.parameters):
        notes.append("muP divides attention scores by the width of a head, not by its root. That is for your code.")
    return tuple(notes)


def rate_factors(
    graph: SignalGraph, base_width: int, rule: RateRule = "adam", base_depth: int | None = None
) -> dict[str, Factors]:
    """Return the factors on every parameter's rate, weight decay and ε, relative to a model of the base size.

    With the ratio r of the model's width (what its output layer reads) to the base width, Adam's rates: 1/r for hidden
    and output weights, 1 for the rest; SGD: 1 for hidden weights, 1/r for the output, r for input weights, embeddings,
    biases and scales (Yang et al., arXiv:2203.03466, table 3). Muon's updates have unit spectral norm, so that hidden
    matrices keep their rate; it leaves the rest to Adam.

    With the ratio m of the number of residual branches to that of the base model, and branches whose last weight starts
    at 1/L (recipe ``complete_p``): the last weight and bias of a branch 1/m in addition; with SGD, what stands before
    it m. AdamW's decay is multiplied by its rate, so that the decay of matrices grows by what their rate falls. ε
    follows the entries of the gradient: 1/r, on branches 1/(r m) before their last weight, at the output 1.

    Raises:
        InputError: a base size is not positive, or no output layer or residual branch is reached.
    """
    if rule not in get_args(RateRule):
        raise UnknownNameError("optimizer", rule, get_args(RateRule))
    if base_width < 1 or (base_depth is not None and base_depth < 1):
        size = f"base_width={base_width}" if base_width < 1 else f"base_depth={base_depth}"
        raise InputError(f"A base size counts units or residual branches, at least 1; received {size}.")
    width = readout_width(graph) / base_width
    depth = 1.0 if base_depth is None else residual_depth(graph) / base_depth
    inner, ends = _on_branches(graph)
    around = survey(graph, ())
    found = {}
    for parameter in graph.parameters:
        nodes = [n for n in weight_nodes(graph, parameter) if n.index in around]
        reads_input = bool(nodes) and all(around[n.index].incoming.origin == "input" for n in nodes)
        at_end, inside = parameter.path in ends, parameter.path in inner
        hidden = parameter.role.is_kernel and not reads_input and parameter.role is not Role.HEAD
        rate = _of_width(parameter.role, rule, width, hidden=hidden)
        rate *= 1 / depth if at_end else depth if inside and rule == "sgd" else 1.0
        matrix = parameter.role.is_kernel and parameter.kernel is not None
        eps = 1.0 if parameter.role is Role.HEAD else 1 / (width * depth) if inside and not at_end else 1 / width
        found[parameter.path] = Factors(
            rate, 1 / rate if matrix else 1.0, eps, hidden and len(parameter.shape) == 2,
        )  # fmt: skip
    return found


def _of_width(role: Role, rule: RateRule, ratio: float, *, hidden: bool) -> float:
    if role is Role.HEAD:
        return 1 / ratio
    if hidden:
        return 1 / ratio if rule == "adam" else 1.0
    return ratio if rule == "sgd" else 1.0


def _on_branches(graph: SignalGraph) -> tuple[set[str], set[str]]:
    """Return the parameters on residual branches, and those of them at the last weight of a branch."""
    found = branches(graph)
    inside, last = innermost(found), {index for branch in found for index in branch.last}
    spans = [(branch.fork, branch.end) for branch in found]
    inner, ends = set[str](), set[str]()
    for parameter in graph.parameters:
        nodes = parameter.nodes
        if any(index in last for index in nodes):
            ends.add(parameter.path)
        elif any(index in inside for index in nodes) or (
            nodes and all(_between(graph, index, spans) for index in nodes)
        ):
            inner.add(parameter.path)
    return inner, ends


def _between(graph: SignalGraph, index: int, spans: list[tuple[int, int]]) -> bool:
    """Report whether a normalization stands on a branch."""
    return graph.nodes[index].operation is Operation.NORMALIZATION and any(a < index < b for a, b in spans)


def residual_depth(graph: SignalGraph) -> int:
    """Return the number of residual branches: two a transformer block, one a block of a ResNet.

    Raises:
        InputError: there is none.
    """
    found = len(branches(graph))
    if not found:
        raise InputError("base_depth counts residual branches, and this model has none. Leave it out.")
    return found


def readout_width(graph: SignalGraph) -> float:
    """Return the number of units that the output layer reads.

    Raises:
        InputError: no weight is known to be the output layer.
    """
    for parameter in graph.parameters:
        if parameter.role is Role.HEAD and parameter.kernel is not None:
            return parameter.kernel.fan_in
    raise InputError("muP needs to see the output layer, and no weight of this model was told to be it. Pass a batch.")
