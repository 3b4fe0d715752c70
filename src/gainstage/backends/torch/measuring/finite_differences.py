"""The gradient of a backward pass against finite differences of the loss, in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.batch import copied, first_output, labels_for, own_loss
from gainstage.backends.torch.models.preserve import hold_model
from gainstage.backends.torch.tracing.checkpoints import transparent_checkpoints
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.tracing.traced_run import LossFunction, takes_whole
from gainstage.errors import InputError
from gainstage.records import GradientCheck

__all__ = ["gradient_checks"]

STEP = 1e-5
"""Length of the step over the norm of the parameter: its rounding error in double precision is 1e-11 of the loss."""

ROUNDING = 1e-14  # of the loss: some fifty units in the last place


def gradient_checks(
    model: nn.Module, inputs: Any, target: Any = None, *, loss: LossFunction | None = None, seed: int = 0
) -> tuple[GradientCheck, ...]:
    """Compare the slope of the loss along one direction of every trainable parameter; the model is left as it was.

    The direction has one half along the gradient and one half at random. Takes four forward passes a parameter.

    Raises:
        InputError: there is no loss, or the model does not run in double precision.
    """
    model = unwrap(model)
    target = labels_for(model, target)
    batch = fitting_batch(inputs, model, target)
    held = hold_model(model, batch.loose, target, loss)
    parameters, _ = named_parameters(model)

    def wide(tensor: Any) -> Any:
        return tensor.double() if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() else tensor

    def value() -> torch.Tensor:
        torch.manual_seed(seed)
        output = batch.map(wide).copied().call(model)
        found = own_loss(output) if loss is None else loss(
            output if takes_whole(output) else first_output(output), wide(copied(target))
        )  # fmt: skip
        if found is None:
            raise InputError("Checking gradients needs a loss. Pass y and loss=, e.g. loss='cross_entropy'.")
        return found

    with held.during(seed), torch.enable_grad(), transparent_checkpoints():
        for module in model.modules():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.data = tensor.data.double()
        try:
            start = value()
        except RuntimeError as error:
            raise InputError(
                f"Gradients are checked in double precision, in which the model does not run: {error}"
            ) from error
        wanted = {path: p for path, p in parameters.items() if p.requires_grad and p.is_floating_point()}
        found = torch.autograd.grad(start, list(wanted.values()), allow_unused=True) if start.requires_grad else ()
        generator = torch.Generator().manual_seed(seed)
        return tuple(
            _check(path, p, gradient, lambda: float(value().detach()), generator)
            for (path, p), gradient in zip(wanted.items(), found, strict=False)
            if gradient is not None and not gradient.is_sparse
        )


def _check(
    path: str, parameter: torch.Tensor, gradient: torch.Tensor, value: Callable[[], float], generator: torch.Generator
) -> GradientCheck:
    random = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.device)
    direction = random / random.norm().clamp_min(1e-300) + gradient / gradient.norm().clamp_min(1e-300)
    before = parameter.detach().clone()
    sizes: list[float] = []
    length = STEP * float(before.norm()) or STEP

    def slope(step: float) -> float:
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.data = before + sign * step * direction
                ends.append(value())
        parameter.data = before
        sizes.append(abs(ends[0]))
        return (ends[0] - ends[1]) / (2 * step)

    one, other = slope(length), slope(2 * length)
    doubt = abs(one - other) + ROUNDING * max(sizes) / length
    return GradientCheck(path, float((gradient * direction).sum()), one, doubt)
