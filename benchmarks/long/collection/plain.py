"""Fully connected networks, plain, normalised, residual and gated."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from collection.case import Architecture, chain, normal

__all__ = ["PLAIN"]

Layer = Callable[[], nn.Module]


def perceptron(
    width: int, depth: int, activation: Layer, norm: Callable[[int], nn.Module] | None = None, *, inputs: int = 128,
    dropout: float = 0.0,
) -> Layer:  # fmt: skip
    """Hidden layers of one width, with a norm or dropout behind them, and a head of ten."""

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        sizes = [inputs, *[width] * depth]
        for fan_in, fan_out in itertools.pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), *([norm(fan_out)] if norm else []), activation()]
            layers += [nn.Dropout(dropout)] if dropout else []
        return nn.Sequential(*layers, nn.Linear(width, 10))

    return build


class Residual(nn.Module):
    """Blocks on a stream: x + f(norm x), or norm(x + f(x))."""

    def __init__(self, width: int, depth: int, block: Callable[[int], nn.Module], *, post: bool = False) -> None:
        super().__init__()
        self.stem, self.head, self.post = nn.Linear(128, width), nn.Linear(width, 10), post
        self.blocks = nn.ModuleList(block(width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))

    def forward(self, x):
        x = self.stem(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = norm(x + block(x)) if self.post else x + block(norm(x))
        return self.head(x)


class SwiGlu(nn.Module):
    """Two layers whose product, one through silu, feeds a third (Shazeer 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Highway(nn.Module):
    """t · f(x) + (1 - t) · x, with gates that start mostly shut (Srivastava 2015)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(128, width), nn.Linear(width, 10)
        self.plain = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        for gate in self.gates:
            nn.init.constant_(gate.bias, -1.0)

    def forward(self, x):
        x = self.stem(x)
        for plain, gate in zip(self.plain, self.gates, strict=True):
            opened = torch.sigmoid(gate(x))
            x = opened * torch.relu(plain(x)) + (1 - opened) * x
        return self.head(x)


def two_layers(width: int) -> nn.Module:
    """A block of two layers with a relu between."""
    return chain(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


ROWS = normal(64, 128)

PLAIN = (
    Architecture(
        "fully connected, relu",
        "fully connected",
        perceptron(512, 8, nn.ReLU, inputs=784),
        normal(64, 784),
        "he_normal",
        real="mnist",
    ),
    Architecture(
        "fully connected, tanh",
        "fully connected",
        perceptron(512, 8, nn.Tanh, inputs=784),
        normal(64, 784),
        "glorot_normal",
        real="mnist",
    ),
    Architecture("fully connected, gelu", "fully connected", perceptron(512, 6, nn.GELU), ROWS, "he_normal"),
    Architecture("fully connected, selu", "fully connected", perceptron(512, 8, nn.SELU), ROWS, "lecun_normal"),
    Architecture("fully connected, sigmoid, default", "fully connected", perceptron(512, 6, nn.Sigmoid), ROWS),
    Architecture("fully connected, relu, default", "fully connected", perceptron(512, 6, nn.ReLU), ROWS),
    Architecture(
        "fully connected, relu, dropout", "fully connected", perceptron(512, 6, nn.ReLU, dropout=0.2), ROWS, "he_normal"
    ),
    Architecture(
        "fully connected, relu, orthogonal", "fully connected", perceptron(512, 6, nn.ReLU), ROWS, "orthogonal"
    ),
    Architecture("fully connected, batch norm", "normalised", perceptron(512, 6, nn.ReLU, nn.BatchNorm1d), ROWS),
    Architecture("fully connected, layer norm", "normalised", perceptron(512, 6, nn.GELU, nn.LayerNorm), ROWS),
    Architecture("residual perceptron, pre-norm", "residual", lambda: Residual(256, 6, two_layers), ROWS),
    Architecture("residual perceptron, post-norm", "residual", lambda: Residual(256, 6, two_layers, post=True), ROWS),
    Architecture("gated perceptron (SwiGLU)", "gated", lambda: Residual(256, 6, SwiGlu), ROWS, "lecun_normal"),
    Architecture("highway", "gated", lambda: Highway(256, 6), ROWS, "lecun_normal"),
)
