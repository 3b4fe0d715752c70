"""The file of trials: what it keeps, through crashes and through other processes, and what it refuses."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gainstage.errors import InputError
from gainstage.records import Evaluation, FirstStep, TrainingCurve, Trial
from gainstage.trials import Store

EXPERIMENT = {"data": "digits", "steps": "400"}


def trial(seed=0, scheme="he_normal", rate=0.1, outcome="trained"):
    steps = (FirstStep(1, 1.0, 0.5, 0.25, 0.1, 3.0),)
    curve = TrainingCurve(
        scheme, (2.3, float("nan"), 1e-300), (Evaluation(0, 2.3, 0.1),), 2.3, 0.1, "adam", rate, 64, seed,
        Evaluation(3, 0.2, 0.9), steps,
    )  # fmt: skip
    return Trial(scheme, rate, seed, "", outcome, None if outcome == "failed" else curve, "", 4, 1.5)


def test_what_was_put_is_there_after_reopening(tmp_path):
    with Store(tmp_path / "runs.db", EXPERIMENT) as store:
        store.put([trial(0), trial(1), trial(1, rate=0.3)])
    with Store(tmp_path / "runs.db", EXPERIMENT, resume=True) as store:
        found = store.trials()
        assert store.finished() == {("", "he_normal", 0.1, 0), ("", "he_normal", 0.1, 1), ("", "he_normal", 0.3, 1)}
        assert sorted(map(repr, found)) == sorted(map(repr, [trial(0), trial(1), trial(1, rate=0.3)]))
        assert [t.seed for t in store.trials([("", "he_normal", 0.1, 1), ("", "unknown", 0.1, 1)])] == [1]


def test_a_trial_is_there_once_and_only_a_failed_one_is_replaced(tmp_path):
    with Store(tmp_path / "runs.db", EXPERIMENT) as store:
        store.put([trial(0, outcome="failed")])
        assert store.finished() == set()
        store.put([trial(0, outcome="stuck")])
        store.put([trial(0, outcome="diverged"), trial(0, outcome="failed")])
        assert [t.outcome for t in store.trials()] == ["stuck"]


def test_an_existing_file_is_gone_on_with_only_when_asked(tmp_path):
    path = tmp_path / "runs.db"
    Store(path, EXPERIMENT).close()
    with pytest.raises(InputError, match=r"exists.*--resume"):
        Store(path, EXPERIMENT)
    Store(path, EXPERIMENT, resume=True).close()
    Store(tmp_path / "new.db", EXPERIMENT, resume=True).close()


def test_another_experiment_is_refused_and_further_facts_are_noted(tmp_path):
    path = tmp_path / "runs.db"
    Store(path, EXPERIMENT).close()
    with pytest.raises(InputError, match="another experiment: its steps is 400, and now it is 500"):
        Store(path, {**EXPERIMENT, "steps": "500"}, resume=True)
    Store(path, {**EXPERIMENT, "model b": "Linear"}, resume=True).close()
    with pytest.raises(InputError, match="its model b is Linear"):
        Store(path, {**EXPERIMENT, "model b": "Conv"}, resume=True)


def test_foreign_and_damaged_files_are_refused_and_not_touched(tmp_path):
    with Store(tmp_path / "good.db", EXPERIMENT) as store:
        store.put([trial(i) for i in range(50)])
    good = (tmp_path / "good.db").read_bytes()
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE people (name)")
    foreign.commit()
    foreign.close()
    files = {
        "notes.txt": b"to do: measure again\n",
        "cut.db": good[: len(good) // 2],
        "head.db": b"SQLite format 3\0" + random.Random(0).randbytes(5000),
        "middle.db": good[:5000] + bytes(len(good) - 6000) + good[-1000:],
        "foreign.db": (tmp_path / "foreign.db").read_bytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            Store(tmp_path / name, EXPERIMENT, resume=True)
        assert (tmp_path / name).read_bytes() == content
    with pytest.raises(InputError, match="is not a file"):
        Store(tmp_path, EXPERIMENT, resume=True)
    with pytest.raises(InputError, match="cannot be used"):
        Store(tmp_path / "missing" / "runs.db", EXPERIMENT)


def test_a_damaged_record_and_a_newer_schema_are_said(tmp_path):
    path = tmp_path / "runs.db"
    with Store(path, EXPERIMENT) as store:
        store.put([trial()])
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE trials SET record = '{\"scheme\": 3}'")
    raw.close()
    with Store(path, EXPERIMENT, resume=True) as store, pytest.raises(InputError, match="damaged: a trial"):
        store.trials()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(InputError, match="newer gainstage"):
        Store(path, EXPERIMENT, resume=True)


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "runs.db").touch()  # as tempfile makes it
    with Store(tmp_path / "runs.db", EXPERIMENT, resume=True) as store:
        store.put([trial()])
        assert len(store.trials()) == 1


def _write(path, first, count):
    with Store(path, EXPERIMENT, resume=True) as store:
        for seed in range(first, first + count):
            store.put([trial(seed), trial(9999)])


def test_several_processes_write_to_one_file(tmp_path):
    path = tmp_path / "runs.db"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, 100 * i, 40)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with Store(path, EXPERIMENT, resume=True) as store:
        seeds = sorted(t.seed for t in store.trials())
    assert seeds == sorted([*range(40), *range(100, 140), *range(200, 240), 9999])


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from test_store import EXPERIMENT, trial
from gainstage.trials import Store
with Store(sys.argv[1], EXPERIMENT, resume=True) as store:
    for seed in range(10 ** 6):
        store.put([trial(seed)])
        print(seed, flush=True)
"""


def test_killed_in_the_middle_nothing_that_was_committed_is_lost(tmp_path):
    path = tmp_path / "runs.db"
    here = os.path.dirname(__file__)
    words = [sys.executable, "-c", WRITER, str(path), here]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        told = [int(writer.stdout.readline()) for _ in range(20)]
        time.sleep(random.Random(1).random() / 20)
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().split()]
    with Store(path, EXPERIMENT, resume=True) as store:
        kept = sorted(t.seed for t in store.trials())
        assert kept[: len(told)] == told
        assert len(kept) <= len(told) + 1  # one may have been committed before it could be told
        store.put([trial(10**6)])


def older_store(folder, *, version="1"):
    """A file as gainstage wrote it when its stores had that schema."""
    path = folder / "older.db"
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.executescript((Path(__file__).parent / "older" / f"{version}_store.sql").read_text(encoding="utf-8"))
        file.execute("PRAGMA application_id = 0x6761696E")
        file.execute(f"PRAGMA user_version = {version}")
    return path


def test_the_start_as_built_has_its_name_of_today_in_an_older_file(tmp_path):
    path = older_store(tmp_path)
    facts = {"steps": "4", "optimizer": "adam"}
    keys = [("", scheme, 0.001, seed) for scheme in ("keep", "auto") for seed in (0, 1)]
    with Store(path, facts, resume=True) as store:
        assert store.finished() == set(keys)
        found = store.trials(keys)
    assert [trial.curve.label for trial in found if trial.scheme == "keep"] == ["keep", "keep"]
    with Store(path, facts, resume=True) as store:  # once is enough
        assert store.trials(keys) == found
