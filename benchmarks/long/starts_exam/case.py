"""One training of the exam: a network as its authors would start it, with its data, optimizer, loss and metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional as F

__all__ = [
    "Case",
    "Data",
    "Metric",
    "accuracy",
    "adam",
    "adamw",
    "arguments",
    "cross_entropy",
    "held_out",
    "held_out_objective",
    "sgd",
]

Loss = Callable[[Any, Any], torch.Tensor]
Objective = Callable[[nn.Module, Any, Any], torch.Tensor]
Optimizer = Callable[[Iterable[Any], float], Any]
Scale = Literal["share", "positive", "plain"]


@dataclass(frozen=True, slots=True)
class Data:
    """Inputs and targets for training, and others held out.

    Args:
        x, x_held: a tensor with examples along the first axis, or a tuple of such tensors (positional arguments).
        y, y_held: the targets, in the same form.
    """

    x: Any
    y: Any
    x_held: Any
    y_held: Any


@dataclass(frozen=True, slots=True)
class Metric:
    """The held-out figure that a case is judged by.

    Args:
        name: e.g. ``accuracy`` (larger is better) or ``mean squared error`` (smaller is better).
        scale: ``share`` is an accuracy between 0 and 1, compared by its log odds; ``positive`` is an error or a loss
            above zero, compared by its logarithm; ``plain`` is any other loss (e.g. nats per dimension).
        chance: what a constant guess reaches.
        measure: computes the figure from the trained model and the data.
    """

    name: str
    scale: Scale
    chance: float
    measure: Callable[[Any, Data], float]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network of the exam.

    Args:
        name: lower case, unique.
        field: e.g. ``language``.
        build: makes a network and starts it as its authors would, from the framework's global random state.
        data: makes the data from a seed.
        loss: takes the output and the target; or
        objective: takes the model, inputs and targets, where a loss needs more than one forward pass.
        optimizer: takes parameters and a learning rate (Keras ignores the parameters).
        rate: the learning rate that authors would use.
        steps: number of updates.
        batch: examples per update; None for all of them.
        metric: judges the trained network.
        parts: lists the pairs (network, example input) that a user would initialize, given the model and inputs;
            by default the whole model.
        clip: largest norm of the gradient; None without clipping.
        schedule: factor on the rate as a function of (step, steps).
        framework: ``torch`` or ``keras``.
    """

    name: str
    field: str
    build: Callable[[], Any]
    data: Callable[[int], Data]
    rate: float
    steps: int
    metric: Metric
    loss: Loss | None = None
    objective: Objective | None = None
    optimizer: Optimizer
    batch: int | None = 32
    parts: Callable[[Any, Any], list[tuple[Any, Any]]] | None = None
    clip: float | None = None
    schedule: Callable[[int, int], float] | None = None
    framework: Literal["torch", "keras"] = "torch"

    def model(self, seed: int) -> Any:
        """Build the network with its authors' start; equal seeds give equal weights."""
        if self.framework == "keras":
            import keras

            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
        else:
            torch.manual_seed(seed)
        return self.build()

    def value(self, model: nn.Module, x: Any, y: Any) -> torch.Tensor:
        """Return the training loss of a batch."""
        if self.objective is not None:
            return self.objective(model, x, y)
        assert self.loss is not None
        return self.loss(model(*arguments(x)), y)


def arguments(x: Any) -> tuple[Any, ...]:
    """Return inputs as positional arguments."""
    return x if isinstance(x, tuple) else (x,)


def adam(parameters: Iterable[Any], rate: float) -> torch.optim.Optimizer:
    """Adam as PyTorch has it."""
    return torch.optim.Adam(parameters, lr=rate)


def adamw(parameters: Iterable[Any], rate: float) -> torch.optim.Optimizer:
    """AdamW with the decay and the second moments that language models use."""
    return torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.95), weight_decay=0.1)


def sgd(parameters: Iterable[Any], rate: float) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum 0.9 and a small weight decay."""
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=5e-4)


def held_out(name: str, score: Callable[[Any, Any], Any], chance: float, scale: Scale = "positive") -> Metric:
    """Judge the outputs for the held-out inputs by ``score(output, target)``."""

    def measure(model: nn.Module, data: Data) -> float:
        with torch.no_grad():
            return float(score(model(*arguments(data.x_held)), data.y_held))

    return Metric(name, scale, chance, measure)


def held_out_objective(objective: Objective, chance: float, scale: Scale = "positive") -> Metric:
    """Judge by the training objective on the held-out part."""
    return Metric("loss", scale, chance, lambda model, data: float(objective(model, data.x_held, data.y_held).detach()))


def accuracy(classes: int) -> Metric:
    """Share of the held-out labels that have the largest logit (along axis 1); labels of -100 do not count."""

    def share(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        known = labels != -100
        return (logits.argmax(1) == labels)[known].float().mean()

    return held_out("accuracy", share, 1 / classes, "share")


def cross_entropy(classes: int) -> Metric:
    """Cross-entropy of the held-out labels in nats; the constant guess has log(classes)."""
    return held_out("cross-entropy", F.cross_entropy, math.log(classes))
