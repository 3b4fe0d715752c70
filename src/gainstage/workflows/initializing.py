"""Plan and write: initialize a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.planning import Overrides
from gainstage.records import Plan

__all__ = ["apply", "initialize", "plan"]


def plan(
    model: Any,
    scheme: str = "auto",
    *,
    batch: Any = None,
    target: Any = None,
    loss: Callable[[Any, Any], Any] | None = None,
    seed: int = 0,
    overrides: Overrides | None = None,
) -> Plan:
    """Decide what every parameter of a model gets, without writing anything.

    Args:
        model: a module of a supported framework.
        scheme: ``auto``, or a name in the table of schemes.
        batch: an example input: a tensor, a tuple of positional arguments or a dict of keyword ones. With it, roles
            are read off what the model really does; without it, named schemes go by the kinds of its layers.
        target, loss: labels and loss, where the model's own forward does not end at the output.
        seed: fixes every byte.
        overrides: other schemes or gains by pattern of parameter paths, e.g. ``{"head.*": "zeros"}``.

    Returns:
        the plan: printable, and editable as data.

    Raises:
        InputError: ``auto`` without a batch, an unusable batch, or a pattern that matches nothing.
        UnknownNameError: no such scheme.
        ModelError: the model cannot be run, or has no parameters.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
    >>> [(a.parameter, a.scheme) for a in gs.plan(net, "glorot_normal")]
    [('0.weight', 'glorot_normal'), ('0.bias', 'zero'), ('2.weight', 'glorot_normal'), ('2.bias', 'zero')]
    """
    backend = backend_of(model)
    if batch is None:
        if scheme == "auto":
            raise InputError(
                "Automatic initialization needs to see what the model does. Pass batch=, an example input "
                "(gs.initialize(model, batch=x)), or name a scheme (gs.initialize(model, 'he_normal'))."
            )
        graph = backend.structure(model)
    else:
        graph = backend.trace(model, batch, target, loss=loss)
    return planning.plan(graph, scheme, seed=seed, overrides=overrides)


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
) -> Plan:
    """Initialize a model in place.

    Takes what :func:`plan` takes, and raises what it raises. Lazy layers take their sizes from the batch.

    Returns:
        the plan that was carried out; ``print`` it to see what every parameter got, and why.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Linear(1000, 500)
    >>> _ = gs.initialize(net, "he_normal", seed=0)
    >>> round(float(net.weight.detach().std()), 4), round((2 / 1000) ** 0.5, 4)
    (0.0447, 0.0447)
    """
    backend = backend_of(model)
    if batch is not None:
        backend.materialise(model, batch)
    decided = plan(model, scheme, batch=batch, target=target, loss=loss, seed=seed, overrides=overrides)
    backend.apply(model, decided)
    return backend.calibrate(model, decided, batch) if scheme == "auto" and batch is not None else decided
