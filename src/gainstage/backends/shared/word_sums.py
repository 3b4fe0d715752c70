"""Sums of word vectors with something that does not depend on the words, found while nodes are written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gainstage.graph import Operation
from gainstage.graph.groups import COPYING

__all__ = ["Drafted", "WordSums"]

_KEEPING = COPYING | {Operation.SCALE}


class Drafted(Protocol):
    """The attributes that a node and its draft have in common."""

    @property
    def index(self) -> int:
        """Its place in order of execution."""
        ...

    @property
    def operation(self) -> Operation:
        """The kind of operation."""
        ...

    @property
    def inputs(self) -> Sequence[int]:
        """The nodes that it reads."""
        ...


class WordSums:
    """The sums of a run, in which something (positions, segments) is added to word vectors."""

    def __init__(self) -> None:
        self._words: set[int] = set()  # tables of words, and what copies or scales them
        self.found: set[int] = set()

    def meets(self, draft: Drafted) -> bool:
        """Report whether a node is such a sum; call this for nodes in order of execution.

        >>> from gainstage.graph import Node
        >>> table = Node(0, Operation.EMBEDDING, "embedding", (), (8, 5, 16))
        >>> sums = WordSums()
        >>> sums.meets(table), sums.meets(Node(1, Operation.OFFSET, "add", (0,), (8, 5, 16)))
        (False, True)
        """
        follows = any(i in self._words for i in draft.inputs)
        if draft.operation is Operation.EMBEDDING or (follows and draft.operation in _KEEPING):
            self._words.add(draft.index)
        if follows and draft.operation is Operation.OFFSET:
            self.found.add(draft.index)
        return draft.index in self.found
