"""``gainstage ask``: the list, one answer, and what it refuses."""

from __future__ import annotations

import json
import shlex

import pytest

from gainstage.cli.app import gainstage
from gainstage.lessons import QUESTIONS, open_question
from gainstage.lessons.notebooks import file_name, notebook_text

TO_TRY = list(dict.fromkeys(line for entry in QUESTIONS for line in open_question(entry).try_it))
LONG = ("demo",)
"""Commands that train: what they are given is parsed, and they have tests of their own."""


def test_without_a_question_it_lists_all_and_runs_nothing(run) -> None:
    listed = run("ask")
    assert listed.code == 0
    assert all(entry.question in listed.out for entry in QUESTIONS)
    document = json.loads(run("ask", "--json").out)
    assert [q["slug"] for q in document["questions"]] == [entry.slug for entry in QUESTIONS]


def test_one_answer_as_json(run) -> None:
    answered = run("ask", "xavier", "--quick", "--seed", "3", "--json")
    document = json.loads(answered.out)
    assert (answered.code, document["kind"], document["record"]["seed"]) == (0, "answer", 3)
    assert document["record"]["evidence"][0]["verdict"] in {"holds", "holds under conditions", "does not hold"}


def test_what_it_cannot_do_is_said(run) -> None:
    assert "Unknown question 'xavir'" in (refused := run("ask", "xavir")).err
    assert refused.code == 2
    assert run("ask", "1", "--all").code == 2
    assert run("ask", "1", "--json", "--markdown").code == 2


def test_a_page_needs_a_question(run, tmp_path) -> None:
    assert "--html needs a question" in run("ask", "--html", str(tmp_path / "answers.html")).err


@pytest.mark.parametrize("line", TO_TRY)
def test_what_an_answer_says_to_try_works(line: str, run) -> None:
    program, name, *words = shlex.split(line)
    assert program == "gainstage"
    if name in LONG:
        parent = gainstage.make_context("gainstage", [name, *words])
        gainstage.get_command(parent, name).make_context(name, list(words), parent=parent)
        return
    tried = run(name, *words)
    assert tried.code in (0, 1), tried.err
    assert tried.out


def test_a_notebook_is_written_and_not_run(run, tmp_path) -> None:
    written = run("ask", "xavier", "--notebook", "own.ipynb")
    assert (written.code, written.out) == (0, "")
    assert (tmp_path / "own.ipynb").read_text(encoding="utf-8") == notebook_text(QUESTIONS[1])
    assert run("ask", "--all", "--notebook", "folder").code == 0
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == [file_name(entry) for entry in QUESTIONS]


def test_notebooks_that_cannot_be_written_are_refused(run, tmp_path) -> None:
    (tmp_path / "taken").write_text("")
    assert "--notebook needs a question" in run("ask", "--notebook", "own.ipynb").err
    assert "without running them" in run("ask", "2", "--quick", "--notebook", "own.ipynb").err
    assert "Cannot make the folder 'taken'" in run("ask", "--all", "--notebook", "taken").err
    assert "cannot be written" in run("ask", "2", "--notebook", "nowhere/own.ipynb").err
