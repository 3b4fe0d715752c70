"""Board shows the progress of trainings to other processes of the same machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Board"]

_PAUSE = 0.1
"""Seconds between two updates by one writer."""


@dataclass(frozen=True)
class Board:
    """A small file with one row per trial: steps made, and the last loss.

    Each writer writes rows of its own, so that no lock is needed. On another machine the file does not exist, and
    nothing is written.

    Args:
        path: path of the file.
        rows: number of trials.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = Board.create(folder, rows=3)
    ...     board.writer([2])(7, [0.5])
    ...     board.read()[2].tolist()
    [7.0, 0.5]
    """

    path: Path
    rows: int

    @classmethod
    def create(cls, folder: str | Path, rows: int) -> Board:
        """Create a board on which no trial has begun."""
        board = cls(Path(folder, "board"), rows)
        np.memmap(board.path, np.float64, "w+", shape=(max(rows, 1), 2))[:] = (0.0, np.nan)
        return board

    def read(self) -> NDArray[np.float64]:
        """Return steps and loss of every trial, shape ``(rows, 2)``."""
        return np.array(np.memmap(self.path, np.float64, "r", shape=(max(self.rows, 1), 2)))

    def writer(self, places: Sequence[int]) -> Writer:
        """Return a function that records the progress of the trials in these rows."""
        if not self.path.is_file():
            return Writer(None, places)
        return Writer(np.memmap(self.path, np.float64, "r+", shape=(max(self.rows, 1), 2)), places)


class Writer:
    """Records the progress of some trials at intervals."""

    def __init__(self, table: NDArray[np.float64] | None, places: Sequence[int]) -> None:
        self._table, self._places, self._last = table, list(places), 0.0

    def __call__(self, step: int, losses: Sequence[float]) -> None:
        """Record that all trials have made ``step`` steps, with these losses."""
        now = time.monotonic()
        if self._table is None or now - self._last < _PAUSE:
            return
        self._last = now
        self._table[self._places, 0] = step
        self._table[self._places, 1] = losses
