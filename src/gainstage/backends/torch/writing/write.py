"""Carry out a plan: the only function of gainstage that changes weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gainstage import schemes
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.writing import on_device
from gainstage.backends.torch.writing.layout import canonical, require_fit
from gainstage.backends.torch.writing.memory import Shard, gathered, local, numpy_view
from gainstage.backends.torch.writing.regions import draw, draw_region
from gainstage.errors import GainstageError, InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream, require_memory

__all__ = ["apply", "draw", "snapshot"]

_KEPT = 1 << 24  # values of trial draws that are kept for the write: 64 MB
_FORGET, _GATES = 1, 4  # PyTorch stacks an LSTM's gates as input, forget, cell, output


def apply(model: nn.Module, plan: Plan) -> None:
    """Write a plan into a model, in place.

    The parameters stay the same objects, with their dtype, device and ``requires_grad``; values are drawn in float32
    and then cast. The whole plan is checked before the first write: one that cannot be carried out changes nothing.

    Args:
        model: the model the plan was made for.
        plan: from ``planning.plan``, possibly edited.

    Raises:
        UnknownNameError: the plan names a parameter or a scheme that does not exist.
        InputError: a shape, gain, value or rule in the plan does not fit, or a parameter is named twice.
        ModelError: a parameter has no memory yet (meta device, lazy layer).

    >>> from gainstage.graph import KernelShape, Role
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> eye = Assignment("weight", Role.HIDDEN, (2, 2), "identity", kernel=KernelShape(2, 2))
    >>> apply(model, Plan((eye,)))
    >>> model.weight.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    model = unwrap(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    by_path = {a.parameter: a for a in plan}
    if len(by_path) != len(plan):
        twice = next(a.parameter for i, a in enumerate(plan) if by_path[a.parameter] is not plan.assignments[i])
        raise InputError(f"The plan names the parameter '{twice}' twice. Keep one of the two assignments.")
    to_write = [a for a in plan if a.scheme != "keep" and a.bias != "keep"]
    for assignment in to_write:
        _check(assignment, parameters, by_path)
    drawn = _try_draws(to_write, plan.seed)
    padding = _padding_rows(model)
    with torch.no_grad():
        for assignment in sorted(to_write, key=_depends_on_weights):
            parameter = parameters[assignment.parameter]
            shard = local(parameter)
            tried = drawn.pop(assignment.parameter, None)
            if assignment.bias is None and assignment.scheme != "match_norm":
                _draw(shard, assignment, plan.seed, tried)
            else:
                shard.tensor.copy_(shard.part_of(_computed(assignment, parameters, by_path, plan.seed)))
            if assignment.scale != 1.0:  # after the cast, as calibration did it: the same bytes in every dtype
                shard.tensor.mul_(assignment.scale)
            for row in padding.get(id(parameter), ()):
                _clear_row(shard, row)
            torch.autograd.graph.increment_version(parameter)  # NumPy writes behind autograd's back


def snapshot(model: nn.Module) -> Callable[[], None]:
    """Copy the weights; the function returned puts them back, in place."""
    model = unwrap(model)
    kept = [(p, p.detach().clone()) for p in model.parameters()]

    def restore() -> None:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)

    return restore


# -- before the first write ------------------------------------------------------------------------------------------


def _check(assignment: Assignment, parameters: Mapping[str, nn.Parameter], plan: Mapping[str, Assignment]) -> None:
    """Refuse what cannot be written."""
    parameter = _usable(assignment.parameter, parameters, "the plan")
    if tuple(parameter.shape) != assignment.shape:
        raise InputError(
            f"'{assignment.parameter}' has shape {tuple(parameter.shape)} in the model and {assignment.shape} in the "
            "plan. Make the plan from this model."
        )
    view = numpy_view(local(parameter).tensor)
    if view is not None:
        try:
            require_memory(*view)
        except InputError as error:
            raise InputError(f"'{assignment.parameter}' cannot be written. {error}") from error
    if not all(map(math.isfinite, (assignment.gain, assignment.scale, assignment.value))):
        raise InputError(f"The plan for '{assignment.parameter}' has a gain, scale or value that is not finite.")
    if assignment.bias in {"centre", "uniform_fan_in"} or assignment.scheme == "match_norm":
        _check_weight(assignment, parameters, plan)
    elif assignment.bias == "measured" and len(assignment.values) != math.prod(assignment.shape):
        raise InputError(
            f"'{assignment.parameter}' of shape {assignment.shape} cannot hold the {len(assignment.values)} values in "
            "the plan."
        )
    elif assignment.bias == "forget_one" and (parameter.dim() != 1 or parameter.numel() % _GATES):
        raise InputError(f"'{assignment.parameter}' of shape {assignment.shape} is not an LSTM's bias of four gates.")
    elif assignment.bias is None:
        schemes.get(assignment.scheme, where=f"'{assignment.parameter}'")
        require_fit(assignment.shape, _kernel(assignment), assignment.blocks, assignment.layout)


def _kernel(assignment: Assignment) -> KernelShape:
    if assignment.kernel is None:
        raise InputError(f"'{assignment.parameter}' has no kernel, so the scheme '{assignment.scheme}' cannot draw it.")
    return assignment.kernel


def _usable(path: str, parameters: Mapping[str, nn.Parameter], where: str) -> nn.Parameter:
    parameter = parameters.get(path)
    if parameter is None:
        raise UnknownNameError("parameter", path, parameters, where)
    if is_lazy(parameter):
        raise ModelError(f"'{path}' has no shape yet. Run one batch through the model first, then plan again.")
    if parameter.is_meta:
        raise ModelError(
            f"'{path}' is on the meta device and has no memory. Call model.to_empty(device='cpu') first, then apply "
            "the plan."
        )
    if not parameter.is_floating_point():
        raise InputError(f"'{path}' holds {parameter.dtype} values, which are not drawn. Set its scheme to 'keep'.")
    return parameter


def _check_weight(
    assignment: Assignment, parameters: Mapping[str, nn.Parameter], plan: Mapping[str, Assignment]
) -> None:
    """A rule that reads a weight needs one of a fitting shape."""
    rule = assignment.bias or assignment.scheme
    if assignment.weight is None:
        raise InputError(f"The rule '{rule}' for '{assignment.parameter}' needs the path of the weight it belongs to.")
    weight = _usable(assignment.weight, parameters, f"'{assignment.parameter}'")
    if assignment.scheme == "match_norm":
        axes = [a for a in assignment.shape if a != 1]
        kept = [w for a, w in zip(assignment.shape, weight.shape, strict=False) if a != 1]
        if axes != kept or len(assignment.shape) not in (0, weight.dim()):
            raise InputError(
                f"'{assignment.parameter}' of shape {assignment.shape} cannot hold norms of '{assignment.weight}' of "
                f"shape {tuple(weight.shape)}."
            )
        return
    source = plan.get(assignment.weight)
    if source is None or source.kernel is None:
        raise InputError(
            f"'{rule}' for '{assignment.parameter}' needs the kernel of '{assignment.weight}' in the plan."
        )
    if assignment.bias == "centre" and math.prod(assignment.shape) != source.kernel.out * source.blocks:
        raise InputError(
            f"'{assignment.parameter}' of shape {assignment.shape} is not the bias of '{assignment.weight}', which has "
            f"{source.kernel.out * source.blocks} outputs."
        )


def _try_draws(assignments: list[Assignment], seed: int) -> dict[str, NDArray[np.float32]]:
    """Let every scheme refuse a geometry while nothing is written yet.

    Schemes of independent weights serve every kernel, so their spread alone is looked at. Of others one weight of each
    kind of kernel is drawn, and kept for the write as long as it is little.
    """
    kinds = {(a.scheme, a.kernel): a for a in assignments if a.bias is None and a.scheme != "match_norm"}
    drawn: dict[str, NDArray[np.float32]] = {}
    room = _KEPT
    for assignment in assignments:
        if assignment.bias is not None or assignment.scheme == "match_norm":
            continue
        scheme = schemes.get(assignment.scheme)
        try:
            if scheme.independent:
                scheme.distribution(_kernel(assignment), assignment.gain)
            elif kinds[assignment.scheme, assignment.kernel] is assignment:
                values = draw(assignment, seed)
                if not np.isfinite(values).all():
                    raise InputError(f"The scheme '{assignment.scheme}' drew values that are not finite.")
                if values.size <= room:
                    drawn[assignment.parameter] = values
                    room -= values.size
        except GainstageError as error:
            raise InputError(f"'{assignment.parameter}' cannot be drawn. {error}") from error
    return drawn


# -- the values ------------------------------------------------------------------------------------------------------


def _draw(shard: Shard, assignment: Assignment, seed: int, tried: NDArray[np.float32] | None) -> None:
    """Draws what this process holds of a weight: where it lies if possible, else on the CPU, to be copied there."""
    view = numpy_view(shard.tensor)
    if view is not None:
        memory, bfloat16 = view
        draw_region(memory, assignment, seed, offsets=shard.offsets, bfloat16=bfloat16, drawn=tried)
        return
    if on_device.draw_region(shard.tensor, assignment, seed, shard.offsets):
        return
    values = torch.empty(shard.tensor.shape, dtype=torch.float32)
    draw_region(values.numpy(), assignment, seed, offsets=shard.offsets, drawn=tried)
    shard.tensor.copy_(values)


def _depends_on_weights(assignment: Assignment) -> bool:
    return assignment.bias == "centre" or assignment.scheme == "match_norm"


def _computed(
    assignment: Assignment, parameters: Mapping[str, nn.Parameter], plan: Mapping[str, Assignment], seed: int
) -> Tensor:
    """What is written to a parameter that no scheme draws, in its own shape; ``copy_`` casts and moves it."""
    shape = assignment.shape
    if assignment.bias is not None:
        return _bias(assignment, parameters, plan, seed).reshape(shape)
    return _norms(gathered(parameters[assignment.weight or ""]), shape)


def _clear_row(shard: Shard, row: int) -> None:
    """Sets a row of a parameter to zero where this process holds it."""
    here = row - shard.offsets[0]
    if 0 <= here < len(shard.tensor):
        shard.tensor[here].zero_()


def _bias(
    assignment: Assignment, parameters: Mapping[str, nn.Parameter], plan: Mapping[str, Assignment], seed: int
) -> Tensor:
    values = torch.zeros(math.prod(assignment.shape))
    source = plan.get(assignment.weight or "")
    match assignment.bias:
        case "one":
            values.fill_(1.0)
        case "constant":
            values.fill_(assignment.value)
        case "forget_one":
            gate = len(values) // _GATES
            values[_FORGET * gate : (_FORGET + 1) * gate] = 1.0
        case "measured":
            values = torch.tensor(assignment.values, dtype=torch.float64)
        case "uniform_fan_in" if source is not None and source.kernel is not None:
            uniform = Stream(seed, assignment.parameter).uniform(len(values)).astype(np.float64)
            values = torch.from_numpy((2 * uniform - 1) / math.sqrt(source.kernel.fan_in))
        case "centre" if source is not None and source.kernel is not None:
            weight = gathered(parameters[source.parameter]).to(torch.float64)
            sums = canonical(weight, source.kernel, source.blocks, source.layout).sum((1, 2))
            met = source.kernel.fan_in * len(sums) / weight.numel()  # below 1 where a stride spreads the taps
            values = -assignment.value * met * sums
    return values


def _norms(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Norms over the axes that a magnitude does not have."""
    axes = tuple(range(weight.dim())) if not shape else tuple(i for i, size in enumerate(shape) if size == 1)
    if not axes:
        return weight.float().abs()
    norms: Tensor = torch.linalg.vector_norm(weight.float(), dim=axes)
    return norms.reshape(shape)


def _padding_rows(model: nn.Module) -> dict[int, set[int]]:
    """Rows of embeddings that stand for "nothing here" and stay zero."""
    rows: dict[int, set[int]] = {}
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            rows.setdefault(id(module.weight), set()).add(module.padding_idx)
    return rows
