"""What a watch sees arrives in TensorBoard, and at everything that has ``log(values, step)``."""

from __future__ import annotations

import runpy
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.errors import InputError
from gainstage.workflows.watching.sinks import sink_of

EXAMPLES = Path(__file__).parents[2] / "examples"
STEPS = 8


def watched(to, rate: float = 3.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), rate)
    x, y = torch.randn(64, 8), torch.arange(64) % 3
    with gs.watch(model, optimizer, to=to, on_finding="collect", check=True) as watch:
        for _ in range(STEPS):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return watch.history


def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        history = watched(writer)
    events = EventAccumulator(str(tmp_path), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0}).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("gainstage/loss")]
    assert losses == [(step.step, pytest.approx(step.loss, rel=1e-6)) for step in history.steps]
    bins = events.Histograms("gainstage/level_over_depth")
    assert [event.step for event in bins] == [look.step for look in history.looks]
    assert {"gainstage/findings/text_summary"} <= set(events.Tags()["tensors"])
    text = events.Tensors("gainstage/findings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert text.startswith(history.alerts[0].finding.code)


class Run:
    """A run of wandb: it numbers its calls itself, and other axes are declared."""

    def __init__(self):
        self.calls, self.axes = [], {}

    def define_metric(self, name, step_metric=None):
        self.axes[name] = step_metric

    def log(self, data, step=None, commit=None):
        assert step is None
        self.calls.append((data.pop("gainstage/step"), data))


class Trackio:
    def __init__(self):
        self.calls = []

    def log(self, metrics, step=None):
        self.calls.append((step, metrics))


class Mlflow:
    def __init__(self):
        self.calls = []

    def log_metrics(self, metrics, step=None, synchronous=None):
        self.calls.append((step, metrics))


class Aim:
    def __init__(self):
        self.calls = []

    def track(self, value, name=None, step=None, epoch=None, *, context=None):
        self.calls.append((step, value))


@pytest.mark.parametrize("kind", [Run, Trackio, Mlflow, Aim])
def test_loggers_get_every_step_every_layer_and_every_finding(kind):
    run = kind()
    history = watched(run)
    seen = defaultdict(dict)
    for step, values in run.calls:
        assert all(isinstance(value, float) for value in values.values())
        seen[step] |= values
    assert [seen[s.step]["gainstage/loss"] for s in history.steps] == [s.loss for s in history.steps]
    for look in history.looks:
        for layer in look.layers:
            assert seen[look.step][f"gainstage/level/{layer.path}"] == layer.level
    for alert in history.alerts:
        assert seen[alert.step][f"gainstage/{alert.finding.code}"] == 1.0
    assert "gainstage/start_findings" in seen[0]


def test_a_run_that_numbers_itself_gets_an_axis_of_its_own():
    run = Run()
    watched(run)
    assert run.axes == {"gainstage/*": "gainstage/step"}


def test_what_logs_nothing_is_refused():
    with pytest.raises(InputError, match="log"):
        sink_of(object())


@pytest.mark.parametrize(("name", "words"), [("plain", "nothing was found."), ("tensorboard", "step 30: loss")])
def test_the_examples_run_as_they_stand(name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"watch_{name}.py"), run_name="__main__")
    printed = capsys.readouterr()
    assert words in printed.out
    assert printed.err.count("before the first step: healthy.") == 1
