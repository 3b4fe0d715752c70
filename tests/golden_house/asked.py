"""Every question put to gainstage, and every attribute read off an answer: what to adapt when a public name changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gainstage as gs

__all__ = [
    "Levels", "Subject", "applied", "calibrated", "looked", "orthogonal", "planned", "predicted", "roles", "targets",
]  # fmt: skip

Levels = dict[int, tuple[str, float, float | None]]
"""For every node by its index: its label, and the second moments of its output and of the gradient there."""


@dataclass(frozen=True, eq=False)
class Subject:
    """One model with what it is asked about; ``build`` and ``example`` give the same values whenever they are called.

    Args:
        name: unique in its table.
        build: makes the model.
        example: makes the inputs and the labels (None where there are none).
        weights: its arrays by name.
        loss: called as the framework does.
        optimizer: makes one for a model.
    """

    name: str
    build: Callable[[], Any]
    example: Callable[[], tuple[Any, Any]]
    weights: Callable[[Any], Mapping[str, Any]]
    loss: Any = None
    optimizer: Callable[[Any], Any] | None = None


def roles(subject: Subject) -> dict[str, str]:
    """The role of every parameter."""
    x, y = subject.example()
    graph = gs.trace(subject.build(), x, y, loss=subject.loss)
    return {parameter.path: str(parameter.role) for parameter in graph.parameters}


def planned(subject: Subject, scheme: str, *, data: bool) -> Any:
    """A plan, which only what stands below looks into."""
    return gs.plan(subject.build(), scheme, seed=0, **_data(subject, data))


def targets(plan: Any) -> dict[str, list[Any]]:
    """For every parameter: scheme, rule of the bias, gain, spread, level, value; usual ones at the end left out."""
    return {a.parameter: _trimmed([a.scheme, a.bias, a.gain, a.spread, a.level, a.value]) for a in plan}


def orthogonal(plan: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters whose draws no two libraries of linear algebra make alike to the bit."""
    return {a.parameter: tuple(a.shape) for a in plan if "orthogonal" in a.scheme}


def applied(subject: Subject, plan: Any) -> Any:
    """A model with the weights of a plan."""
    model = subject.build()
    gs.apply(model, plan)
    return model


def calibrated(subject: Subject, scheme: str) -> Any:
    """A model whose levels were measured while it was initialized."""
    model = subject.build()
    gs.initialize(model, scheme, seed=0, **_data(subject, True))
    return model


def predicted(subject: Subject, plan: Any = None) -> Levels:
    """What theory says of the weights that are there, or of those of a plan."""
    x, y = subject.example()
    return _levels(gs.predict(subject.build(), x, y, loss=subject.loss, plan=plan))


def looked(subject: Subject) -> tuple[Levels, list[str]]:
    """What is measured, and the findings, each indented below the one that it follows from."""
    x, y = subject.example()
    model = subject.build()
    optimizer = subject.optimizer(model) if subject.optimizer is not None else None
    diagnosis = gs.check(model, x, y, loss=subject.loss, optimizer=optimizer, seed=0)
    return _levels(diagnosis.profile), list(_findings(diagnosis.findings))


def _data(subject: Subject, data: bool) -> dict[str, Any]:
    if not data:
        return {}
    x, y = subject.example()
    return {"x": x, "y": y, "loss": subject.loss}


def _trimmed(line: list[Any]) -> list[Any]:
    usual = (None, None, 1.0, None, None, 0.0)
    while line[-1] == usual[len(line) - 1]:
        line = line[:-1]
    return line


def _levels(profile: Any) -> Levels:
    found: Levels = {}
    for one in profile.nodes:
        node = profile.graph.nodes[one.node]
        back = None if one.backward is None else one.backward.second_moment
        found[one.node] = (f"{node.path} {node.operation}".strip(), one.forward.second_moment, back)
    return found


def _findings(findings: Iterable[Any], depth: int = 0) -> Iterator[str]:
    for finding in findings:
        yield f"{'  ' * depth}{finding.code} {finding.severity} {finding.path}".rstrip()
        yield from _findings(finding.consequences, depth + 1)
