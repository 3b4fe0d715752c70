"""SignalGraph represents a model as the operations that its signal passes through, and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from gainstage.errors import UnknownNameError
from gainstage.graph.derivation import DerivationStep
from gainstage.graph.kernel import KernelShape
from gainstage.graph.operation import Operation, Role

__all__ = ["Layout", "Node", "Parameter", "SignalGraph", "Slot", "Stage", "Use"]

Slot = Literal["weight", "bias", "scale", "shift", "state", "operand"]
"""What a node does with a parameter.

``operand`` is any use other than the four usual ones and a recurrent ``state``.
"""

Stage = Literal["model", "loss"]

Layout = Literal["out_in", "in_out"]
"""Which axis a framework stores first; meaningful to backends only."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a parameter by one node.

    Args:
        parameter: the parameter's path.
        slot: what the node does with it.
        derivation: the steps from the parameter to the operand that the node received, in order; empty when the
            parameter is used as it is. A normalised weight has ``(DerivationStep.SCALE, DerivationStep.DIVIDE)``.
    """

    parameter: str
    slot: Slot
    derivation: tuple[DerivationStep, ...] = ()

    @property
    def changes(self) -> tuple[DerivationStep, ...]:
        """Return the steps that change the parameter's values, each once; empty where the parameter is used unchanged.

        >>> Use("weight", "weight", (DerivationStep.SCALE, DerivationStep.TRANSPOSE)).changes
        (<DerivationStep.SCALE: 'multiplication'>,)
        """
        return tuple(step for step in dict.fromkeys(self.derivation) if not step.moves)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation, in the normal form that all backends write.

    ``operation``, ``function`` and ``settings`` together say what the node computes; nothing is decided by ``name``.
    What ``function`` holds depends on the operation:

    =============  ====================================================================================================
    activation     a name in the table of activations, or the function's usual name (``rsqrt``)
    normalization  ``batch_norm``, ``layer_norm``, ``group_norm``, ``instance_norm``, ``rms_norm``, ``unit_norm``
    reduction      ``mean``, ``sum``, ``max``, ``min``, ``var``, ``std``, ``norm``, ``logsumexp``, …
    reshape        ``slice``: some elements, in order; ``gather``: elements picked by index; ``reorder``: rolled,
                   flipped or sorted; ``pad``: zeros or a constant around; ``pad_edges``: the signal's own values
                   around; ``repeat``; ``depth_to_space``: channels become places; empty: all others
    resample       ``nearest``, ``linear``, ``cubic``
    pooling        ``max``, ``average``
    embedding      ``bag_mean``, ``bag_sum``, ``bag_max`` over the rows of an example; empty: one row a token
    =============  ====================================================================================================

    ``settings`` holds numbers by name. A setting that is absent has its default, given in brackets:

    ====================  =============================================================================================
    add, offset           ``first``, ``second``: factors of both operands (1), −1 where one is subtracted; in an offset
                          the signal is the first one. ``other``: a number that is added. ``blended``: 1 where a third
                          operand says how much of each there is
    multiply, scale       ``divide``: 1 where the second operand divides; ``other``: the number that multiplies
    normalization         ``eps``; ``training``: 0 where stored statistics are used; ``groups``: parts of the units,
                          with a statistic each (1); ``over_positions``: 1 where all positions of an example share it
    recurrent             ``directions``: 2 where every layer also reads the sequence from its end (1)
    resample              ``antialias``: 1 where windows widen when an image shrinks
    activation            the function's own: ``negative_slope``, ``alpha``, ``exponent``, …
    dropout               ``p``: the share that is dropped
    reshape               of a ``slice``: ``axis``, ``start``, ``stop``, and ``size`` of the axis before; ``chosen``: 1
                          where the input decides which elements a ``gather`` takes
    softmax, concatenate  ``axis``
    linear, convolution   ``unordered``: 1 where the axis that is summed over does not run through the units of what is
                          read one after the other, as after a transposition
    convolution, pooling  ``size_0``, ``kernel_0``, ``stride_0``, ``padding_0``, ``dilation_0``, ``size_1``, …
    ====================  =============================================================================================

    Args:
        index: the node's place in the order of execution, by which ``inputs`` of later nodes refer to it.
        operation: the kind of operation, in the closed vocabulary.
        name: the framework's name of the operation, e.g. ``addmm``: a label for people.
        inputs: indices of the nodes whose outputs this node reads.
        shape: shape of the (first) output.
        path: the module that ran it, e.g. ``blocks.3.mlp.0``; empty for the model itself.
        uses: the parameters that the operation uses.
        kernel: the shape of the node's weight, where the operation is weighted.
        function: which activation, normalisation, pooling or loss the operation applies; see above.
        settings: numbers that the operation needs; see above.
        stage: whether the node belongs to the model or to the loss.
        example_axis: the output axis that runs over examples; None where the trace could not identify it.
        from_input: whether the node's value depends on the model's input.
        part_of: the later node of which this one is a step, where a hand-written function was recognised.
        unit_axis: the output axis that runs over units (channels, features); None where the trace could not identify
            it.
        called: what the framework itself calls the module, where that is another name.
    """

    index: int
    operation: Operation
    name: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    path: str = ""
    uses: tuple[Use, ...] = ()
    kernel: KernelShape | None = None
    function: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    stage: Stage = "model"
    example_axis: int | None = None
    from_input: bool = True
    part_of: int | None = None
    unit_axis: int | None = None
    called: str = ""

    def uses_of(self, slot: Slot) -> tuple[Use, ...]:
        """Return the uses that fill one slot."""
        return tuple(use for use in self.uses if use.slot == slot)

    def setting(self, name: str, default: float = 0.0) -> float:
        """Return the value of one setting; ``default`` where the setting is absent."""
        return next((value for known, value in self.settings if known == name), default)

    @property
    def coefficients(self) -> tuple[float, float]:
        """Return the factors of the first and the second operand of a sum: ``(1, -1)`` for a difference.

        >>> Node(2, Operation.ADD, "sub", (0, 1), (8,), settings=(("second", -1.0),)).coefficients
        (1.0, -1.0)
        """
        return self.setting("first", 1.0), self.setting("second", 1.0)

    @property
    def divides(self) -> bool:
        """Report whether the second operand of a product divides the first."""
        return self.setting("divide") == 1

    @property
    def label(self) -> str:
        """Return a name for people: the module path and the function or operation."""
        what = self.function or self.name
        return f"{self.path} ({what})" if self.path else what


@dataclass(frozen=True, slots=True)
class Parameter:
    """One trainable (or frozen) array of the model.

    Args:
        path: the parameter's first name in the model.
        shape: as the framework stores it.
        dtype: e.g. ``float32``.
        role: the parameter's purpose in the graph.
        kernel: the shape of ONE block, where the parameter is a weight.
        blocks: how many equal matrices are stacked along the output axis (3 for packed q, k, v; 4 for an LSTM).
        layout: which axis the framework stores first.
        trainable: whether the optimizer may change it.
        aliases: further names of the same parameter (tied weights).
        nodes: the nodes that use the parameter, in order of execution; empty when no operation of this run used it.
        magnitude_of: the path of the weight whose norm this parameter holds (weight normalisation).
        called: what the framework itself calls it, where that is another name (Keras: ``dense_1.kernel``).
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    role: Role = Role.OTHER
    kernel: KernelShape | None = None
    blocks: int = 1
    layout: Layout = "out_in"
    trainable: bool = True
    aliases: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    magnitude_of: str | None = None
    called: str = ""

    @property
    def reached(self) -> bool:
        """Report whether any operation of this run used the parameter."""
        return bool(self.nodes)


@dataclass(frozen=True)
class SignalGraph:
    """A model as the operations that its signal passes through, in order of execution.

    Args:
        nodes: all operations; ``nodes[i].index == i``.
        parameters: all parameters, in the model's own order.
        inputs: nodes that hold the model's inputs.
        outputs: nodes that the model returns; the loss reads the first one.
        loss: the node of the loss, when a loss was computed.
    """

    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    loss: int | None = None

    @cached_property
    def node_facts(self) -> dict[Any, Any]:
        """Return the results of ``once_per_graph`` that depend on the nodes alone, by function."""
        return {}

    @cached_property
    def graph_facts(self) -> dict[Any, Any]:
        """Return the results of ``once_per_graph`` that depend on nodes and parameters, by function."""
        return {}

    def with_parameters(self, parameters: tuple[Parameter, ...]) -> SignalGraph:
        """Return a graph of the same nodes with other parameters; both share the facts about the nodes."""
        made = replace(self, parameters=parameters)
        shared = ("node_facts", "consumers", "ends")
        made.__dict__.update({name: getattr(self, name) for name in shared})
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields only, so that copies and pickles compute derived properties anew."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def consumers(self) -> Mapping[int, tuple[int, ...]]:
        """Map every node to the nodes that read its output, without the steps of functions recognised as a whole."""
        readers: dict[int, list[int]] = {node.index: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs if node.part_of is None else ():
                readers[source].append(node.index)
        return MappingProxyType({index: tuple(dict.fromkeys(who)) for index, who in readers.items()})

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Return the first output, and each further output that no other node of the model reads.

        Without a loss, the backward pass starts at each of them.
        """
        further = (
            index
            for index in self.outputs[1:]
            if all(self.nodes[reader].stage == "loss" for reader in self.consumers[index])
        )
        return tuple(dict.fromkeys((*self.outputs[:1], *further)))

    @cached_property
    def called(self) -> Mapping[str, str]:
        """Map the path of a parameter or layer to the framework's own name, where the two differ."""
        names = {node.path: node.called for node in self.nodes if node.called}
        return MappingProxyType({**names, **{p.path: p.called for p in self.parameters if p.called}})

    @cached_property
    def by_path(self) -> Mapping[str, Parameter]:
        """Map every name of every parameter, aliases included, to the parameter."""
        names = {name: p for p in self.parameters for name in (p.path, *p.aliases)}
        return MappingProxyType(names)

    def parameter(self, path: str) -> Parameter:
        """Return the parameter with that name.

        Raises:
            UnknownNameError: no parameter has that name.
        """
        try:
            return self.by_path[path]
        except KeyError:
            raise UnknownNameError("parameter", path, self.by_path) from None

    def weighted(self, *, from_input: bool = True) -> Iterator[Node]:
        """Yield the nodes that mix units by a weight, in order of execution."""
        return (n for n in self.nodes if n.operation.weighted and n.stage == "model" and n.from_input >= from_input)

    @property
    def unreached(self) -> tuple[Parameter, ...]:
        """Return the parameters that no operation of this run used."""
        return tuple(p for p in self.parameters if not p.reached)
