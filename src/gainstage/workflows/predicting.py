"""Predict a model's profile: theory instead of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.errors import InputError, require_kind
from gainstage.graph import SignalGraph
from gainstage.propagation import planned, predicted_profile
from gainstage.records import InputMoments, Note, Plan, Profile, WeightMoments
from gainstage.workflows.supplying import batch_of
from gainstage.workflows.task import Loss

__all__ = ["KnownBefore", "known_before", "predict"]


def predict(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Loss = None,
    plan: Plan | str | None = None,
    input_shape: Sequence[int] | None = None,
    input_moments: InputMoments | Sequence[InputMoments] | None = None,
    training: bool | None = None,
) -> Profile:
    """Predict the level of signal and gradient at every operation, without running the model on values.

    Takes a second or less for most models, and next to no memory: weights may be on the meta device. The profile is of
    the same type as a measured one, so that rules, reports and charts take it. Every second moment comes with the band
    that holds nine of ten draws of the weights; what rests on a rule that is missing or on an assumption says so in
    ``doubt`` and in the profile's notes.

    Args:
        model: a module of a supported framework, or a ``SignalGraph`` from ``gs.trace``, which was traced with its
            batch, labels and loss and takes no others.
        x: an example batch; where it holds values, their moments are taken. Tokens are taken to be uniform.
        y, loss: labels and loss (a name, or a function as in ``gs.check``), for the gradient at the output. Labels
            count as random; without a loss random signs stand in for the gradient, as in ``gs.check``.
        input_shape: in place of ``x``: the shape of one input of values, with the batch. A model that describes its own
            input (Keras's ``Input``) needs neither.
        input_moments: of the inputs, in place of those of ``x``; by default independent standard normal values.
        plan: predict as if this plan, or a scheme or recipe of that name, had been applied; by default from the weights
            that are there. A model without memory needs one (``"auto"``, ``"he_normal"``).
        training: whether dropout drops; by default as the model is set.

    Raises:
        InputError: no input or too many, weights without values and no plan, or moments that do not fit.
        UnknownNameError: there is no scheme or loss of that name.
        ModelError: the model's own code raised, or its output does not depend on its input.

    Sources: mean field theory of wide networks (Poole et al. 2016, Schoenholz et al. 2017, Yang et al. 2019, Noci et
    al. 2022); the rules stand in ``gainstage.propagation``.

    >>> import torch
    >>> import gainstage as gs
    >>> with torch.device("meta"):
    ...     net = torch.nn.Sequential(torch.nn.Linear(512, 4096), torch.nn.ReLU(), torch.nn.Linear(4096, 10))
    >>> profile = gs.predict(net, input_shape=(32, 512), plan="he_normal")
    >>> [round(node.forward.second_moment, 3) for node in profile.nodes]
    [2.0, 1.0, 2.0]
    """
    known = known_before(
        model, x, y, loss=loss, plan=plan, input_shape=input_shape, input_moments=input_moments, training=training
    )
    return predicted_profile(
        known.graph, known.weights, known.inputs, training=known.training, framework=known.framework,
        notes=known.notes,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownBefore:
    """The starting point of a prediction.

    Args:
        graph: the model, through its loss where it has one.
        weights: moments of its parameters.
        inputs: moments of its inputs that are not standard normal.
        training: whether dropout drops.
        framework: of the model, with its version.
        notes: reasons for doubt.
    """

    graph: SignalGraph
    weights: Mapping[str, WeightMoments]
    inputs: tuple[InputMoments, ...]
    training: bool
    framework: str
    notes: list[Note]


def known_before(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Loss = None,
    plan: Plan | str | None = None,
    input_shape: Sequence[int] | None = None,
    input_moments: InputMoments | Sequence[InputMoments] | None = None,
    training: bool | None = None,
) -> KnownBefore:
    """Trace a model and collect the moments of its weights and inputs.

    Arguments and errors are those of ``predict``.
    """
    require_kind(plan, (Plan, str, NoneType), "plan is a Plan, or the name of a scheme or recipe")
    require_kind(input_shape, (Sequence, NoneType), "input_shape is the shape of an input with the batch")
    require_kind(input_moments, (InputMoments, Sequence, NoneType), "input_moments are InputMoments")
    told = (input_moments,) if isinstance(input_moments, InputMoments) else tuple(input_moments or ())
    for one in told:
        require_kind(one, InputMoments, "input_moments are InputMoments")
    if isinstance(model, SignalGraph):
        _refuse_beside_graph(x=x, y=y, loss=loss, input_shape=input_shape)
        graph, present, framework = model, dict[str, WeightMoments](), ""
        mode = True
    else:
        backend = backend_of(model)
        own = backend.own_trace(model) if x is None and input_shape is None and y is None else None
        if own is not None:  # the model says what it takes
            graph = own
        else:
            if (x is None) == (input_shape is None):
                raise InputError(
                    "Pass one of x, a batch, and input_shape, the shape of an input with the batch, e.g. "
                    "gs.predict(model, input_shape=(32, 3, 224, 224))."
                )
            x, y = batch_of(x, y)
            inputs = x if input_shape is None else backend.placeholder(model, tuple(input_shape))
            graph = backend.trace(model, inputs, y, loss=backend.loss_of(loss, labelled=y is not None))
            told = told or (backend.input_moments(model, inputs) if input_shape is None else ())
        present = backend.weight_moments(model, graph)
        framework, mode = backend.version(), backend.in_training(model)
    if len(told) > len(graph.inputs):
        raise InputError(f"The model has {len(graph.inputs)} inputs; moments were given for {len(told)}.")
    weights, notes = _weights(graph, plan, present)
    training = mode if training is None else training
    return KnownBefore(graph, weights, told, training, framework, notes)


def _refuse_beside_graph(**given: Any) -> None:
    """A graph holds the shapes it was traced with, and the loss; others would be ignored."""
    extra = [name for name, value in given.items() if value is not None]
    if extra:
        raise InputError(
            f"A SignalGraph was traced with its batch, labels and loss, so that {' and '.join(extra)} cannot be used "
            "with it. Pass them to gs.trace, or pass the model itself; moments of other inputs go into input_moments."
        )


def _weights(
    graph: SignalGraph, plan: Plan | str | None, present: dict[str, WeightMoments]
) -> tuple[dict[str, WeightMoments], list[Note]]:
    """The weights' moments: those of a plan, or those that are there."""
    if plan is not None:
        decided = planning.settled(graph, planning.plan(graph, plan), present) if isinstance(plan, str) else plan
        return planned(graph, decided, present), []
    missing = [p.path for p in graph.parameters if p.reached and p.path not in present]
    if not missing:
        return present, []
    if len(missing) == sum(p.reached for p in graph.parameters):
        raise InputError(
            "The weights hold no values (a graph, a model on the meta device, or lazy layers), so that there is "
            "nothing to predict from. Say how they will be initialized: gs.predict(..., plan='auto'), or a scheme such "
            "as 'he_normal'."
        )
    note = f"{len(missing)} parameters have values that are not known, first '{missing[0]}'; usual ones are assumed"
    return present, [Note("GS903", f"Predicted figures are doubtful: {note}.")]
