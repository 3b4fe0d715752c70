"""Recipes for transformers: GPT-2's, T-Fixup and DeepNorm."""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.graph import Node, Operation, Parameter, Role, SignalGraph, ancestry, nearest_before
from gainstage.graph.groups import AFFINE, PAIRWISE
from gainstage.planning.assign import drawn
from gainstage.planning.branches import Branch, branches, innermost
from gainstage.planning.context import weight_nodes
from gainstage.planning.recipes.recipe import RuleBased
from gainstage.records import Assignment

__all__ = ["deepnorm", "gpt2", "t_fixup"]

_GPT2_SPREAD = 0.02
_SCORES = frozenset({Role.QUERY, Role.KEY})


def gpt2(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """GPT-2 (Radford et al. 2019, section 2.3): N(0, 0.02), the last weight of each of n branches divided by √n.

    Raises:
        InputError: there is no residual branch.
    """
    found = branches(graph)
    if not found:
        raise InputError("The recipe 'gpt2' is for residual branches, and this model has none. Use 'auto'.")
    length = {index: branch.length for branch in found for index in branch.last}

    def rule(parameter: Parameter) -> Assignment | None:
        if parameter.kernel is None or not (parameter.role.is_kernel or parameter.role is Role.EMBEDDING):
            return None
        count = max((length.get(node.index, 1) for node in weight_nodes(graph, parameter)), default=1)
        share = "" if count == 1 else f" / √{count}, the last weight of one of {count} residual branches"
        scheme = "pytorch_embedding" if parameter.role is Role.EMBEDDING else "normal"
        return drawn(parameter, scheme, f"gpt2: N(0, 0.02){share}", spread=_GPT2_SPREAD / math.sqrt(count))

    return RuleBased(graph, rule, "normal")


@dataclass(frozen=True, slots=True)
class _Stack:
    """The attention blocks of a transformer.

    Args:
        inside: the branch of every weighted node on one.
        decoder: streams on which some attention reads another stream's keys.
        encoders, decoders: how many blocks there are of each kind.
    """

    inside: dict[int, Branch]
    decoder: frozenset[int]
    encoders: int
    decoders: int

    def in_decoder(self, nodes: set[int]) -> bool:
        """Whether one of the nodes is on a stream of the decoder."""
        return any(self.inside[i].stream in self.decoder for i in nodes if i in self.inside)


def _stack(graph: SignalGraph, recipe: str) -> _Stack:
    found, reaches = branches(graph), ancestry(graph).reaches
    roles = {
        node.index: p.role
        for p in graph.parameters
        for node in weight_nodes(graph, p)
        if p.role in _SCORES | {Role.PACKED_ATTENTION}
    }
    if not roles or not found:
        raise InputError(
            f"The recipe '{recipe}' is for transformers: attention on residual branches. "
            f"This model has {len(found)} branches and {'no ' if not roles else ''}attention weights. Use 'auto'."
        )
    inside = innermost(found)
    crossed = set()
    for branch in found:
        queries = {roles[i] for i in branch.weights if i in roles}
        if Role.QUERY in queries and not queries & {Role.KEY, Role.PACKED_ATTENTION}:
            crossed.add(branch.stream)  # its keys come from elsewhere
    # Post-norm blocks begin a stream each; what a stream of the decoder reaches belongs to the decoder.
    decoder = {b.stream for b in found if any(reaches(start, b.fork) for start in crossed)} | crossed
    attended = [b for b in found if any(i in roles for i in b.weights) and inside[b.weights[0]] is b]
    per_block = {True: 2, False: 1}
    in_decoder = sum(b.stream in decoder for b in attended)
    return _Stack(
        inside,
        frozenset(decoder),
        len(attended) - in_decoder,
        in_decoder // per_block[bool(crossed)] if in_decoder else 0,
    )


def _scaled(
    graph: SignalGraph, stack: _Stack, encoder: float, decoder: float, name: str
) -> tuple[RuleBased, tuple[str, ...]]:
    """Glorot's rule, times a factor on the values, the outputs and the feed-forward weights of every branch."""
    packed = [p for p in graph.parameters if p.role is Role.PACKED_ATTENTION]
    notes: tuple[str, ...] = ()
    if packed:
        notes = (
            f"{name}: query, key and value are packed in {packed[0].path} and others, where values cannot be scaled on "
            "their own; the attention's output takes their factor too.",
        )

    def rule(parameter: Parameter) -> Assignment | None:
        if parameter.kernel is None or not parameter.role.is_kernel:
            return None
        nodes = {node.index for node in weight_nodes(graph, parameter)}
        within = any(i in stack.inside for i in nodes)
        if parameter.role in _SCORES | {Role.PACKED_ATTENTION} or not (within or parameter.role is Role.VALUE):
            return drawn(parameter, "glorot_normal", f"{name}: Glorot's rule")
        # Values that read another stream than the one their attention adds to are the decoder's.
        factor = decoder if stack.in_decoder(nodes) or not within else encoder
        if packed and any(_ends_attention(graph, i) for i in nodes):
            factor **= 2
        return drawn(parameter, "glorot_normal", f"{name}: Glorot's rule times {factor:.4g}", gain=factor)

    return RuleBased(graph, rule, "glorot_normal", notes), notes


def _ends_attention(graph: SignalGraph, index: int) -> bool:
    """Whether a weight reads what attention returns."""
    return bool(nearest_before(graph, graph.nodes[index].inputs[0], _is_attention, through=AFFINE))


def _is_attention(node: Node) -> bool:
    return node.operation in PAIRWISE


def t_fixup(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """T-Fixup (Huang et al., ICML 2020): transformers without layer norm and warm-up.

    Glorot's rule; values, outputs and feed-forward weights times 0.67 N^-1/4 in an encoder of N blocks and (9N)^-1/4 in
    a decoder; embeddings N(0, d^-1/2) times (9N)^-1/4.

    Raises:
        InputError: there are no attention branches.
    """
    stack = _stack(graph, "t_fixup")
    blocks = stack.decoders or stack.encoders
    encoder = 0.67 * max(stack.encoders, 1) ** -0.25
    decoder = (9 * max(stack.decoders, 1)) ** -0.25
    base, notes = _scaled(graph, stack, encoder, decoder, "t_fixup")

    def rule(parameter: Parameter) -> Assignment | None:
        if parameter.role is Role.EMBEDDING and parameter.kernel is not None:
            spread = parameter.kernel.out**-0.5 * (9 * blocks) ** -0.25
            return drawn(parameter, "pytorch_embedding", f"t_fixup: d^-1/2 (9·{blocks})^-1/4", gain=spread)
        return base.rule(parameter)

    norms = sum(n.operation is Operation.NORMALIZATION and n.part_of is None for n in graph.nodes)
    if norms:
        notes += (f"T-Fixup replaces layer norm, and this model has {norms} of them: it gains nothing here.",)
    return RuleBased(graph, rule, "glorot_normal", notes)


def deepnorm(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """DeepNorm (Wang et al., arXiv:2203.00555): post-norm transformers whose skips are multiplied by α.

    Glorot's rule; values, outputs and feed-forward weights times β. With N blocks of one kind α = (2N)^1/4 and
    β = (8N)^-1/4; with N encoder and M decoder blocks α = 0.81 (N⁴M)^1/16, β = 0.87 (N⁴M)^-1/16 in the encoder and
    α = (3M)^1/4, β = (12M)^-1/4 in the decoder.

    Raises:
        InputError: there are no attention branches.
    """
    stack = _stack(graph, "deepnorm")
    n, m = stack.encoders, stack.decoders
    if n and m:
        skips = {"encoder": 0.81 * (n**4 * m) ** (1 / 16), "decoder": (3 * m) ** 0.25}
        gains = 0.87 * (n**4 * m) ** (-1 / 16), (12 * m) ** -0.25
    else:
        skips = {"model": (2 * max(n, m)) ** 0.25}
        gains = ((8 * max(n, m)) ** -0.25,) * 2
    base, notes = _scaled(graph, stack, *gains, "deepnorm")
    wanted = " and ".join(f"α = {value:.4g} in the {where}" for where, value in skips.items())
    notes += (
        f"DeepNorm multiplies every skip by α before it is added and normalised: {wanted}. That is for your code.",
    )
    return RuleBased(graph, base.rule, "glorot_normal", notes)
