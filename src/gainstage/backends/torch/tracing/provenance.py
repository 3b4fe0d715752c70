"""What is known of every tensor while a model runs: which node made it, or from which parameters it derives.

A tensor is recognised by its storage and its place in it, not by its Python object, because PyTorch hands out new
objects for views. Storages are held weakly, which keeps their addresses unique without keeping their memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from gainstage.backends.torch.tracing.axes import axis_of, stride_at
from gainstage.graph import DerivationStep

__all__ = ["STATIC", "Derivation", "Value", "Values", "dense", "is_square", "join", "merged", "orders", "pads"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A parameter and the steps that led from it to a tensor."""

    parameter: str
    chain: tuple[DerivationStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of one tensor.

    Args:
        node: the node it is the output of; None when it does not depend on the input and no node made it.
        derivations: the parameters it is made from, when it is not a signal.
        discrete: it depends on the input, but carries nothing that a gradient could pass (indices, masks).
        random: it holds random numbers drawn during the run.
        from_input: it depends on the model's input.
        example_stride: where the examples are, see ``axes``.
        unit_axis: the axis that runs over units (features, channels).
        keep: the share of ones, where they are zeros and ones (the mask of a dropout).
        padding: it says which tokens of an example there are, and nothing of their order (a padding mask).
        wave: ``cos`` or ``sin`` of a constant made from one (rotary positions).
        orders: how many comparisons of places with places it is made of: one makes a causal mask, two a window.
    """

    node: int | None = None
    derivations: tuple[Derivation, ...] = ()
    discrete: bool = False
    random: bool = False
    from_input: bool = False
    example_stride: int | None = None
    unit_axis: int | None = None
    keep: float | None = None
    wave: str = ""
    padding: bool = False
    orders: int = 0

    @property
    def signal(self) -> bool:
        """Whether it carries the signal (or a static one, as of learned queries) that a node made."""
        return self.node is not None


STATIC = Value()


def is_square(mask: torch.Tensor) -> bool:
    """Whether it may tell one place from another for every place: tokens by tokens."""
    return mask.dim() > 1 and mask.shape[-1] == mask.shape[-2] > 1


def orders(name: str, operands: Sequence[torch.Tensor]) -> bool:
    """Whether an operation tells places before another from those after it."""
    if name in ("tril", "triu"):
        return True
    if name not in ("le", "lt", "ge", "gt"):
        return False
    rows, columns = (max((o.shape[-i] for o in operands if o.dim() >= i), default=1) for i in (2, 1))
    return rows == columns > 1


def pads(name: str, operands: Sequence[torch.Tensor], values: Sequence[Value]) -> bool:
    """Whether the mask that an operation makes comes of the input alone, and so says which tokens there are.

    A causal mask compares places with places, or is handed in or kept as a square; joined with a padding mask it makes
    a causal one.
    """
    thin = (sum(size > 1 for size in operand.shape) < 2 for operand in operands)
    told = [
        value.padding or (value.from_input and not value.discrete and not is_square(operand))
        for operand, value in zip(operands, values, strict=True)
    ]
    return any(told) and not orders(name, operands) and all(one or flat for one, flat in zip(told, thin, strict=True))


_Place = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Offset, shape and strides of a tensor in its storage."""


@dataclass(slots=True)
class _Held:
    """All that is known about one storage: of the whole of it, and of every view that was seen."""

    alive: StorageWeakRef
    whole: _Place
    value: Value
    views: dict[_Place, Value] = field(default_factory=dict)


class Values:
    """The values of all tensors seen so far, by storage and place.

    Args:
        examples: how many examples the batch holds.
    """

    def __init__(self, examples: int = 1) -> None:
        self._held: dict[int, _Held] = {}
        self._examples = examples

    def __getitem__(self, tensor: torch.Tensor) -> Value:
        """What is known of the tensor; unknown ones are constants."""
        if tensor.layout is not torch.strided:
            return STATIC
        held = self._held.get(tensor.untyped_storage()._cdata)
        if held is None:
            return STATIC
        place = _place(tensor)
        found = held.views.get(place)
        if found is not None:
            return found
        return held.value if place == held.whole else _placed(held.value, None)

    def set(self, tensor: torch.Tensor, value: Value) -> None:
        """Learn what a new tensor is, or a new view of one."""
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        held = self._held.get(storage._cdata)
        place = _place(tensor)
        if held is None:
            self._held[storage._cdata] = held = _Held(StorageWeakRef(storage), place, value)  # type: ignore[no-untyped-call]
        held.views[place] = value

    def around(self, tensor: torch.Tensor) -> Value | None:
        """What is known of the storage that a tensor is only a part of; None where it is all of it."""
        if tensor.layout is not torch.strided:
            return None
        storage = tensor.untyped_storage()
        held = self._held.get(storage._cdata)
        if held is None or tensor.numel() * tensor.element_size() >= storage.nbytes():
            return None
        return held.views.get(held.whole, held.value)

    def overwrite(self, tensor: torch.Tensor, value: Value, rest: Value | None = None) -> None:
        """The tensor was written in place, and with it every view of its storage.

        Args:
            tensor: what was written.
            value: what it is now.
            rest: what the storage around it is now; ``value`` too if there is nothing around it.
        """
        if tensor.layout is not torch.strided:
            return
        held = self._held.get(tensor.untyped_storage()._cdata)
        if held is None:
            self.set(tensor, value)
            return
        here, around = _place(tensor), value if rest is None else rest
        known = {held.whole: held.value, **held.views}
        held.views = {place: _placed(around, self._axes(old, place, value, here)) for place, old in known.items()}
        held.views[here] = value
        held.value = held.views[held.whole]

    def _axes(self, old: Value, place: _Place, written: Value, here: _Place) -> tuple[int | None, int | None]:
        """Axes of a view are where they were; where they were unknown, they are those of the part that was written."""
        if old.example_stride is not None:
            return old.example_stride, old.unit_axis
        if place == here:
            return written.example_stride, written.unit_axis
        found = axis_of(here[1], written.example_stride, self._examples)
        stride = None
        if found is not None:
            axis, inner = found
            same = [i for i, size in enumerate(place[1]) if size == here[1][axis] and place[2][i] == here[2][axis]]
            stride = stride_at(place[1], same[0], inner) if len(same) == 1 else None
        return stride, old.unit_axis if old.unit_axis is not None else _like(written.unit_axis, here, place)


def _place(tensor: torch.Tensor) -> _Place:
    return int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride()


def _placed(value: Value, axes: tuple[int | None, int | None] | None) -> Value:
    stride, unit = axes or (None, None)
    return replace(value, example_stride=stride, unit_axis=unit)


def _like(axis: int | None, here: _Place, place: _Place) -> int | None:
    """The same axis in another view of the same storage: the one with the same stride in memory."""
    if axis is None or axis >= len(here[2]) or here[2][axis] not in place[2]:
        return None
    return place[2].index(here[2][axis])


def dense(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or the one that holds the elements of a nested tensor."""
    if not (tensor.is_nested and tensor.layout is torch.jagged):
        return tensor
    held: torch.Tensor = tensor._values  # type: ignore[assignment]
    return held


def join(values: Iterable[Value], step: DerivationStep) -> tuple[Derivation, ...]:
    """The derivations of a tensor computed from ``values``, with one more step."""
    return tuple(replace(d, chain=(*d.chain, step)) for d in merged(*values))


def merged(*values: Value) -> tuple[Derivation, ...]:
    """The derivations of all values, each parameter once."""
    found: dict[str, Derivation] = {}
    for value in values:
        for derivation in value.derivations:
            found.setdefault(derivation.parameter, derivation)
    return tuple(found.values())
