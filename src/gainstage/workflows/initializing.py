"""Plan and write: initialize a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from gainstage import planning
from gainstage.backends import Backend, backend_of, framework_of
from gainstage.errors import InputError, UnknownNameError, require_kind
from gainstage.graph import Parameter, SignalGraph
from gainstage.planning import BranchStart, LevelSource, Overrides, RecipeEntry
from gainstage.records import Plan
from gainstage.workflows import mending
from gainstage.workflows.mending import Standing
from gainstage.workflows.supplying import batch_of
from gainstage.workflows.task import Loss, require_seed

__all__ = ["apply", "initialize", "plan"]

_SHOWN = 5
"""Weights that a message lists."""


def plan(
    model: Any,
    scheme: str = "mend",
    *,
    x: Any = None,
    y: Any = None,
    loss: Loss = None,
    seed: int = 0,
    overrides: Overrides | None = None,
    branch_start: BranchStart = "scaled",
) -> Plan:
    """Decide what every parameter of a model gets, without writing anything.

    Args:
        model: a module of a supported framework.
        scheme: ``mend``, which checks the start that the model has, keeps one that is healthy, to the byte, and draws
            as ``auto`` does where the check finds a fault or theory predicts a gain; ``auto``, which draws every weight
            anew; another recipe (``fixup``, ``t_fixup``, ``zero_branches``, ``gpt2``, ``deepnorm``,
            ``delta_orthogonal``, ``lsuv``, ``mirrored``, ``mup``), or a name in the table of schemes.
        x: an example batch: a tensor, a tuple of positional arguments or a dict of keyword ones. With it, roles are
            read off what the model really does. Without it, named schemes go by the kinds of its layers. Where these
            do not show what a weight is for, an input that the model describes itself is traced: the shapes that a
            Keras model was built with, or what the configuration of a Hugging Face model says.
        y: labels. Where the head is drawn, its bias starts at the log prior of the classes, or at the mean of the
            values.
        loss: a name (``cross_entropy``, ``mse``, …) or a function of (output, labels); it is traced along with the
            model.
        seed: fixes every byte.
        overrides: other schemes or gains by pattern of parameter paths, e.g. ``{"head.*": "zeros"}``.
        branch_start: with ``auto`` and ``mend``, residual branches start with their share of the stream's budget
            (``scaled``) or silent (``zero``, which leaves no start as it is).

    Returns:
        the plan: printable, and editable as data.

    Raises:
        InputError: a recipe without a batch, weights that nothing shows the use of, an unusable batch, a pattern that
            matches nothing, or a recipe on an architecture that lacks what it needs.
        UnknownNameError: no such scheme or loss.
        ModelError: the model cannot be run, or has no parameters.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
    >>> [(a.parameter, a.scheme) for a in gs.plan(net, "glorot_normal")]
    [('0.weight', 'glorot_normal'), ('0.bias', 'zero'), ('2.weight', 'glorot_normal'), ('2.bias', 'zero')]
    """
    x, y = batch_of(x, y)
    asked = _Asked.of(model, scheme, x, y, loss, seed, overrides, branch_start)
    graph, notes = _graph(asked)
    return _planned(asked, graph, notes, _standing(asked, graph), predicted=True)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of a plan, checked."""

    backend: Backend
    model: Any
    scheme: str
    x: Any
    y: Any
    loss: Loss
    seed: int
    overrides: Overrides | None
    branch_start: BranchStart

    @classmethod
    def of(
        cls, model: Any, scheme: str, x: Any, y: Any, loss: Loss, seed: int, overrides: Overrides | None,
        branch_start: BranchStart,
    ) -> _Asked:  # fmt: skip
        """Check the arguments."""
        backend = backend_of(model)
        seed = require_seed(seed)
        require_kind(scheme, str, "The scheme is a name such as 'auto' or 'he_normal'")
        require_kind(overrides, (Mapping, Sequence, NoneType), "overrides are a mapping such as {'head.*': 'zeros'}")
        if branch_start not in get_args(BranchStart):
            raise UnknownNameError("branch start", str(branch_start), get_args(BranchStart))
        if x is None and (y is not None or loss is not None):
            raise InputError("Labels and a loss say something about a start only together with a batch. Pass x too.")
        return cls(backend, model, planning.canonical_name(scheme), x, y, loss, seed, overrides, branch_start)

    @property
    def recipe(self) -> RecipeEntry:
        """The entry of the scheme."""
        return planning.recipe_entry(self.scheme)


def _graph(asked: _Asked) -> tuple[SignalGraph, tuple[str, ...]]:
    """The graph that shows what every weight is for, and what the reader of the plan should know of it."""
    if asked.x is not None:
        loss = asked.backend.loss_of(asked.loss, labelled=asked.y is not None)
        return asked.backend.trace(asked.model, asked.x, asked.y, loss=loss), ()
    if asked.recipe.needs_batch:
        raise InputError(
            f"The recipe '{asked.scheme}' needs to see what the model does. Pass x=, an example input "
            f"(gs.initialize(model, {asked.scheme!r}, x=x)), or name a scheme (gs.initialize(model, 'he_normal'))."
        )
    return _without_data(asked.backend, asked.model, asked.scheme, asked.overrides)


def _standing(asked: _Asked, graph: SignalGraph) -> Standing | None:
    """The start that the model has, where the recipe lets a healthy one stay."""
    if not asked.recipe.mends:
        return None
    gains = planning.predicted_gains(graph)
    if gains and planning.is_one_plain_run(graph):
        return Standing(None, gains)
    found = mending.standing(asked.backend, asked.model, asked.x, asked.y, asked.loss, asked.seed, graph)
    return replace(found, gains=gains)


def _planned(
    asked: _Asked, graph: SignalGraph, notes: tuple[str, ...], start: Standing | None, *, predicted: bool
) -> Plan:
    """A plan whose levels theory predicts, or whose levels a batch is about to tell.

    ``start`` is the one that the model has, where it is to stay if a check finds it healthy.
    """
    backend, recipe = asked.backend, asked.recipe
    fit = start.fitness(asked.branch_start) if start is not None else None
    if fit is not None and fit.stays:
        decided = mending.left_alone(graph, fit, asked.overrides, asked.seed)
        return replace(decided, framework=framework_of(asked.model) or "")
    decided = planning.plan(
        graph, asked.scheme, seed=asked.seed, overrides=asked.overrides, branch_start=asked.branch_start,
        only=(*fit.drawn, *(asked.overrides or ())) if fit is not None and fit.drawn else (),
        standing=backend.weight_moments(asked.model, graph, units=False) if recipe.takes_branch_start else None,
    )  # fmt: skip
    if predicted and asked.x is not None and recipe.levels.is_predicted:
        kept = {a.parameter for a in decided if a.scheme == "keep"}
        decided = planning.settled(graph, decided, backend.weight_moments(asked.model, graph, kept))
    decided = replace(decided, notes=(*decided.notes, *notes), framework=framework_of(asked.model) or "")
    if fit is not None:
        decided = mending.limited(decided, fit)
    labels = _labels(asked.y) if recipe.sets_output_bias else None
    decided = decided if labels is None else planning.with_output_bias(graph, decided, labels)
    return replace(decided, notes=(*decided.notes, *_drawn_whole(backend.drawn_whole(asked.model, decided))))


def _drawn_whole(paths: Sequence[str]) -> Iterator[str]:
    """Return the note about weights of a sharded model that no process can draw in part."""
    if paths:
        yield (
            f"Every process draws the whole of {_shown([repr(path) for path in paths])} and keeps its shard, one "
            "weight at a time, since the scheme needs all of it. 'normal' would be drawn in parts."
        )


def _without_data(
    backend: Backend, model: Any, scheme: str, overrides: Overrides | None
) -> tuple[SignalGraph, tuple[str, ...]]:
    """A graph that shows what every weight is for which the scheme is to draw, and what the reader should know of it.

    Raises:
        InputError: there is none without an input from the user.
    """
    graph = backend.structure(model)
    left = planning.unexplained(graph, scheme, overrides)
    if not left:
        return graph, ()
    traced = backend.own_trace(model)
    if traced is not None:
        graph = planning.completed(traced, graph)
        left = planning.unexplained(graph, scheme, overrides)
    if left:
        raise InputError(
            f"No known kind of layer holds {_listed(left)}, so '{scheme}' would leave what stands there. Pass x=, an "
            f"example input, which shows what weights are for (gs.initialize(model, {scheme!r}, x=x)), or keep them "
            f"on purpose (overrides={{{left[0].path!r}: 'keep'}})."
        )
    shapes = " and ".join(str(graph.nodes[index].shape) for index in graph.inputs)
    return graph, (
        f"Roles were read off an input of shape {shapes} that the model describes itself; x= gives another.",
    )


def _listed(parameters: Sequence[Parameter]) -> str:
    return _shown([f"'{p.path}' {p.shape}" for p in parameters])


def _shown(weights: Sequence[str]) -> str:
    shown = ", ".join(weights[:_SHOWN])
    return shown if len(weights) <= _SHOWN else f"{shown} and {len(weights) - _SHOWN} more weights"


def _labels(y: Any) -> NDArray[np.generic] | None:
    """Labels as an array, where they are one."""
    tensor = y.detach().cpu() if hasattr(y, "detach") else y
    if hasattr(tensor, "is_floating_point") and tensor.is_floating_point():
        tensor = tensor.double()  # NumPy has no bfloat16
    return np.asarray(tensor) if hasattr(tensor, "__array__") else None


def apply(model: Any, plan: Plan) -> None:
    """Write a plan into a model, in place; a plan that does not fit changes nothing.

    Raises:
        InputError, UnknownNameError, ModelError: the plan was not made for this model, or the weights have no memory.
    """
    backend = backend_of(model)
    require_kind(plan, Plan, "A plan is what gs.plan or gs.initialize returned")
    backend.apply(model, plan)


def initialize(
    model: Any,
    scheme: str = "mend",
    *,
    x: Any = None,
    y: Any = None,
    loss: Loss = None,
    seed: int = 0,
    overrides: Overrides | None = None,
    branch_start: BranchStart = "scaled",
) -> Plan:
    """Initialize a model in place; a start that a check finds healthy stays.

    Takes what :func:`plan` takes, and raises what it raises. Lazy layers take their sizes from the batch. With
    ``mend``, the default, weights that were drawn anew are checked once more: should they cause errors, or should
    signal or gradient drift further with depth than before, the model's own start is put back, and the plan says so.

    Returns:
        the plan that was carried out; ``print`` it to see what every parameter got, and why.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Linear(1000, 500)
    >>> _ = gs.initialize(net, "he_normal", seed=0)
    >>> round(float(net.weight.detach().std()), 3), round((2 / 1000) ** 0.5, 3)
    (0.045, 0.045)
    """
    backend = backend_of(model)
    x, y = batch_of(x, y)
    if x is not None:
        backend.materialise(model, x)
    asked = _Asked.of(model, scheme, x, y, loss, seed, overrides, branch_start)
    graph, notes = _graph(asked)
    start = _standing(asked, graph)
    decided = _planned(asked, graph, notes, start, predicted=False)
    if start is None or start.diagnosis is None:
        return _carried_out(backend, model, decided, x)
    if all(a.scheme == "keep" for a in decided):
        return decided
    restore = backend.snapshot(model)
    done = _carried_out(backend, model, decided, x)
    why = mending.harm(start, mending.standing(backend, model, x, y, loss, asked.seed, graph))
    if not why:
        return done
    restore()
    return mending.taken_back(done, planning.kept_plan(done), why)


def _carried_out(backend: Backend, model: Any, decided: Plan, x: Any) -> Plan:
    """Write a plan, and bring its levels to those of a batch where the recipe says so."""
    backend.apply(model, decided)
    levels = planning.recipe_entry(decided.scheme).levels
    if x is not None and levels.is_calibrated:
        decided = backend.calibrate(model, decided, x)
    elif x is not None and levels is LevelSource.LSUV:
        decided = backend.lsuv(model, decided, x)
    return replace(decided, written=True)
