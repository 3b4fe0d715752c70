"""Graphs made by hand."""

from __future__ import annotations

import pytest

from gainstage.graph import KernelShape, Node, Operation, Parameter, SignalGraph, Use, assign_roles, fuse

WIDTH = 8
SHAPE = (4, WIDTH)


class Sketch:
    """Grows a graph node by node; every method returns the new node's index."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.parameters: dict[str, Parameter] = {}
        self.input = self.add(Operation.INPUT, "input")

    def add(self, operation: Operation, name: str, *inputs: int, **fields: object) -> int:
        index = len(self.nodes)
        fields.setdefault("shape", SHAPE)
        fields.setdefault("from_input", not inputs or any(self.nodes[i].from_input for i in inputs))
        self.nodes.append(Node(index, operation, name, inputs, **fields))
        return index

    def use(self, index: int, *uses: Use, kernel: KernelShape | None = None) -> int:
        for use in uses:
            old = self.parameters.get(use.parameter)
            nodes = (*(old.nodes if old else ()), index)
            self.parameters[use.parameter] = Parameter(use.parameter, SHAPE, "float32", kernel=kernel, nodes=nodes)
        return index

    def linear(self, source: int, path: str, groups: int = 1) -> int:
        use, kernel = Use(path, "weight"), KernelShape(WIDTH, WIDTH, groups=groups)
        operation = Operation.LINEAR if groups == 1 else Operation.CONVOLUTION
        return self.use(self.add(operation, "addmm", source, uses=(use,), kernel=kernel), use, kernel=kernel)

    def act(self, source: int, function: str = "relu") -> int:
        return self.add(Operation.ACTIVATION, function, source, function=function)

    def plus(self, first: int, second: int, **fields: object) -> int:
        return self.add(Operation.ADD, "add", first, second, **fields)

    def less(self, first: int, second: int) -> int:
        return self.add(Operation.ADD, "sub", first, second, settings=(("second", -1.0),))

    def over(self, first: int, second: int) -> int:
        return self.add(Operation.MULTIPLY, "div", first, second, settings=(("divide", 1.0),))

    def times(self, first: int, second: int) -> int:
        return self.add(Operation.MULTIPLY, "mul", *dict.fromkeys((first, second)))

    def norm(self, source: int) -> int:
        return self.add(Operation.NORMALIZATION, "layer_norm", source, function="layer_norm")

    def reduce(self, source: int, name: str = "mean") -> int:
        return self.add(Operation.REDUCTION, name, source, function=name, shape=(4, 1))

    def affine(self, source: int, path: str, operation: Operation) -> int:
        use = Use(path, "scale" if operation is Operation.SCALE else "bias")
        return self.use(self.add(operation, "mul", source, uses=(use,)), use)

    def offset(self, source: int) -> int:
        return self.add(Operation.OFFSET, "add", source)

    def scale(self, source: int) -> int:
        return self.add(Operation.SCALE, "mul", source)

    def pass_(self, source: int, operation: Operation) -> int:
        return self.add(operation, str(operation), source)

    def graph(self, *outputs: int) -> SignalGraph:
        last = outputs or (len(self.nodes) - 1,)
        return SignalGraph(tuple(self.nodes), tuple(self.parameters.values()), (self.input,), last)

    def roles(self, *outputs: int) -> dict[str, str]:
        return {p.path: str(p.role) for p in assign_roles(fuse(self.graph(*outputs))).parameters}


@pytest.fixture
def sketch() -> Sketch:
    return Sketch()
