"""Neurons that spike, weights behind masks, and weights that are used several times."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from starts_exam.case import Case, Data, accuracy, adam, cross_entropy, held_out
from starts_exam.sources import digit_images, digit_rows, generator, markov_text

__all__ = ["MASKED_SHARED", "digits"]


class Spike(torch.autograd.Function):
    """A step forward, the slope of a fast sigmoid backward (Zenke 2018)."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v > 0).float()

    @staticmethod
    def backward(ctx, g):
        (v,) = ctx.saved_tensors
        return g / (1 + 10 * v.abs()) ** 2


class LeakyNeurons(nn.Module):
    """Two layers of leaky neurons over ten steps, the output summed; default layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(64, 96), nn.Linear(96, 64), nn.Linear(64, 10)

    def forward(self, x):
        v1, v2, total = x.new_zeros(len(x), 96), x.new_zeros(len(x), 64), 0
        for _ in range(10):
            v1 = 0.9 * v1 + self.fc1(x)
            z1 = Spike.apply(v1 - 1)
            v1 = v1 - z1
            v2 = 0.9 * v2 + self.fc2(z1)
            z2 = Spike.apply(v2 - 1)
            v2 = v2 - z2
            total = total + self.out(z2)
        return total / 10


class SpikingConvolutions(nn.Module):
    """Convolutions whose neurons spike, reset to zero, learn their leak, and are averaged over six steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24)
        self.leak = nn.Parameter(torch.zeros(2))
        self.fc = nn.Linear(96, 10)

    def forward(self, x):
        v1 = v2 = total = 0
        leak = self.leak.sigmoid()
        for _ in range(6):
            v1 = v1 + (self.bn1(self.conv1(x)) - v1) * leak[0]
            z1 = Spike.apply(v1 - 0.5)
            v1 = v1 * (1 - z1.detach())
            v2 = v2 + (self.bn2(self.conv2(F.max_pool2d(z1, 2))) - v2) * leak[1]
            z2 = Spike.apply(v2 - 0.5)
            v2 = v2 * (1 - z2.detach())
            total = total + self.fc(F.max_pool2d(z2, 2).flatten(1))
        return total / 6


def pruned() -> nn.Module:
    """Four layers with a tenth of their weights left, drawn by He's rule for what is left."""
    layers: list[nn.Module] = []
    for i in range(4):
        linear = nn.Linear(64 if i == 0 else 128, 128)
        nn.init.kaiming_normal_(linear.weight)
        linear.weight.data *= math.sqrt(10)
        prune.random_unstructured(linear, "weight", amount=0.9)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 10))


class SparseLinear(nn.Linear):
    """A fixed random mask of density 0.1 as a buffer; the scale counts what is left (Evci 2020)."""

    def __init__(self, inp: int, out: int) -> None:
        super().__init__(inp, out)
        self.register_buffer("mask", (torch.rand(out, inp) < 0.1).float())
        fan_in = self.mask.sum(1, keepdim=True).clamp(min=1)
        self.weight.data = torch.randn(out, inp) * (2 / fan_in).sqrt() * self.mask
        nn.init.zeros_(self.bias)

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


def sparse() -> nn.Module:
    return nn.Sequential(
        SparseLinear(64, 160), nn.ReLU(), SparseLinear(160, 160), nn.ReLU(), SparseLinear(160, 160), nn.ReLU(),
        nn.Linear(160, 10),
    )  # fmt: skip


class Repeated(nn.Module):
    """One layer six times, on a residual stream; defaults."""

    def __init__(self, d: int = 48) -> None:
        super().__init__()
        self.inp, self.step, self.out = nn.Linear(64, d), nn.Linear(d, d), nn.Linear(d, 10)

    def forward(self, x):
        x = F.gelu(self.inp(x))
        for _ in range(6):
            x = x + F.gelu(self.step(x))
        return self.out(x)


class Albert(nn.Module):
    """One block four times, and a table of few dimensions that a matrix widens; normal 0.02 (Lan 2020)."""

    def __init__(self, symbols: int = 48, d: int = 32) -> None:
        super().__init__()
        self.word, self.position, self.widen = nn.Embedding(symbols, 12), nn.Embedding(16, 12), nn.Linear(12, d)
        self.norm = nn.LayerNorm(12)
        self.block = nn.TransformerEncoderLayer(d, 4, 64, 0.0, "gelu", batch_first=True)
        self.narrow, self.norm2, self.bias = nn.Linear(d, 12), nn.LayerNorm(12), nn.Parameter(torch.zeros(symbols))
        for m in self.modules():
            if isinstance(m, nn.Linear | nn.Embedding):
                m.weight.data.normal_(0, 0.02)

    def forward(self, tokens):
        t = tokens.shape[1]
        x = self.widen(self.norm(self.word(tokens) + self.position(torch.arange(t))))
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        for _ in range(4):
            x = self.block(x, src_mask=mask)
        x = self.norm2(F.gelu(self.narrow(x)))
        return (x @ self.word.weight.T + self.bias).transpose(1, 2)


class Twins(nn.Module):
    """One encoder for both digits of a pair; the distance of their vectors against a margin."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(96, 16),
        )  # fmt: skip

    def forward(self, a, b):
        return (self.encode(a) - self.encode(b)).pow(2).sum(1).add(1e-9).sqrt()


def digit_pairs(seed: int) -> Data:
    images, g = digit_images(seed), generator(seed)

    def pairs(x, y, n):
        i, j = torch.randint(0, len(y), (2, n), generator=g)
        alike = torch.stack([torch.randint(0, len(y), (n,), generator=g) for _ in range(12)])
        same = (y[alike] == y[i]).float().argmax(0)
        j = torch.where(torch.arange(n) % 2 == 0, alike[same, torch.arange(n)], j)
        return (x[i], x[j]), (y[i] == y[j]).float()

    (x, y), (held, y_held) = pairs(images.x, images.y, 2000), pairs(images.x_held, images.y_held, 400)
    return Data(x, y, held, y_held)


def margin(distance, same):
    return (same * distance**2 + (1 - same) * F.relu(1 - distance) ** 2).mean()


def digits(name: str, field: str, build, rate: float, steps: int, data=digit_rows, optimizer=adam) -> Case:
    return Case(
        name=name, field=field, build=build, data=data, loss=F.cross_entropy, optimizer=optimizer, rate=rate,
        steps=steps, metric=accuracy(10),
    )  # fmt: skip


MASKED_SHARED = (
    digits("leaky-neurons", "spiking", LeakyNeurons, 2e-3, 250),
    digits("spiking-convolutions", "spiking", SpikingConvolutions, 2e-3, 150, digit_images),
    digits("pruned", "masked", pruned, 1e-3, 250),
    digits("sparse-mask", "masked", sparse, 1e-3, 250),
    digits("repeated-layer", "shared", Repeated, 1e-3, 250),
    Case(
        name="albert", field="shared", build=Albert, data=markov_text, loss=F.cross_entropy, optimizer=adam, rate=3e-3,
        steps=200, batch=16, metric=cross_entropy(48), clip=1.0,
    ),
    Case(
        name="twins", field="shared", build=Twins, data=digit_pairs, loss=margin, optimizer=adam, rate=1e-3, steps=300,
        batch=64, metric=held_out("margin loss", margin, 0.25),
    ),
)  # fmt: skip
