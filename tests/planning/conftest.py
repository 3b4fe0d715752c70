"""Small graphs made by hand: what a backend would record, without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gainstage.graph import (
    DerivationStep,
    KernelShape,
    Node,
    Operation,
    Parameter,
    Role,
    SignalGraph,
    Use,
    assign_roles,
)

WIDTH = 64


class Sketch:
    """Grows a graph node by node; ``graph`` is the finished one, roles assigned."""

    def __init__(self, width: int = WIDTH) -> None:
        self.width = width
        self.nodes: list[Node] = []
        self.parameters: dict[str, Parameter] = {}
        self.input = self.add(Operation.INPUT, "input")

    def add(self, operation: Operation, name: str, *inputs: int, **fields: object) -> int:
        index = len(self.nodes)
        self.nodes.append(Node(index, operation, name, inputs, (8, self.width), **fields))
        return index

    def parameter(self, path: str, shape: tuple[int, ...], index: int, **fields: object) -> None:
        known = self.parameters.get(path)
        nodes = (*(known.nodes if known else ()), index)
        self.parameters[path] = Parameter(path, shape, "float32", nodes=nodes, **fields)

    def linear(
        self, source: int, path: str, out: int | None = None, *, bias: bool = True, trainable: bool = True
    ) -> int:
        out = out or self.width
        uses = (Use(f"{path}.weight", "weight"), *([Use(f"{path}.bias", "bias")] if bias else []))
        kernel = KernelShape(out, self.width)
        index = self.add(Operation.LINEAR, "addmm", source, path=path, uses=uses, kernel=kernel)
        self.parameter(f"{path}.weight", (out, self.width), index, kernel=kernel, trainable=trainable)
        if bias:
            self.parameter(f"{path}.bias", (out,), index, trainable=trainable)
        return index

    def activation(self, source: int, function: str, **settings: float) -> int:
        return self.add(Operation.ACTIVATION, function, source, function=function, settings=tuple(settings.items()))

    def norm(
        self, source: int, path: str, function: str = "layer_norm", *, derivation: tuple[DerivationStep, ...] = ()
    ) -> int:
        uses = (Use(f"{path}.weight", "scale", derivation), Use(f"{path}.bias", "shift"))
        index = self.add(Operation.NORMALIZATION, function, source, path=path, uses=uses, function=function)
        self.parameter(f"{path}.weight", (self.width,), index)
        self.parameter(f"{path}.bias", (self.width,), index)
        return index

    def embedding(self, source: int | None, path: str, rows: int = 100) -> int:
        kernel = KernelShape(self.width, rows)
        index = self.add(
            Operation.EMBEDDING, "embedding", *(() if source is None else (source,)), path=path,
            uses=(Use(f"{path}.weight", "weight"),), kernel=kernel, from_input=source is not None,
        )  # fmt: skip
        self.parameter(f"{path}.weight", (rows, self.width), index, kernel=kernel, layout="in_out")
        return index

    def plain(self, depth: int, function: str, *, bias: bool = True, out: int = 10) -> Sketch:
        """A perceptron of ``depth`` hidden layers."""
        here = self.input
        for index in range(depth):
            here = self.activation(self.linear(here, f"layers.{index}", bias=bias), function)
        self.linear(here, "head", out)
        return self

    @property
    def graph(self) -> SignalGraph:
        outputs = (len(self.nodes) - 1,)
        return assign_roles(SignalGraph(tuple(self.nodes), tuple(self.parameters.values()), (0,), outputs))

    def with_parameter(self, parameter: Parameter) -> SignalGraph:
        """The finished graph and one more parameter."""
        graph = self.graph
        return SignalGraph(graph.nodes, (*graph.parameters, parameter), graph.inputs, graph.outputs)


@pytest.fixture
def sketch() -> Callable[..., Sketch]:
    """The maker of graphs."""
    return Sketch


@pytest.fixture
def lstm() -> SignalGraph:
    """Two layers of an LSTM with two biases each."""
    paths, parameters = [], []
    for layer in (0, 1):
        for name, slot, role in (
            ("weight_ih", "weight", Role.RECURRENT_INPUT), ("weight_hh", "state", Role.RECURRENT),
            ("bias_ih", "bias", Role.RECURRENT_BIAS), ("bias_hh", "bias", Role.RECURRENT_BIAS),
        ):  # fmt: skip
            path = f"{name}_l{layer}"
            paths.append(Use(path, slot))
            weight = (
                {"shape": (64, 16), "kernel": KernelShape(16, 16), "blocks": 4} if slot != "bias" else {"shape": (64,)}
            )
            parameters.append(Parameter(path, dtype="float32", role=role, nodes=(1,), **weight))
    nodes = (
        Node(0, Operation.INPUT, "input", (), (5, 2, 16)),
        Node(1, Operation.RECURRENT, "lstm", (0,), (5, 2, 16), uses=tuple(paths), function="lstm"),
    )
    return SignalGraph(nodes, tuple(parameters), (0,), (1,))
