"""Signal and gradient at linear layers by one plain pass, for controls that are dragged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gainstage.backends.protocol import LayerLevel
from gainstage.backends.torch.models.random_states import random_state

__all__ = ["layer_levels", "multiply_weights", "write_values"]


def layer_levels(
    model: nn.Module, inputs: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
) -> tuple[LayerLevel, ...]:
    """Measure the output of every ``nn.Linear`` and the gradient that reaches it, in order of execution.

    A record of the model (``measuring.record``) measures the same and much more; this pass costs a tenth of its time.

    Args:
        model: made of PyTorch's own layers; gradients stay as they are, and buffers are put back.
        inputs: a batch, shape (batch, *example).
        labels: shape (batch,).
        loss: of (output, labels).

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    >>> levels = layer_levels(net, torch.ones(2, 4), torch.tensor([0, 1]), nn.functional.cross_entropy)
    >>> [level.path for level in levels]
    ['0', '2']
    """
    seen: list[tuple[str, Tensor]] = []

    def keep(path: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        seen.append((path, output))

    layers = [(path, module) for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with random_state(0), torch.enable_grad():
        handles = [module.register_forward_hook(partial(keep, path)) for path, module in layers]
        try:
            value = loss(model(inputs), labels)
        finally:
            for handle in handles:
                handle.remove()
        outputs = [output for _, output in seen]
        gradients = torch.autograd.grad(value, outputs, allow_unused=True)
    for buffer, was in buffers:
        buffer.copy_(was)
    return tuple(
        LayerLevel(
            path,
            float(output.detach().double().std(correction=0)),
            0.0 if gradient is None else float(torch.linalg.vector_norm(gradient.double())),
        )
        for (path, output), gradient in zip(seen, gradients, strict=True)
    )


def multiply_weights(model: nn.Module, factors: Mapping[str, float]) -> None:
    """Multiply parameters by factors, by path and in place.

    >>> net = nn.Linear(2, 1)
    >>> multiply_weights(net, {"weight": 0.0})
    >>> float(net.weight.detach().abs().sum())
    0.0
    """
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if path in factors:
                parameter.mul_(factors[path])


def write_values(model: nn.Module, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Set parameters to arrays of their shape, by path and in place.

    >>> net = nn.Linear(2, 1)
    >>> write_values(net, {"bias": np.array([3.0], np.float32)})
    >>> float(net.bias.detach())
    3.0
    """
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            if path in values:
                parameter.copy_(torch.from_numpy(values[path]).reshape(parameter.shape))
