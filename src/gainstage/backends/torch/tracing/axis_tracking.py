"""Where the examples and the units are in the output of one operation, given where they were in its operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from gainstage.backends.torch.tracing.axes import axis_of, stride_at, without
from gainstage.backends.torch.tracing.provenance import Value, dense

__all__ = ["follow", "order_of"]

_Move = Callable[[int], int | None]
"""Where an axis of an operand is in the output; None if it is gone."""

_REDUCING = {"select": 1, "unbind": 1, "mean": 1, "sum": 1, "amax": 1, "amin": 1, "var": 1, "std": 1, "logsumexp": 1,
             "max": 1, "min": 1, "argmax": 1, "argmin": 1, "linalg_vector_norm": 2, "norm": 2, "prod": 1, "median": 1,
             "nansum": 1, "var_mean": 1, "std_mean": 1, "any": 1, "all": 1, "mode": 1, "kthvalue": 2,
             "nanmedian": 1, "count_nonzero": 1}  # fmt: skip
"""Operations that take axes away, with the position of the argument that names them."""

_FACTORS = {**dict.fromkeys(("mm", "bmm", "mv", "dot", "linear", "matmul", "_grouped_mm"), 0),
            **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), 1)}  # fmt: skip
"""Matrix products, with the position of their first factor."""

_FIRST_AXES = frozenset({"embedding", "view_as_real", "unfold"})  # what is new stands behind what was there
_REORDERED = frozenset(
    """
    as_strided masked_select nonzero histc _pack_padded_sequence
    to_padded_tensor _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward
    """.split()
)


@dataclass(frozen=True, slots=True)
class _Operand:
    position: int
    tensor: torch.Tensor
    value: Value


def follow(
    name: str,
    args: tuple[Any, ...],
    operands: Sequence[torch.Tensor],
    values: Sequence[Value],
    out: torch.Tensor,
    examples: int,
) -> tuple[int | None, int | None]:
    """The example stride and the unit axis of an output.

    Operands that carry the signal are asked for the examples; where they disagree (as in a product of every example
    with every other), or where the operation mixes examples, there is no answer.
    """
    signals = [_Operand(i, t, v) for i, (t, v) in enumerate(zip(operands, values, strict=True)) if v.node is not None]
    signals = [o for o in signals if not o.value.discrete] or signals
    if not signals or name in _REORDERED:
        return None, None
    strides = {_stride(o, _move(name, args, o, out), out, examples) for o in signals if _known(o)}
    stride = strides.pop() if len(strides) == 1 else None
    if name == "_embedding_bag" and out.shape[0] == examples:
        stride = stride_at(out.shape, 0)
    lead = signals[0]
    unit = lead.value.unit_axis
    if unit is not None and unit < lead.tensor.dim():
        unit = _move(name, args, lead, out)(unit)
    return stride, unit if unit is not None and unit < out.dim() else None


def _known(operand: _Operand) -> bool:
    return operand.value.example_stride is not None


def _stride(operand: _Operand, move: _Move, out: torch.Tensor, examples: int) -> int | None:
    found = axis_of(operand.tensor.shape, operand.value.example_stride, examples)
    if found is None:
        return None
    axis, inner = move(found[0]), found[1]
    if axis is None or axis >= out.dim() or out.shape[axis] % (inner * examples):
        return None
    return stride_at(out.shape, axis, inner)


def _move(name: str, args: tuple[Any, ...], operand: _Operand, out: torch.Tensor) -> _Move:
    """How the axes of one operand move."""
    rank = operand.tensor.dim()
    if name in _FACTORS:
        return _through_product(name, args, operand, out)
    if name in ("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution"):
        return lambda axis: 0 if axis == 0 and operand.position == 0 else None
    if name in _FIRST_AXES:
        return lambda axis: axis
    if name == "stack":
        new = args[1] % out.dim() if len(args) > 1 else 0
        return lambda axis: axis + (axis >= new)
    if name == "index":
        return _through_index(operand, args)
    if name == "diagonal":
        first, second = ((args[i] if len(args) > i else i - 2) % rank for i in (2, 3))
        return lambda axis: without(axis, [first, second])
    if name in _REDUCING and out.dim() < rank:
        gone = _removed(name, args, rank)
        return lambda axis: without(axis, gone)
    shift = max(out.dim() - rank, 0)  # broadcast against more axes
    return lambda axis: axis + shift


def _removed(name: str, args: tuple[Any, ...], rank: int) -> list[int]:
    position = _REDUCING[name]
    axes = args[position] if len(args) > position else (0 if name == "unbind" else None)
    if isinstance(axes, int):
        return [axes % rank]
    return [axis % rank for axis in axes] if isinstance(axes, (list, tuple)) and axes else list(range(rank))


def _through_product(name: str, args: tuple[Any, ...], operand: _Operand, out: torch.Tensor) -> _Move:
    """The axis that is summed over is gone; of examples, none is left then."""
    rank = operand.tensor.dim()
    if name == "linear":
        return lambda axis: axis if axis < rank - 1 else None
    first = operand.tensor is dense(args[_FACTORS[name]])
    if not first and operand.tensor is not dense(args[_FACTORS[name] + 1]):  # what is added to the product
        return lambda axis: axis + out.dim() - rank
    summed = rank - 1 if first or rank == 1 else rank - 2

    def move(axis: int) -> int | None:
        if axis == summed:
            return None
        if axis < rank - 2:
            return axis if out.dim() >= rank else None
        return axis if first else out.dim() - 1

    return move


def _through_index(operand: _Operand, args: tuple[Any, ...]) -> _Move:
    """``x[:, i, j]``: the indexed axes are replaced by those of the indices, in front if they do not adjoin."""
    indices = list(args[1])
    taken = [axis for axis, index in enumerate(indices) if index is not None]
    if operand.position or not taken or any(indices[a].dtype in (torch.bool, torch.uint8) for a in taken):
        return lambda _axis: None
    new = max(indices[a].dim() for a in taken)
    adjoining = taken == list(range(taken[0], taken[-1] + 1))
    place = taken[0] if adjoining else 0

    def move(axis: int) -> int | None:
        if axis in taken:  # picked in the same order as they stood, as in x[range(batch), last]
            return place if new == 1 and prod(indices[axis].shape) == operand.tensor.shape[axis] else None
        kept = axis - sum(other < axis for other in taken)
        return kept + (new if kept >= place else 0)

    return move


def order_of(name: str, args: tuple[Any, ...], rank: int) -> tuple[int, ...] | None:
    """The permutation that a transposing operation makes; None for reshapes and copies."""
    order = list(range(rank))
    if name in ("t", "numpy_T", "mT", "adjoint") and rank >= 2:
        order[-1], order[-2] = order[-2], order[-1]
    elif name in ("transpose", "swapaxes"):
        first, second = args[1] % rank, args[2] % rank
        order[first], order[second] = order[second], order[first]
    elif name == "permute":
        order = [axis % rank for axis in args[1]]
    else:
        return None
    return tuple(order)
