"""Notebooks: those in the tree are what the source gives, they hold the whole answer, and they run top to bottom."""

from __future__ import annotations

import json
from pathlib import Path

import nbclient
import nbformat
import pytest

from gainstage.lessons import QUESTIONS, Entry, open_question
from gainstage.lessons.notebooks import file_name, notebook, notebook_text

FOLDER = Path(__file__).parents[2] / "notebooks"


def text_of(cells: list[nbformat.NotebookNode], kind: str) -> str:
    return "\n".join(cell["source"] for cell in cells if cell["cell_type"] == kind)


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda e: e.slug)
def test_the_notebook_in_the_tree_is_what_the_source_gives(entry: Entry) -> None:
    told = "Write the notebooks anew: gainstage ask --all --notebook notebooks"
    assert (FOLDER / file_name(entry)).read_text(encoding="utf-8") == notebook_text(entry), told


def test_no_other_notebook_is_in_the_tree() -> None:
    assert sorted(p.name for p in FOLDER.glob("*.ipynb")) == [file_name(entry) for entry in QUESTIONS]


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda e: e.slug)
def test_a_notebook_is_valid_and_holds_the_whole_answer(entry: Entry) -> None:
    parsed = nbformat.reads(json.dumps(notebook(entry)), as_version=4)
    nbformat.validate(parsed)
    question, words, code = open_question(entry), text_of(parsed.cells, "markdown"), text_of(parsed.cells, "code")
    assert all(paragraph in words for paragraph in question.text)
    for claim in question.claims:
        assert f"### {claim.id} {claim.statement}" in words
        assert f'Claim(\n    "{claim.id}"' in code  # with the criterion, to be changed
    for study in question.studies:
        assert f"def {study.experiment.__name__}(" in code
    assert "gs.check(" in code
    assert "gs.predict(" in code
    assert "gs.compare(" in code


@pytest.mark.long
@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda e: e.slug)
def test_a_notebook_runs_from_top_to_bottom(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    parsed = nbformat.reads(notebook_text(entry), as_version=4)
    client = nbclient.NotebookClient(
        parsed, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [o["data"] for c in parsed.cells if c["cell_type"] == "code" for o in c["outputs"] if "data" in o]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    verdicts = ("Holds.", "Holds under conditions.", "Does not hold.")
    judged = [page for page in pages if any(f"<b>{verdict}</b>" in page for verdict in verdicts)]
    assert len(judged) == len(open_question(entry).claims)
    assert all("<svg" in page for page in judged)
    assert len(pages) == len(judged) + 3  # checked, predicted, compared
