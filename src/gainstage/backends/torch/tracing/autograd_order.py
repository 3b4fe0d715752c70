"""Which autograd nodes belong to which operation.

``grad_fn`` does not exist yet while an operation is dispatched, but autograd numbers its nodes in the order of making.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

__all__ = ["Sequence", "sequence_number"]


def sequence_number() -> int:
    """The number that the next autograd node will get."""
    return int(torch.autograd._get_sequence_nr())  # type: ignore[attr-defined]


@dataclass(slots=True)
class Sequence:
    """Which autograd nodes belong to which operation, by autograd's own sequence numbers."""

    owner: dict[int, int | None] = field(default_factory=dict)
    last: int = 0
    previous: int | None = None
    inside_function: bool = False

    def open(self, number: int) -> bool:
        """Before an operation runs; returns whether autograd made a node for it (or for the function around it)."""
        fresh = number > self.last
        for late in range(self.last, number - 1):  # made after the previous operation: it wrote in place
            self.owner[late] = self.previous
        if fresh:
            self.inside_function = not torch.is_grad_enabled()
        elif torch.is_grad_enabled():
            self.inside_function = False
        self.last = number
        return fresh or self.inside_function

    def close(self, made: bool, node: int | None) -> None:
        """After it ran: ``node`` is its node, if it has one."""
        if made:
            self.owner[self.last - 1] = node
        self.previous = node
