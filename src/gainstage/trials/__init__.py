"""Runs trials here or on a cluster, and stores those that have ended."""

from gainstage.trials.board import Board
from gainstage.trials.engines import Engine, LostWorkerError, run
from gainstage.trials.store import Key, Store

__all__ = ["Board", "Engine", "Key", "LostWorkerError", "Store", "run"]
