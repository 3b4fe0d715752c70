"""What the weights themselves say: moments, copied units, constant arrays."""

from __future__ import annotations

import torch

from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.graph import Parameter, SignalGraph
from gainstage.records import ParameterProfile

__all__ = ["incoming_weights", "profile_parameter"]


def profile_parameter(
    graph: SignalGraph,
    parameter: Parameter,
    tensors: dict[str, torch.Tensor],
    gradient: torch.Tensor | None,
    update: float | None = None,
) -> ParameterProfile:
    """One parameter's values, and its gradient where there is one."""
    tensor = tensors[parameter.path].detach()
    weight = moments_of(tensor, extremes=True)
    constant = tensor.numel() > 1 and weight.minimum == weight.maximum
    copies, unit_spread = 0, None
    if parameter.kernel is not None and tensor.dim() >= 2:
        rows = incoming_weights(tensor, parameter)
        norms = torch.linalg.vector_norm(rows.float(), dim=1) / rows.shape[1] ** 0.5
        unit_spread = float(norms.min()), float(norms.max())
        copies = _copies(rows, _bias_of(graph, parameter, tensors, len(rows)))
    gradient_moments = moments_of(_dense(gradient)) if gradient is not None else None
    return ParameterProfile(parameter.path, weight, gradient_moments, copies, constant, unit_spread, update)


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def incoming_weights(tensor: torch.Tensor, parameter: Parameter) -> torch.Tensor:
    """The incoming weights of every unit, one unit a row; of complex ones the imaginary parts beside the real ones."""
    if tensor.is_complex():
        tensor = tensor.resolve_conj()
        return torch.cat([incoming_weights(part, parameter) for part in (tensor.real, tensor.imag)], 1)
    kernel = parameter.kernel
    if parameter.layout == "in_out" and kernel is not None:
        if kernel.groups > 1:  # a transposed convolution: (in, out / groups, taps)
            grouped = tensor.reshape(kernel.groups, kernel.in_ // kernel.groups, kernel.out // kernel.groups, -1)
            return grouped.transpose(1, 2).reshape(kernel.out, -1)
        return tensor.transpose(0, 1).reshape(tensor.shape[1], -1)
    return tensor.reshape(tensor.shape[0], -1)


def _bias_of(
    graph: SignalGraph, parameter: Parameter, tensors: dict[str, torch.Tensor], units: int
) -> torch.Tensor | None:
    for index in parameter.nodes:
        for use in graph.nodes[index].uses_of("bias"):
            bias = tensors[use.parameter].detach()
            if bias.numel() == units:
                return bias.reshape(-1)
    return None


def _copies(rows: torch.Tensor, bias: torch.Tensor | None) -> int:
    """Units whose incoming weights and bias repeat another unit's, found by one random projection."""
    count, size = rows.shape
    if count < 2:
        return 0
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(size, generator=generator, dtype=torch.float64).to(device=rows.device, dtype=torch.float32)
    marks = rows.float() @ direction
    # Equal rows can differ in the last bits of the product, since they may be summed in another order.
    grain = torch.finfo(torch.float32).eps * torch.linalg.vector_norm(rows.float(), dim=1).max() * size**0.5 * 4
    order = torch.argsort(marks)
    close = marks[order].diff().abs() <= grain
    first, second = order[:-1][close], order[1:][close]
    same = (rows[first] == rows[second]).all(1)
    if bias is not None:
        same &= bias[first] == bias[second]
    return int(same.sum())
