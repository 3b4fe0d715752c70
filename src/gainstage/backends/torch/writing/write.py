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
from gainstage.backends.torch.writing.layout import canonical, native, require_fit
from gainstage.errors import GainstageError, InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream

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
            tried = drawn.pop(assignment.parameter, None)
            parameter.copy_(_values(assignment, parameters, by_path, plan.seed, tried))
            if assignment.scale != 1.0:  # after the cast, as calibration did it: the same bytes in every dtype
                parameter.mul_(assignment.scale)
            for row in padding.get(id(parameter), ()):
                parameter[row].zero_()


def draw(assignment: Assignment, seed: int) -> NDArray[np.float32]:
    """The values a scheme gives to one parameter, in the canonical layout, before any measured scale.

    Args:
        assignment: of a weight; its scheme is a name in the table of schemes.
        seed: of the plan.

    Returns:
        Shape ``(blocks · out, in_ / groups, receptive)``. Every block has a stream of its own, keyed by seed, path and
        block.

    Raises:
        InputError: the assignment has no kernel, or its gain is not finite.
        UnknownNameError: there is no such scheme.

    >>> from gainstage.graph import KernelShape, Role
    >>> packed = Assignment("qkv", Role.PACKED_ATTENTION, (12, 4), "glorot_uniform", kernel=KernelShape(4, 4), blocks=3)
    >>> draw(packed, seed=0).shape
    (12, 4, 1)
    """
    kernel = _kernel(assignment)
    scheme = schemes.get(assignment.scheme, where=f"'{assignment.parameter}'")
    streams = (Stream(seed, assignment.parameter, block) for block in range(assignment.blocks))
    return np.concatenate([scheme.draw(kernel, assignment.gain, stream) for stream in streams])


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
    """Let every scheme refuse a geometry while nothing is written yet; one draw for each kind of kernel.

    What was drawn is kept for the write, as long as it is little.
    """
    kinds = {(a.scheme, a.kernel): a for a in assignments if a.bias is None and a.scheme != "match_norm"}
    drawn: dict[str, NDArray[np.float32]] = {}
    room = _KEPT
    for assignment in kinds.values():
        try:
            values = draw(assignment, seed)
        except GainstageError as error:
            raise InputError(f"'{assignment.parameter}' cannot be drawn. {error}") from error
        if not np.isfinite(values).all():
            raise InputError(
                f"The scheme '{assignment.scheme}' drew values that are not finite for '{assignment.parameter}'."
            )
        if values.size <= room:
            drawn[assignment.parameter] = values
            room -= values.size
    return drawn


# -- the values ------------------------------------------------------------------------------------------------------


def _depends_on_weights(assignment: Assignment) -> bool:
    return assignment.bias == "centre" or assignment.scheme == "match_norm"


def _values(
    assignment: Assignment,
    parameters: Mapping[str, nn.Parameter],
    plan: Mapping[str, Assignment],
    seed: int,
    tried: NDArray[np.float32] | None,
) -> Tensor:
    """What is written, in the parameter's own shape; casting and moving are left to ``copy_``.

    ``tried`` is what the scheme drew for it already.
    """
    shape = assignment.shape
    if assignment.bias is not None:
        return _bias(assignment, parameters, plan, seed).reshape(shape)
    if assignment.scheme == "match_norm":
        return _norms(parameters[assignment.weight or ""], shape)
    values = native(
        draw(assignment, seed) if tried is None else tried,
        shape,
        _kernel(assignment),
        assignment.blocks,
        assignment.layout,
    )
    return torch.from_numpy(np.ascontiguousarray(values))


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
            weight = parameters[source.parameter].detach().to(torch.float64)
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
