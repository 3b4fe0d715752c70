"""What the weights themselves say: moments, copied units, constant arrays."""

from __future__ import annotations

from dataclasses import replace

import torch

from gainstage.backends.torch.moments import moments_of
from gainstage.graph import Parameter, SignalGraph
from gainstage.records import ParameterProfile, WeightMoments

__all__ = ["profile_parameter", "weight_moments"]


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
        rows = _units(tensor, parameter)
        norms = torch.linalg.vector_norm(rows.float(), dim=1) / rows.shape[1] ** 0.5
        unit_spread = float(norms.min()), float(norms.max())
        copies = _copies(rows, _bias_of(graph, parameter, tensors, len(rows)))
    gradient_moments = moments_of(_dense(gradient)) if gradient is not None else None
    return ParameterProfile(parameter.path, weight, gradient_moments, copies, constant, unit_spread, update)


def _dense(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _units(tensor: torch.Tensor, parameter: Parameter) -> torch.Tensor:
    """The incoming weights of every unit, one unit a row."""
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


def weight_moments(model: torch.nn.Module, graph: SignalGraph) -> dict[str, WeightMoments]:
    """What prediction needs to know of the values that a model holds; parameters without values are left out.

    Args:
        model: the module; what is on the meta device has no values.
        graph: its trace, which says how every parameter is used.
    """
    tensors = dict(model.named_parameters(remove_duplicate=False))
    rows: dict[str, torch.Tensor] = {}
    found: dict[str, WeightMoments] = {}
    for parameter in graph.parameters:
        tensor = tensors.get(parameter.path)
        if tensor is None or tensor.is_meta or not tensor.is_floating_point():
            continue
        values = tensor.detach()
        moments = moments_of(values)
        known = WeightMoments(moments.mean, moments.second_moment)
        if parameter.kernel is not None and values.dim() >= 2:
            sums = _units(values, parameter).sum(1, dtype=torch.float64)
            rows[parameter.path] = sums
            known = replace(known, row_sum_square=float(sums.square().mean()), row_sum_mean=float(sums.mean()))
        found[parameter.path] = known
    for path, sums in rows.items():
        for index in graph.parameter(path).nodes:
            for use in graph.nodes[index].uses_of("bias"):
                bias = tensors.get(use.parameter)
                if bias is not None and use.parameter in found and bias.numel() == sums.numel():
                    product = float((bias.detach().double().reshape(-1) * sums).mean())
                    found[use.parameter] = replace(found[use.parameter], row_sum_product=product)
    return found
