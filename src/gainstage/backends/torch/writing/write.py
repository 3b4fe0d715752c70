"""Carry out a plan: the only function of gainstage that changes weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gainstage.backends.shared.plan_checks import by_path, require_plan
from gainstage.backends.shared.values import kernel_of, rule_values, try_draws
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.writing import on_device
from gainstage.backends.torch.writing.layout import canonical, require_fit
from gainstage.backends.torch.writing.memory import Shard, gathered, local, numpy_view
from gainstage.backends.torch.writing.regions import draw, draw_region
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape, Layout
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream, require_memory

__all__ = ["apply", "draw", "snapshot"]

_NORMS = frozenset({"match_norm"})  # magnitudes of weight norm: norms of another weight, worked out here


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
    plan_of = by_path(plan, "parameter")
    to_write = require_plan(plan_of, _Written(parameters))
    _require_writable(to_write, parameters)
    drawn = try_draws([a for a in to_write if _is_drawn(a)], lambda a: draw(a, plan.seed))
    padding = _padding_rows(model)
    with torch.no_grad():
        for assignment in sorted(to_write, key=_depends_on_weights):
            parameter = parameters[assignment.parameter]
            shard = local(parameter)
            tried = drawn.pop(assignment.parameter, None)
            if _is_drawn(assignment):
                _draw(shard, assignment, plan.seed, tried)
            else:
                shard.tensor.copy_(shard.part_of(_computed(assignment, parameters, plan_of, plan.seed)))
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


@dataclass(frozen=True, slots=True)
class _Written:
    """A module's parameters, as a plan is checked against them."""

    parameters: Mapping[str, nn.Parameter]
    own_schemes: frozenset[str] = _NORMS

    def shape(self, path: str, where: str) -> tuple[int, ...]:
        parameter = self.parameters.get(path)
        if parameter is None:
            raise UnknownNameError("parameter", path, self.parameters, where)
        if is_lazy(parameter):
            raise ModelError(f"'{path}' has no shape yet. Run one batch through the model first, then plan again.")
        if parameter.is_meta:
            raise ModelError(
                f"'{path}' is on the meta device and has no memory. Call model.to_empty(device='cpu') first, then "
                "apply the plan."
            )
        if not parameter.is_floating_point():
            raise InputError(f"'{path}' holds {parameter.dtype} values, which are not drawn. Set its scheme to 'keep'.")
        return tuple(parameter.shape)

    def require_fit(self, shape: tuple[int, ...], kernel: KernelShape, blocks: int, layout: Layout) -> None:
        require_fit(shape, kernel, blocks, layout)


def _require_writable(assignments: list[Assignment], parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse memory that cannot be written element by element."""
    for assignment in assignments:
        view = numpy_view(local(parameters[assignment.parameter]).tensor)
        if view is not None:
            try:
                require_memory(*view)
            except InputError as error:
                raise InputError(f"'{assignment.parameter}' cannot be written. {error}") from error


# -- the values ------------------------------------------------------------------------------------------------------


def _is_drawn(assignment: Assignment) -> bool:
    return assignment.bias is None and assignment.scheme not in _NORMS


def _depends_on_weights(assignment: Assignment) -> bool:
    return assignment.bias == "centre" or assignment.scheme in _NORMS


def _draw(shard: Shard, assignment: Assignment, seed: int, tried: NDArray[np.float32] | None) -> None:
    """Draw what this process holds of a weight: where it lies if possible, else on the CPU, to be copied there."""
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


def _computed(
    assignment: Assignment, parameters: Mapping[str, nn.Parameter], plan: Mapping[str, Assignment], seed: int
) -> Tensor:
    """The values of a parameter that no scheme draws, in its own shape; ``copy_`` casts and moves them."""
    shape = assignment.shape
    if assignment.bias is not None:
        stream = Stream(seed, assignment.parameter)
        values = rule_values(assignment, plan, lambda source: _row_sums(source, parameters), stream)
        return torch.from_numpy(values).reshape(shape)
    return _norms(gathered(parameters[assignment.weight or ""]), shape)


def _clear_row(shard: Shard, row: int) -> None:
    """Set a row of a parameter to zero where this process holds it."""
    here = row - shard.offsets[0]
    if 0 <= here < len(shard.tensor):
        shard.tensor[here].zero_()


def _row_sums(source: Assignment, parameters: Mapping[str, nn.Parameter]) -> NDArray[np.float64]:
    """The sum of every unit's incoming weights."""
    weight = gathered(parameters[source.parameter]).detach().to(torch.float64)
    incoming = canonical(weight, kernel_of(source), source.blocks, source.layout)
    return np.asarray(incoming.sum((1, 2)).cpu().numpy())


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
