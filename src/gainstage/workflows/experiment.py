"""What is to be compared: checked before anything is trained, cut into pieces, and carried out."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gainstage.data import Dataset
from gainstage.records import Trial
from gainstage.records.training import Schedule
from gainstage.trials import Board, Engine, Key, LostWorkerError, Store, run
from gainstage.workflows.progress import Ended, OnProgress, told
from gainstage.workflows.trial import Piece, Scheme, carry_out
from gainstage.workflows.variant import Variant

__all__ = ["Experiment"]

_WORTH = 20.0
"""Seconds of work left that make up for the start of processes, which import a framework each."""

_ATTEMPTS = 3
"""Before a piece whose worker dies is given up."""


@dataclass(frozen=True)
class Experiment:
    """All trials of a comparison.

    Args:
        variants: the networks.
        schemes: what their names stand for, in order.
        learning_rates, seeds: of the trials.
        schedule, loss, optimizer: of every training.
        names: of loss and optimizer.
    """

    variants: tuple[Variant, ...]
    schemes: Mapping[str, Scheme]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    schedule: Schedule
    loss: Any
    optimizer: Any
    names: tuple[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def keys(self) -> list[Key]:
        """All trials, seed after seed, so that what ends first can be compared."""
        return [
            (variant.name, scheme, rate, seed)
            for seed in self.seeds
            for variant in self.variants
            for rate in self.learning_rates
            for scheme in self.schemes
        ]

    @property
    def facts(self) -> dict[str, str]:
        """What all trials of a store have in common."""
        schedule = self.schedule
        loss, optimizer = self.names
        known = {
            "data": _digest(self.variants[0].dataset), "loss": loss, "optimizer": optimizer,
            "steps": str(schedule.steps), "batch": str(schedule.batch), "looks": str(schedule.evaluations),
            "clipping": str(schedule.clip), "watched steps": str(schedule.watched),
        }  # fmt: skip
        models = {f"model {v.name}".strip(): v.fingerprint for v in self.variants}
        return {**known, **models}

    def trials(
        self,
        store: Store | None = None,
        *,
        engine: Engine = "local",
        workers: int | None = None,
        address: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Iterator[Trial]:
        """Every trial as soon as it is known: first what the store holds, then what is run; each is stored at once."""
        keys = self.keys
        held = store.trials(keys) if store else []
        done = {trial.key for trial in held if trial.outcome != "failed"}
        yield from (trial for trial in held if trial.key in done)
        with tempfile.TemporaryDirectory(prefix="gainstage-") as folder:
            board = Board.create(folder, len(keys))
            ended = Ended(keys, done)
            with told(on_progress, board, ended, self.schedule.steps) if on_progress else nullcontext():
                for trial in self._run(store, board, ended, engine, workers, address):
                    ended.add(trial.key)
                    yield trial

    def _run(
        self, store: Store | None, board: Board, ended: Ended, engine: Engine, workers: int | None, address: str | None
    ) -> Iterator[Trial]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                for trials in self._carried_out(self._pieces(ended, board), engine, workers, address):
                    if store is not None:
                        store.put(trials)
                    yield from trials
            except LostWorkerError as error:
                if attempt == _ATTEMPTS:
                    lost = [Trial(s, r, seed, v, "failed", None, str(error)) for v, s, r, seed in ended.missing]
                    if store is not None:
                        store.put(lost)
                    yield from lost
            else:
                return

    def _carried_out(
        self, pieces: list[Piece], engine: Engine, workers: int | None, address: str | None
    ) -> Iterator[list[Trial]]:
        """Unless told how many processes, run the first piece here, and see whether more are worth their start."""
        if workers is None and engine == "local" and len(pieces) > 1:
            begun = time.perf_counter()
            yield carry_out(pieces[0])
            pieces = pieces[1:]
            worth = (time.perf_counter() - begun) * len(pieces) > _WORTH
            workers = min(_cores(), len(pieces)) if worth else 1
        yield from run(carry_out, pieces, engine=engine, workers=workers or _cores(), address=address)

    def _pieces(self, ended: Ended, board: Board) -> list[Piece]:
        """What is missing, cut so that pieces of all variants come in turn."""
        place = {key: i for i, key in enumerate(ended.keys)}
        missing = ended.missing
        pieces = []
        for variant in self.variants:
            keys = [key for key in missing if key[0] == variant.name]
            count = -(-len(keys) // variant.together)
            even = -(-len(keys) // count) if count else 1
            for turn, start in enumerate(range(0, len(keys), even)):
                some = tuple(keys[start : start + even])
                piece = Piece(
                    variant.framework, variant.build, variant.dataset, self.schemes, self.schedule, self.loss,
                    self.optimizer, some, tuple(place[key] for key in some), variant.together > 1, board,
                )  # fmt: skip
                pieces.append((turn, piece))
        return [piece for _, piece in sorted(pieces, key=lambda pair: pair[0])]


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(dataset: Dataset) -> str:
    sha = hashlib.sha256()
    for array in (dataset.x_train, dataset.y_train, dataset.x_validation, dataset.y_validation):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]
