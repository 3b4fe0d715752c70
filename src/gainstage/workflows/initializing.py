"""Plan and write: initialize a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import NoneType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from gainstage import planning, rules
from gainstage.backends import Backend, backend_of, framework_of
from gainstage.errors import InputError, UnknownNameError, require_kind, require_number
from gainstage.graph import Parameter, SignalGraph
from gainstage.planning import BranchStart, LevelSource, Overrides, RateRule
from gainstage.records import Diagnosis, Plan
from gainstage.workflows import mending
from gainstage.workflows.supplying import batch_of
from gainstage.workflows.task import Loss, require_seed

__all__ = ["apply", "initialize", "parameter_groups", "plan", "rate_rule"]

_RANDOM_STATES = 1 << 63
"""Seeds of a check; those of a plan go further."""

_SHOWN = 5
"""Weights that a message lists."""

_RATE_RULES: Mapping[str, RateRule] = {
    "sgd": "sgd", "momentum": "sgd", "muon": "muon",
    **dict.fromkeys(("adam", "adamw", "rmsprop", "adamax", "nadam", "radam"), "adam"),
}  # fmt: skip
"""How learning rates scale with width under an optimizer (Yang et al., arXiv:2203.03466, table 3): the kin of Adam
divide a gradient by its own size, as Adam does."""


def plan(
    model: Any,
    scheme: str = "auto",
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
    examined = _examined(model, scheme, x, y, loss, seed)
    return _planned(model, scheme, x, y, loss, seed, overrides, branch_start, predicted=True, examined=examined)


def _planned(
    model: Any, scheme: str, x: Any, y: Any, loss: Loss, seed: int, overrides: Overrides | None,
    branch_start: BranchStart, *, predicted: bool, examined: Diagnosis | None = None,
) -> Plan:  # fmt: skip
    """A plan whose levels theory predicts, or whose levels a batch is about to tell.

    ``examined`` is a check of the model, where a start that it finds healthy is to stay.
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
    fit = rules.fitness(examined) if examined is not None else None
    if fit is not None and not fit.faults:
        return mending.left_alone(planning.plan(graph, "keep", seed=seed, overrides=overrides), fit)
    decided = planning.plan(
        graph, scheme, seed=seed, overrides=overrides, only=fit.patterns if fit is not None else (),
        branch_start=branch_start, standing=backend.weight_moments(model, graph) if recipe.takes_branch_start else None,
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


def _examined(model: Any, scheme: str, x: Any, y: Any, loss: Loss, seed: int) -> Diagnosis | None:
    """A check of the model, where the recipe lets a healthy start stay."""
    if x is None or not planning.recipe_entry(planning.canonical_name(scheme)).mends:
        return None
    backend = backend_of(model)
    measure = backend.loss_of(loss, labelled=y is not None)
    return rules.judge(backend.record(model, x, y, loss=measure, seed=seed % _RANDOM_STATES))


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
    scheme: str = "auto",
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
    examined = _examined(model, scheme, x, y, loss, seed)
    decided = _planned(model, scheme, x, y, loss, seed, overrides, branch_start, predicted=False, examined=examined)
    if examined is None:
        return _carried_out(backend, model, decided, x)
    if all(a.scheme == "keep" for a in decided):
        return decided
    restore = backend.snapshot(model)
    done = _carried_out(backend, model, decided, x)
    again = _examined(model, scheme, x, y, loss, seed)
    cause = mending.is_worse(examined, again) if again is not None else None
    if cause is None:
        return done
    restore()
    return mending.taken_back(done, planning.kept_plan(done), cause)


def _carried_out(backend: Backend, model: Any, decided: Plan, x: Any) -> Plan:
    """Write a plan, and bring its levels to those of a batch where the recipe says so."""
    backend.apply(model, decided)
    levels = planning.recipe_entry(decided.scheme).levels
    if x is not None and levels.is_calibrated:
        decided = backend.calibrate(model, decided, x)
    elif x is not None and levels is LevelSource.LSUV:
        decided = backend.lsuv(model, decided, x)
    return replace(decided, written=True)


def parameter_groups(
    model: Any,
    x: Any,
    *,
    learning_rate: float,
    base_width: int,
    base_depth: int | None = None,
    optimizer: Any = "adam",
    weight_decay: float | None = None,
    eps: float | None = None,
) -> list[dict[str, Any]]:
    """Set learning rates that carry over from a small model to this one: muP over width, CompleteP over depth.

    With the recipe ``mup`` as the start, the rate that is best at the base width is best at every width (Yang et al.,
    arXiv:2203.03466, table 3); with ``complete_p`` and ``base_depth``, at every depth as well (Dey et al.,
    arXiv:2505.01618).

    Args:
        model: initialized with ``mup``, or with ``complete_p`` where ``base_depth`` is given.
        x: an example batch.
        learning_rate: the best one of a model of the base size.
        base_width: number of units that the output layer of that model reads.
        base_depth: number of residual branches of that model: two a transformer block, one a block of a ResNet.
        optimizer: that the groups are for: a name (``adam``, ``adamw``, ``rmsprop``, ``sgd``, ``momentum``, ``muon``),
            an object or a class. Adam and its kin divide a gradient by its size, and scale otherwise than SGD. For
            Muon every group says with ``use_muon`` whether Muon or Adam updates it.
        weight_decay: of the base model. Decays that AdamW multiplies by the rate grow by what the rate falls; biases,
            scales and embeddings have none.
        eps: Adam's ε of the base model; it falls as the entries of the gradient do.

    Returns:
        parameter groups for the optimizer, each with its ``lr``, and with ``weight_decay`` and ``eps`` where given.

    Raises:
        InputError: a size, rate, decay or ε that is not positive, or a model without an output layer.
        UnknownNameError: an optimizer whose scaling is not known.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 512), torch.nn.ReLU(), torch.nn.Linear(512, 2))
    >>> groups = gs.parameter_groups(net, torch.randn(4, 8), learning_rate=1e-2, base_width=64)
    >>> [(len(group["params"]), group["lr"]) for group in groups]
    [(3, 0.01), (1, 0.00125)]
    """
    learning_rate = require_number(learning_rate, "The learning rate")
    if not 0 < learning_rate < math.inf:
        raise InputError(f"A learning rate is positive; received {learning_rate!r}.")
    for name, value in (("weight_decay", weight_decay), ("eps", eps)):
        if value is not None and not 0 <= require_number(value, name) < math.inf:
            raise InputError(f"{name} is zero or positive; received {value!r}.")
    width = _size(base_width, "base_width")
    depth = None if base_depth is None else _size(base_depth, "base_depth")
    rule = rate_rule(optimizer)
    backend = backend_of(model)
    graph = backend.trace(model, batch_of(x)[0])
    settings: dict[str, dict[str, Any]] = {}
    for path, factor in planning.rate_factors(graph, width, rule, depth).items():
        own: dict[str, Any] = {"lr": learning_rate * factor.rate}
        if weight_decay is not None:
            decays = graph.parameter(path).role.is_kernel
            own["weight_decay"] = weight_decay * factor.decay if decays else 0.0
        if eps is not None:
            own["eps"] = eps * factor.eps
        if rule == "muon":
            own["use_muon"] = factor.orthogonal
        settings[path] = own
    return backend.parameter_groups(model, settings, learning_rate)


def _size(value: Any, name: str) -> int:
    found = require_number(value, name)
    return int(found) if math.isfinite(found) else 0


def rate_rule(optimizer: Any) -> RateRule:
    """Return how rates scale under an optimizer, given by its name, class or object."""
    named = optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", type(optimizer).__name__)
    if named.lower() not in _RATE_RULES:
        raise UnknownNameError("optimizer", named, _RATE_RULES)
    return _RATE_RULES[named.lower()]
