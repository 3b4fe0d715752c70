"""Models of one architecture as one model with stacked parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.training.criterion import Criterion

__all__ = ["Stack", "differing"]

Losses = tuple[Tensor, Tensor]
"""Mean loss and number of right guesses (not a number where there are none), one of each a training."""


class Stack:
    """Many models of one architecture, run as one.

    Args:
        models: of one architecture; they are copied, not changed.
        criterion: the loss.

    >>> layers = [nn.Linear(2, 3) for _ in range(5)]
    >>> stack = Stack(layers, Criterion.of(None, classes=3))
    >>> stack.losses(torch.randn(5, 8, 2), torch.zeros(5, 8, dtype=torch.int64)).shape
    torch.Size([5])
    """

    def __init__(self, models: Sequence[nn.Module], criterion: Criterion) -> None:
        self._base = copy.deepcopy(models[0])
        self._criterion = criterion
        named = [dict(model.named_parameters()) for model in models]
        self._turned = _linear_weights(self._base)
        self.parameters = {
            path: self._turn(path, torch.stack([parameters[path].detach() for parameters in named])).contiguous()
            for path, p in named[0].items()
            if p.requires_grad
        }
        """Trainable parameters by path, each with a first axis of models; weights of linear layers are (in, out)."""
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        held = [{**dict(model.named_buffers()), **_frozen(model)} for model in models]
        self._held = {path: torch.stack([tensors[path].detach() for tensors in held]) for path in held[0]}
        self._train = vmap(self._loss, in_dims=(0, 0, 0, 0))
        self._judge = vmap(self._judged, in_dims=(0, 0, None, None))

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Every model's loss on a batch of its own, in training mode.

        Args:
            x, y: of shape ``(models, batch, …)``.
        """
        self._base.train()
        losses: Tensor = self._train(self.as_known(self.parameters), self._held, x, y)
        return losses

    @torch.no_grad()
    def judge(self, x: Tensor, y: Tensor) -> Losses:
        """Every model's loss and right guesses on the same examples, in evaluation mode."""
        self._base.eval()
        judged: Losses = self._judge(self.as_known(self.parameters), self._held, x, y)
        return judged

    def gradients(self, losses: Tensor) -> dict[str, Tensor]:
        """By path, stacked; zero where a loss does not reach."""
        found = torch.autograd.grad(
            losses.sum(), list(self.parameters.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(self.parameters, found, strict=True))

    def as_known(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parameters or gradients of theirs, in the layout in which the model knows them."""
        return {path: self._turn(path, tensor) for path, tensor in tensors.items()}

    def _turn(self, path: str, stacked: Tensor) -> Tensor:
        return stacked.transpose(1, 2) if path in self._turned else stacked

    def _output(self, parameters: Mapping[str, Tensor], held: Mapping[str, Tensor], x: Tensor) -> Tensor:
        output: Any = functional_call(self._base, {**parameters, **held}, (x,))
        return first_output(output)

    def _loss(self, parameters: Mapping[str, Tensor], held: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return self._criterion.loss(self._output(parameters, held, x), y)

    def _judged(self, parameters: Mapping[str, Tensor], held: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Losses:
        output = self._output(parameters, held, x)
        loss, right = self._criterion.loss(output, y), self._criterion.right(output, y)
        return loss, torch.full_like(loss, torch.nan) if right is None else right


def _linear_weights(model: nn.Module) -> frozenset[str]:
    """Make linear layers fast in a stack; the paths of their weights, which are to be stored as (in, out).

    That is how a product hands the gradient back: an optimizer that wanted it otherwise would have to copy it. And a
    product and a sum take fewer operations under ``vmap`` than PyTorch's linear layer, which it takes apart.
    """
    layers = {path: module for path, module in model.named_modules() if type(module) is nn.Linear}
    for layer in layers.values():
        layer.forward = MethodType(_product, layer)  # type: ignore[method-assign]
    named = {path for path, _ in model.named_parameters()}
    return frozenset(name for path in layers if (name := f"{path}.weight".lstrip(".")) in named)


def _product(layer: nn.Linear, x: Tensor) -> Tensor:
    if x.ndim != 2:
        return functional.linear(x, layer.weight, layer.bias)
    product = x @ layer.weight.T
    return product if layer.bias is None else product + layer.bias


def differing(models: Sequence[nn.Module]) -> str:
    """In what the models are no single architecture; empty where they are one."""
    first = models[0]
    facts: list[tuple[str, Callable[[nn.Module], object]]] = [
        ("type", lambda m: [f"{type(part).__module__}.{type(part).__qualname__}" for part in m.modules()]),
        ("parameters", lambda m: [(n, p.shape, p.dtype, p.device, p.requires_grad) for n, p in m.named_parameters()]),
        ("buffers", lambda m: [(n, b.shape, b.dtype, b.device) for n, b in m.named_buffers()]),
    ]
    for name, fact in facts:
        if any(fact(model) != fact(first) for model in models[1:]):
            return name
    return ""


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    return {path: p for path, p in model.named_parameters() if not p.requires_grad}
