"""Measurements that calibration takes of one operation's output."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from gainstage.backends.torch.measuring.moments import look_at
from gainstage.backends.torch.tracing.axes import stride_at
from gainstage.backends.torch.tracing.call import Draft
from gainstage.records import Moments

__all__ = ["bias_of", "level_of", "moments_at", "unit_axis"]


def unit_axis(draft: Draft, output: torch.Tensor) -> int:
    """The axis of an output that runs over units."""
    return draft.unit_axis if draft.unit_axis is not None else output.dim() - 1


def bias_of(draft: Draft, output: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """The bias that an output already holds, shaped to be taken off; None where it is zero."""
    total: torch.Tensor | None = None
    for use in draft.uses:
        if use.slot == "bias" and all(step.rescales for step in use.derivation):
            bias = parameters[use.parameter].detach().reshape(-1)
            total = bias if total is None else total + bias
    if total is None or not bool(total.any()):
        return None
    axis = unit_axis(draft, output)
    return total.to(output.dtype).reshape([-1 if i == axis else 1 for i in range(output.dim())])


def moments_at(draft: Draft, output: torch.Tensor, examples: int) -> Moments:
    """Moments of an output over a batch."""
    stride = draft.example_stride
    if stride is None and output.dim() and output.shape[0] == examples:
        stride = stride_at(output.shape, 0)  # what was made equal for all has lost its example axis too
    return look_at(output, examples, stride, extremes=False).moments


def level_of(draft: Draft, output: torch.Tensor, parameters: Mapping[str, torch.Tensor], examples: int) -> float:
    """The second moment of an output, its bias taken off."""
    bias = bias_of(draft, output, parameters)
    return moments_at(draft, output if bias is None else output - bias, examples).second_moment
