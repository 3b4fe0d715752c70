"""Plan and write: initialize a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.planning import BranchStart, LevelSource, Overrides, RateRule
from gainstage.records import Plan

__all__ = ["apply", "initialize", "parameter_groups", "plan"]


def plan(
    model: Any,
    scheme: str = "auto",
    *,
    batch: Any = None,
    target: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    seed: int = 0,
    overrides: Overrides | None = None,
    branch_start: BranchStart = "scaled",
) -> Plan:
    """Decide what every parameter of a model gets, without writing anything.

    Args:
        model: a module of a supported framework.
        scheme: ``auto`` or another recipe (``fixup``, ``t_fixup``, ``zero_branches``, ``gpt2``, ``deepnorm``,
            ``delta_orthogonal``, ``lsuv``, ``mup``), or a name in the table of schemes.
        batch: an example input: a tensor, a tuple of positional arguments or a dict of keyword ones. With it, roles
            are read off what the model really does; without it, named schemes go by the kinds of its layers.
        target, loss: labels and loss. With them ``auto`` starts the output's bias at the log prior of the classes or
            the mean of the targets.
        seed: fixes every byte.
        overrides: other schemes or gains by pattern of parameter paths, e.g. ``{"head.*": "zeros"}``.
        branch_start: with ``auto``, residual branches start with their share of the stream's budget (``scaled``) or
            silent (``zero``).

    Returns:
        the plan: printable, and editable as data.

    Raises:
        InputError: a recipe without a batch, an unusable batch, a pattern that matches nothing, or a recipe on an
            architecture that lacks what it needs.
        UnknownNameError: no such scheme.
        ModelError: the model cannot be run, or has no parameters.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
    >>> [(a.parameter, a.scheme) for a in gs.plan(net, "glorot_normal")]
    [('0.weight', 'glorot_normal'), ('0.bias', 'zero'), ('2.weight', 'glorot_normal'), ('2.bias', 'zero')]
    """
    return _planned(model, scheme, batch, target, loss, seed, overrides, branch_start, predicted=True)


def _planned(
    model: Any, scheme: str, batch: Any, target: Any, loss: Callable[[Any, Any], Any] | None, seed: int,
    overrides: Overrides | None, branch_start: BranchStart, *, predicted: bool,
) -> Plan:  # fmt: skip
    """A plan whose levels theory predicts, or whose levels a batch is about to tell."""
    backend = backend_of(model)
    scheme = planning.canonical_name(scheme)
    recipe = planning.recipe_entry(scheme)
    if batch is None:
        if recipe.needs_batch:
            raise InputError(
                f"The recipe '{scheme}' needs to see what the model does. Pass batch=, an example input "
                f"(gs.initialize(model, {scheme!r}, batch=x)), or name a scheme (gs.initialize(model, 'he_normal'))."
            )
        graph = backend.structure(model)
    else:
        graph = backend.trace(model, batch, target, loss=loss)
    decided = planning.plan(graph, scheme, seed=seed, overrides=overrides, branch_start=branch_start)
    if predicted and batch is not None and recipe.levels.is_predicted:
        kept = {a.parameter for a in decided if a.scheme == "keep"}
        decided = planning.settled(graph, decided, backend.weight_moments(model, graph, kept))
    labels = _labels(target)
    return (
        decided if not recipe.sets_output_bias or labels is None else planning.with_output_bias(graph, decided, labels)
    )


def _labels(target: Any) -> NDArray[np.generic] | None:
    """Labels as an array, where they are one."""
    tensor = target.detach().cpu() if hasattr(target, "detach") else target
    if hasattr(tensor, "is_floating_point") and tensor.is_floating_point():
        tensor = tensor.double()  # NumPy has no bfloat16
    return np.asarray(tensor) if hasattr(tensor, "__array__") else None


def apply(model: Any, plan: Plan) -> None:
    """Write a plan into a model, in place; a plan that does not fit changes nothing.

    Raises:
        InputError, UnknownNameError, ModelError: the plan was not made for this model, or the weights have no memory.
    """
    backend_of(model).apply(model, plan)


def initialize(
    model: Any,
    scheme: str = "auto",
    *,
    batch: Any = None,
    target: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
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
    if batch is not None:
        backend.materialise(model, batch)
    decided = _planned(model, scheme, batch, target, loss, seed, overrides, branch_start, predicted=False)
    backend.apply(model, decided)
    if batch is None:
        return decided
    levels = planning.recipe_entry(decided.scheme).levels
    if levels.is_calibrated:
        return backend.calibrate(model, decided, batch)
    return backend.lsuv(model, decided, batch) if levels is LevelSource.LSUV else decided


def parameter_groups(
    model: Any, *, batch: Any, learning_rate: float, base_width: int, optimizer: RateRule = "adam"
) -> list[dict[str, Any]]:
    """Learning rates that carry over from a narrow model to this one: maximal update parametrisation.

    With the recipe ``mup`` as the start, the rate that is best at the base width is best at every width (Yang et al.,
    arXiv:2203.03466, table 3).

    Args:
        model: initialized with ``mup``.
        batch: an example input.
        learning_rate: the best one of a model of the base width.
        base_width: what that model's output layer reads.
        optimizer: ``adam`` (and its kin) or ``sgd``.

    Returns:
        parameter groups for the optimizer, each with its ``lr``.

    Raises:
        InputError: a width or rate that is not positive, an unknown rule, or a model without an output layer.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 512), torch.nn.ReLU(), torch.nn.Linear(512, 2))
    >>> groups = gs.parameter_groups(net, batch=torch.randn(4, 8), learning_rate=1e-2, base_width=64)
    >>> [(len(group["params"]), group["lr"]) for group in groups]
    [(3, 0.01), (1, 0.00125)]
    """
    if not learning_rate > 0:
        raise InputError(f"A learning rate is positive; received {learning_rate!r}.")
    backend = backend_of(model)
    factors = planning.rate_multipliers(backend.trace(model, batch), base_width, optimizer)
    return backend.parameter_groups(model, factors, learning_rate)
