"""Statistics of the parameters themselves: moments, copied units, constant arrays."""

from __future__ import annotations

import torch

from gainstage.backends.shared.weights import bias_beside, projection, repeated
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
        beside = bias_beside(graph, parameter, len(rows), lambda path: tensors[path].numel())
        copies = _copies(rows, tensors[beside].detach().reshape(-1) if beside is not None else None)
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


def _copies(rows: torch.Tensor, bias: torch.Tensor | None) -> int:
    """The number of units whose incoming weights and bias repeat another unit's."""
    count, size = rows.shape
    if count < 2:
        return 0
    with torch.autocast(rows.device.type, enabled=False):  # which a caller may have put the model's pass under
        products = rows.float() @ torch.from_numpy(projection(size)).to(rows.device)
    norm = float(torch.linalg.vector_norm(rows.float(), dim=1).max())
    first, second = (torch.from_numpy(side).to(rows.device) for side in repeated(products.cpu().numpy(), norm, size))
    same = (rows[first] == rows[second]).all(1)
    if bias is not None:
        same &= bias[first] == bias[second]
    return int(same.sum())
