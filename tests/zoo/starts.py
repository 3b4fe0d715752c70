"""What automatic initialization makes of an architecture, beside what its own code made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import fmean, variance

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.graph import Operation, Role, SignalGraph
from gainstage.records import Plan, Profile
from zoo.architectures import Architecture

__all__ = ["Row", "Start", "compared", "started"]

SEEDS = 5
_MIXING = (Operation.LINEAR, Operation.CONVOLUTION)
_ERRORS = 3  # standard errors of a difference between two means


@dataclass(frozen=True)
class Start:
    """What one initialization makes of one draw.

    Args:
        loss: on the batch; None where there is none.
        share: of variance across examples, at what the head reads; None where positions and examples are one.
        gradients: largest over smallest norm at the weighted operations before the head.
        levels: of every calibrated weight, the output's level over its target.
        left: of every weight that has a target and was not calibrated, why.
    """

    loss: float | None
    share: float | None
    gradients: float
    levels: dict[str, float]
    left: dict[str, str]


def started(case: Architecture, seed: int, *, auto: bool) -> Start:
    """Draw, initialize if asked, and look at the same batch in the same mode and random state."""
    model, batch = case.model(seed), case.batch(seed)
    plan = gs.initialize(model, "auto", x=batch, seed=seed) if auto else None
    target = None if case.targets is None else case.targets()
    profile = record(model, batch, target, loss=case.loss)
    heads = {index for p in profile.graph.parameters if p.role is Role.HEAD for index in p.nodes}
    told = profile.task.loss
    return Start(
        None if told is None else told.value, _share(profile, heads), _gradients(profile, heads),
        *(_levels(profile, plan) if plan else ({}, {})),
    )  # fmt: skip


def _share(profile: Profile, heads: set[int]) -> float | None:
    graph = profile.graph
    read = [graph.nodes[i].inputs[0] for i in heads if graph.nodes[i].operation in _MIXING]
    found = [_measured(profile, i) for i in read]
    return min((s for s in found if s is not None), default=None)


def _measured(profile: Profile, index: int) -> float | None:
    """At the nearest operation before that has a record."""
    graph = profile.graph
    while index not in profile.by_node and graph.nodes[index].inputs:
        index = graph.nodes[index].inputs[0]
    found = profile.by_node.get(index)
    return None if found is None else found.forward.example_share


def _gradients(profile: Profile, heads: set[int]) -> float:
    """Looked at behind a normalisation that follows: before it, the smaller the signal, the larger the gradient."""
    graph = profile.graph
    nodes = (n.index for n in graph.weighted() if n.operation in _MIXING and n.stage == "model")
    found = (profile.by_node.get(_behind_norm(graph, index)) for index in nodes if index not in heads)
    seen = [one.backward for one in found if one is not None and one.backward is not None]
    norms = [math.sqrt(one.second_moment * one.count) for one in seen]
    norms = [norm for norm in norms if norm > 0]  # what the loss does not depend on
    return max(norms) / min(norms)


def _behind_norm(graph: SignalGraph, index: int) -> int:
    readers = {i for i in graph.consumers[index] if graph.nodes[i].part_of is None}
    norms = [i for i in readers if graph.nodes[i].operation is Operation.NORMALIZATION]
    return max(norms) if norms and len(norms) == len(readers) else index


_LIMITED = ("is not amplified by more than", "measured where a signal arrives", "set by all of its")
"""Words of a plan about weights that calibration did not bring to their level at their first use, on purpose."""


def _levels(profile: Profile, plan: Plan) -> tuple[dict[str, float], dict[str, str]]:
    graph = profile.graph
    first: dict[str, int] = {}
    for node in graph.nodes:
        for use in node.uses_of("weight") if node.operation in _MIXING else ():
            first.setdefault(graph.parameter(use.parameter).path, node.index)
    levels, left = {}, {}
    for line in plan:
        if line.level is None:
            continue
        limited = next((words for words in _LIMITED if words in line.reason), "")
        if "calibrated by" in line.reason and not limited:
            levels[line.parameter] = profile.by_node[first[line.parameter]].forward.second_moment / line.level
        else:
            left[line.parameter] = limited or line.reason.partition("predicted only: ")[2]
    return levels, left


@dataclass(frozen=True)
class Row:
    """One architecture: five draws as its own code makes them, and the same five initialized."""

    case: Architecture
    default: tuple[Start, ...]
    auto: tuple[Start, ...]

    @property
    def off_level(self) -> float:
        """The largest relative error of any calibrated level."""
        return max((abs(ratio - 1) for start in self.auto for ratio in start.levels.values()), default=0.0)

    @property
    def loss(self) -> float | None:
        """Mean over draws of the loss over that at chance."""
        losses = [start.loss for start in self.auto if start.loss is not None]
        return fmean(losses) / self.case.chance if losses and self.case.chance else None

    @property
    def shares(self) -> tuple[list[float], list[float]] | None:
        """Of variance across examples at the last hidden layer: default's and auto's."""
        found = tuple(
            [start.share for start in starts if start.share is not None] for starts in (self.default, self.auto)
        )
        return found if all(len(shares) == SEEDS for shares in found) else None

    @property
    def shares_fall(self) -> bool:
        """Whether the share is smaller than the default's, beyond the scatter of the difference."""
        return self.shares is not None and _beyond(*self.shares)

    @property
    def ratios(self) -> tuple[list[float], list[float]]:
        """Logs of the largest over the smallest gradient: default's and auto's."""
        default, auto = ([math.log(start.gradients) for start in starts] for starts in (self.default, self.auto))
        return default, auto

    @property
    def gradients_worse(self) -> bool:
        """Whether they spread wider than the default's, beyond the scatter of the difference."""
        default, auto = self.ratios
        return _beyond(auto, default)

    @property
    def gradients_ten_times_better(self) -> bool:
        default, auto = self.ratios
        return fmean(auto) < fmean(default) - math.log(10)


def _beyond(large: list[float], small: list[float]) -> bool:
    """Whether the first mean exceeds the second by more than three standard errors."""
    error = math.sqrt(variance(large) / len(large) + variance(small) / len(small))
    return fmean(large) > fmean(small) + _ERRORS * error


@cache
def compared(case: Architecture) -> Row:
    """All draws of one architecture."""
    default, auto = (tuple(started(case, seed, auto=a) for seed in range(SEEDS)) for a in (False, True))
    return Row(case, default, auto)
