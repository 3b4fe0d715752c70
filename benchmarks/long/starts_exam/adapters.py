"""Adapters: a network that learned other labels first stays frozen, and small parts are trained."""

from __future__ import annotations

import copy
import math
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, cross_entropy
from starts_exam.sources import digit_rows, mirrored_text

__all__ = ["ADAPTERS"]


@cache
def pretrained_rows() -> nn.Module:
    """Train on digits with the classes 0 to 4 and 'larger'; leaves the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _learned_rows()


def _learned_rows() -> nn.Module:
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6))
    data, optimizer = digit_rows(99), torch.optim.Adam(net.parameters(), 2e-3)
    for step in range(150):
        i = torch.arange(32) + 32 * (step % 40)
        loss = F.cross_entropy(net(data.x[i]), data.y[i].clamp(max=5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


class LowRank(nn.Module):
    """A frozen layer plus B A x · scale; A by Kaiming's uniform rule, B zero (Hu 2022)."""

    def __init__(self, base: nn.Linear, rank: int = 4, alpha: float = 8.0) -> None:
        super().__init__()
        self.base, self.scaling = base.requires_grad_(False), alpha / rank
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x):
        return self.base(x) + (x @ self.lora_A.T @ self.lora_B.T) * self.scaling


def lora() -> nn.Module:
    net = copy.deepcopy(pretrained_rows())
    body = [LowRank(m) if isinstance(m, nn.Linear) else m for m in net[:-1]]
    return nn.Sequential(*body, nn.Linear(64, 10))


def linear_probe() -> nn.Module:
    body = copy.deepcopy(pretrained_rows())[:-1]
    for p in body.parameters():
        p.requires_grad = False
    return nn.Sequential(body, nn.Linear(64, 10))


class SmallLm(nn.Module):
    def __init__(self, symbols: int = 24, d: int = 32) -> None:
        super().__init__()
        self.embed, self.pos = nn.Embedding(symbols, d), nn.Parameter(torch.randn(16, d) * 0.1)
        nn.init.normal_(self.embed.weight, std=0.1)
        self.attention = nn.ModuleList(nn.MultiheadAttention(d, 4, batch_first=True) for _ in range(2))
        self.mlps = nn.ModuleList(nn.Sequential(nn.Linear(d, 64), nn.GELU(), nn.Linear(64, d)) for _ in range(2))
        self.norms, self.head = nn.ModuleList(nn.LayerNorm(d) for _ in range(5)), nn.Linear(d, symbols)

    def stream(self, x, adapt=lambda _, h: h):
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        for i in range(2):
            h = self.norms[2 * i](x)
            x = x + adapt(2 * i, self.attention[i](h, h, h, attn_mask=mask, need_weights=False)[0])
            x = x + adapt(2 * i + 1, self.mlps[i](self.norms[2 * i + 1](x)))
        return self.head(self.norms[-1](x))

    def forward(self, tokens):
        return self.stream(self.embed(tokens) + self.pos[: tokens.shape[1]]).transpose(1, 2)


@cache
def pretrained_text() -> nn.Module:
    """Train on mirrored texts; leaves the global random state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _learned_text()


def _learned_text() -> nn.Module:
    net, data = SmallLm(), mirrored_text(99)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(250):
        i = torch.arange(32) + 32 * (step % 36)
        loss = F.cross_entropy(net(data.x[i]), data.y[i])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


class Adapted(nn.Module):
    """Bottlenecks behind every part of a frozen language model, normal 0.001 (Houlsby 2019)."""

    def __init__(self, d: int = 32, size: int = 8) -> None:
        super().__init__()
        self.model = copy.deepcopy(pretrained_text()).requires_grad_(False)
        self.down, self.up = (
            nn.ModuleList(nn.Linear(d, size) for _ in range(4)), nn.ModuleList(nn.Linear(size, d) for _ in range(4))
        )  # fmt: skip
        for layer in (*self.down, *self.up):
            nn.init.trunc_normal_(layer.weight, std=1e-3, a=-2e-3, b=2e-3)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens):
        x = self.model.embed(tokens) + self.model.pos[: tokens.shape[1]]
        return self.model.stream(x, lambda i, h: h + self.up[i](F.gelu(self.down[i](h)))).transpose(1, 2)


class Prompted(nn.Module):
    """Four learned vectors, drawn from the table's rows, stand before the input of a frozen model (Lester 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.model = copy.deepcopy(pretrained_text()).requires_grad_(False)
        rows = torch.randint(0, 24, (4,))
        self.prompt = nn.Parameter(self.model.embed.weight[rows].clone())
        self.head = nn.Linear(24, 24)

    def forward(self, tokens):
        x = self.model.embed(tokens) + self.model.pos[: tokens.shape[1]]
        x = torch.cat([self.prompt.expand(len(tokens), -1, -1), x], 1)
        return self.head(self.model.stream(x)[:, 4:]).transpose(1, 2)


def shifted(seed: int) -> Data:
    """The mirrored text with an answer that is moved by one symbol."""
    text = mirrored_text(seed)
    y, held = (torch.where(v == -100, v, (v + 1) % 24) for v in (text.y, text.y_held))
    return Data(text.x, y, text.x_held, held)


ADAPTERS = (
    Case(
        name="lora", field="adapters", build=lora, data=digit_rows, loss=F.cross_entropy, optimizer=adam, rate=2e-3,
        steps=250, metric=accuracy(10),
    ),
    Case(
        name="linear-probe", field="adapters", build=linear_probe, data=digit_rows, loss=F.cross_entropy,
        optimizer=adam, rate=3e-3, steps=250, metric=accuracy(10),
    ),
    Case(
        name="bottleneck-adapters", field="adapters", build=Adapted, data=shifted, loss=F.cross_entropy, optimizer=adam,
        rate=3e-3, steps=250, metric=cross_entropy(24),
    ),
    Case(
        name="soft-prompt", field="adapters", build=Prompted, data=shifted, loss=F.cross_entropy, optimizer=adam,
        rate=1e-2, steps=120, metric=cross_entropy(24),
    ),
)  # fmt: skip
