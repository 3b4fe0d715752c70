"""Residual streams in every shape: in-place adds, projected skips, branches within branches, skipped members."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gainstage.graph import Role
from zoo.case import Case, Expected, normal

__all__ = ["STREAMS"]


class BasicBlock(nn.Module):
    """Two convolutions with batch norm, and a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x):
        out = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        out = self.norm2(self.conv2(out))
        out += self.shortcut(x)
        return functional.relu(out, inplace=True)


class ResidualNetwork(nn.Module):
    """Two stages, the second with a projected skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.stages = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 16, 2))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.stages(torch.relu(self.stem(x))).mean((2, 3)))


class Nested(nn.Module):
    """A residual branch that holds residual branches, and a skip around everything."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        start = x
        inner = torch.tanh(self.first(x))
        inner = inner + torch.tanh(self.second(inner))
        x = x + self.third(inner)
        return self.head(x + start)


class InPlaceChain(nn.Module):
    """Everything in place, also on slices and with a scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = self.first(x)
        x.relu_()
        branch = self.second(x)
        branch.mul_(0.5)
        x = x.clone().add_(branch)
        x[:, :4].sigmoid_()
        return self.head(x)


class SkippedMembers(nn.Module):
    """A list of layers of which every other one runs, and not in its own order."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(6)])

    def forward(self, x):
        for layer in reversed(self.layers[::2]):
            x = torch.tanh(layer(x))
        return x


class DenselyConnected(nn.Module):
    """Every layer reads all outputs before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8 * (i + 1), 8) for i in range(3)])
        self.head = nn.Linear(32, 3)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, torch.relu(layer(x))], 1)
        return self.head(x)


class Branches(nn.ModuleDict):
    """Two ways that are summed, one of them through a gate."""

    def __init__(self) -> None:
        super().__init__({"left": nn.Linear(8, 8), "right": nn.Linear(8, 8), "gate": nn.Linear(8, 8)})

    def forward(self, x):
        gate = torch.sigmoid(self["gate"](x))
        return gate * self["left"](x) + (1 - gate) * self["right"](x)


class Rotary(nn.Module):
    """Rotated queries and keys, a causal mask, and the stream around it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16, bias=False) for _ in range(4))
        angles = torch.outer(torch.arange(6.0), 10.0 ** -torch.arange(8.0).repeat(2))
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def rotate(self, x):
        left, right = x.chunk(2, -1)
        return x * self.cosine + torch.cat([-right, left], -1) * self.sine

    def forward(self, x):
        y = self.norm(x)
        scores = self.rotate(self.q(y)) @ self.rotate(self.k(y)).transpose(-1, -2) / 4
        hidden = torch.ones(6, 6, dtype=torch.bool).triu(1)
        return x + self.out(scores.masked_fill(hidden, float("-inf")).softmax(-1) @ self.v(y))


PLAIN = {"*.weight": "linear.weight", "*.bias": "linear.bias"}

STREAMS = (
    Case(
        "projected skips and in-place adds",
        ResidualNetwork,
        normal(4, 3, 8, 8),
        expects={
            "stages.?.conv1.weight": Expected("convolution.weight", Role.BEFORE_NORM),
            "stages.?.conv2.weight": Expected("convolution.weight", Role.BEFORE_NORM),
            "stages.1.shortcut.weight": "convolution.weight",
            "stem.weight": "convolution.weight",
            "stem.bias": "convolution.bias",
            "*.norm?.weight": Expected("normalization.scale", Role.NORM_SCALE),
            "*.norm?.bias": "normalization.shift",
            "head.weight": Expected("linear.weight", Role.HEAD),
            **PLAIN,
        },
    ),
    Case(
        "branches within branches",
        Nested,
        normal(6, 8),
        expects={
            "second.weight": Expected("linear.weight", Role.BRANCH_END),
            "third.weight": Expected("linear.weight", Role.BRANCH_END),
            "head.weight": Expected("linear.weight", Role.HEAD),
            **PLAIN,
        },
    ),
    Case(
        "in-place everything",
        InPlaceChain,
        normal(6, 8),
        expects={
            "first.weight": Expected("linear.weight", Role.HIDDEN),
            "second.weight": Expected("linear.weight", Role.BRANCH_END),
            "head.weight": Expected("linear.weight", Role.HEAD),
            **PLAIN,
        },
    ),
    Case(
        "in-place relu",
        lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(inplace=True), nn.Linear(12, 3)),
        normal(6, 8),
        expects={
            "0.weight": Expected("linear.weight", Role.HIDDEN),
            "2.weight": Expected("linear.weight", Role.HEAD),
            **PLAIN,
        },
    ),
    Case("list with skipped members", SkippedMembers, normal(6, 8), expects=PLAIN, unreached=("layers.[135].*",)),
    Case("dense connections", DenselyConnected, normal(6, 8), expects=PLAIN),
    Case("gated branches", Branches, normal(6, 8), expects=PLAIN),
    Case(
        "rotary attention",
        Rotary,
        normal(4, 6, 16),
        expects={
            "norm.weight": "normalization.scale",
            "norm.bias": "normalization.shift",
            "q.weight": Expected("linear.weight", Role.QUERY),
            "k.weight": Expected("linear.weight", Role.KEY),
            "v.weight": Expected("linear.weight", Role.VALUE),
            "out.weight": Expected("linear.weight"),
        },
    ),
)
