"""Writes the weights of a plan straight to files, so that the model never needs the memory for them."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gainstage import schemes
from gainstage.backends.shared.checkpoint import Job, OnProgress, Stored, bytes_of, files_of, target_of
from gainstage.backends.shared.plan_checks import by_path, require_plan
from gainstage.backends.shared.values import try_draws
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.writing.assigned import Assigned, is_drawn, padding_rows
from gainstage.backends.torch.writing.memory import Shard
from gainstage.backends.torch.writing.own_start import own_values
from gainstage.backends.torch.writing.regions import draw, rectangles
from gainstage.backends.torch.writing.stored import Dtype, Kept, configuration, kept_tensors
from gainstage.backends.torch.writing.write import Written
from gainstage.errors import InputError, UnknownNameError
from gainstage.records import Assignment, Plan

__all__ = ["write_checkpoint"]

_PIECE = 1 << 22  # elements drawn at once: 16 MB in float32
_SHOWN = 5  # names that a message lists

Box = tuple[tuple[int, ...], tuple[int, ...]]


def write_checkpoint(
    model: nn.Module,
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    dtype: Dtype | Mapping[str, Dtype] | None = None,
    values: Mapping[str, Any] | None = None,
    max_shard_size: int | str = "5GB",
    on_progress: OnProgress | None = None,
) -> tuple[Path, ...]:
    """Write the weights that a plan gives to a model into safetensors files, piece by piece.

    Args, Returns and Raises as in ``gainstage.materialize``.
    """
    model, target, limit = unwrap(model), target_of(out), bytes_of(max_shard_size)
    kept = kept_tensors(model, dtype)
    source = _Source.of(model, plan, kept, values or {})
    files = files_of((each.stored for each in kept), target.stem, limit)
    job = Job(target.folder, target.stem, files, configuration(model, kept), source.mark())
    with torch.no_grad():
        return job.carry_out(source.contents, on_progress or _unseen)


def _unseen(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class _Source:
    """The source of every tensor's values.

    Args:
        model: for its own initialization.
        kept: what is stored, by every name it has.
        assigned: the plan.
        assignments: of what the plan writes, by stored name.
        given: by the user, or by a model that has memory; by stored name.
    """

    model: nn.Module
    kept: Mapping[str, Kept]
    plan: Plan
    assignments: Mapping[str, Assignment]
    given: Mapping[str, Tensor]
    padding: Mapping[int, frozenset[int]]
    assigned: Assigned = field(init=False)

    @classmethod
    def of(cls, model: nn.Module, plan: Plan, kept: tuple[Kept, ...], values: Mapping[str, Any]) -> _Source:
        """Find a source for everything, before anything is written.

        Raises:
            InputError: nothing says what a parameter or buffer holds.
        """
        by_name = {name: each for each in kept for name in each.names}
        plan_of = by_path(plan, "parameter")
        parameters = dict(model.named_parameters(remove_duplicate=False))
        to_write = require_plan(plan_of, Written(parameters, in_memory=False))
        try_draws([a for a in to_write if is_drawn(a)], lambda a: draw(a, plan.seed))
        assignments = {by_name[a.parameter].names[0]: a for a in to_write if a.parameter in by_name}
        given = _given(values, by_name, assignments)
        for each in kept:
            if each.names[0] not in assignments and not each.tensor.is_meta:
                given.setdefault(each.names[0], each.tensor.detach())
        source = cls(model, by_name, plan, assignments, given, padding_rows(model))
        source._require_all(kept)
        return source

    def __post_init__(self) -> None:
        plan = by_path(self.plan, "parameter")
        object.__setattr__(self, "assigned", Assigned(plan, self.plan.seed, self._whole))

    def mark(self) -> str:
        """A hash of all that decides the bytes."""
        found = hashlib.blake2b(
            repr((self.plan.seed, self.plan.assignments, torch.__version__)).encode(), digest_size=16
        )
        for each in dict.fromkeys(self.kept.values()):
            found.update(repr((each.names, each.dtype, tuple(each.tensor.shape))).encode())
        for name, tensor in self.given.items():
            found.update(name.encode())
            for box in _boxes(tuple(tensor.shape)):
                found.update(_bytes(_part(tensor, box).cpu()))
        return found.hexdigest()

    def contents(self, stored: Stored, start: int) -> Iterator[memoryview]:
        """The bytes of a tensor from a given byte on."""
        kept = self.kept[stored.name]
        write, whole = self._writer(kept)
        for offsets, shape in [((0,) * kept.tensor.dim(), stored.shape)] if whole else _boxes(stored.shape):
            size = math.prod(shape) * stored.item
            if start >= size:
                start -= size
                continue
            piece = torch.empty(shape, dtype=kept.dtype)
            write(Shard(piece, offsets))
            yield _bytes(piece)[start:]
            start = 0

    # -- one tensor ---------------------------------------------------------------------------------------------------

    def _writer(self, kept: Kept) -> tuple[Callable[[Shard], None], bool]:
        """The function that writes a part of a tensor, and whether it can only write all of it."""
        assignment = self.assignments.get(kept.names[0])
        if assignment is None:
            held = self._held(kept)
            assert held is not None  # since _require_all
            return lambda shard: _copy(shard, held), False
        padding = self.padding.get(id(kept.tensor), frozenset())
        drawn: NDArray[np.float32] | None = None
        whole = False
        if is_drawn(assignment) and assignment.kernel is not None:
            kernel, blocks, layout = assignment.kernel, assignment.blocks, assignment.layout
            whole = rectangles(assignment.shape, kernel, blocks, layout) is None
            if not schemes.get(assignment.scheme).independent:
                drawn = draw(assignment, self.plan.seed)
        return lambda shard: self.assigned.write(shard, assignment, padding, drawn), whole

    def _held(self, kept: Kept) -> Tensor | None:
        """The values of what the plan does not write: given, or made by the model's own code."""
        name = kept.names[0]
        if name in self.given:
            return self.given[name]
        found = (own_values(self.model, each, self.plan.seed) for each in kept.names)
        return next((values for values in found if values is not None), None)

    def _whole(self, path: str) -> Tensor:
        """All of a parameter, as it is stored."""
        kept = self.kept[path]
        values = torch.empty(kept.tensor.shape, dtype=kept.dtype)
        write, _ = self._writer(kept)
        write(Shard(values, (0,) * values.dim()))
        return values

    def _require_all(self, kept: tuple[Kept, ...]) -> None:
        missing = [k.names[0] for k in kept if k.names[0] not in self.assignments and self._held(k) is None]
        if missing:
            shown = ", ".join(f"'{name}'" for name in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise InputError(
                f"The plan keeps {shown}{more}, which the model holds on the meta device, without values, and its own "
                f"code does not initialize. Pass values={{{missing[0]!r}: tensor}}, give a parameter a scheme "
                f"(overrides={{{missing[0]!r}: 'normal'}} in the plan), or build the model on the CPU."
            )


def _given(
    values: Mapping[str, Any], kept: Mapping[str, Kept], assignments: Mapping[str, Assignment]
) -> dict[str, Tensor]:
    """The user's values by stored name."""
    found: dict[str, Tensor] = {}
    for name, value in values.items():
        if name not in kept:
            raise UnknownNameError("parameter or buffer", name, kept, "values")
        each, tensor = kept[name], torch.as_tensor(value).detach()
        if tuple(tensor.shape) != tuple(each.tensor.shape) or tensor.is_meta:
            raise InputError(
                f"values[{name!r}] has shape {tuple(tensor.shape)}{' and no memory' if tensor.is_meta else ''}; the "
                f"model holds {tuple(each.tensor.shape)} there."
            )
        if each.names[0] in assignments:
            raise InputError(f"'{name}' is drawn by the plan and given in values. Keep it in the plan: 'keep'.")
        found[each.names[0]] = tensor
    return found


def _boxes(shape: tuple[int, ...], first: tuple[int, ...] = ()) -> Iterator[Box]:
    """Cuts a tensor, in the order of its elements, into boxes of few elements: their offsets and shapes."""
    inner = shape[len(first) :]
    if math.prod(inner) <= _PIECE:
        yield (*first, *(0 for _ in inner)), (*(1 for _ in first), *inner)
        return
    row = math.prod(inner[1:])
    if row > _PIECE:
        for index in range(inner[0]):
            yield from _boxes(shape, (*first, index))
        return
    rows = _PIECE // row
    for index in range(0, inner[0], rows):
        sizes = (*(1 for _ in first), min(rows, inner[0] - index), *inner[1:])
        yield (*first, index, *(0 for _ in inner[1:])), sizes


def _part(tensor: Tensor, box: Box) -> Tensor:
    return tensor[tuple(slice(first, first + size) for first, size in zip(*box, strict=True))]


def _copy(shard: Shard, held: Tensor) -> None:
    shard.tensor.copy_(shard.part_of(held))


def _bytes(piece: Tensor) -> memoryview:
    return piece.contiguous().reshape(-1).view(torch.uint8).numpy().data
