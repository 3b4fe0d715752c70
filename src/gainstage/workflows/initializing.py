"""Plan and write: initialize a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from gainstage import planning
from gainstage.backends import Backend, backend_of, framework_of
from gainstage.errors import InputError, UnknownNameError, require_kind
from gainstage.graph import Parameter, SignalGraph
from gainstage.planning import BranchStart, LevelSource, Overrides
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
        scheme: ``auto`` or another recipe (``fixup``, ``t_fixup``, ``zero_branches``, ``gpt2``, ``deepnorm``,
            ``delta_orthogonal``, ``lsuv``, ``mirrored``, ``mup``), or a name in the table of schemes.
        x: an example batch: a tensor, a tuple of positional arguments or a dict of keyword ones. With it, roles are
            read off what the model really does. Without it, named schemes go by the kinds of its layers. Where these
            do not show what a weight is for, an input that the model describes itself is traced: the shapes that a
            Keras model was built with, or what the configuration of a Hugging Face model says.
        y: labels. With ``auto`` the output's bias starts at the log prior of the classes, or at the mean of the values.
        loss: a name (``cross_entropy``, ``mse``, …) or a function of (output, labels); it is traced along with the
            model.
        seed: fixes every byte.
        overrides: other schemes or gains by pattern of parameter paths, e.g. ``{"head.*": "zeros"}``.
        branch_start: with ``auto``, residual branches start with their share of the stream's budget (``scaled``) or
            silent (``zero``).

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
    start = _standing(model, scheme, x, y, loss, seed)
    return _planned(model, scheme, x, y, loss, seed, overrides, branch_start, predicted=True, start=start)


def _planned(
    model: Any, scheme: str, x: Any, y: Any, loss: Loss, seed: int, overrides: Overrides | None,
    branch_start: BranchStart, *, predicted: bool, start: Standing | None,
) -> Plan:  # fmt: skip
    """A plan whose levels theory predicts, or whose levels a batch is about to tell.

    ``start`` is the one that the model has, where it is to stay if a check finds it healthy.
    """
    backend = backend_of(model)
    seed = require_seed(seed)
    require_kind(scheme, str, "The scheme is a name such as 'auto' or 'he_normal'")
    require_kind(overrides, (Mapping, Sequence, NoneType), "overrides are a mapping such as {'head.*': 'zeros'}")
    if branch_start not in get_args(BranchStart):
        raise UnknownNameError("branch start", str(branch_start), get_args(BranchStart))
    scheme = planning.canonical_name(scheme)
    recipe = planning.recipe_entry(scheme)
    notes: tuple[str, ...] = ()
    if x is None:
        if y is not None or loss is not None:
            raise InputError("Labels and a loss say something about a start only together with a batch. Pass x too.")
        if recipe.needs_batch:
            raise InputError(
                f"The recipe '{scheme}' needs to see what the model does. Pass x=, an example input "
                f"(gs.initialize(model, {scheme!r}, x=x)), or name a scheme (gs.initialize(model, 'he_normal'))."
            )
        graph, notes = _without_data(backend, model, scheme, overrides)
    else:
        graph = backend.trace(model, x, y, loss=backend.loss_of(loss, labelled=y is not None))
    fit = start.fitness(graph, branch_start) if start is not None else None
    if fit is not None and not fit.faults:
        return mending.left_alone(graph, fit, overrides, seed)
    decided = planning.plan(
        graph, scheme, seed=seed, overrides=overrides, branch_start=branch_start,
        only=(*fit.patterns, *(overrides or ())) if fit is not None and fit.patterns else (),
        standing=backend.weight_moments(model, graph) if recipe.takes_branch_start else None,
    )  # fmt: skip
    if predicted and x is not None and recipe.levels.is_predicted:
        kept = {a.parameter for a in decided if a.scheme == "keep"}
        decided = planning.settled(graph, decided, backend.weight_moments(model, graph, kept))
    decided = replace(decided, notes=(*decided.notes, *notes), framework=framework_of(model) or "")
    if fit is not None:
        decided = mending.limited(decided, fit)
    labels = _labels(y) if recipe.sets_output_bias else None
    decided = decided if labels is None else planning.with_output_bias(graph, decided, labels)
    return replace(decided, notes=(*decided.notes, *_drawn_whole(backend.drawn_whole(model, decided))))


def _drawn_whole(paths: Sequence[str]) -> Iterator[str]:
    """Return the note about weights of a sharded model that no process can draw in part."""
    if paths:
        yield (
            f"Every process draws the whole of {_shown([repr(path) for path in paths])} and keeps its shard, one "
            "weight at a time, since the scheme needs all of it. 'normal' would be drawn in parts."
        )


def _standing(model: Any, scheme: str, x: Any, y: Any, loss: Loss, seed: int) -> Standing | None:
    """A check of the start that the model has, where the recipe lets a healthy one stay."""
    if x is None or not isinstance(scheme, str) or not planning.recipe_entry(planning.canonical_name(scheme)).mends:
        return None
    return mending.standing(backend_of(model), model, x, y, loss, require_seed(seed))


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
    """Initialize a model in place.

    Takes what :func:`plan` takes, and raises what it raises. Lazy layers take their sizes from the batch.

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
    start = _standing(model, scheme, x, y, loss, seed)
    decided = _planned(model, scheme, x, y, loss, seed, overrides, branch_start, predicted=False, start=start)
    if start is None or start.diagnosis is None:
        return _carried_out(backend, model, decided, x)
    if all(a.scheme == "keep" for a in decided):
        return decided
    restore = backend.snapshot(model)
    done = _carried_out(backend, model, decided, x)
    again = mending.standing(backend, model, x, y, loss, seed)
    why = mending.harm(start.diagnosis, again.diagnosis) if again.diagnosis is not None else again.obstacle
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
