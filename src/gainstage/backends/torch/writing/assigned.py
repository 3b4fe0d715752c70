"""Writes any part of a parameter as its assignment says: a model's own memory, a shard, or a piece of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gainstage.backends.shared.values import kernel_of, rule_values
from gainstage.backends.torch.writing import on_device
from gainstage.backends.torch.writing.layout import canonical
from gainstage.backends.torch.writing.memory import Shard, numpy_view
from gainstage.backends.torch.writing.regions import draw_region
from gainstage.records import Assignment
from gainstage.streams import Stream

__all__ = ["NORMS", "Assigned", "is_drawn", "padding_rows"]

NORMS = frozenset({"match_norm"})
"""Magnitudes of weight norm: norms of another weight, worked out here."""

_SUMMED = 1 << 22  # elements whose sums are taken at once, in double precision


@dataclass(frozen=True, slots=True)
class Assigned:
    """The values of a plan.

    Args:
        plan: assignments by path.
        seed: of the plan.
        whole: the whole of another parameter, as written, by path.
    """

    plan: Mapping[str, Assignment]
    seed: int
    whole: Callable[[str], Tensor]

    def write(
        self,
        shard: Shard,
        assignment: Assignment,
        padding: frozenset[int] = frozenset(),
        drawn: NDArray[np.float32] | None = None,
    ) -> None:
        """Write a part of a parameter, in place.

        Args:
            shard: its memory, and where it stands in the parameter.
            assignment: of that parameter.
            padding: rows of an embedding that stand for "nothing here" and stay zero.
            drawn: the canonical values where the scheme drew all of them already.
        """
        if is_drawn(assignment):
            _draw(shard, assignment, self.seed, drawn)
        else:
            shard.tensor.copy_(shard.part_of(self._computed(assignment)))
        if assignment.scale != 1.0:  # after the cast, as calibration did it: the same bytes in every dtype
            shard.tensor.mul_(assignment.scale)
        for row in padding:
            _clear_row(shard, row)

    def _computed(self, assignment: Assignment) -> Tensor:
        """The values of a parameter that no scheme draws, in its own shape; ``copy_`` casts and moves them."""
        shape = assignment.shape
        if assignment.bias is not None:
            stream = Stream(self.seed, assignment.parameter)
            values = rule_values(assignment, self.plan, self._row_sums, stream)
            return torch.from_numpy(values).reshape(shape)
        return _norms(self.whole(assignment.weight or ""), shape)

    def _row_sums(self, source: Assignment) -> NDArray[np.float64]:
        """The sum of every unit's incoming weights, some units at a time to bound the memory."""
        weight = self.whole(source.parameter).detach()
        incoming = canonical(weight, kernel_of(source), source.blocks, source.layout)
        units = max(1, _SUMMED // max(1, incoming[0].numel()))
        sums = [part.to(torch.float64).sum((1, 2)) for part in torch.split(incoming, units)]
        return np.asarray(torch.cat(sums).cpu().numpy())


def is_drawn(assignment: Assignment) -> bool:
    """Report whether a scheme draws this parameter."""
    return assignment.bias is None and assignment.scheme not in NORMS


def padding_rows(model: nn.Module) -> dict[int, frozenset[int]]:
    """Rows of embeddings that stand for "nothing here" and stay zero, by the identity of the parameter."""
    rows: dict[int, frozenset[int]] = {}
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.padding_idx is not None:
            rows[id(module.weight)] = rows.get(id(module.weight), frozenset()) | {module.padding_idx}
    return rows


def _draw(shard: Shard, assignment: Assignment, seed: int, drawn: NDArray[np.float32] | None) -> None:
    """Draw where the memory lies if possible, else on the CPU, to be copied there."""
    view = numpy_view(shard.tensor)
    if view is not None:
        memory, bfloat16 = view
        draw_region(memory, assignment, seed, offsets=shard.offsets, bfloat16=bfloat16, drawn=drawn)
        return
    if on_device.draw_region(shard.tensor, assignment, seed, shard.offsets):
        return
    values = torch.empty(shard.tensor.shape, dtype=torch.float32)
    draw_region(values.numpy(), assignment, seed, offsets=shard.offsets, drawn=drawn)
    shard.tensor.copy_(values)


def _clear_row(shard: Shard, row: int) -> None:
    """Set a row of a parameter to zero where this process holds it."""
    here = row - shard.offsets[0]
    if 0 <= here < len(shard.tensor):
        shard.tensor[here].zero_()


def _norms(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Norms over the axes that a magnitude does not have."""
    axes = tuple(range(weight.dim())) if not shape else tuple(i for i, size in enumerate(shape) if size == 1)
    if not axes:
        return weight.float().abs()
    norms: Tensor = torch.linalg.vector_norm(weight.float(), dim=axes)
    return norms.reshape(shape)
