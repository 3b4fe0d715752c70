"""The networks of the trainings table: one declarative list."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from gainstage.data import Dataset, copy, load

__all__ = ["NETS", "Net"]

WIDTH, CHANNELS = 32, 8
Build = Callable[[Dataset], nn.Module]


@dataclass(frozen=True)
class Net:
    """One row group of the table.

    Args:
        name: of the network.
        data: name of the dataset.
        build: makes the network for it.
        steps: of each training.
    """

    name: str
    data: str
    build: Build
    steps: int


def data(name: str) -> Dataset:
    """A dataset of the table; images of digits as (1, 8, 8)."""
    return copy(length=4, symbols=6, examples=2500, seed=0) if name == "copy" else load(name, seed=0)


def plain(
    activation: Callable[[], nn.Module], depth: int, width: int = WIDTH, *, bias: bool = True,
    norm: Callable[[int], nn.Module] | None = None,
) -> Build:  # fmt: skip
    def build(dataset: Dataset) -> nn.Module:
        sizes = [dataset.features, *[width] * depth]
        layers: list[nn.Module] = []
        for fan_in, out in itertools.pairwise(sizes):
            normed = [norm(out)] if norm is not None else []
            layers += [nn.Linear(fan_in, out, bias=bias), *normed, activation()]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(width, dataset.classes))

    return build


class Residual(nn.Module):
    """Blocks of two layers on one stream, without normalisation."""

    def __init__(self, dataset: Dataset, blocks: int, activation: Callable = F.relu, width: int = 24) -> None:
        super().__init__()
        self.activation = activation
        self.stem, self.head = nn.Linear(dataset.features, width), nn.Linear(width, dataset.classes)
        self.first = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])
        self.second = nn.ModuleList([nn.Linear(width, width) for _ in range(blocks)])

    def forward(self, x):
        x = self.stem(x.flatten(1))
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(self.activation(first(x)))
        return self.head(x)


def convolutions(dataset: Dataset, *layers: nn.Module, out: int) -> nn.Module:
    side = int((dataset.features) ** 0.5)
    return nn.Sequential(
        nn.Flatten(), nn.Unflatten(1, (1, side, side)), *layers, nn.Flatten(), nn.Linear(out, dataset.classes)
    )


def stacked(dataset: Dataset, depth: int, channels: int = 16) -> nn.Module:
    """So many 3 × 3 convolutions of relu, no normalisation."""
    layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    return convolutions(dataset, *layers, nn.AvgPool2d(2), out=channels * 16)


def vgg(dataset: Dataset) -> nn.Module:
    """Thirteen 3 × 3 convolutions and pooling, no normalisation."""
    layers: list[nn.Module] = []
    channels = 1
    for width, count, pooled in ((8, 4, True), (12, 4, True), (16, 5, True)):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers += [nn.MaxPool2d(2)] if pooled else []
    return convolutions(dataset, *layers, out=16)


def depthwise(dataset: Dataset) -> nn.Module:
    """Depthwise and pointwise convolutions by turns, no normalisation."""
    layers: list[nn.Module] = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU()]
    for _ in range(8):
        layers += [nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU()]
    return convolutions(dataset, *layers, nn.AvgPool2d(2), out=16 * 16)


def transposed(dataset: Dataset) -> nn.Module:
    """Strided convolutions down and transposed ones up, four times."""
    layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU()]
    for _ in range(4):
        layers += [nn.Conv2d(8, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU()]
    return convolutions(dataset, *layers, nn.AvgPool2d(2), out=8 * 16)


class Transformer(nn.Module):
    """Causal, with learned positions; norms before or after each sublayer, or none at all."""

    def __init__(self, dataset: Dataset, depth: int, norm: str, width: int = 24, heads: int = 4) -> None:
        super().__init__()
        self.norm, self.heads = norm, heads
        self.tokens, self.positions = nn.Embedding(dataset.classes, width), nn.Embedding(dataset.shape[0], width)
        self.packed = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(depth)])
        self.out = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.up = nn.ModuleList([nn.Linear(width, 2 * width) for _ in range(depth)])
        self.down = nn.ModuleList([nn.Linear(2 * width, width) for _ in range(depth)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) if norm != "none" else nn.Identity() for _ in range(2 * depth)])
        self.last = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, dataset.classes)
        self.register_buffer("past", torch.ones(dataset.shape[0], dataset.shape[0], dtype=torch.bool).tril())

    def attend(self, x, packed, out):
        examples, length, width = x.shape
        q, k, v = packed(x).view(examples, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        attended = scores.masked_fill(~self.past, -1e9).softmax(-1) @ v
        return out(attended.transpose(1, 2).reshape(examples, length, width))

    def forward(self, x):
        x = self.tokens(x) + self.positions(torch.arange(x.shape[1]))
        for i, (packed, out, up, down) in enumerate(zip(self.packed, self.out, self.up, self.down, strict=True)):
            for norm, branch in (
                (self.norms[2 * i], lambda y, p=packed, o=out: self.attend(y, p, o)),
                (self.norms[2 * i + 1], lambda y, u=up, d=down: d(F.gelu(u(y)))),
            ):
                x = norm(x + branch(x)) if self.norm == "post" else x + branch(norm(x))
        return self.head(self.last(x))


class SharedDepth(nn.Module):
    """One layer, used again and again on a stream (a universal or looped network)."""

    def __init__(self, dataset: Dataset, loops: int = 24) -> None:
        super().__init__()
        self.loops = loops
        self.stem, self.head = nn.Linear(dataset.features, WIDTH), nn.Linear(WIDTH, dataset.classes)
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = self.stem(x.flatten(1))
        for _ in range(self.loops):
            x = x + self.down(F.relu(self.up(x)))
        return self.head(x)


class Gated(nn.Module):
    """Gated linear units one after another, no normalisation, no skip."""

    def __init__(self, dataset: Dataset, depth: int = 16) -> None:
        super().__init__()
        sizes = [dataset.features, *[WIDTH] * depth]
        self.values = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])
        self.gates = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])
        self.head = nn.Linear(WIDTH, dataset.classes)

    def forward(self, x):
        x = x.flatten(1)
        for value, gate in zip(self.values, self.gates, strict=True):
            x = value(x) * torch.sigmoid(gate(x))
        return self.head(x)


class Waves(nn.Module):
    """Sines of thirty times a layer's output, one after another."""

    def __init__(self, dataset: Dataset, depth: int = 8) -> None:
        super().__init__()
        sizes = [dataset.features, *[WIDTH] * depth]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])
        self.head = nn.Linear(WIDTH, dataset.classes)

    def forward(self, x):
        x = torch.tanh(self.layers[0](x.flatten(1)))
        for layer in self.layers[1:]:
            x = torch.sin(30 * layer(x))
        return self.head(x)


NETS = (
    Net("relu 10", "mnist", plain(nn.ReLU, 10), 150),
    Net("sigmoid 12", "mnist", plain(nn.Sigmoid, 12), 200),
    Net("relu 30", "mnist", plain(nn.ReLU, 30), 200),
    Net("tanh 30", "mnist", plain(nn.Tanh, 30), 200),
    Net("gelu 20", "digits", plain(nn.GELU, 20), 200),
    Net("silu 20", "digits", plain(nn.SiLU, 20), 200),
    Net("waves 8", "digits", Waves, 200),
    Net("gated 16", "digits", Gated, 200),
    Net("shared stream", "digits", SharedDepth, 150),
    Net("sigmoid 30", "digits", plain(nn.Sigmoid, 30), 200),
    Net("softplus 20", "digits", plain(nn.Softplus, 20), 200),
    Net("tanh 50", "digits", plain(nn.Tanh, 50), 200),
    Net("transformer, pre-norm, 8", "copy", lambda d: Transformer(d, 8, "pre"), 150),
    Net("transformer, post-norm, 8", "copy", lambda d: Transformer(d, 8, "post"), 150),
    Net("vgg", "digits", vgg, 150),
    Net("residual 100", "digits", lambda d: Residual(d, 100), 100),
    Net("depthwise", "digits", depthwise, 120),
    Net("transposed", "digits", transposed, 120),
    Net("gelu 40", "digits", plain(nn.GELU, 40), 200),
    Net("silu 40", "digits", plain(nn.SiLU, 40), 200),
    Net("tanh 10", "digits", plain(nn.Tanh, 10), 200),
    Net("gelu 10", "digits", plain(nn.GELU, 10), 200),
    Net("silu 10", "digits", plain(nn.SiLU, 10), 200),
    Net("relu 50", "digits", plain(nn.ReLU, 50), 200),
    Net("relu 100", "digits", plain(nn.ReLU, 100), 200),
    Net("relu 300", "digits", plain(nn.ReLU, 300), 200),
    Net("relu 1000", "digits", plain(nn.ReLU, 1000), 100),
    Net("gelu 100", "digits", plain(nn.GELU, 100), 200),
    Net("batch norm 8", "digits", plain(nn.ReLU, 8, norm=nn.BatchNorm1d), 200),
    Net("batch norm 40", "digits", plain(nn.ReLU, 40, norm=nn.BatchNorm1d), 200),
    Net("convolutions 30", "digits", lambda d: stacked(d, 30), 150),
    Net("sigmoid 50", "digits", plain(nn.Sigmoid, 50), 200),
    Net("sigmoid 20, no biases", "digits", plain(nn.Sigmoid, 20, bias=False), 200),
    Net("transformer, pre-norm, 24", "copy", lambda d: Transformer(d, 24, "pre"), 100),
    Net("transformer, post-norm, 24", "copy", lambda d: Transformer(d, 24, "post"), 100),
)
