"""What is to be compared: checked before anything is trained, cut into pieces, and carried out."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from gainstage.backends import Framework, Start, framework_of, trainer_of
from gainstage.data import Dataset
from gainstage.errors import InputError
from gainstage.records import Trial
from gainstage.records.training import Schedule
from gainstage.trials import Board, Engine, Key, LostWorkerError, Store, run
from gainstage.workflows.trial import Piece, Scheme, carry_out, in_a_line

__all__ = ["Experiment", "OnProgress", "Progress", "Variant", "variant_of"]

MOST_TOGETHER = 32
MOST_NUMBERS = 1 << 24
"""Of all models of a piece: their weights, gradients and the optimizer's memory have to stay near the processor."""

_GLANCE = 0.2
"""Seconds between two looks at the board."""

_ATTEMPTS = 3
"""Before a piece whose worker dies is given up."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is.

    Args:
        done: trials that ended.
        total: trials in all.
        lines: for every scheme its name, how many of its trials ended, how many there are, and the median of the last
            losses of those that are under way (not a number where none is).
    """

    done: int
    total: int
    lines: tuple[tuple[str, int, int, float], ...]


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Variant:
    """One network of a comparison.

    Args:
        name: empty where there is only one.
        build: makes it anew.
        framework: it is of.
        dataset: as it takes it.
        fingerprint: of its architecture.
        together: how many of it are trained as one.
        reason: why they are not; empty where they are.
    """

    name: str
    build: Callable[[], Any]
    framework: Framework
    dataset: Dataset
    fingerprint: str
    together: int
    reason: str = ""


def variant_of(
    name: str, build: Callable[[], Any], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any
) -> Variant:
    """Try a function that builds a network.

    Raises:
        InputError: it is no such function, returns the same object twice, or model, data, loss and optimizer do not
            fit together.
        ModelError: the model cannot be run.
    """
    model, again = _built(build), _built(build)
    if model is again:
        raise InputError(
            f"{_called(build)} returned the same model twice. Trainings would go on from each other's weights: build a "
            "new one in every call, e.g. compare(lambda: Net(), …) or compare(Net, …)."
        )
    framework = _framework(model)
    trainer = trainer_of(framework)
    fitted = trainer.fitted(model, dataset, loss)
    starts = [Start(model, 1e-3), Start(again, 1e-3, 1)]
    reason = trainer.obstacle(starts, fitted, schedule, loss, optimizer)
    room = max(MOST_NUMBERS // max(trainer.size(model), 1), 1)
    together = 1 if reason else min(MOST_TOGETHER, room)
    return Variant(name, build, framework, fitted, trainer.fingerprint(model), together, reason)


def _built(build: Callable[[], Any]) -> Any:
    if framework_of(build) is not None:
        raise InputError(
            f"Received a {type(build).__name__}, one model. Every training needs a new one: pass a function that "
            "builds it, e.g. compare(lambda: Net(), …)."
        )
    if not callable(build):
        raise InputError(f"Received a {type(build).__name__}. Pass a function that builds the model.")
    try:
        model = build()
    except Exception as error:
        raise InputError(f"{_called(build)} could not build a model: {in_a_line(error)}") from error
    _framework(model)
    return model


def _framework(model: Any) -> Framework:
    framework = framework_of(model)
    if framework is None:
        raise InputError(f"The function that builds the model returned {model!r:.60}. It has to return the model.")
    return framework


def _called(build: Any) -> str:
    return f"'{getattr(build, '__name__', type(build).__name__)}'"


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
            ended = _Ended(keys, done)
            with _told(on_progress, board, ended) if on_progress else nullcontext():
                for trial in self._run(store, board, ended, engine, workers, address):
                    ended.add(trial.key)
                    yield trial

    def _run(
        self, store: Store | None, board: Board, ended: _Ended, engine: Engine, workers: int | None, address: str | None
    ) -> Iterator[Trial]:
        for attempt in range(1, _ATTEMPTS + 1):
            pieces = self._pieces(ended, board)
            count = workers or min(_cores(), max(len(pieces), 1))
            try:
                for trials in run(carry_out, pieces, engine=engine, workers=count, address=address):
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

    def _pieces(self, ended: _Ended, board: Board) -> list[Piece]:
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


class _Ended:
    """Which trials have ended; written by one thread, read by another."""

    def __init__(self, keys: Sequence[Key], done: set[Key]) -> None:
        self.keys, self._done = keys, set(done)

    def add(self, key: Key) -> None:
        self._done.add(key)

    def __contains__(self, key: Key) -> bool:
        return key in self._done

    @property
    def missing(self) -> list[Key]:
        return [key for key in self.keys if key not in self._done]


@contextmanager
def _told(on_progress: OnProgress, board: Board, ended: _Ended) -> Iterator[None]:
    """Tell of progress from a thread of its own meanwhile, and once more at the end."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_GLANCE):
            on_progress(_progress(board, ended))

    thread = threading.Thread(target=watch, daemon=True)
    on_progress(_progress(board, ended))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        on_progress(_progress(board, ended))


def _progress(board: Board, ended: _Ended) -> Progress:
    table = board.read()
    lines = []
    for scheme in dict.fromkeys(key[1] for key in ended.keys):
        places = [i for i, key in enumerate(ended.keys) if key[1] == scheme]
        done = sum(ended.keys[i] in ended for i in places)
        losses = [float(table[i, 1]) for i in places if table[i, 0] > 0 and np.isfinite(table[i, 1])]
        lines.append((scheme, done, len(places), median(losses) if losses else float("nan")))
    return Progress(sum(done for _, done, _, _ in lines), len(ended.keys), tuple(lines))


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digest(dataset: Dataset) -> str:
    sha = hashlib.sha256()
    for array in (dataset.x_train, dataset.y_train, dataset.x_validation, dataset.y_validation):
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(np.ascontiguousarray(array).tobytes())
    return sha.hexdigest()[:16]
