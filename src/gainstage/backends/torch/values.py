"""What is known of every tensor while a model runs: which node made it, or from which parameters it derives.

A tensor is recognised by its storage and its place in it, not by its Python object, because PyTorch hands out new
objects for views. Storages are held weakly, which keeps their addresses unique without keeping their memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import torch
from torch.multiprocessing.reductions import StorageWeakRef

__all__ = ["STATIC", "Derivation", "Value", "Values", "join"]


@dataclass(frozen=True, slots=True)
class Derivation:
    """A parameter and the operations that led from it to a tensor."""

    parameter: str
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of one tensor.

    Args:
        node: the node it is the output of; None when it does not depend on the input and no node made it.
        derivations: the parameters it is made from, when it is not a signal.
        discrete: it depends on the input, but no gradient can pass (indices, masks).
        random: it holds random numbers drawn during the run.
        from_input: it depends on the model's input.
        example_stride: where the examples are, see ``axes``.
        unit_axis: the axis that runs over units (features, channels).
    """

    node: int | None = None
    derivations: tuple[Derivation, ...] = ()
    discrete: bool = False
    random: bool = False
    from_input: bool = False
    example_stride: int | None = None
    unit_axis: int | None = None

    @property
    def signal(self) -> bool:
        """Whether it carries the signal (or a static one, as of learned queries) that a node made."""
        return self.node is not None


STATIC = Value()


@dataclass(slots=True)
class _Held:
    """All that is known about one storage."""

    alive: StorageWeakRef
    latest: Value
    views: dict[tuple[object, ...], Value] = field(default_factory=dict)


class Values:
    """The values of all tensors seen so far, by storage and place."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}

    @staticmethod
    def _place(tensor: torch.Tensor) -> tuple[object, ...]:
        return tensor.storage_offset(), tuple(tensor.shape), tensor.stride()

    def __getitem__(self, tensor: torch.Tensor) -> Value:
        """What is known of the tensor; unknown ones are constants."""
        if tensor.layout is not torch.strided:
            return STATIC
        held = self._held.get(tensor.untyped_storage()._cdata)
        if held is None:
            return STATIC
        return held.views.get(self._place(tensor), held.latest)

    def set(self, tensor: torch.Tensor, value: Value, *, overwrite: bool = False) -> None:
        """Learn what a tensor is; ``overwrite`` when it was written in place, so that every view of it changed."""
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        held = self._held.get(storage._cdata)
        if held is None or overwrite:
            held = self._held[storage._cdata] = _Held(StorageWeakRef(storage), value)  # type: ignore[no-untyped-call]
        if tensor.numel() * tensor.element_size() >= storage.nbytes():
            held.latest = value
        held.views[self._place(tensor)] = value


def join(values: Iterable[Value], operation: str) -> tuple[Derivation, ...]:
    """The derivations of a tensor computed by ``operation`` from ``values``."""
    merged: dict[str, Derivation] = {}
    for value in values:
        for derivation in value.derivations:
            merged.setdefault(derivation.parameter, replace(derivation, chain=(*derivation.chain, operation)))
    return tuple(merged.values())
