"""Kinds of faults on real networks: each is found on three architectures, and their mended twins are left alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gainstage as gs

CE, MSE = F.cross_entropy, F.mse_loss
Case = tuple[nn.Module, Any, Any, Callable[[Any, Any], Tensor], Callable[[nn.Module], torch.optim.Optimizer]]


class Net(nn.Module):
    """Layers by name, and a function of them and the input."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, *x: Tensor) -> Tensor:
        return self.run(self, *x)


def features(n: int = 64) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 16)
    return x, (x @ torch.randn(16, 5)).argmax(1)


def values(n: int = 64) -> tuple[Tensor, Tensor]:
    x = torch.randn(n, 16)
    y = torch.sin(x[:, :1]) + x[:, 1:2]
    return x, (y - y.mean()) / y.std()


def sequences(width: int = 8, steps: int = 12) -> tuple[Tensor, Tensor]:
    return torch.randn(32, steps, width), torch.randint(5, (32,))


def mlp(out: int, *more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, out), *more)


def conv(out: int, *more: nn.Module) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, out), *more
    )


def recurrent(out: int, *more: nn.Module) -> nn.Module:
    body = Net(lambda m, x: m.head(m.cell(x.unflatten(1, (4, 4)))[0][:, -1]), cell=nn.GRU(4, 16, batch_first=True),
               head=nn.Linear(16, out))  # fmt: skip
    return nn.Sequential(body, *more)


BODIES = {"perceptron": mlp, "convolution": conv, "recurrence": recurrent}


def adam(lr: float = 1e-3, **settings: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.Adam(model.parameters(), lr=lr, **settings)


def sgd(lr: float = 0.1, **settings: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(model.parameters(), lr=lr, **settings)


def attention(factor: float, heads: bool, bounded: bool = False) -> nn.Module:
    def run(m: Any, x: Tensor) -> Tensor:
        h = m.embed(x)
        q, k, v = m.qkv(m.norm(h)).chunk(3, -1)
        if heads:
            q, k, v = (t.unflatten(-1, (2, 16)).transpose(1, 2) for t in (q, k, v))
        scores = factor * q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = torch.sigmoid(scores) if bounded else scores
        mixed = scores.softmax(-1) @ v
        mixed = mixed.transpose(1, 2).flatten(2) if heads else mixed
        return m.head((h + mixed).mean(1))

    return Net(run, embed=nn.Linear(8, 32), norm=nn.LayerNorm(32), qkv=nn.Linear(32, 96), head=nn.Linear(32, 5))


def fused(factor: float) -> nn.Module:
    def run(m: Any, x: Tensor) -> Tensor:
        h = m.embed(x)
        q, k, v = m.q(m.norm(h)), m.k(m.norm(h)), m.v(h)
        return m.head((h + F.scaled_dot_product_attention(q, k, v, scale=factor / math.sqrt(32))).mean(1))

    layers = {name: nn.Linear(32, 32) for name in "qkv"}
    return Net(run, embed=nn.Linear(8, 32), norm=nn.LayerNorm(32), head=nn.Linear(32, 5), **layers)


def pooled(squash: Callable[[Tensor], Tensor]) -> nn.Module:
    return Net(
        lambda m, x: m.head((squash(m.score(torch.tanh(m.embed(x)))).softmax(1) * m.embed(x)).sum(1)),
        embed=nn.Linear(8, 32), score=nn.Linear(32, 1), head=nn.Linear(32, 5),
    )  # fmt: skip


def stepping(keep: bool, kind: type[nn.RNNCellBase]) -> nn.Module:
    def run(m: Any, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 16)
        for t in range(x.shape[1]):
            state = m.cell(x[:, t], state if keep else torch.zeros_like(state))
        return m.head(state)

    return Net(run, cell=kind(8, 16), head=nn.Linear(16, 5))


def folded(exchange: Callable[[Tensor, tuple[int, ...]], Tensor], kind: str) -> Case:
    if kind == "image":
        x = torch.randn(16, 8, 8, 3)
        net = Net(lambda m, x: m.b(F.relu(m.a(exchange(x, (16, 3, 8, 8))))), a=nn.Conv2d(3, 8, 3, padding=1),
                  b=nn.Conv2d(8, 5, 1))  # fmt: skip
        return net, x, torch.randint(5, (16, 8, 8)), CE, adam()
    x = torch.randn(16, 10, 8)
    if kind == "logits":
        net = Net(lambda m, x: exchange(m.b(m.a(x)[0]), (16, 7, 10)), a=nn.GRU(8, 16, batch_first=True),
                  b=nn.Linear(16, 7))  # fmt: skip
        return net, x, torch.randint(7, (16, 10)), CE, adam()
    net = Net(
        lambda m, x: m.b(F.relu(m.a(exchange(x, (16, 8, 10)))).mean(2)), a=nn.Conv1d(8, 16, 3), b=nn.Linear(16, 5)
    )
    return net, x, torch.randint(5, (16,)), CE, adam()


def variational(mean: bool, width: int) -> Case:
    def run(m: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean_, log = m.encoder(x).chunk(2, 1)
        return m.decoder(mean_ + torch.randn_like(mean_) * (log / 2).exp()), mean_, log

    def loss(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
        divergence = -0.5 * (1 + output[2] - output[1] ** 2 - output[2].exp())
        return MSE(output[0], y) + (divergence.mean() if mean else divergence.sum())

    x = torch.randn(32, 16)
    net = Net(run, encoder=nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 2 * width)),
              decoder=nn.Linear(width, 16))  # fmt: skip
    return net, x, x, loss, adam()


def aligned(labels: int, body: str) -> Case:
    layer = {
        "gru": nn.GRU(8, 16, batch_first=True),
        "lstm": nn.LSTM(8, 16, batch_first=True),
        "linear": nn.Sequential(nn.Linear(8, 16), nn.ReLU()),
    }
    read = (lambda m, x: m.body(x)) if body == "linear" else (lambda m, x: m.body(x)[0])
    net = Net(
        lambda m, x: F.log_softmax(m.head(read(m, x)), -1).transpose(0, 1), body=layer[body], head=nn.Linear(16, 6)
    )
    sizes = torch.full((16,), 10), torch.full((16,), labels)
    return (
        net, torch.randn(16, 10, 8), torch.randint(1, 6, (16, labels)),
        lambda o, y: F.ctc_loss(o, y, *sizes, zero_infinity=True), adam(),
    )  # fmt: skip


def unscaled(loud: bool, body: str) -> Case:
    x, y = torch.rand(32, 12, 4), torch.randn(32, 1)
    kinds = {"lstm": nn.LSTM(4, 16, batch_first=True), "gru": nn.GRU(4, 16, batch_first=True)}
    if body == "cell":
        net: nn.Module = stepping(True, nn.GRUCell)
        net.cell, net.head = nn.GRUCell(4, 16), nn.Linear(16, 1)
    else:
        net = Net(lambda m, x: m.head(m.body(x)[0][:, -1]), body=kinds[body], head=nn.Linear(16, 1))
    return net, x * 300 + 100 if loud else x - 0.5, y, MSE, adam()


def negative(kind: str, sick: bool) -> Case:
    x, _ = features()
    y = (x[:, :1] > 0).float()

    def overlap(o: Tensor, t: Tensor) -> Tensor:
        p = o.sigmoid()
        share = (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        return share if sick else 1 - share

    def similarity(o: Tensor, t: Tensor) -> Tensor:
        return F.cosine_similarity(o, t).mean() if sick else 1 - F.cosine_similarity(o, t).mean()

    def agreement(o: Tensor, t: Tensor) -> Tensor:
        wrong = (o.sigmoid() - t).square().mean()
        return -wrong if sick else wrong

    if kind == "similarity":
        return mlp(8), x, torch.randn(64, 8), similarity, adam()
    return mlp(1), x, y, overlap if kind == "overlap" else agreement, adam()


def with_body(name: str, change: Callable[[nn.Module], nn.Module], targets: str = "classes", **settings: Any) -> Case:
    x, y = features() if targets == "classes" else values()
    net = change(BODIES[name](5 if targets == "classes" else 1))
    return net, x, y, CE if targets == "classes" else MSE, settings.get("optimizer", adam())


def in_evaluation(name: str, loud: bool) -> Case:
    x, y = features()
    net = nn.Sequential(nn.BatchNorm1d(16), BODIES[name](5)).eval()
    return net, x * 100 if loud else x, y, CE, adam()


def same(net: nn.Module) -> nn.Module:
    return net


KINDS: dict[str, Callable[[str, bool], Case]] = {
    "GS112": lambda kind, sick: with_body(kind, lambda n: nn.Sequential(n, nn.Dropout(0.3)) if sick else n, "values"),
    "GS114": lambda kind, sick: (
        fused(40.0 if sick else 1.0) if kind == "fused" else attention(40.0 if sick else 1.0, kind == "heads"),
        *sequences(), CE, adam(),
    ),
    "GS115": lambda kind, sick: (
        attention(1.0, False, bounded=sick) if kind == "products"
        else pooled({"sigmoid": torch.sigmoid, "tanh": torch.tanh}[kind] if sick else lambda s: s),
        *sequences(), CE, adam(),
    ),
    "GS117": lambda kind, sick: folded(
        (lambda t, shape: t.reshape(shape)) if sick
        else lambda t, shape: t.permute(0, 3, 1, 2) if t.dim() == 4 else t.transpose(1, 2), kind,
    ),
    "GS404": in_evaluation,
    "GS515": negative,
    "GS517": lambda kind, sick: with_body(
        kind, lambda n: nn.Sequential(n, nn.Hardtanh(3.0, 5.0) if sick else nn.Hardtanh(-5.0, 5.0)), "values"
    ),
    "GS518": lambda kind, sick: aligned(14 if sick else 4, kind),
    "GS519": lambda kind, sick: variational(not sick, {"narrow": 4, "wide": 12, "middle": 8}[kind]),
    "GS602": lambda kind, sick: unscaled(sick, kind),
    "GS606": lambda kind, sick: (
        stepping(not sick, {"elman": nn.RNNCell, "gated": nn.GRUCell}[kind]) if kind != "overwritten"
        else Net(lambda m, x: m.head(F.relu(m.a(x.mean(1))) * (0.0 if sick else 1.0)), a=nn.Linear(8, 16),
                 head=nn.Linear(16, 5)),
        *sequences(), CE, adam(),
    ),
    "GS708": lambda kind, sick: with_body(kind, same, optimizer=sgd(weight_decay=3.0 if sick else 5e-4)),
    "GS709": lambda kind, sick: with_body(kind, same, optimizer=sgd(maximize=sick)),
    "GS710": lambda kind, sick: with_body(kind, same, optimizer=sgd(0.01, momentum=1.2 if sick else 0.9)),
}  # fmt: skip

ARCHITECTURES = {
    "GS114": ("one head", "heads", "fused"),
    "GS115": ("products", "sigmoid", "tanh"),
    "GS117": ("image", "logits", "series"),
    "GS515": ("overlap", "similarity", "agreement"),
    "GS518": ("gru", "lstm", "linear"),
    "GS519": ("narrow", "middle", "wide"),
    "GS602": ("lstm", "gru", "cell"),
    "GS606": ("elman", "gated", "overwritten"),
}
ALL = [(code, kind) for code in KINDS for kind in ARCHITECTURES.get(code, tuple(BODIES))]


def found(code: str, kind: str, sick: bool) -> list[str]:
    torch.manual_seed(0)
    model, x, y, loss, optimizer = KINDS[code](kind, sick)
    diagnosis = gs.check(model, x, y, loss=loss, optimizer=optimizer(model))
    return [f.code for f in diagnosis.findings if f.severity != "note"]


@pytest.mark.parametrize(("code", "kind"), ALL)
def test_a_fault_is_found_whatever_the_architecture(code, kind):
    assert code in found(code, kind, True)


@pytest.mark.parametrize(("code", "kind"), ALL)
def test_its_mended_twin_is_left_alone(code, kind):
    assert found(code, kind, False) == []
