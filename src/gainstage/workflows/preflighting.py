"""One page for the decision before a large run: all of it predicted, without memory for the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gainstage import rules
from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.graph import Operation, SignalGraph
from gainstage.propagation import predicted_profile
from gainstage.records import Axis, Cost, Decision, Diagnosis, Formats, Preflight, Scaling
from gainstage.report.formats_rows import verdict as format_verdict
from gainstage.rules.formats import formats_of
from gainstage.statistics import number_format
from gainstage.streams import Stream
from gainstage.workflows.predicting import known_before
from gainstage.workflows.resizing import Rates, scaling
from gainstage.workflows.task import Loss

__all__ = ["preflight"]

_PROBE = 1 << 21  # values that are drawn to learn how fast this machine draws
_STATES = {"adam": 2, "adamw": 2, "nadam": 2, "radam": 2, "momentum": 1, "muon": 1, "rmsprop": 1, "sgd": 0}
_BITS = {"float16": 16, "bfloat16": 16, "float8_e4m3": 8, "float8_e5m2": 8}


def preflight(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Loss = None,
    input_shape: Sequence[int] | None = None,
    dtype: str = "bfloat16",
    plan: str = "auto",
    optimizer: str = "adamw",
    learning_rate: float | None = None,
    build: Callable[..., Any] | None = None,
    widths: Sequence[int] = (),
    depths: Sequence[int] = (),
    rates: Rates = "same",
    name: str = "",
) -> Preflight:
    """Predict before a run: whether the signal holds, what a number format loses, what size changes, what it takes.

    Nothing is run on values, and the model may be on the meta device, whatever its size.

    Args:
        model: a module of a supported framework.
        x, y, loss, input_shape: what it is fed, as in ``gs.predict``.
        dtype: number format of the run: ``bfloat16``, ``float16``, ``float8_e4m3`` or ``float8_e5m2``.
        plan: the recipe or scheme that will draw the weights.
        optimizer: a name, for rates and for the memory of its states.
        learning_rate: of it, for what the first update loses in ``dtype``.
        build: from ``width=`` or ``depth=`` to a model like this one, as in ``gs.scaling``.
        widths, depths: sizes to build it at.
        rates: as in ``gs.scaling``.
        name: of the model; its class by default.

    Raises:
        InputError: sizes without ``build``, or no input.
        UnknownNameError: there is no format, scheme, loss or optimizer of that name.
        ModelError: the model's own code raised.

    >>> import torch
    >>> import gainstage as gs
    >>> with torch.device("meta"):
    ...     net = torch.nn.Sequential(torch.nn.Linear(64, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 10))
    >>> page = gs.preflight(net, input_shape=(32, 64), dtype="bfloat16", plan="he_normal")
    >>> page.parameters, [decision.state for decision in page.decisions][:2]
    (307210, ['good', 'good'])
    """
    began = time.perf_counter()
    number_format(dtype)
    if (widths or depths) and build is None:
        raise InputError("Sizes need build, a function from width= or depth= to a new model of that size.")
    backend = backend_of(model)
    known = known_before(model, x, y, loss=loss, plan=plan, input_shape=input_shape)
    profile = predicted_profile(
        known.graph, known.weights, known.inputs, training=known.training, framework=known.framework, notes=known.notes
    )
    diagnosis = rules.judge(profile, backend.words())
    update = None if learning_rate is None else (optimizer, learning_rate)
    losses = formats_of(profile, (dtype,), update=update)
    sized: Scaling | None = None
    if build is not None and (widths or depths):
        sized = scaling(
            build, x, y, widths=widths, depths=depths, loss=loss, input_shape=input_shape, plan=plan,
            optimizer=optimizer, rates=rates,
        )  # fmt: skip
    costs = _costs(known.graph, dtype, optimizer)
    return Preflight(
        name or type(model).__name__,
        _values(known.graph),
        dtype,
        plan,
        (
            _signal(diagnosis), _format(losses, dtype), *(_size(sized, axis) for axis in _axes()),
            _rates(sized, optimizer), _start(costs),
        ),
        diagnosis.findings,
        costs,
        losses,
        sized,
        time.perf_counter() - began,
        known.framework,
        profile.notes,
    )  # fmt: skip


def _axes() -> tuple[Axis, Axis]:
    return "width", "depth"


def _values(graph: SignalGraph) -> int:
    return sum(math.prod(p.shape) for p in graph.parameters)


def _signal(diagnosis: Diagnosis) -> Decision:
    """Answer whether signal and gradient survive."""
    question = "Will the signal hold?"
    if not diagnosis.findings:
        return Decision(question, f"Yes: {len(diagnosis.passed)} rules pass on the predicted signal and gradient.")
    worst = diagnosis.findings[0]
    state = worst.severity.value
    told = f"{worst.code} {worst.title}, at '{worst.place or 'the model'}': {worst.evidence}"
    return Decision(question, told, "error" if state == "error" else "warning" if state == "warning" else "good")


def _format(found: Formats, dtype: str) -> Decision:
    """Answer what the number format loses."""
    state = "warning" if found.harmed(dtype) or found.stuck(dtype) else "good"
    return Decision(f"Does it fit {dtype}?", format_verdict(found, dtype), state)  # type: ignore[arg-type]


def _size(found: Scaling | None, axis: Axis) -> Decision:
    """Answer what changes along one axis."""
    question = f"What changes with {axis}?"
    if found is None or not found.along(axis):
        return Decision(question, f"Not asked: give at least two {axis}s.", "open")
    bad = [module for module in found.along(axis) if module.verdict]
    if not bad:
        return Decision(question, f"Nothing, over {axis}s {', '.join(map(str, found.sizes(axis)))}.")
    kinds = dict.fromkeys(module.verdict.partition(": ")[2] for module in bad)
    return Decision(
        question, f"{len(bad)} of {len(found.along(axis))} modules, e.g. {bad[0].path}: {bad[0].verdict}. In all: "
        f"{'; '.join(kinds)}.", "warning",
    )  # fmt: skip


def _rates(found: Scaling | None, optimizer: str) -> Decision:
    """Answer which rates carry over."""
    question = "Which rates carry over?"
    if found is None:
        return Decision(question, "Not asked: give sizes.", "open")
    if found.ok:
        return Decision(question, f"All: the best {optimizer} rate of the smallest size.")
    fixed = [module.path for module in found.modules if not module.verdict]
    remedies = dict.fromkeys(module.remedy for module in found.modules if module.remedy)
    kept = f"{len(fixed)} of {len(found.modules)} modules keep theirs. " if fixed else "None. "
    return Decision(question, f"{kept}To carry all over: {'; '.join(remedies)}.", "warning")


def _start(costs: tuple[Cost, ...]) -> Decision:
    from gainstage.report.preflight_rows import amount

    told = {cost.name: amount(cost.value, cost.unit) for cost in costs}
    answer = (
        f"About {told['drawing the start']} here, and {told['memory of the start, streamed']} of memory when it is "
        f"streamed to files (gs.materialize); {told['weights']} on the disk."
    )
    return Decision("What does the start take?", answer)


def _costs(graph: SignalGraph, dtype: str, optimizer: str) -> tuple[Cost, ...]:
    """Return memory and time of start and training, each with how it is known."""
    count, size = _values(graph), _BITS[dtype] / 8
    states = _STATES.get(optimizer.lower(), 2)
    largest = max((math.prod(p.shape) for p in graph.parameters), default=0)
    outputs = sum(math.prod(node.shape) for node in graph.nodes if node.operation not in _VIEWS and node.from_input)
    rate = _drawing_rate()
    bits = f"{_BITS[dtype]} bits a value"
    return (
        Cost("weights", count * size, "bytes", f"{count:,} values, {bits}"),
        Cost("gradients", count * size, "bytes", bits),
        Cost("optimizer", count * 4 * (states + 1), "bytes",
             f"a copy of the weights and {states} states of {optimizer}, 32 bits a value"),
        Cost("activations, at most", outputs * size, "bytes", "every output of one batch kept; checkpoints need less"),
        Cost("memory of the start, streamed", min(largest, 1 << 26) * 4.0, "bytes", "the piece drawn at a time"),
        Cost("drawing the start", count / rate, "seconds", f"{rate / 1e6:.0f} million normal values a second here"),
    )  # fmt: skip


_VIEWS = frozenset({Operation.RESHAPE, Operation.INPUT})


def _drawing_rate() -> float:
    """Return how many normal values this machine draws in a second."""
    stream = Stream(0, "preflight")
    stream.normal(1024)
    began = time.perf_counter()
    np.asarray(stream.normal(_PROBE))
    return _PROBE / max(time.perf_counter() - began, 1e-9)
