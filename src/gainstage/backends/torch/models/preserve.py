"""Leave a model as it was found, whatever its own code does, also when it raises."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn.modules import module as global_hooks
from torch.nn.parameter import is_lazy

from gainstage.backends.shared.held_state import Held, hold
from gainstage.backends.torch.models.random_states import random_state, turn

__all__ = ["HeldModel", "hold_model", "preserved"]

_SAME_SIZE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers under which tensors are compared bit by bit: NaN equals itself, and -0.0 is not 0.0."""


class HeldModel:
    """A model and what it is called with, held so that any number of passes can be undone.

    Args:
        held: what is reachable from them.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self._dtype = torch.get_default_dtype()

    def restore(self) -> None:
        """Put everything back."""
        with torch.no_grad():
            self._held.restore()
        torch.set_default_dtype(self._dtype)

    @contextmanager
    def during(self, seed: int | None = None) -> Iterator[None]:
        """Start from a random state, and put back everything on leaving; other threads wait meanwhile."""
        with random_state(seed), torch.set_grad_enabled(torch.is_grad_enabled()):
            try:
                yield
            finally:
                self.restore()


def hold_model(model: nn.Module, *others: Any, weights: bool = True) -> HeldModel:
    """Hold modes, attributes, hooks, buffers, gradients and weights of a model, and all that is reachable from it.

    Args:
        model: the module.
        others: further objects that user code can reach: inputs, labels, a loss.
        weights: whether parameters are copied, which takes as much memory as they do; without it only tables that
            renormalise themselves are, and whoever changes others puts them back.
    """
    renormalised = {id(p) for m in model.modules() if getattr(m, "max_norm", None) for p in m.parameters(recurse=False)}

    classes: set[type] = set()  # whose attributes are held

    def keep(item: Any) -> tuple[Callable[[], None] | None, Iterable[Any]] | None:
        if isinstance(item, torch.Tensor):
            return _tensor(item, values=weights or not isinstance(item, nn.Parameter) or id(item) in renormalised)
        if isinstance(item, torch.Generator):
            return _generator(item), ()
        if isinstance(item, nn.Module):
            return _module(item, classes)
        return None

    hooks = [v for name, v in vars(global_hooks).items() if name.startswith("_global_") and isinstance(v, dict)]
    with turn():  # what another thread's pass has put in place meanwhile is not to be held, and put back for good
        return HeldModel(hold([model, others, hooks], keep))


@contextmanager
def preserved(model: nn.Module, seed: int | None = None, *others: Any, weights: bool = True) -> Iterator[None]:
    """Undo one pass of user code over a model; takes what :func:`hold_model` takes.

    Args:
        model: the module.
        seed: of all random states inside; None leaves them where they are.
        others: further objects that user code can reach.
        weights: whether parameters are held too.
    """
    with hold_model(model, *others, weights=weights).during(seed):
        yield


def _module(module: nn.Module, known: set[type]) -> tuple[Callable[[], None], Iterable[Any]]:
    """A module's class (parametrizations replace it), its attributes, and those of its class that users wrote."""
    kind = type(module)
    written = [c for c in kind.__mro__ if c not in known and c.__module__.split(".")[0] not in ("torch", "builtins")]
    known.update(written)
    before = [(c, dict(vars(c))) for c in written]

    def restore() -> None:
        if type(module) is not kind:
            module.__class__ = kind
        for owner, attributes in before:
            for name in [n for n, value in vars(owner).items() if attributes.get(n, owner) is not value]:
                with contextlib.suppress(AttributeError, TypeError):
                    setattr(owner, name, attributes[name]) if name in attributes else delattr(owner, name)

    return restore, [vars(module), *(value for _, attributes in before for value in attributes.values())]


def _generator(generator: torch.Generator) -> Callable[[], None]:
    state = generator.get_state()

    def restore() -> None:
        generator.set_state(state)

    return restore


def _tensor(tensor: Any, *, values: bool) -> tuple[Callable[[], None] | None, Iterable[Any]]:
    """A tensor's values, memory, gradient, hooks and flags."""
    if is_lazy(tensor) or isinstance(tensor, FakeTensor):
        return None, ()
    leaf, trainable = tensor.is_leaf, tensor.requires_grad
    gradient = tensor.grad if leaf else None
    hooks = tensor._backward_hooks
    late = getattr(tensor, "_post_accumulate_grad_hooks", None)
    contents = _Contents(tensor) if values and not tensor.is_meta else None

    def restore() -> None:
        if contents is not None:
            contents.restore()
        if tensor._backward_hooks is not hooks:
            tensor._backward_hooks = hooks
        if late is not getattr(tensor, "_post_accumulate_grad_hooks", None):
            tensor._post_accumulate_grad_hooks = late
        if not leaf:
            return
        if tensor.requires_grad is not trainable:
            tensor.requires_grad_(trainable)
        if tensor.grad is not gradient:
            tensor.grad = gradient

    return restore, [gradient, hooks, late, vars(tensor)]


class _Contents:
    """The memory of a tensor and what stood in it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor, self._leaf = tensor, tensor.is_leaf
        with torch.no_grad():
            self._memory = tensor.detach()  # the same memory under its own shape
            self._values = self._memory.clone()
        self._size = self._bytes()

    def restore(self) -> None:
        tensor, memory = self._tensor, self._memory
        if self._leaf and not tensor.is_leaf:  # written in place with something that has a gradient
            tensor.detach_()
        if self._bytes() < self._size:
            memory.untyped_storage().resize_(self._size)
        if not _is_same_memory(tensor, memory):
            tensor.data = memory
        if not _are_equal(memory, self._values):  # writing invalidates graphs that wait for their backward pass
            memory.copy_(self._values)

    def _bytes(self) -> int:
        try:
            return int(self._memory.untyped_storage().nbytes())
        except (NotImplementedError, RuntimeError):  # sparse, or a subclass that holds others
            return 0


def _is_same_memory(tensor: torch.Tensor, memory: torch.Tensor) -> bool:
    if tensor.dtype != memory.dtype or tensor.device != memory.device or tensor.shape != memory.shape:
        return False
    if tensor.layout is not torch.strided or memory.layout is not torch.strided:
        return True
    try:
        return tensor.stride() == memory.stride() and tensor.data_ptr() == memory.data_ptr()
    except (NotImplementedError, RuntimeError):  # a subclass without memory of its own
        return True


def _are_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    try:
        if one.dtype == torch.complex128:
            one, other = torch.view_as_real(one), torch.view_as_real(other)
        integers = _SAME_SIZE[one.element_size()]
        return torch.equal(one.view(integers), other.view(integers))
    except Exception:  # sparse, quantized, sharded: each refuses in its own way
        try:
            return torch.equal(one, other)
        except Exception:
            return False
