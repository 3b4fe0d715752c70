"""Profiles made by hand: what a measurement of a small network would hold, figure by figure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

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
from gainstage.records import (
    InputFacts,
    LossFacts,
    LossShape,
    Moments,
    NodeProfile,
    OptimizerFacts,
    OutputFacts,
    ParameterProfile,
    Profile,
    Reactions,
    Source,
    Step,
    TargetFacts,
    Task,
    UnitStats,
    Wiring,
)

__all__ = ["EXAMPLES", "WIDTH", "Net", "chain", "mlp", "moments", "regression", "residual", "with_task"]

EXAMPLES, WIDTH, CLASSES = 64, 64, 10


def moments(rms: float, count: int = 4096, share: float | None = None, extreme: float = 4.0) -> Moments:
    """Of a centred tensor of this root mean square, with extremes of so many times that."""
    bad = 0 if math.isfinite(rms) else count
    return Moments(count, 0.0, rms**2, rms**2, bad, -extreme * rms, extreme * rms, share)


def with_norm(norm: float, count: int) -> Moments:
    """Of a centred tensor of this Euclidean norm."""
    return moments(norm / math.sqrt(count), count)


class Net:
    """Grows a network and its measurement together; every method returns the node it added.

    Healthy unless told otherwise: levels and gradient norms of one, He's spread, examples that differ.
    """

    def __init__(self, examples: int = EXAMPLES, width: int = WIDTH, dtype: str = "float32") -> None:
        self.examples, self.dtype = examples, dtype
        self.nodes: list[Node] = []
        self.at: dict[int, NodeProfile] = {}
        self.parameters: dict[str, Parameter] = {}
        self.measured: dict[str, ParameterProfile] = {}
        self.last = self.put(Operation.INPUT, "input", inputs=(), shape=(examples, width))

    def put(
        self,
        operation: Operation,
        name: str,
        *,
        inputs: Iterable[int] | None = None,
        shape: tuple[int, ...] | None = None,
        level: float | None = None,
        gradient: float | None = 1.0,
        share: float | None = 0.9,
        units: UnitStats | None = None,
        **fields: object,
    ) -> int:
        """Any node; measured where it has a level (root mean square) and a gradient (Euclidean norm)."""
        index = len(self.nodes)
        sources = (self.last,) if inputs is None else tuple(inputs)
        shape = shape or self.nodes[sources[0]].shape
        self.nodes.append(Node(index, operation, name, sources, shape, example_axis=0, **fields))  # type: ignore[arg-type]
        if level is not None:
            count = math.prod(shape)
            stats = units or UnitStats(shape[-1], count // shape[-1], self.examples, example_correlation=0.1)
            backward = None if gradient is None else with_norm(gradient, count)
            self.at[index] = NodeProfile(index, moments(level, count, share), backward, stats)
        self.last = index
        return index

    def parameter(self, path: str, shape: tuple[int, ...], node: int, values: Moments, **measured: object) -> None:
        """One parameter with its measurement; ``gradient`` as ``Moments``."""
        known = self.parameters.get(path)
        nodes = (*(known.nodes if known else ()), node)
        trainable = bool(measured.pop("trainable", True))
        kernel = measured.pop("kernel", None)
        self.parameters[path] = Parameter(
            path, shape, self.dtype, kernel=kernel, trainable=trainable, nodes=nodes  # type: ignore[arg-type]
        )  # fmt: skip
        self.measured[path] = ParameterProfile(path, values, **measured)  # type: ignore[arg-type]

    def linear(
        self,
        path: str,
        out: int = WIDTH,
        *,
        spread: float | None = None,
        gain: float = math.sqrt(2),
        level: float = 1.0,
        gradient: float | None = 1.0,
        relative: float | None = None,
        update: float | None = 1e-3,
        source: int | None = None,
        copies: int = 0,
        constant: bool = False,
        trainable: bool = True,
        share: float | None = 0.9,
        units: UnitStats | None = None,
    ) -> int:
        """A layer without bias; ``relative`` is ‖g‖ / ‖w‖, by default a hundredth of the gradient's norm."""
        source = self.last if source is None else source
        fan_in = self.nodes[source].shape[-1]
        kernel = KernelShape(out, fan_in)
        spread = gain / math.sqrt(fan_in) if spread is None else spread
        node = self.put(
            Operation.LINEAR, "addmm", inputs=(source,), shape=(*self.nodes[source].shape[:-1], out), level=level,
            gradient=gradient, share=share, units=units, path=path, kernel=kernel,
            uses=(Use(f"{path}.weight", "weight", (DerivationStep.TRANSPOSE,)),),
        )  # fmt: skip
        norm = spread * math.sqrt(kernel.size)
        size = 0.01 * gradient if relative is None and gradient is not None else relative
        found = None if size is None else with_norm(size * (norm or 1.0), kernel.size)
        self.parameter(
            f"{path}.weight", (out, fan_in), node, moments(spread, kernel.size), gradient=found, update=update,
            copies=copies, constant=constant, trainable=trainable, kernel=kernel,
        )  # fmt: skip
        return node

    def activation(self, function: str = "relu", *, level: float = 0.7, **stats: object) -> int:
        """An elementwise function; keywords go to its ``UnitStats``."""
        units = self.nodes[self.last].shape[-1]
        known = {"example_correlation": 0.3, **stats}
        found = UnitStats(units, self.examples, self.examples, **known)  # type: ignore[arg-type]
        return self.put(
            Operation.ACTIVATION,
            function,
            function=function,
            level=level,
            units=found,
            path=f"{function}{len(self.nodes)}",
        )

    def norm(
        self, path: str, function: str = "layer_norm", *, scale: float = 1.0, spread: float | None = None,
        gradient: float | None = 1e-2, training: bool = True, **stats: object,
    ) -> int:  # fmt: skip
        """A normalisation with a scale; its output has that spread unless told otherwise."""
        width = self.nodes[self.last].shape[-1]
        units = UnitStats(width, self.examples, self.examples, example_correlation=0.0, **stats)  # type: ignore[arg-type]
        node = self.put(
            Operation.NORMALIZATION, function, function=function, path=path, level=scale if spread is None else spread,
            units=units, uses=(Use(f"{path}.weight", "scale"),),
            settings=(("eps", 1e-5), ("training", float(training))),
        )  # fmt: skip
        found = None if gradient is None else with_norm(gradient, width)
        self.parameter(f"{path}.weight", (width,), node, moments(scale, width), gradient=found, constant=True)
        return node

    def add(self, first: int, second: int, **fields: object) -> int:
        """A sum of two signals."""
        return self.put(Operation.ADD, "add", inputs=(first, second), level=1.0, **fields)  # type: ignore[arg-type]

    def profile(self, *, kind: str = "cross_entropy", backward: bool = True, **facts: object) -> Profile:
        """The whole, with a loss at chance behind the last node, labels and an optimizer."""
        output = self.last
        shape = self.nodes[output].shape
        self.nodes.append(Node(len(self.nodes), Operation.LOSS, kind, (output,), (), function=kind, stage="loss"))
        loss = len(self.nodes) - 1
        graph = SignalGraph(tuple(self.nodes), tuple(self.parameters.values()), (0,), (output,), loss)
        uniform = math.log(shape[-1]) if shape[-1] > 1 else math.log(2)
        task = Task(
            (InputFacts(self.nodes[0].shape, "values", mean=0.0, spread=1.0, minimum=-3.0, maximum=3.0,
                        feature_spread=(0.9, 1.0, 1.1), feature_mean=(-0.2, 0.2), features=self.nodes[0].shape[-1]),),
            TargetFacts((self.examples,), "classes", 0, shape[-1] - 1, (shape[-1] - 1) / 2, 2.9, shape[-1],
                        uniform - 0.05),
            OutputFacts(output, shape, shape[-1], "", -1.0, 1.0, 0.0, 0.3, 0.3),
            LossFacts(kind, uniform + 0.05, loss, "log_softmax", uniform - 0.05, uniform),  # type: ignore[arg-type]
            OptimizerFacts("SGD", (0.1,)),
            self.examples,
            loss_shape=LossShape(8, uniform + 0.05, 0.0, None, 1.0, 1.0, towards=1.0, responds=0.8, own_rank=1.0),
        )  # fmt: skip
        source = Source("measured", "torch", dtype=self.dtype, batch=self.nodes[0].shape, seed=0)
        whole = Profile(
            assign_roles(graph), tuple(self.at[i] for i in sorted(self.at)), tuple(self.measured.values()),
            task, source, Step(-0.01, 0.002, uniform + 0.04), backward=backward,
            reactions=Reactions(8, leak=0.0), wiring=Wiring(held=len(self.parameters)),
        )  # fmt: skip
        return dataclasses.replace(whole, **facts)  # type: ignore[arg-type]


def chain(
    depth: int = 8,
    *,
    function: str = "relu",
    level: Callable[[int], float] = lambda _: 1.0,
    gradient: Callable[[int], float] = lambda _: 1.0,
    share: Callable[[int], float | None] = lambda _: 0.9,
    norm: str = "",
    **layer: object,
) -> Net:
    """Hidden layers ``layers.0`` … and a head, with figures by the number of the layer."""
    net = Net()
    for i in range(depth):
        net.linear(f"layers.{i}", level=level(i), gradient=gradient(i), share=share(i), **layer)  # type: ignore[arg-type]
        if norm:
            net.norm(f"norms.{i}", norm)
        net.activation(function)
    net.linear("head", CLASSES, gain=0.3, level=0.3, gradient=gradient(depth), share=share(depth))
    return net


def mlp() -> Profile:
    """A healthy network of three hidden layers."""
    return chain(3).profile()


def residual(depth: int = 4, *, branch_scale: float = 1.0, before: str = "") -> Net:
    """Pre-norm blocks whose last scale may start at zero; ``before`` puts one more norm at zero into the stream."""
    net = Net()
    stream = net.linear("stem")
    shut = branch_scale == 0
    for i in range(depth):
        net.linear(f"blocks.{i}.first", source=stream, gradient=0.0 if shut else 1.0)
        net.activation()
        net.linear(f"blocks.{i}.second", gradient=0.0 if shut else 1.0)
        branch = net.norm(f"blocks.{i}.norm", scale=branch_scale)
        stream = net.add(stream, branch)
    if before:
        net.norm(before, scale=0.0, gradient=0.0)
    net.linear("head", CLASSES, gain=0.3, level=0.3)
    return net


def regression(
    function: str = "", *, mean: float = 0.0, spread: float = 1.0, shape: tuple[int, ...] = (EXAMPLES, 1)
) -> Profile:
    """A network of one output and a squared error, with an activation at the end where one is named."""
    net = Net()
    net.linear("hidden")
    net.activation()
    net.linear("head", 1, gain=0.5, level=0.4)
    if function:
        net.put(Operation.ACTIVATION, function, function=function, path="last", level=0.4)
    whole = net.profile(kind="mse")
    low, high = mean - 3 * spread, mean + 3 * spread
    value = spread**2 + mean**2 + 0.16
    return with_task(
        dataclasses.replace(whole, step=Step(-0.01, 0.002, value - 0.009)),
        target=TargetFacts(shape, "values", low, high, mean, spread),
        output=dataclasses.replace(output_of(whole), function=function, spread_within=None),
        loss=LossFacts("mse", value, whole.graph.loss, "", spread**2, None),
        loss_shape=LossShape(8, value, 0.0, None, 1.0, 1.0, towards=1.0, responds=0.9, correlation=0.99),
    )


def output_of(profile: Profile) -> OutputFacts:
    """The facts about the output."""
    assert profile.task.output is not None
    return profile.task.output


def loss_of(profile: Profile) -> LossFacts:
    """The facts about the loss."""
    assert profile.task.loss is not None
    return profile.task.loss


def with_task(profile: Profile, **facts: object) -> Profile:
    """The same measurement with other facts about the task."""
    return dataclasses.replace(profile, task=dataclasses.replace(profile.task, **facts))  # type: ignore[arg-type]


def role_of(profile: Profile, path: str) -> Role:
    """What a parameter was found to be for."""
    return profile.graph.parameter(path).role
