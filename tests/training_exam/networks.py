"""Small networks that several trainings share."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Block", "Classifier", "Decoder", "Recurrent", "conv_net", "copying", "mlp", "residual_net"]


def mlp(sizes: tuple[int, ...], act: type[nn.Module] = nn.ReLU, norm: bool = False) -> nn.Sequential:
    """Linear layers with an activation between them, He-normal for relu and Xavier for others."""
    layers: list[nn.Module] = []
    for into, out in itertools.pairwise(sizes):
        layer = nn.Linear(into, out)
        nn.init.kaiming_normal_(layer.weight) if act is nn.ReLU else nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, *([nn.BatchNorm1d(out)] if norm else []), act()]
    head = layers[-3 if norm else -2]
    with torch.no_grad():
        head.weight.mul_(0.3)
    return nn.Sequential(*layers[: -2 if norm else -1])


def conv_net(width: int = 12, classes: int = 10) -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, classes),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, width: int, zero: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        if zero:
            nn.init.zeros_(self.second.weight)
            nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(self.norm(x))))


def residual_net(blocks: int = 4, width: int = 48, zero: bool = False) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(64, width), *(Residual(width, zero) for _ in range(blocks)), nn.LayerNorm(width), nn.Linear(width, 10)
    )


class Block(nn.Module):
    """A block of a decoder, its norms before (``pre``) or behind the sums; ``scale`` multiplies the scores."""

    def __init__(self, width: int, heads: int, pre: bool = True, scale: float | None = None) -> None:
        super().__init__()
        self.heads, self.pre = heads, pre
        self.scale = scale if scale is not None else 1 / math.sqrt(width // heads)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.one, self.two = nn.LayerNorm(width), nn.LayerNorm(width)

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.transpose(-2, -1) * self.scale
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))

    def feed(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x)))

    def forward(self, x: Tensor) -> Tensor:
        if self.pre:
            x = x + self.attend(self.one(x))
            return x + self.feed(self.two(x))
        x = self.one(x + self.attend(x))
        return self.two(x + self.feed(x))


class Decoder(nn.Module):
    def __init__(self, words: int, width: int = 32, blocks: int = 2, length: int = 32, **kind: object) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, 4, **kind) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).flatten(0, 1)


def copying(words: int = 12, length: int = 16, size: int = 16, seed: int = 0):
    """Sequences that repeat themselves after four tokens: (size, length) tokens and the next ones, flattened."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        start = torch.randint(words, (size, 4), generator=generator)
        whole = start.repeat(1, length // 4 + 1)[:, : length + 1]
        yield whole[:, :-1], whole[:, 1:].flatten()


class Recurrent(nn.Module):
    """A tanh network or an LSTM over (batch, time, features), read at its last step."""

    def __init__(self, kind: str, width: int = 32, outputs: int = 1, gain: float | None = None) -> None:
        super().__init__()
        self.cell = (nn.LSTM if kind == "lstm" else nn.RNN)(1, width, batch_first=True)
        self.head = nn.Linear(width, outputs)
        if gain is not None:
            nn.init.orthogonal_(self.cell.weight_hh_l0, gain)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Classifier(nn.Module):
    """A network with one part that is read by the head, so that parts can be frozen or left out."""

    def __init__(self, body: nn.Module, width: int, classes: int = 10) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
