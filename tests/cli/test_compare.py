"""``gainstage compare``: the table, the JSON, the picture, the store, and what it refuses."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial

import pytest

NET = "mlp:64x16x10,act=tanh"
QUICK = ("compare", NET, "--data", "digits", "--schemes", "keep,orthogonal", "--seeds", "2", "--steps", "12")


def test_table_picture_and_page(run, tmp_path):
    done = run(*QUICK, "--svg", "curves.svg", "--html", "page.html")
    assert done.code == 0, done.err
    assert "orthogonal" in done.out
    assert "Better at the end" in done.out
    assert "Only 2 seeds" in " ".join(done.out.split())
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")
    assert "<!doctype html>" in (tmp_path / "page.html").read_text()


def test_json_resume_variants_and_rates(run):
    words = (*QUICK, "--store", "runs.db", "--variant", "bn=mlp:64x16x10,norm=batch", "--lr", "0.01,0.001", "--json")
    first = json.loads(run(*words).out)
    assert first["kind"] == "comparison"
    assert len(first["record"]["trials"]) == 16
    assert first["record"]["variants"] == [NET, "bn"]
    again = run(*words, "--resume")
    assert json.loads(again.out) == first
    assert "exists" in run(*words).err
    assert "another experiment" in run(*words, "--resume", "--batch-size", "32").err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--schemes", "he_norml"), "Did you mean 'he_normal'"),
        (("--schemes", ","), "--schemes names nothing"),
        (("--seeds", "many"), "Cannot read 'many' in --seeds"),
        (("--lr", "fast"), "Cannot read 'fast' in --lr"),
        (("--resume",), "--resume goes on with a file"),
        (("--variant", "mlp:64x10"), "Write a name and a model"),
        (("--optimizer", "adm"), "Did you mean 'adam'"),
        (("--data", "nowhere.npz"), "There is no data file"),
        (("--address", "tcp://x"), "engine 'local'"),
    ],
)
def test_what_it_refuses(run, more, words):
    refused = run(*QUICK, *more)
    assert refused.code == 2
    assert words in refused.err
    assert refused.out == ""


def ended(store) -> int:
    """How many trials a store holds while another process writes to it."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT count(*) FROM trials").fetchone()[0]
        except sqlite3.OperationalError:  # no table yet
            return 0


def test_interrupted_it_shows_what_has_ended(tmp_path):
    words = ["compare", NET, "--data", "digits", "--schemes", "keep", "--seeds", "500", "--steps", "20"]
    words += ["--together", "2", "--workers", "1", "--store", "runs.db", "--json"]
    command = [sys.executable, "-m", "gainstage", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heed, **pipes) as process:
        while process.poll() is None and ended(tmp_path / "runs.db") < 6:  # the last ones may still be on their way
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130, err
    assert err.strip() == "gainstage: interrupted"
    record = json.loads(out)["record"]
    assert 0 < len(record["trials"]) < 500
    assert any("trials have ended" in note for note in record["notes"])
