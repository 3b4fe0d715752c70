"""Number formats of 8 and 16 bits: their overflow and underflow in a model, measured or predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.records import Formats, Plan
from gainstage.rules.expected_magnitudes import FirstUpdate
from gainstage.rules.formats import formats_of
from gainstage.statistics import number_format
from gainstage.workflows.predicting import predict
from gainstage.workflows.supplying import batch_of, default_loss
from gainstage.workflows.task import Loss, Optimizer, require_seed

__all__ = ["formats"]


def formats(
    model: Any,
    x: Any = None,
    y: Any = None,
    *,
    loss: Loss = None,
    optimizer: Optimizer = None,
    learning_rate: float | None = None,
    formats: Sequence[str] = (),
    plan: Plan | str | None = None,
    input_shape: Sequence[int] | None = None,
    seed: int = 0,
) -> Formats:
    """Show what float16, bfloat16 and the two formats of 8 bits would do to every tensor of a model.

    For every output, gradient and weight: the share of elements beyond the format's largest number, and of those that
    it rounds to zero; for every weight, the share of elements that the optimizer's first update would leave where they
    are. The factor on the loss that lifts all gradients into a format's range comes with it. Formats of 8 bits are used
    with a scale per tensor, which puts the largest element at the end of the format.

    With a batch the tensors are measured in one forward and one backward pass, in the number formats in which the
    model computes; the model is left as it was found. With ``input_shape`` or ``plan`` nothing is run: the shares
    follow from the predicted moments, also for a model on the meta device.

    Args:
        model: a module of a supported framework.
        x, y, loss: a batch, labels and a loss, as in ``gs.check``. Without a loss random signs stand in for the
            gradient at the output, and the sizes of gradients are those of no training.
        optimizer, learning_rate: for the first update, as in ``gs.check``; where the tensors are predicted, a name
            (``sgd``, ``momentum``, ``adam``, ``adamw``, ``rmsprop``) with its rate.
        formats: names of formats: ``float16``, ``bfloat16``, ``float8_e4m3``, ``float8_e5m2``; by default all.
        plan: predict as if this plan, or a scheme or recipe of that name, had been applied.
        input_shape: predict for one input of this shape, with the batch.
        seed: random state of the pass, 0 <= seed < 2**64.

    Raises:
        InputError: the batch, labels, loss or optimizer cannot be used.
        UnknownNameError: there is no format, loss or optimizer of that name.
        ModelError: the model's own code raised.

    Sources: Micikevicius et al. 2018, Mixed Precision Training; Micikevicius et al. 2022, FP8 Formats for Deep
    Learning.

    >>> import torch
    >>> import gainstage as gs
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 1))
    >>> x, y = torch.randn(256, 64), torch.randn(256, 1)
    >>> found = gs.formats(net, x, y, loss=lambda output, y: 1e-6 * (output - y).square().mean())
    >>> [bool(found.harmed(name)) for name in ("float16", "bfloat16", "float8_e4m3")]
    [True, False, False]
    >>> found.loss_scale("float16").left  # gradients that the advised scale does not save
    0
    """
    for name in formats:
        number_format(name)
    if plan is not None or input_shape is not None:
        profile = predict(model, x, y, loss=loss, plan=plan, input_shape=input_shape)
        return formats_of(profile, formats, update=_named(optimizer, learning_rate))
    if x is None:
        raise InputError(
            "Pass x, a batch, to measure; or input_shape, the shape of one with the batch, to predict, e.g. "
            "gs.formats(model, input_shape=(32, 3, 224, 224), plan='auto')."
        )
    backend = backend_of(model)
    supplied, (x, y) = y, batch_of(x, y)
    if loss is None and supplied is None:
        loss = default_loss(y)
    profile = backend.record(
        model,
        x,
        y,
        loss=backend.loss_of(loss, labelled=y is not None),
        optimizer=backend.optimizer_of(model, optimizer, learning_rate),
        detail="magnitudes",
        seed=require_seed(seed),
    )
    return formats_of(profile, formats)


def _named(optimizer: Optimizer, learning_rate: float | None) -> FirstUpdate | None:
    if optimizer is None and learning_rate is None:
        return None
    if not isinstance(optimizer, str) or learning_rate is None:
        raise InputError(
            "Predicted updates need the name of an optimizer and its rate, e.g. optimizer='adam', learning_rate=1e-3."
        )
    return optimizer, learning_rate
