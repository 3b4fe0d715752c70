"""How far a comparison is, told from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np

from gainstage.trials import Board, Key

__all__ = ["Ended", "OnProgress", "Progress", "SchemeProgress", "told"]

_GLANCE = 0.2
"""Seconds between two looks at the board."""


@dataclass(frozen=True, slots=True)
class SchemeProgress:
    """How far the trials of one scheme are.

    Args:
        scheme: its name.
        done: trials that ended.
        total: trials in all.
        share: of all their steps that have been made.
        loss: median of the last losses; not a number where none has begun.
    """

    scheme: str
    done: int
    total: int
    share: float
    loss: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is, scheme by scheme."""

    lines: tuple[SchemeProgress, ...]

    @property
    def done(self) -> int:
        """Trials that ended."""
        return sum(line.done for line in self.lines)

    @property
    def total(self) -> int:
        """Trials in all."""
        return sum(line.total for line in self.lines)


OnProgress = Callable[[Progress], None]


class Ended:
    """Which trials have ended; written by one thread, read by another."""

    def __init__(self, keys: Sequence[Key], done: set[Key]) -> None:
        self.keys, self._done = keys, set(done)

    def add(self, key: Key) -> None:
        """One more."""
        self._done.add(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._done

    @property
    def missing(self) -> list[Key]:
        """Those that have not, in order."""
        return [key for key in self.keys if key not in self._done]


@contextmanager
def told(on_progress: OnProgress, board: Board, ended: Ended, steps: int) -> Iterator[None]:
    """Tell of progress from a thread of its own meanwhile, and once more at the end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_GLANCE):
            on_progress(_progress(board, ended, steps))

    thread = threading.Thread(target=watch, daemon=True)
    on_progress(_progress(board, ended, steps))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        on_progress(_progress(board, ended, steps))


def _progress(board: Board, ended: Ended, steps: int) -> Progress:
    table = board.read()
    lines = []
    for scheme in dict.fromkeys(key[1] for key in ended.keys):
        places = [i for i, key in enumerate(ended.keys) if key[1] == scheme]
        over = [ended.keys[i] in ended for i in places]
        share = sum(1.0 if done else float(table[i, 0]) / steps for i, done in zip(places, over, strict=True))
        losses = [float(table[i, 1]) for i in places if table[i, 0] > 0 and np.isfinite(table[i, 1])]
        loss = median(losses) if losses else float("nan")
        lines.append(SchemeProgress(scheme, sum(over), len(places), share / len(places), loss))
    return Progress(tuple(lines))
