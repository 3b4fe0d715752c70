"""Examples that influence each other, and noise that drowns them, on real networks."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from gainstage.backends.torch.measuring.record import record

X, Y = torch.randn(32, 12, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 5
SEQUENCE = torch.randn(32, 7, 12, generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(2))
MAPS = torch.randint(0, 4, (16, 8, 8), generator=torch.Generator().manual_seed(3))


class Recurrent(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(12, 16, batch_first=batch_first), nn.Linear(16, 5)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Centred(nn.Module):
    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis, self.body = axis, nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5))

    def forward(self, x):
        h = self.body(x)
        return h - h.mean(self.axis, keepdim=True)


class Folded(nn.Module):
    """Images whose batch and channels are mixed up by a reshape."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong, self.conv, self.head = wrong, nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        h = self.conv(x).relu()
        if self.wrong:
            h = h.transpose(0, 1).reshape(h.shape)
        return self.head(h)


class Graph(nn.Module):
    """A graph convolution: the first axis holds nodes, and the adjacency belongs to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.softmax(torch.randn(32, 32), 1))
        self.one, self.two = nn.Linear(12, 16), nn.Linear(16, 5)

    def forward(self, x):
        return self.adjacency @ self.two((self.adjacency @ self.one(x)).relu())


class Experts(nn.Module):
    """Each expert takes at most its share of the batch; what it cannot take passes by."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(12, 4), nn.ModuleList([nn.Linear(12, 12) for _ in range(4)])
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        choice, out = self.gate(x).argmax(1), x.clone()
        for i, expert in enumerate(self.experts):
            taken = (choice == i).nonzero()[: len(x) // 2, 0]
            out = out.index_add(0, taken, expert(x[taken]))
        return self.head(out)


def plain(*middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), *middle, nn.ReLU(), nn.Linear(16, 5))


LEAKING = {
    "softmax over the batch": (lambda: plain(nn.Softmax(dim=0)), X, Y),
    "recurrence over the batch": (lambda: Recurrent(batch_first=False), SEQUENCE, Y),
    "mean over the batch": (lambda: Centred(0), X, Y),
    "batch and channels mixed": (lambda: Folded(True), IMAGES, MAPS),
}
APART = {
    "plain": (lambda: plain(), X, Y),
    "batch norm": (lambda: plain(nn.BatchNorm1d(16)), X, Y),
    "softmax over units": (lambda: plain(nn.Softmax(dim=1)), X, Y),
    "recurrence over time": (lambda: Recurrent(batch_first=True), SEQUENCE, Y),
    "mean over units": (lambda: Centred(1), X, Y),
    "images": (lambda: Folded(False), IMAGES, MAPS),
    "graph of 32 nodes": (Graph, X, Y),
    "experts of limited capacity": (Experts, X, Y),
    "dropout": (lambda: plain(nn.Dropout(0.5)), X, Y),
}


def codes(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[str]:
    return [f.code for f in gs.check(model, x, y, loss=F.cross_entropy).findings]


@pytest.mark.parametrize("name", LEAKING)
def test_leaks_are_found_and_named(name):
    build, x, y = LEAKING[name]
    torch.manual_seed(0)
    found = {f.code: f for f in gs.check(build(), x, y, loss=F.cross_entropy).findings}
    assert "GS111" in found
    assert found["GS111"].measured > 0.01


@pytest.mark.parametrize("name", APART)
def test_what_keeps_examples_apart_is_not_flagged(name):
    build, x, y = APART[name]
    torch.manual_seed(0)
    assert "GS111" not in codes(build(), x, y)


def test_without_labels_nobody_says_where_the_examples_are():
    profile = record(plain(nn.Softmax(dim=0)), X)
    assert profile.reactions is not None
    assert profile.reactions.leak is None


@pytest.mark.parametrize(("rate", "flagged"), [(0.9, True), (0.5, False), (0.1, False)])
@pytest.mark.parametrize("place", ["middle", "end", "image"])
def test_a_rate_that_was_meant_to_be_kept(place, rate, flagged):
    torch.manual_seed(0)
    model, x, y = {
        "middle": (plain(nn.Dropout(rate)), X, Y),
        "end": (nn.Sequential(nn.Linear(12, 64), nn.Tanh(), nn.Dropout(rate), nn.Linear(64, 5)), X, Y),
        "image": (nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Dropout2d(rate), nn.Conv2d(8, 4, 1)),
                  IMAGES, MAPS),
    }[place]  # fmt: skip
    assert ("GS112" in codes(model, x, y)) is flagged
    assert "GS112" not in codes(model.eval(), x, y)


def test_the_model_is_left_as_it_was_found():
    model = plain(nn.BatchNorm1d(16), nn.Dropout(0.5))
    model[1].eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    gs.check(model, X, Y, loss=F.cross_entropy)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert [m.training for m in model] == [True, False, True, True, True]
