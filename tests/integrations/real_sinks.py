"""The real packages behind ``log(values, step)``, which CI does not install: ``make test-sinks``.

Each test needs its package alone; one that is not installed is an error, so that none is passed over in silence.
"""

from __future__ import annotations

import pytest

from integrations.test_sinks import watched

pytestmark = pytest.mark.filterwarnings("ignore:.*")  # of the packages


@pytest.fixture(autouse=True)
def _apart(tmp_path, monkeypatch):
    """Every package writes below a folder of its own, and reaches nothing outside of this machine."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "WANDB_DIR", "TRACKIO_DIR", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def expected(history):
    return [(step.step, pytest.approx(step.loss, rel=1e-6)) for step in history.steps]


def test_wandb(tmp_path):
    import wandb

    with wandb.init(project="gainstage", dir=tmp_path) as run:
        run.log({"loss": 1.0})  # the user's own calls, which number themselves
        history = watched(run)
        run.log({"loss": 0.5})
        assert run.summary["gainstage/step"] == history.steps[-1].step
        assert run.summary["gainstage/loss"] == pytest.approx(history.steps[-1].loss)
        assert run.summary["loss"] == 0.5


def test_mlflow(tmp_path):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs.db")
    with mlflow.start_run() as run:
        history = watched(mlflow)
    logged = mlflow.MlflowClient().get_metric_history(run.info.run_id, "gainstage/loss")
    assert [(metric.step, metric.value) for metric in logged] == expected(history)
    assert mlflow.MlflowClient().get_metric_history(run.info.run_id, "gainstage/level/0")


def test_trackio():
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    history = watched(trackio.init(project="gainstage", name="watched", embed=False))
    trackio.finish()
    rows = [row for row in SQLiteStorage.get_logs("gainstage", "watched") if "gainstage/loss" in row]
    assert [(row["step"], row["gainstage/loss"]) for row in rows] == expected(history)


def test_aim(tmp_path):
    import aim
    from aim.storage.context import Context

    run = aim.Run(repo=str(tmp_path), system_tracking_interval=None, capture_terminal_logs=False)
    history = watched(run)
    steps, (values, *_) = run.get_metric("gainstage/loss", Context({})).data.numpy()
    assert list(zip(steps.tolist(), values.tolist(), strict=True)) == expected(history)
    run.close()
