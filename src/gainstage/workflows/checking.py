"""Look at a model: measure, judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from gainstage import rules
from gainstage.backends import backend_of
from gainstage.records import Diagnosis
from gainstage.workflows.supplying import batch_of, default_loss
from gainstage.workflows.task import Loss, Optimizer, require_seed

__all__ = ["check"]


def check(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    loss: Loss = None,
    optimizer: Optimizer = None,
    learning_rate: float | None = None,
    detail: Literal["lean", "standard", "magnitudes"] = "standard",
    seed: int = 0,
    synthetic: bool = False,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    overfit: bool = False,
    trained: bool | None = None,
    check_gradients: bool = False,
    on_progress: Callable[[int, float], None] | None = None,
) -> Diagnosis:
    """Say whether a model's signal and gradient survive, and if not, where, why, and what cures it.

    One forward and one backward pass (one more forward with ``optimizer``, and a short training with ``overfit``); the
    model is left exactly as it was found. It is judged in the mode it is in: call ``model.train()`` first to judge it
    as it will train.

    Args:
        model: a module of a supported framework.
        x: a batch: a tensor, a tuple of positional arguments or a dict of keyword ones; or a PyTorch ``DataLoader`` or
            ``Dataset`` or a ``tf.data.Dataset``, whose first batch is taken with its labels. A batch of one blinds half
            of the rules. What the model would refuse for its precision alone is cast to that of the weights.
        y: labels, handed to ``loss``; those of a loader come with it, and then the loss is by default
            ``cross_entropy`` for whole numbers and ``mse`` for others.
        loss: a name (``cross_entropy``, ``mse``, …), or a function, in PyTorch called as ``loss(output, y)``. Models
            that return their own loss need none; without any, random signs stand in for the gradient at the output and
            the rules about losses are listed as not judged.
        optimizer: its first step is measured and taken back. An object, a name (``adam``, ``sgd``, …), or a function
            that makes one, in PyTorch of (parameters, learning rate); a class will do.
        learning_rate: of an optimizer given by name or as a function.
        detail: ``lean`` is faster and leaves out normalisations, sums and extremes; ``magnitudes`` adds distributions
            of absolute values (see ``gs.formats``).
        seed: random state of the pass (dropout), 0 <= seed < 2**64.
        synthetic: say that ``x`` was made up, so that nothing is concluded from its values.
        select: judge by these rules alone: codes (``"GS204"``) or their beginnings (``"GS2"``); by default all.
        ignore: leave these rules out.
        overfit: also train on this batch for a while, to see whether it can be learned by heart: at most 200 steps
            with each of four optimizers and half a minute in all. The model is put back bit for bit.
        trained: whether the network was trained: then rules about starts keep silent. By default the evidence decides,
            and the diagnosis states it: a loss below half of that of the best constant guess, an optimizer that has
            made steps, or normalisations whose scales and shifts all differ from unit to unit.
        check_gradients: also compare the gradient of every parameter with finite differences of the loss, which takes
            four forward passes a parameter: for models with backward passes of your own.
        on_progress: called after every step of that training with the number of steps and the loss.

    Raises:
        InputError: the batch, labels, loss or optimizer cannot be used.
        UnknownNameError: there is no loss, optimizer or rule of that name.
        ModelError: the model's own code raised.

    >>> import torch
    >>> import gainstage as gs
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(*[m for _ in range(20) for m in (torch.nn.Linear(64, 64), torch.nn.Sigmoid())])
    >>> gs.check(net, torch.randn(32, 64)).ok
    False
    """
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
        detail=detail,
        seed=require_seed(seed),
        synthetic=synthetic,
    )
    if overfit:
        learned = backend.overfit(
            model, x, y,
            loss=backend.loss_of(loss, labelled=y is not None),
            optimizer=backend.optimizer_of(model, optimizer, learning_rate),
            task=profile.task, seed=seed, on_step=on_progress,
        )  # fmt: skip
        profile = replace(profile, overfit=learned)
    if check_gradients:
        measure = backend.loss_of(loss, labelled=y is not None)
        profile = replace(profile, gradient_checks=backend.gradient_checks(model, x, y, loss=measure, seed=seed))
    if trained is not None:
        profile = replace(profile, trained="it was said to be" if trained else "")
    return rules.judge(profile, backend.words(), select=select, ignore=ignore)
