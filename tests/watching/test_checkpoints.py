"""A training that is resumed from a checkpoint has the history of one that was never interrupted."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gainstage as gs
from gainstage.errors import InputError
from gainstage.workflows.watching import Watch

X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3
BEFORE, BEHIND = 30, 30


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def adam(model):
    return torch.optim.Adam(model.parameters(), 1e-2)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()


def through_torch(watch):
    """Saved and read as a checkpoint is, with nothing but plain data allowed."""
    file = io.BytesIO()
    torch.save({"watch": watch.state_dict()}, file)
    file.seek(0)
    return Watch.from_state_dict(torch.load(file, weights_only=True)["watch"])


def through_pickle(watch):
    return pickle.loads(pickle.dumps(watch))


@pytest.mark.parametrize("kept_by", [through_torch, through_pickle])
def test_the_history_is_that_of_a_run_without_interruption(kept_by):
    model = network()
    optimizer = adam(model)
    with gs.watch(model, optimizer, to=None, on_finding="collect") as watch:
        train(model, optimizer, BEFORE)
        kept = kept_by(watch)  # in the middle of the loop
        weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
        train(model, optimizer, BEHIND)
    again = network()
    again.load_state_dict(weights)
    other = adam(again)
    other.load_state_dict(state)
    with gs.watch(again, other, to=None, on_finding="collect", resume=kept) as resumed:
        train(again, other, BEHIND)
    whole, parts = watch.history, resumed.history
    assert parts.steps == whole.steps
    assert parts.looks[: len(whole.looks)] == whole.looks
    assert parts.start == whole.start
    assert parts.unjudged == whole.unjudged
    assert parts.finished


def test_a_finding_that_stands_is_not_raised_again():
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 3.0)
    with gs.watch(model, optimizer, to=None, on_finding="collect", check=False) as watch:
        train(model, optimizer, 12)
    raised = [alert.finding.code for alert in watch.history.alerts]
    assert "GT301" in raised
    with gs.watch(model, optimizer, to=None, on_finding="collect", resume=through_torch(watch)) as resumed:
        train(model, optimizer, 6)
    assert [alert.finding.code for alert in resumed.history.alerts].count("GT301") == 1
    assert resumed.history.alerts[: len(raised)][0].step == watch.history.alerts[0].step


def test_a_damaged_state_is_refused():
    with pytest.raises(InputError, match="no field 'weights'"):
        Watch.from_state_dict({"history": {}, "weights": 3})
