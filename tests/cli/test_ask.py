"""``gainstage ask``: the list, one answer, and what it refuses."""

from __future__ import annotations

import json

from gainstage.lessons import QUESTIONS


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
