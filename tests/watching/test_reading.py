"""Histories and exported tables are read from files."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from gainstage.cli.app import gainstage
from gainstage.errors import InputError
from gainstage.records import History, StepReading
from gainstage.report.history_lines import history_of_lines, line_of
from gainstage.workflows.watching.reading import read_history


def run(*words: str):
    return CliRunner().invoke(gainstage, list(words), prog_name="gainstage")


def test_a_history_of_a_killed_run_is_read(tmp_path):
    path = tmp_path / "history.jsonl"
    steps = [line_of("step", StepReading(i, loss=2.0, gradient=1.0)) for i in range(1, 6)]
    path.write_text("\n".join([line_of("history", History("Net", "SGD")), *steps, '{"step": {"ste']), encoding="utf-8")
    result = run("watch", str(path), "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 0
    assert "5 steps of Net under SGD" in result.stdout
    assert "was not closed" in result.stdout
    assert (tmp_path / "page.html").exists()


def test_exported_norms_are_judged_as_far_as_they_go(tmp_path):
    path = tmp_path / "export.csv"
    rows = [f"{i},{2.0 if i < 60 else 900.0},{1.0 if i < 60 else 500.0}" for i in range(1, 62)]
    path.write_text("step,train/loss,train/grad_norm\n" + "\n".join(rows) + "\n", encoding="utf-8")
    history = read_history(path)
    assert history.alerts[0].step == 60
    assert history.alerts[0].finding.code in ("GT101", "GT401")
    assert {u.code for u in history.unjudged} >= {"GT201", "GT301"}
    assert run("watch", str(path), "--fail-on", "warning").exit_code == 1


def test_one_series_of_tensorboard_is_read(tmp_path):
    path = tmp_path / "grad_norm.csv"
    path.write_text("Wall time,Step,Value\n1.0,10,0.5\n2.0,20,0.25\n", encoding="utf-8")
    assert [(s.step, s.gradient) for s in read_history(path).steps] == [(10, 0.5), (20, 0.25)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "epoch,accuracy\n1,0.5\n", "no column of losses"),
        ("a.jsonl", '{"lines_version": 9, "history": {}}\n', "reads up to 1"),
        ("a.jsonl", "nothing\n", "not valid JSON"),
    ],
)
def test_what_is_no_history_is_refused(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=words):
        read_history(path)


def test_a_line_that_is_damaged_in_the_middle_is_named():
    text = "\n".join([line_of("history", History()), "{", line_of("step", StepReading(1))])
    with pytest.raises(InputError, match="line 2"):
        history_of_lines(text)


def test_events_of_tensorboard_are_judged_as_an_exported_table_is(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path / "run") as writer:
        for step in range(60):
            writer.add_scalar("train/loss", 2.0 if step < 40 else 2.0 * 3 ** (step - 39), step)
            writer.add_scalar("train/grad_norm", 1.0 if step < 40 else 5.0 ** (step - 39), step)
            writer.add_scalar("accuracy", 0.5, step)
    history = read_history(tmp_path / "run")
    assert [s.step for s in history.steps] == list(range(60))
    assert history.steps[41].gradient == pytest.approx(25)
    assert history.findings
    file = next((tmp_path / "run").iterdir())
    assert read_history(file).steps == history.steps


def test_events_without_losses_are_refused(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("accuracy", 0.5, 1)
    with pytest.raises(InputError, match="Their scalars are accuracy"):
        read_history(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="Their scalars are none"):
        read_history(tmp_path / "empty")
