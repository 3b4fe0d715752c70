"""The automatic recipe: an operating point for every plain run, and a target for every role.

Nothing is measured here: the level that arrives at a weight is predicted from what stands before it. The input and
every normalisation are taken to hand on unit level.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from gainstage.graph import KernelShape, Mirror, Node, Operation, Parameter, Role, SignalGraph, terms
from gainstage.planning.assign import constant, drawn, kept, neutral
from gainstage.planning.bias_starts import bias_start
from gainstage.planning.branches import Budget, couplings, switches
from gainstage.planning.context import adapter_ends, adapter_starts, survey, weight_nodes
from gainstage.planning.embeddings import embedding_spread, positions_beside
from gainstage.planning.levels import Levels
from gainstage.planning.mirroring import UNMIRRORED, Mirroring, paying_links
from gainstage.planning.products import Factor, factors
from gainstage.planning.scores import score_spreads
from gainstage.planning.standing import Standing, free_spread, meant
from gainstage.planning.weight_targets import WeightTarget, weight_target
from gainstage.records import Assignment

__all__ = ["Automatic", "BranchStart", "Halves"]

BranchStart = Literal["scaled", "zero"]

Halves = Literal["normal", "orthogonal", "centre_tap"]
"""What draws the halves of mirrored weights: normal numbers, an orthogonal matrix, or, in a convolution that keeps its
places, an orthogonal matrix at the middle tap alone."""
_COMMENSURATE = 3.0  # times: of two signals that are added, the smaller one then still makes a tenth of the variance
_SILENT = "zero: its residual branch starts silent, so that the block hands its input on"
_ROWS = "less its mean row, since what all rows share tells none of them from another"
_SUMS = "its weights sum to zero over the inputs, since no bias can take the mean off"
_IDENTITY = "zero: it scales and shifts what skips it (an affine coupling), so that the block hands its input on"
_OPPOSITE = "its rows in opposite pairs"
_AGAINST = "the pairs that it reads weighted against each other, so that the network starts linear"
_ADAPTS = "left as the model made it: it begins an adapter, whose end at zero keeps the model as it was"
_FREE = (
    "the spread that the model was made with: a normalisation divides it out, and it sets the pace of training alone"
)
_UNKNOWN: Standing = MappingProxyType({})
_FREQUENCIES = (
    "left as the model made it: what it reads is the input and what reads it is periodic, so it sets frequencies"
)


@dataclass(frozen=True, slots=True)
class Automatic:
    """The recipe that reads every weight's target off the graph.

    Args:
        graph: the model.
        levels: the level at every place.
        budgets: for the last weights (and normalisations) of residual branches, their share of their stream's level.
        terms: for weights whose outputs are added at once, how many share the level of the sum.
        scores: for queries and keys, how wide attention scores are where both have level one.
        adapters: paths of the weights that end an adapter.
        silenced: paths of the parameters that silence a residual branch at the start.
        couplings: paths of the weights that scale and shift what skips them.
        factors: what makes the output by a product with another signal.
        mirroring: the units that stand in mirrored pairs.
        halves: what draws the halves of their weights.
        standing: what is known of the values that stand in the model.
        positions: paths of tables and arrays of positions that are added to rows of a table, with a node of that table.
    """

    graph: SignalGraph
    levels: Levels
    budgets: Mapping[int, Budget]
    terms: Mapping[int, int]
    scores: Mapping[int, float]
    adapters: frozenset[str]
    silenced: frozenset[str] = frozenset()
    couplings: frozenset[str] = frozenset()
    factors: Mapping[int, Factor] = field(default_factory=dict)
    standing: Standing = field(default_factory=dict)
    positions: Mapping[str, int] = field(default_factory=dict)
    mirroring: Mirroring = UNMIRRORED
    halves: Halves = "centre_tap"

    @classmethod
    def of(
        cls, graph: SignalGraph, settable: Container[str], branch_start: BranchStart = "scaled",
        standing: Standing = _UNKNOWN,
    ) -> Automatic:  # fmt: skip
        """Survey a graph.

        Args:
            graph: the model.
            settable: paths of the parameters that the recipe decides; a bias among them may centre its unit.
            branch_start: whether residual branches start with their share of the stream's budget, or silent.
            standing: what is known of the values that stand in the model; what was written on purpose stays.
        """
        return cls.with_pairs(graph, settable, paying_links(graph, settable), branch_start, standing=standing)

    @classmethod
    def with_pairs(
        cls, graph: SignalGraph, settable: Container[str], mirroring: Mirroring,
        branch_start: BranchStart = "scaled", halves: Halves = "centre_tap", standing: Standing = _UNKNOWN,
    ) -> Automatic:  # fmt: skip
        """The same with the units of one's choice in mirrored pairs."""
        silent = switches(graph) if branch_start == "zero" else frozenset()
        levels = Levels.of(graph, survey(graph, settable), mirroring)
        return cls(
            graph, levels, levels.budgets, terms(graph), score_spreads(graph), adapter_ends(graph), silent,
            couplings(graph), factors(graph), standing, positions_beside(graph), mirroring, halves,
        )  # fmt: skip

    @property
    def claims(self) -> frozenset[str]:
        """Parameters of no common role that are set all the same."""
        return self.silenced | self.positions.keys()

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing beyond the lines of the plan."""
        return ()

    def assign(self, parameter: Parameter, gain: float = 1.0) -> Assignment:
        """What one parameter that may be changed gets; ``gain`` multiplies a weight's spread."""
        if parameter.path in self.silenced:
            if parameter.role.is_kernel:
                return drawn(parameter, "zeros", _SILENT)
            return constant(parameter, "zero", _SILENT)
        if self._sets_frequencies(parameter):
            return kept(parameter, _FREQUENCIES)
        if (why := meant(self.graph, parameter, self.standing)) is not None:
            return kept(parameter, why)
        if parameter.path in self.couplings and parameter.role.is_kernel:
            return drawn(parameter, "zeros", _IDENTITY)
        if parameter.path in adapter_starts(self.graph) and parameter.path in self.standing:
            return kept(parameter, _ADAPTS)
        if parameter.path in self.positions:
            return self._position(parameter, gain)
        match parameter.role:
            case Role.NORM_SCALE if (budget := self._budget(parameter)).level < 1:
                return constant(parameter, "constant", f"√level: {budget.reason}", value=math.sqrt(budget.level))
            case Role.BIAS if (found := bias_start(self.graph, self.levels, self.mirroring, parameter)) is not None:
                return found
            case Role.EMBEDDING:
                factor = next((self.factors[i] for i in parameter.nodes if i in self.factors), None)
                if factor is not None:
                    reason, spread = factor.reason, math.sqrt(factor.level)
                    return drawn(parameter, "pytorch_embedding", reason, gain=gain * spread)
                spread, reason = self._rows(parameter)
                if parameter.kernel is None or parameter.kernel.in_ == 1:
                    return drawn(parameter, "pytorch_embedding", reason, gain=gain * spread)
                return drawn(parameter, "centred_normal", f"{reason}; {_ROWS}", gain=gain, spread=spread)
            case Role.RECURRENT:
                reason = "orthogonal: what is remembered keeps its length from step to step"
                return drawn(parameter, "orthogonal", reason, gain=gain)
        return neutral(self.graph, parameter, self.adapters) or self._weight(parameter, gain)

    def _rows(self, table: Parameter) -> tuple[float, str]:
        """The spread of a table's entries, and why."""
        return embedding_spread(self.graph, table, lambda head: self._weight(head, 1.0).spread, paced=True)

    def _position(self, parameter: Parameter, gain: float) -> Assignment:
        """Positions are levelled with the rows that they are added to, unless they are of about that size."""
        tables = (p for p in self.graph.parameters if self.positions[parameter.path] in p.nodes)
        table = next(p for p in tables if p.role in {Role.EMBEDDING, Role.HEAD})
        spread, _ = self._rows(table)
        values = self.standing.get(parameter.path)
        if values is not None and 1 / _COMMENSURATE < math.sqrt(values.second_moment) / spread < _COMMENSURATE:
            return kept(parameter, f"left as the model made it: about as large as the rows of {table.path} beside it")
        reason = f"the spread of the rows of {table.path}, which it is added to: neither drowns the other"
        shape = parameter.shape
        kernel = parameter.kernel or KernelShape(shape[0], math.prod(shape[1:]))
        return drawn(replace(parameter, kernel=kernel), "pytorch_embedding", reason, gain=gain * spread)

    def _weight(self, parameter: Parameter, gain: float) -> Assignment:
        """The smallest spread that any of its uses asks for."""
        kernel = parameter.kernel
        # A table that is tied to a layer is drawn for the layer, which sums; reading rows does not.
        nodes = [n for n in weight_nodes(self.graph, parameter) if n.operation is not Operation.EMBEDDING]
        uses = [weight_target(self, parameter, node) for node in nodes]
        if kernel is None or not uses:
            reason = "unit level to unit level: no operation that was seen uses it as a weight"
            return drawn(parameter, "normal", reason, gain=gain)
        steady = [use for use, node in zip(uses, nodes, strict=True) if self._reads_itself(node, nodes)]
        target = min(steady or uses, key=lambda use: use.gain)
        mirror = self.mirroring.mirror(nodes[0].index)
        if mirror is not None:
            return self._mirrored(parameter, nodes[0], target, mirror, gain)
        is_matrix = kernel.receptive == kernel.groups == 1
        scheme = "orthogonal" if target.orthogonal and is_matrix else "normal"
        told = "the steady state" if steady else "the strictest"
        reason = target.reason if len(uses) == 1 else f"{told} of {len(uses)} uses: {target.reason}"
        if target.centred:
            scheme, reason = f"centred_{scheme}", f"{reason}; {_SUMS}"
        elif is_matrix and parameter.blocks == 1 and kernel.out > 1 and self._is_table(parameter):
            scheme, reason = "centred_outputs", f"{reason}; {_ROWS}"
        free = free_spread(parameter, self.standing) if parameter.role is Role.BEFORE_NORM else None
        if free is not None:
            return drawn(
                parameter, scheme, f"{_FREE}; {self.levels.arriving(nodes[0].index).reason}", spread=free * gain
            )
        assignment = drawn(parameter, scheme, reason, gain=gain, spread=target.gain / math.sqrt(kernel.fan_in))
        return replace(assignment, level=target.level * gain**2)

    def _mirrored(
        self, parameter: Parameter, node: Node, target: WeightTarget, mirror: Mirror, gain: float
    ) -> Assignment:
        """A weight whose rows, columns or both stand in opposite pairs."""
        kernel = parameter.kernel
        assert kernel is not None
        told = [told for told, pairing in ((_OPPOSITE, mirror.outputs), (_AGAINST, mirror.inputs)) if pairing]
        reason = f"{target.reason}; {' and '.join(told)}"
        if why := self.mirroring.why.get(node.index):
            reason += f" ({why})"
        short = kernel.receptive == 1 and not self.levels.isometry_pays(node.index, kernel)
        scheme = "normal" if short else self._half(node, mirror.half(kernel))
        spread = target.gain / math.sqrt(kernel.fan_in)
        assignment = drawn(parameter, scheme, reason, gain=gain, spread=spread, mirror=mirror)
        return replace(assignment, level=target.level * gain**2)

    def _half(self, node: Node, half: KernelShape) -> str:
        """Return the scheme that draws half of a mirrored weight: an isometry where one exists."""
        if self.halves == "normal" or half.overlap is not None:
            return "normal"
        strided = any(name.startswith("stride") and step > 1 for name, step in node.settings)
        keeps = half.receptive > 1 and half.out >= half.in_ and not strided and not self.levels.reads_input(node.index)
        return "delta_orthogonal" if self.halves == "centre_tap" and keeps else "orthogonal"

    def _reads_itself(self, node: Node, uses: Sequence[Node]) -> bool:
        """Report whether a use of a weight reads the output of another use; in a loop such uses set the spread."""
        incoming = self.levels.around[node.index].incoming
        return incoming.origin == "weight" and any(incoming.node == use.index for use in uses)

    def _is_table(self, parameter: Parameter) -> bool:
        """Whether tokens pick its rows too: an embedding that is tied to a layer."""
        nodes = weight_nodes(self.graph, parameter)
        return any(n.operation is Operation.EMBEDDING and n.from_input for n in nodes)

    def _sets_frequencies(self, parameter: Parameter) -> bool:
        """Whether it maps the input to the arguments of sines: any scale is as sound, and means another model."""
        nodes = weight_nodes(self.graph, parameter) if parameter.role.is_kernel else ()
        return bool(nodes) and all(self.levels.reads_input(n.index) and self.levels.feeds_waves(n.index) for n in nodes)

    def _budget(self, scale: Parameter) -> Budget:
        """The smallest share that a normalisation's scale ends a branch with."""
        found = (self.budgets[index] for index in scale.nodes if index in self.budgets)
        return min(found, key=lambda budget: budget.level, default=Budget())
