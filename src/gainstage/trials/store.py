"""Stores finished trials in an SQLite file, one by one, so that a crash loses only trials that are under way.

Several processes may write to one file. The file holds every trial once; a trial that failed is replaced by a later
attempt.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from gainstage.errors import InputError
from gainstage.records import Trial
from gainstage.report.codec import decode, encode

__all__ = ["Key", "Store"]

Key = tuple[str, str, float, int]
"""Variant, scheme, learning rate and seed of a trial."""

APPLICATION = 0x6761696E  # "gain", in the file's header
SCHEMA = 2
"""Version 2 names the start as the model was built ``keep``; version 1 named it ``default``."""

PATIENCE = 60.0
"""Seconds to wait while another process writes."""

_TABLES = """
CREATE TABLE experiment (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE trials (
    variant TEXT NOT NULL, scheme TEXT NOT NULL, learning_rate REAL NOT NULL, seed INTEGER NOT NULL,
    outcome TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (variant, scheme, learning_rate, seed)
) WITHOUT ROWID;
"""

_PUT = """
INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET outcome = excluded.outcome, record = excluded.record WHERE trials.outcome = 'failed'
"""


class Store:
    """An open file of finished trials.

    Args:
        path: path of the file.
        experiment: facts that all trials have in common, by name; a file of another experiment is refused.
        resume: continue with a file that exists.

    Raises:
        InputError: the file exists and ``resume`` is false, belongs to another experiment, is no store of trials, is
            damaged, or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Store(Path(folder, "runs.db"), {"steps": "400"}) as store:
    ...     store.put([Trial("he_normal", 0.1, seed=0, outcome="stuck")])
    ...     store.finished()
    {('', 'he_normal', 0.1, 0)}
    """

    def __init__(self, path: str | Path, experiment: Mapping[str, str], *, resume: bool = False) -> None:
        self.path = Path(path)
        existed = self.path.exists()
        if existed and not resume:
            raise InputError(
                f"'{path}' exists. Resume it to run only what is missing (resume=True, or --resume), or name another "
                "file."
            )
        with self._explained():
            if existed:
                _refuse_foreign(self.path)
            self._connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        try:
            self._refuse_other()
            with self._explained():
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._create()
            self.agree(experiment)
        except BaseException:
            self._connection.close()
            raise

    def put(self, trials: Iterable[Trial]) -> None:
        """Store trials, each in a transaction of its own; stored trials stay unless they had failed."""
        for trial in trials:
            record = json.dumps(encode(trial), allow_nan=False)
            with self._explained():
                self._connection.execute(_PUT, (*trial.key, trial.outcome, record))

    def finished(self) -> set[Key]:
        """Return the keys of all trials that ended without failing."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT variant, scheme, learning_rate, seed FROM trials WHERE outcome != 'failed'"
            ).fetchall()
        return {(variant, scheme, rate, seed) for variant, scheme, rate, seed in rows}

    def trials(self, keys: Iterable[Key] | None = None) -> list[Trial]:
        """Return the stored trials with these keys, or all stored trials.

        Raises:
            InputError: a record is damaged.
        """
        wanted = None if keys is None else set(keys)
        with self._explained():
            rows = self._connection.execute(
                "SELECT variant, scheme, learning_rate, seed, record FROM trials"
            ).fetchall()
        return [self._read(record) for *key, record in rows if wanted is None or tuple(key) in wanted]

    def _read(self, record: str) -> Trial:
        try:
            return decode(json.loads(record), Trial)
        except (ValueError, InputError) as error:
            raise InputError(f"'{self.path}' is damaged: a trial in it cannot be read ({error}).") from error

    def agree(self, facts: Mapping[str, str]) -> None:
        """Check further facts of the experiment: new ones are stored, known ones have to be equal.

        Raises:
            InputError: a fact differs from the stored one.
        """
        with self._explained(), self._writing():
            known = self._facts()
            for name, value in facts.items():
                if name not in known:
                    self._connection.execute("INSERT INTO experiment VALUES (?, ?)", (name, value))
        for name, value in facts.items():
            if known.get(name, value) != value:
                raise InputError(
                    f"'{self.path}' belongs to another experiment: its {name} is {_short(known[name])}, and now it is "
                    f"{_short(value)}. Name another file, or go on as before."
                )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse_other(self) -> None:
        """Refuse a file of another kind, version or experiment before anything is written."""
        application, version = self._pragma("application_id"), self._pragma("user_version")
        if application != APPLICATION and (application or self._tables()):
            raise InputError(f"'{self.path}' is an SQLite file of something else than trials. Name another file.")
        if version > SCHEMA:
            raise InputError(
                f"'{self.path}' was written by a newer gainstage (schema {version}, here {SCHEMA}). Update gainstage."
            )
        with self._explained():
            (state,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise InputError(f"'{self.path}' is damaged: {state}. Restore it from a copy, or name another file.")

    def _create(self) -> None:
        with self._writing():
            if self._tables():
                self._rename_start_as_built()
            else:
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _rename_start_as_built(self) -> None:
        """Rename the start as the model was built, in a file of schema 1, to its present name."""
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > 1:
            return
        rows = self._connection.execute(
            "SELECT variant, learning_rate, seed, record FROM trials WHERE scheme = 'default'"
        ).fetchall()
        for variant, rate, seed, record in rows:
            trial = json.loads(record)
            trial["scheme"] = "keep"
            if trial.get("curve"):
                trial["curve"]["label"] = f"keep{trial['curve']['label'].removeprefix('default')}"
            self._connection.execute(
                "UPDATE trials SET scheme = 'keep', record = ? "
                "WHERE scheme = 'default' AND variant = ? AND learning_rate = ? AND seed = ?",
                (json.dumps(trial, allow_nan=False), variant, rate, seed),
            )

    def _tables(self) -> bool:
        with self._explained():
            return self._connection.execute("SELECT name FROM sqlite_master").fetchone() is not None

    def _pragma(self, name: str) -> int:
        with self._explained():
            (value,) = self._connection.execute(f"PRAGMA {name}").fetchone()
        return int(value)

    def _facts(self) -> dict[str, str]:
        rows: list[tuple[str, str]] = self._connection.execute("SELECT name, value FROM experiment").fetchall()
        return dict(rows)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Open a transaction during which no other process writes."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise InputError(f"'{self.path}' cannot be used as a store of trials: {error}.") from error
        except OSError as error:
            raise InputError(f"'{self.path}' cannot be read: {error.strerror or error}.") from error


def _refuse_foreign(path: Path) -> None:
    """Refuse files that are not SQLite, since SQLite would overwrite an empty file and report others late."""
    if not path.is_file():
        raise InputError(f"'{path}' is no file. Name a file for the trials.")
    with path.open("rb") as file:
        head = file.read(16)
    if head and head != b"SQLite format 3\0":
        raise InputError(f"'{path}' is no store of trials: it is not an SQLite file. Name another file.")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
