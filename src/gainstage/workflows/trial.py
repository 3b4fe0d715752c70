"""Carrying out trials: build, initialize, train."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gainstage.backends import Framework, Start, Trainer, trainer_of
from gainstage.data import Dataset
from gainstage.errors import GainstageError
from gainstage.records import Trial
from gainstage.records.training import Schedule
from gainstage.statistics import outcome_of
from gainstage.trials import Board, Key
from gainstage.workflows.initializing import initialize

__all__ = ["Piece", "Scheme", "carry_out", "in_a_line", "started"]

INITIALIZED_ON = 256
"""Examples that an initialization may look at."""

Scheme = str | Callable[..., object]
"""A name, or a function of (model) or (model, seed=…) that initializes a model in place."""


@dataclass(frozen=True)
class Piece:
    """Trials of one architecture that run together; it travels to where they run.

    Args:
        framework: of the model.
        build: makes the model anew.
        dataset: as the model takes it.
        schemes: what the names of schemes stand for.
        schedule, loss, optimizer: of every training.
        keys: of the trials.
        places: of the trials on the board.
        together: whether they are to be trained as one.
        board: where progress is noted; None for nowhere.
    """

    framework: Framework
    build: Callable[[], Any]
    dataset: Dataset
    schemes: Mapping[str, Scheme]
    schedule: Schedule
    loss: Any
    optimizer: Any
    keys: tuple[Key, ...]
    places: tuple[int, ...]
    together: bool
    board: Board | None = None


def carry_out(piece: Piece) -> list[Trial]:
    """All trials of a piece; what goes wrong in one is its outcome, and the others go on."""
    trials = _as_one(piece) if piece.together and len(piece.keys) > 1 else None
    return trials or [_alone(piece, key, place) for key, place in zip(piece.keys, piece.places, strict=True)]


def started(trainer: Trainer, build: Callable[[], Any], scheme: Scheme, seed: int, dataset: Dataset) -> Any:
    """A new model with its initial weights.

    Raises:
        Exception: whatever the user's function or the initialization raises.
    """
    model = trainer.build(build, seed)
    if scheme == "keep":
        return model
    if isinstance(scheme, str):
        initialize(model, scheme, x=trainer.batch(model, dataset, INITIALIZED_ON), seed=seed)
    else:
        trainer.build(lambda: scheme(model, **_seeded(scheme, seed)), seed)
    return model


def _seeded(scheme: Callable[..., object], seed: int) -> dict[str, int]:
    """The trial's seed, for a function that has a parameter of that name."""
    try:
        named = inspect.signature(scheme).parameters
    except (TypeError, ValueError):  # written in C
        return {}
    return {"seed": seed} if "seed" in named else {}


def _alone(piece: Piece, key: Key, place: int) -> Trial:
    begun = time.perf_counter()
    trainer = trainer_of(piece.framework)
    variant, scheme, rate, seed = key
    try:
        model = started(trainer, piece.build, piece.schemes[scheme], seed, piece.dataset)
        start = Start(model, rate, seed, _label(key))
        note = _writer(piece, [place])
        curve = trainer.train_alone(start, piece.dataset, piece.schedule, piece.loss, piece.optimizer, note)
    except (Exception, SystemExit) as error:
        return _failed(key, error)
    return Trial(scheme, rate, seed, variant, outcome_of(curve), curve, "", 1, time.perf_counter() - begun)


def _as_one(piece: Piece) -> list[Trial] | None:
    """Every model is built once, and trained with all learning rates; None where they cannot be trained together."""
    begun = time.perf_counter()
    trainer = trainer_of(piece.framework)
    models: dict[tuple[str, int], Any] = {}
    for _, scheme, _, seed in piece.keys:
        if (scheme, seed) not in models:
            try:
                models[scheme, seed] = started(trainer, piece.build, piece.schemes[scheme], seed, piece.dataset)
            except (Exception, SystemExit) as error:
                models[scheme, seed] = error
    failed = [
        _failed(key, models[key[1], key[3]]) for key in piece.keys if isinstance(models[key[1], key[3]], BaseException)
    ]
    todo = [
        (key, place)
        for key, place in zip(piece.keys, piece.places, strict=True)
        if not isinstance(models[key[1], key[3]], BaseException)
    ]
    if not todo:
        return failed
    starts = [Start(models[key[1], key[3]], key[2], key[3], _label(key)) for key, _ in todo]
    common = (piece.dataset, piece.schedule, piece.loss, piece.optimizer)
    try:
        if trainer.obstacle(starts, *common):
            return None
        curves = trainer.train_together(starts, *common, _writer(piece, [place for _, place in todo]))
    except (Exception, SystemExit):
        return None  # whose fault it is shows when each is trained alone
    share = (time.perf_counter() - begun) / len(todo)
    ended = [
        Trial(scheme, rate, seed, variant, outcome_of(curve), curve, "", len(todo), share)
        for ((variant, scheme, rate, seed), _), curve in zip(todo, curves, strict=True)
    ]
    return failed + ended


def _label(key: Key) -> str:
    variant, scheme, _, _ = key
    return f"{scheme}, {variant}" if variant else scheme


def _writer(piece: Piece, places: Sequence[int]) -> Callable[[int, Sequence[float]], None]:
    return piece.board.writer(places) if piece.board is not None else lambda _step, _losses: None


def _failed(key: Key, error: BaseException) -> Trial:
    variant, scheme, rate, seed = key
    return Trial(scheme, rate, seed, variant, "failed", None, in_a_line(error))


def in_a_line(error: BaseException) -> str:
    """What was raised; the kind is named where it is none of gainstage's own."""
    told = next(iter(str(error).strip().splitlines()), "no message")[:300]
    return told if isinstance(error, GainstageError) else f"{type(error).__name__}: {told}"
