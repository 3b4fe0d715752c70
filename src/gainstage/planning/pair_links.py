"""Whose units may stand in mirrored pairs, by the shape of the graph alone.

A *link* is one weight, the elementwise way behind it, and the weights that read that. Its units can be paired when
every reader weights them one by one and what stands between treats the two of a pair alike.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from gainstage.graph import Node, Operation, Pairing, Parameter, Role, SignalGraph
from gainstage.graph.groups import MIXING
from gainstage.planning.assign import must_keep
from gainstage.propagation import leaves_values
from gainstage.propagation.composed import Functions, is_scalar
from gainstage.theory import Activation

__all__ = ["Link", "pair_links"]

_PER_UNIT = frozenset({Operation.DROPOUT, Operation.POOLING, Operation.RESAMPLE})
_OVER_PLACES = frozenset({"mean", "sum", "max"})
_PAIRED_ROLES = frozenset({Role.HIDDEN, Role.BEFORE_NORM})
_READING_ROLES = _PAIRED_ROLES | {Role.HEAD}
_VIEWS = frozenset({"", "pad", "pad_edges", "repeat"})


@dataclass(frozen=True, slots=True)
class Link:
    """Units that can be paired.

    Args:
        start: the node that makes them.
        path: of its weight.
        outputs: the pairs among its outputs.
        readers: the pairs among the inputs of every node that reads them.
        function: the activation in between.
        normalised: the normalisation before it; empty where there is none.
        fault: why the units are not to be paired; empty where they may be.
    """

    start: int
    path: str
    outputs: Pairing = field(default=Pairing(2))
    readers: Mapping[int, Pairing] = field(default_factory=dict)
    function: Activation | None = None
    normalised: str = ""
    fault: str = ""


def pair_links(graph: SignalGraph, settable: Container[str]) -> Mapping[int, Link]:
    """The links of all hidden weights, by the node that makes the units; those that the graph does not allow say why.

    Args:
        graph: the model.
        settable: paths of the parameters that the recipe decides.

    >>> from gainstage.graph import KernelShape, Use
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 4)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 6), uses=(Use("a", "weight"),), kernel=KernelShape(6, 4)),
    ...     Node(2, Operation.ACTIVATION, "tanh", (1,), (8, 6), function="tanh"),
    ...     Node(3, Operation.LINEAR, "linear", (2,), (8, 2), uses=(Use("b", "weight"),), kernel=KernelShape(2, 6)),
    ... )
    >>> weights = (
    ...     Parameter("a", (6, 4), "float32", Role.HIDDEN, KernelShape(6, 4), nodes=(1,)),
    ...     Parameter("b", (2, 6), "float32", Role.HEAD, KernelShape(2, 6), nodes=(3,)),
    ... )
    >>> pair_links(SignalGraph(nodes, weights, (0,), (3,)), settable=("a", "b"))[1].outputs
    Pairing(units=6, places=1)
    """
    functions = Functions(graph)
    found: dict[int, Link] = {}
    for node in graph.weighted():
        owner = _owner(graph, node)
        if node.operation in MIXING and owner is not None and owner.role in _PAIRED_ROLES:
            walk = _Walk(graph, settable, functions, node, owner)
            found[node.index] = walk.link()
    return found


def _owner(graph: SignalGraph, node: Node) -> Parameter | None:
    """The weight of a node; None where it is made of several, or of none."""
    uses = node.uses_of("weight")
    return graph.parameter(uses[0].parameter) if len(uses) == 1 else None


class _Refused(Exception):  # noqa: N818
    """Raised with the reason why units cannot be paired."""


class _Walk:
    """The way from one weight to all that reads it."""

    def __init__(
        self, graph: SignalGraph, settable: Container[str], functions: Functions, start: Node, owner: Parameter
    ) -> None:
        self.graph, self.settable, self.functions = graph, settable, functions
        self.start, self.owner = start, owner
        self.ways: dict[int, tuple[Node, ...]] = {}
        self.normalised = ""

    def link(self) -> Link:
        """The link, or why there is none."""
        link = Link(self.start.index, self.owner.path)
        try:
            self._require_weight(self.start, self.owner)
            self._follow(self.start, (), activated=False)
            function = self._function()
            outputs, readers = self._pairings()
        except _Refused as refused:
            return replace(link, fault=str(refused))
        return replace(link, outputs=outputs, readers=readers, function=function, normalised=self.normalised)

    def _require_weight(self, node: Node, weight: Parameter) -> None:
        """Refuse a weight that is not the recipe's own, or not used once and as it is."""
        told = f"'{weight.path}'"
        if weight.path not in self.settable or must_keep(weight) is not None:
            raise _Refused(f"{told} is not drawn anew")
        if len(weight.nodes) > 1 or weight.aliases:
            raise _Refused(f"{told} is used more than once")
        if weight.blocks > 1 or not leaves_values(node.uses_of("weight")[0]):
            raise _Refused(f"{told} is not the matrix that is multiplied with")
        for use in node.uses_of("bias"):
            self._require_set(use.parameter)

    def _require_set(self, path: str) -> None:
        parameter = self.graph.parameter(path)
        if parameter.path not in self.settable or must_keep(parameter) is not None:
            raise _Refused(f"'{parameter.path}' keeps its values")

    def _follow(self, node: Node, way: tuple[Node, ...], *, activated: bool) -> None:
        """Go on to all that reads a node.

        Args:
            node: where the way has come to.
            way: the activations and scalings on it.
            activated: whether an activation is among them.
        """
        if node.index in self.graph.outputs:
            raise _Refused("its units are an output of the model")
        readers = [self.graph.nodes[i] for i in self.graph.consumers[node.index]]
        if not readers:
            raise _Refused("nothing reads its units")
        for reader in readers:
            self._read(reader, node, way, activated)

    def _read(self, reader: Node, node: Node, way: tuple[Node, ...], activated: bool) -> None:
        if reader.operation in MIXING:
            self._require_reader(reader, node)
            if not activated:
                raise _Refused("no activation follows it")
            if reader.index in self.ways:
                raise _Refused(f"{reader.label} reads its units twice")
            self.ways[reader.index] = (*way, node)
            return
        if reader.stage == "loss" or not self._passes(reader, activated):
            raise _Refused(f"{reader.label} reads its units")
        on_way = reader.operation is Operation.ACTIVATION or is_scalar(reader)
        self._follow(
            reader, (*way, reader) if on_way else way, activated=activated or reader.operation is Operation.ACTIVATION
        )

    def _require_reader(self, reader: Node, node: Node) -> None:
        weight = _owner(self.graph, reader)
        if weight is None or weight.role not in _READING_ROLES:
            what = "several weights" if weight is None else f"a weight of the role '{weight.role}'"
            raise _Refused(f"{what} of {reader.label} reads its units")
        if reader.setting("unordered"):
            raise _Refused(f"{reader.label} reads its units in another order")
        if node.index not in reader.inputs:
            raise _Refused(f"{reader.label} reads more than its units")
        self._require_weight(reader, weight)

    def _passes(self, node: Node, activated: bool) -> bool:
        """Report whether a node treats both units of a pair alike."""
        match node.operation:
            case Operation.ACTIVATION:
                return node.function != "glu"
            case Operation.NORMALIZATION:
                if activated:
                    return False  # the two of a pair are no longer opposite, and have statistics of their own
                for use in (*node.uses_of("scale"), *node.uses_of("shift")):
                    self._require_set(use.parameter)
                self.normalised = node.function
                return True
            case Operation.SCALE:
                return is_scalar(node)
            case Operation.OFFSET:
                for use in node.uses:
                    self._require_set(use.parameter)
                return bool(node.uses_of("bias")) and len(node.uses) == len(node.uses_of("bias")) and not activated
            case Operation.RESHAPE:
                return node.function in _VIEWS
            case Operation.REDUCTION:
                return node.function in _OVER_PLACES
            case _:
                return node.operation in _PER_UNIT

    def _function(self) -> Activation:
        """The function on all ways.

        Raises:
            _Refused: there are several, or it is not known.
        """
        chains = [
            [n for n in way[:-1] if n.operation is Operation.ACTIVATION or is_scalar(n)] for way in self.ways.values()
        ]
        found = {self.functions.signature(*chain): self.functions.of(*chain) for chain in chains}
        if len(found) != 1:
            raise _Refused("what reads its units sees different functions of them")
        function = next(iter(found.values()))
        if function is None:
            raise _Refused(f"the function {chains[0][-1].label} is not known")
        return function

    def _pairings(self) -> tuple[Pairing, dict[int, Pairing]]:
        """Return the pairing of units, for the weight that produces them and for all weights that read them."""
        made, kernel = self.start.kernel, {i: self.graph.nodes[i].kernel for i in self.ways}
        if made is None or None in kernel.values():
            raise _Refused("the geometry of a weight is not known")
        units, sets = made.out, made.out // made.groups
        places, inside = 1, {}
        for index, way in self.ways.items():
            reader = kernel[index]
            read = reader.in_ if reader is not None else 0
            groups = reader.groups if reader is not None else 1
            if read and units % read == 0 and read < units:  # a vector becomes an image
                places = units // read if self._channels_first(index) else 1
                sets = math.gcd(sets, read) if places == 1 else math.gcd(sets // places, read)
                units = read
            elif read % units:
                raise _Refused(f"{self.graph.nodes[index].label} reads more than its units")
            inside[index] = self._inner(way[-1], units, read)
            sets = math.gcd(sets, units // groups if read == units else units)
            if groups > 1 and read != units:
                raise _Refused("a grouped weight reads its units as places")
        if sets < 2:
            raise _Refused("no pair of its units lies inside one group")
        return Pairing(sets, places), {index: Pairing(sets, inner) for index, inner in inside.items()}

    def _channels_first(self, index: int) -> bool:
        node = self.graph.nodes[index]
        return node.unit_axis is not None and node.unit_axis < len(node.shape) - 1

    def _inner(self, node: Node, units: int, read: int) -> int:
        """Return how many neighbouring inputs of a reader belong to one unit, as after flattening an image."""
        places = read // units
        axis = node.unit_axis
        if places == 1:
            return 1
        if axis is None or node.shape[axis] != units:
            raise _Refused("where its units lie in what is flattened is not known")
        inner = math.prod(node.shape[axis + 1 :])
        outer = math.prod(node.shape[:axis])
        if places % inner or outer % (places // inner):
            raise _Refused("where its units lie in what is flattened is not known")
        return inner
