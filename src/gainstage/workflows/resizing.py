"""Scaling with width and depth: signal, gradient and first update of every module."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.backends.load import building
from gainstage.errors import GainstageError, InputError, UnknownNameError
from gainstage.graph import Operation, Role, SignalGraph
from gainstage.planning import RateRule
from gainstage.propagation import first_updates, predicted_passes
from gainstage.records import Axis, ModuleScaling, Note, Quantity, Scaling, Trend
from gainstage.rules.scaling import judged
from gainstage.statistics import power_law
from gainstage.workflows.learning_rates import rate_rule
from gainstage.workflows.predicting import known_before
from gainstage.workflows.supplying import batch_of, default_loss
from gainstage.workflows.task import Loss, require_seed

__all__ = ["Rates", "scaling"]

Rates = Literal["same", "scaled"]
STREAM = "residual stream"


def scaling(
    build: Callable[..., Any],
    x: Any = None,
    y: Any = None,
    *,
    widths: Sequence[int] = (),
    depths: Sequence[int] = (),
    loss: Loss = None,
    input_shape: Sequence[int] | None = None,
    plan: str | None = None,
    optimizer: str = "adam",
    rates: Rates = "same",
    steps: int = 0,
    learning_rate: float = 1e-3,
    seeds: int = 3,
) -> Scaling:
    """Show what width and depth do to every module: level, gradient, first update, and whether a rate carries over.

    Theory predicts all of it at every size, on models without memory where ``plan`` draws the weights. With ``steps``
    the models are also built and trained on the batch, and the change of every output is measured. A module passes
    where no quantity changes by a factor of 2 when the size grows 8 times: the best learning rate then moves by less
    than one step of a grid of factors of 2.

    Args:
        build: from a size to a new model: called as ``build(width=…)``, ``build(depth=…)``, or with both where both
            are varied; the other is then at its first value.
        x, y, loss: a batch, labels and a loss, as in ``gs.check``. Without a loss random signs stand in for the
            gradient at the output.
        widths, depths: at least two sizes of one of them, in increasing order.
        input_shape: in place of ``x``: the shape of one input of values, with the batch.
        plan: the recipe or scheme that draws the weights (``mup``, ``complete_p``, ``he_normal``); by default they stay
            as ``build`` leaves them, which takes memory.
        optimizer: a name, as in ``gs.parameter_groups``.
        rates: ``same`` for all sizes and weights, or ``scaled``: by the factors of ``gs.parameter_groups``, relative to
            the smallest size.
        steps: of training on the batch, whose movement is measured; 0 trains nothing.
        learning_rate: of that training, at the smallest size.
        seeds: number of draws of the weights that are trained.

    Raises:
        InputError: fewer than two sizes, no input or too many, or steps without a loss.
        UnknownNameError: there is no scheme, loss or optimizer of that name.
        ModelError: a model's own code raised.

    Sources: Yang et al. 2022 (arXiv:2203.03466, coordinate check); Yang et al. 2023 (arXiv:2310.02244); Dey et al. 2025
    (arXiv:2505.01618).

    >>> import torch
    >>> import gainstage as gs
    >>> def build(width):
    ...     return torch.nn.Sequential(
    ...         torch.nn.Linear(16, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
    ...         torch.nn.Linear(width, 10),
    ...     )
    >>> found = gs.scaling(build, widths=(64, 256, 1024), input_shape=(64, 16), plan="lecun_normal")
    >>> [(module.path, round(module.trend("update").slope.value, 1)) for module in found.modules]
    [('0.weight', 0.0), ('2.weight', 1.0), ('4.weight', 1.0)]
    >>> gs.scaling(build, widths=(64, 256, 1024), input_shape=(64, 16), plan="mup", rates="scaled").ok
    True
    """
    task = _Task(x, y, loss, input_shape, plan, optimizer, rates, steps, learning_rate, require_seed(seeds))
    axes = _axes(widths, depths)
    if rates not in get_args(Rates):
        raise UnknownNameError("rates", rates, get_args(Rates))
    modules: list[ModuleScaling] = []
    notes: list[Note] = []
    framework = ""
    for axis, sizes, fixed in axes:
        taken = _Values(sizes)
        for size in sizes:
            built = _Build(build, {**fixed, axis: size})
            task.predict(built, size, taken, smallest=size == sizes[0])
            if steps:
                task.measure(built, size, taken)
        modules += _judged(axis, taken, optimizer)
        notes += task.notes
        framework = task.framework
    return Scaling(
        tuple(widths), tuple(depths), tuple(modules), rate_rule(optimizer), rates, plan or "keep", steps,
        seeds if steps else 0, framework, tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _axes(widths: Sequence[int], depths: Sequence[int]) -> list[tuple[Axis, tuple[int, ...], dict[str, int]]]:
    """Return every axis with at least two sizes, and the sizes that are the same along it."""
    given: dict[Axis, tuple[int, ...]] = {"width": tuple(widths), "depth": tuple(depths)}
    for axis, sizes in given.items():
        if any(not isinstance(size, int) or size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise InputError(f"{axis}s are whole numbers in increasing order; received {list(sizes)}.")
    found: list[tuple[Axis, tuple[int, ...], dict[str, int]]] = []
    for axis, sizes in given.items():
        rest: dict[str, int] = {other: others[0] for other, others in given.items() if other != axis and others}
        if len(sizes) > 1:
            found.append((axis, sizes, rest))
    if not found:
        raise InputError("Pass at least two widths or two depths, e.g. widths=(64, 256, 1024).")
    return found


@dataclass(frozen=True, slots=True)
class _Build:
    """Builds a model of one size."""

    build: Callable[..., Any]
    sizes: dict[str, int]

    def __call__(self, *, memoryless: bool = False, seed: int = 0) -> Any:
        with building(memoryless=memoryless, seed=None if memoryless else seed):
            return self.build(**self.sizes)


class _Values:
    """Values by module, quantity and size, as they come in."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = sizes
        self.roles: dict[str, str] = {}
        self.found: dict[str, dict[tuple[Quantity, bool], dict[int, list[float]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )

    def add(self, path: str, role: str, quantity: Quantity, size: int, value: float, *, measured: bool) -> None:
        self.roles[path] = role
        self.found[path][quantity, measured][size].append(value)


@dataclass
class _Task:
    """The settings that all sizes of a network share."""

    x: Any
    y: Any
    loss: Loss
    input_shape: Sequence[int] | None
    plan: str | None
    optimizer: str
    rates: Rates
    steps: int
    learning_rate: float
    seeds: int
    base: tuple[int, int | None] = (1, None)
    framework: str = ""
    notes: list[Note] = field(default_factory=list)

    @property
    def rule(self) -> RateRule:
        return rate_rule(self.optimizer)

    def predict(self, built: _Build, size: int, taken: _Values, *, smallest: bool) -> None:
        """Predict one size."""
        model = self._without_memory(built) if self.plan is not None else built()
        known = known_before(
            model, self.x, self.y, loss=self.loss, plan=self.plan, input_shape=self.input_shape
        )  # fmt: skip
        self.framework, graph = known.framework, known.graph
        if smallest and self.rates == "scaled":
            depth = _count_of_branches(graph)
            self.base = round(planning.readout_width(graph)), depth or None
        back = predicted_passes(graph, known.weights, known.inputs, training=known.training)
        rates = {path: factor.rate for path, factor in self.factors(graph).items()}
        updates = first_updates(back, self.rule, rates, self.orthogonal(graph))
        if smallest:
            doubts = {s.doubt for s in back.run.signals.values() if s.doubt}
            self.notes = [Note("GS903", f"Predicted figures are doubtful: {doubt}.") for doubt in sorted(doubts)]
        for node in graph.nodes:
            signal, gradient = back.run.signals.get(node.index), back.gradients.get(node.index)
            if signal is None or node.stage != "model":
                continue
            weight = next((use.parameter for use in node.uses_of("weight")), None)
            if weight is None or not node.operation.weighted:
                if node.operation is Operation.ADD and gradient is not None:
                    taken.add(STREAM, "", "signal", size, signal.pairs.level**0.5, measured=False)
                continue
            role = graph.parameter(weight).role.value
            taken.add(weight, role, "signal", size, signal.pairs.level**0.5, measured=False)
            if gradient is not None:
                taken.add(weight, role, "gradient", size, gradient.pairs.level**0.5, measured=False)
            if node.index in updates:
                taken.add(weight, role, "update", size, updates[node.index], measured=False)

    def _without_memory(self, built: _Build) -> Any:
        """Build without memory; with it where the model's own code needs values."""
        try:
            return built(memoryless=True)
        except GainstageError:
            raise
        except Exception:
            return built()

    def factors(self, graph: SignalGraph) -> Mapping[str, planning.Factors]:
        """Return the factors on rates; none where all sizes have the same."""
        if self.rates == "same":
            return {}
        width, depth = self.base
        return planning.rate_factors(graph, width, self.rule, depth)

    def orthogonal(self, graph: SignalGraph) -> Container[str]:
        """Return the hidden matrices, which Muon updates."""
        if self.rule != "muon":
            return ()
        width = round(planning.readout_width(graph))
        return {path for path, factor in planning.rate_factors(graph, width, "muon").items() if factor.orthogonal}

    def measure(self, built: _Build, size: int, taken: _Values) -> None:
        """Build, initialize and train one size, in several draws."""
        for seed in range(self.seeds):
            model = built(seed=seed)
            backend = backend_of(model)
            x, y = batch_of(self.x, self.y)
            if x is None:
                raise InputError("Steps of training need x, a batch; input_shape is enough for predictions alone.")
            loss = backend.loss_of(self.loss or default_loss(y), labelled=y is not None)
            graph = backend.trace(model, x)
            if self.plan is not None:
                backend.apply(model, planning.plan(graph, self.plan, seed=seed))
            settings = {path: {"lr": self.learning_rate * factor.rate} for path, factor in self.factors(graph).items()}
            moved = backend.movements(
                model, x, y, loss=loss, optimizer=self.optimizer, settings=settings,
                learning_rate=self.learning_rate, steps=self.steps, seed=seed,
            )  # fmt: skip
            for path, value in moved.items():
                taken.add(path, graph.parameter(path).role.value, "movement", size, value, measured=True)


def _count_of_branches(graph: SignalGraph) -> int:
    try:
        return planning.residual_depth(graph)
    except InputError:
        return 0


def _judged(axis: Axis, taken: _Values, optimizer: str) -> list[ModuleScaling]:
    """Return slopes and verdicts, for repeated blocks of one place together where their number changes."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path in taken.found:
        groups[_pattern(path) if axis == "depth" else path].append(path)
    found = []
    for name, paths in groups.items():
        if name == STREAM and axis == "width":
            continue
        role = taken.roles[paths[0]]
        trends = []
        for quantity, measured in dict.fromkeys(key for path in paths for key in taken.found[path]):
            adds_up = axis == "depth" and quantity == "update" and role == Role.BRANCH_END
            values = [
                _together(
                    [v for p in paths for v in taken.found[p][quantity, measured].get(size, [])], adds_up=adds_up,
                    measured=measured,
                )
                for size in taken.sizes
            ]  # fmt: skip
            if not all(values):
                continue
            slope = power_law(taken.sizes, values)
            if slope is not None:
                means = tuple(sum(draws) / len(draws) for draws in values)
                trends.append(Trend(quantity, means, slope, measured))
        verdict, remedy = judged(axis, role, trends, optimizer)
        found.append(ModuleScaling(name, role, axis, tuple(trends), verdict, remedy))
    return found


def _together(values: list[float], *, adds_up: bool, measured: bool) -> list[float]:
    """Return one value for repeated blocks: the sum of what adds up on the stream, else the largest; draws stay."""
    if measured or not values:
        return values
    return [sum(values)] if adds_up else [max(values)]


def _pattern(path: str) -> str:
    return re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", path)
