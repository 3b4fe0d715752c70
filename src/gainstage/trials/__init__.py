"""Running trials: where they run, and the file that keeps what has ended."""

from gainstage.trials.board import Board
from gainstage.trials.engines import Engine, LostWorkerError, run
from gainstage.trials.store import Key, Store

__all__ = ["Board", "Engine", "Key", "LostWorkerError", "Store", "run"]
