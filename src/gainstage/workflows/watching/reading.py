"""Read histories that were written, and tables of numbers over steps that other tools have exported."""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from gainstage.errors import InputError, MissingPackageError
from gainstage.records import History, StepReading
from gainstage.report.json import load
from gainstage.rules.training import Alarms
from gainstage.rules.training.window import FIRST, SEEN, Window

__all__ = ["judged", "read_history"]

NAMES = {
    "loss": ("train/loss", "train_loss", "loss", "gainstage/loss"),
    "gradient": ("train/grad_norm", "grad_norm", "gradient_norm", "grad/norm", "gradients/norm", "gainstage/gradient"),
    "rate": ("train/learning_rate", "learning_rate", "lr", "gainstage/rate"),
    "update": ("gainstage/update",),
    "kept": ("gainstage/kept",),
    "scale": ("loss_scale", "gainstage/scale"),
}
"""Columns of exported tables, by field; the names that Trainer, Lightning and this package give them."""

STEP = ("step", "_step", "global_step", "train/global_step")


def read_history(path: Path) -> History:
    """The history in a file: lines of JSON, a saved record, a page, a table of CSV, or TensorBoard's events.

    Args:
        path: a file, or a folder of TensorBoard's event files.

    Raises:
        InputError: the file cannot be read, or holds no history.
        MissingPackageError: TensorBoard, which reads its events, is not installed.
    """
    if path.suffix.lower() == ".csv":
        return judged(_table(path))
    if path.is_dir() or "tfevents" in path.name:
        return judged(_events(path))
    return load(path, History)


def judged(history: History) -> History:
    """Judge a history that only holds numbers over steps, step by step, as they came about."""
    alarms = Alarms()
    for end in range(1, len(history.steps) + 1):
        steps = history.steps[max(0, end - SEEN) : end]
        window = Window(steps, history.steps[: min(FIRST, end)], optimizer=history.optimizer or "optimizer")
        alarms.judge(window, looked=end == len(history.steps))
    return replace(history, alerts=tuple(alarms.alerts), unjudged=alarms.unjudged, finished=True)


def _table(path: Path) -> History:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read {str(path)!r}: {error}.") from error
    columns = {name.strip().lower(): name for name in (rows[0] if rows else {}) if name}
    if {"step", "value"} <= set(columns):  # one series, as TensorBoard exports it
        named = "gradient" if "grad" in path.stem.lower() else "loss"
        found = {named: columns["value"]}
    else:
        found = {field: columns[n] for field, names in NAMES.items() for n in names if n in columns}
    step = next((columns[name] for name in STEP if name in columns), None)
    if not {"loss", "gradient"} & set(found):
        raise InputError(
            f"The table {str(path)!r} has no column of losses or gradient norms. Its columns are "
            f"{', '.join(columns) or 'none'}; known are {', '.join(n for names in NAMES.values() for n in names)}."
        )
    steps = tuple(_readings(rows, found, step))
    return History(steps=steps, notes=(f"Read from {path.name}: {', '.join(sorted(found))} over {len(steps)} steps.",))


def _events(path: Path) -> History:
    """Scalars over steps that a ``SummaryWriter`` has written."""
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingPackageError("tensorboard", f"Reading {path.name}")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    tags = {tag.lower(): tag for tag in events.Tags()["scalars"]}
    found = {field: next((tags[n] for n in names if n in tags), None) for field, names in NAMES.items()}
    rows: dict[int, dict[str, str]] = {}
    for field, tag in found.items():
        for event in events.Scalars(tag) if tag is not None else ():
            rows.setdefault(event.step, {"step": str(event.step)})[field] = repr(float(event.value))
    known = {field: field for field, tag in found.items() if tag is not None}
    if not {"loss", "gradient"} & set(known):
        raise InputError(
            f"The events in {str(path)!r} hold no losses or gradient norms. Their scalars are "
            f"{', '.join(tags) or 'none'}; known are {', '.join(n for names in NAMES.values() for n in names)}."
        )
    steps = tuple(_readings([rows[step] for step in sorted(rows)], known, "step"))
    return History(steps=steps, notes=(f"Read from {path.name}: {', '.join(sorted(known))} over {len(steps)} steps.",))


def _readings(rows: list[dict[str, str]], found: Mapping[str, str], step: str | None) -> Iterator[StepReading]:
    for number, row in enumerate(rows, start=1):
        values = {field: _number(row.get(column)) for field, column in found.items()}
        if any(value is not None for value in values.values()):
            at = _number(row.get(step)) if step is not None else None
            yield StepReading(number if at is None or math.isnan(at) else int(at), **values)  # type: ignore[arg-type]


def _number(text: str | None) -> float | None:
    try:
        return None if text is None or not text.strip() else float(text)
    except ValueError:
        return None
