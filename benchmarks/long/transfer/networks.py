"""Three kinds of network that take a width, and the data that they learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from gainstage.data import load

__all__ = ["KINDS", "Kind"]

WORDS, LENGTH = 32, 32


class Residual(nn.Module):
    """Convolution, batch norm, relu, twice, with a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.one, self.two = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.two(self.b(F.relu(self.one(self.a(x))))))


class ResNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.blocks, self.head = nn.Sequential(Residual(width), Residual(width)), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.norm(self.stem(x.reshape(-1, 1, 8, 8))))).mean((2, 3)))


class Block(nn.Module):
    """Pre-norm causal attention with heads of 16 units, whose number grows with width, and a perceptron."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads, self.one, self.two = width // 16, nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.one(x)).view(n, t, 3, self.heads, 16).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, c)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.two(x))))


class Decoder(nn.Module):
    """A small language model of GPT-2's kind, output untied."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, width), nn.Embedding(LENGTH, width)
        self.blocks, self.norm = nn.Sequential(Block(width), Block(width)), nn.LayerNorm(width)
        self.head = nn.Linear(width, WORDS, bias=False)

    def forward(self, ids):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def perceptron(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(64, width), nn.ReLU()]
    for _ in range(2):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


@cache
def _all_digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load("digits")
    x = torch.as_tensor(data.x_train).float()
    return x.reshape(len(x), -1), torch.as_tensor(data.y_train).long()


def digits(examples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples of handwritten digits, with replacement."""
    x, y = _all_digits()
    chosen = torch.randint(0, len(x), (examples,), generator=torch.Generator().manual_seed(seed))
    return x[chosen], y[chosen]


def sentences(examples: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Walks over a fixed graph of 32 words in which the last two decide the next one, but for one word in five."""
    source = torch.Generator().manual_seed(0)
    follows = torch.randint(0, WORDS, (WORDS, WORDS), generator=source)
    own = torch.Generator().manual_seed(seed + 1)
    walk = [torch.randint(0, WORDS, (examples,), generator=own) for _ in range(2)]
    for _ in range(LENGTH - 1):
        usual, other = follows[walk[-2], walk[-1]], torch.randint(0, WORDS, (examples,), generator=own)
        walk.append(torch.where(torch.rand(examples, generator=own) < 0.2, other, usual))
    ids = torch.stack(walk, 1)
    return ids[:, :LENGTH], ids[:, 1 : LENGTH + 1]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of network.

    Args:
        build: from a width.
        batch: from a number of examples and a seed to inputs and labels.
        width: the small one.
        examples: of a step.
        rates: the grid, in factors of two.
    """

    build: Callable[[int], nn.Module]
    batch: Callable[[int, int], tuple[torch.Tensor, torch.Tensor]]
    width: int
    examples: int
    rates: tuple[float, ...]


KINDS = {
    "MLP": Kind(perceptron, digits, 32, 64, tuple(2.0**-k for k in range(13, 3, -1))),
    "ResNet": Kind(ResNet, digits, 8, 64, tuple(2.0**-k for k in range(12, 2, -1))),
    "GPT-2-like": Kind(Decoder, sentences, 32, 16, tuple(2.0**-k for k in range(13, 3, -1))),
}
