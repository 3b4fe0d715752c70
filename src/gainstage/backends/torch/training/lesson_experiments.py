"""Short trainings that are watched; what they return holds no tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gainstage.backends.protocol import FirstSteps
from gainstage.backends.torch.models.inputs import labelled_batch
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.training.objectives import loss_function
from gainstage.backends.torch.training.objectives import optimizer as make_optimizer
from gainstage.data import Dataset
from gainstage.errors import InputError

__all__ = ["first_steps", "gradient_agreement"]


def first_steps(
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int = 50,
    learning_rate: float = 0.05,
    optimizer: str = "momentum",
    batch: int = 64,
    seed: int = 0,
) -> FirstSteps:
    """Train a model in place for a few steps of cross-entropy and watch how far each weight moves.

    Args:
        model: from ``(batch, features)`` to logits.
        dataset: its training examples are used.
        steps: at most so many; a loss that is not finite ends them.
        learning_rate: constant.
        optimizer: a key of ``OPTIMIZERS``.
        batch: examples in one step, drawn with replacement.
        seed: of the batches.

    Raises:
        InputError: steps or batch are not positive.

    >>> from gainstage.data import gaussian
    >>> first_steps(nn.Linear(2, 3), gaussian(classes=3, features=2, examples=300), steps=2).paths
    ('weight',)
    """
    if min(steps, batch) < 1:
        raise InputError(f"Counts must be positive; received steps={steps}, batch={batch}.")
    weights = {path: p for path, p in model.named_parameters() if p.ndim > 1}
    before = {path: p.detach().clone() for path, p in weights.items()}
    stepper, loss = make_optimizer(optimizer, model, learning_rate), loss_function("cross_entropy")
    x, y = torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train)
    generator = torch.Generator().manual_seed(seed)
    first: tuple[float, ...] = ()
    losses: list[float] = []
    with random_state(seed):
        for _ in range(steps):
            chosen = torch.randint(0, len(x), (batch,), generator=generator)
            value = loss(model(x[chosen]), y[chosen])
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                break
            stepper.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            stepper.step()
            first = first or _moved(weights, before)
    stepper.zero_grad(set_to_none=True)
    grown = tuple(_norm(p) / _norm(before[path]) for path, p in weights.items())
    return FirstSteps(tuple(weights), first, _moved(weights, before), grown, tuple(losses))


def _moved(weights: dict[str, nn.Parameter], before: dict[str, Tensor]) -> tuple[float, ...]:
    return tuple(_norm(p.detach() - before[path]) / _norm(before[path]) for path, p in weights.items())


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.detach().double()))


def gradient_agreement(
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int = 50,
    learning_rate: float = 0.05,
    batch: int = 256,
) -> tuple[float, ...]:
    """How well a gradient still points the right way after a step along it: the cosines of successive gradients.

    Plain gradient descent in place, in training mode, on one fixed batch, so that nothing but the step changes the
    gradient. 1: the surface is straight on the scale of a step; 0 or below: every step overshoots.

    Returns:
        one cosine a step; fewer when training diverged.

    Source: gradient predictiveness of Santurkar et al. 2018, with the cosine in place of the distance.

    >>> from gainstage.data import gaussian
    >>> data = gaussian(classes=3, features=2, examples=300)
    >>> min(gradient_agreement(nn.Linear(2, 3), data, steps=3, learning_rate=1e-4)) > 0.999
    True
    """
    x, y = labelled_batch(dataset, batch=batch)
    loss, parameters = loss_function("cross_entropy"), list(model.parameters())
    model.train()
    cosines: list[float] = []
    last: Tensor | None = None
    for _ in range(steps + 1):
        gradients = torch.autograd.grad(loss(model(x), y), parameters)
        flat = torch.cat([g.flatten() for g in gradients]).double()
        if not bool(torch.isfinite(flat).all()):
            break
        if last is not None:
            cosines.append(float(functional.cosine_similarity(flat, last, dim=0)))
        last = flat
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=learning_rate)
    return tuple(cosines)
