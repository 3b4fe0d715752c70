"""Wiring records which tensors are used, which the model registers, and which the optimizer holds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stray", "Wiring"]


@dataclass(frozen=True, slots=True)
class Stray:
    """A trainable tensor that the model uses and does not register.

    Args:
        shape: of the tensor.
        node: index of the operation that uses it; None where it is not known.
        held: whether the optimizer holds it; None without an optimizer.
    """

    shape: tuple[int, ...]
    node: int | None = None
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class Wiring:
    """The relation between the tensors that train, the model's parameters, and the optimizer.

    Args:
        strays: trainable tensors that the model uses and that are not among its parameters.
        missing: paths of trainable parameters that have a gradient and are not held by the optimizer.
        held: number of the model's parameters that the optimizer holds; None without an optimizer.
        stale: number of tensors that the optimizer holds and that belong neither to the model nor to the loss.
        repeated: paths of parameters that the optimizer holds more than once.
        moved: paths of frozen parameters that a forward pass or the optimizer changes.
        decayed: paths of trainable parameters that the optimizer decays.
    """

    strays: tuple[Stray, ...] = ()
    missing: tuple[str, ...] = ()
    held: int | None = None
    stale: int = 0
    repeated: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    decayed: tuple[str, ...] = ()
