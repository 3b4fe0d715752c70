"""Unusual ways in and out of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from zoo.case import Case, normal, tokens

__all__ = ["INTERFACES", "RAISES"]


class Keywords(nn.Module):
    """Takes keyword arguments only."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.values = nn.Embedding(20, 8), nn.Linear(5, 8)

    def forward(self, *, ids, values, mask=None):
        hidden = self.embed(ids) + self.values(values).unsqueeze(1)
        return hidden if mask is None else hidden * mask.unsqueeze(-1)


class OneDictionary(nn.Module):
    """Takes one dictionary, and returns one."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 8), nn.Linear(4, 8)

    def forward(self, features):
        hidden = torch.relu(self.left(features["a"]) + self.right(features["b"]["c"]))
        return {"hidden": hidden, "count": len(features)}


class Pair(nn.Module):
    """Returns a tuple: an output and an auxiliary one."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.auxiliary = nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, x):
        return self.main(x), self.auxiliary(x).squeeze(-1)


@dataclass
class Answer:
    """An output as a dataclass."""

    logits: torch.Tensor
    state: torch.Tensor | None = None
    note: str = ""


class Dataclass(nn.Module):
    """Returns a dataclass that holds more than tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        return Answer(self.layer(x), None, "fine")


class Named(NamedTuple):
    """An output as a named tuple."""

    scores: torch.Tensor
    extra: torch.Tensor


class NamedOutput(nn.Module):
    """Returns a named tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x):
        scores = self.layer(x)
        return Named(scores, scores.argmax(-1))


class OwnLoss(nn.Module):
    """Computes its loss itself when it is given labels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": functional.cross_entropy(logits, labels) if labels is not None else None, "logits": logits}


class ManyInputs(nn.Module):
    """Three inputs and an option."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(5, 8), nn.Linear(6, 8)

    def forward(self, a, b, c, scale=1.0):
        return (self.a(a) + self.b(b)) * torch.sigmoid(self.c(c)) * scale


class Jagged(nn.Module):
    """A list of sequences of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, sequences):
        return self.head(torch.stack([torch.relu(self.layer(s)).mean(0) for s in sequences]))


class NestedTensor(nn.Module):
    """Puts sequences of different lengths into one nested tensor with jagged layout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, sequences):
        jagged = torch.nested.nested_tensor(list(sequences), layout=torch.jagged)
        hidden = torch.relu(self.layer(jagged))
        return self.head(torch.nested.to_padded_tensor(hidden, 0.0).mean(1))


class Siamese(nn.Module):
    """One encoder, two inputs, a distance."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4))

    def forward(self, first, second):
        return (self.encoder(first) - self.encoder(second)).square().sum(1)


class Raising(nn.Module):
    """Raises in the middle, after it has changed itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        self.train(not self.training)
        self.last = self.norm(self.layer(x))
        self.seen.append(self.last)
        torch.rand(3)
        raise ValueError("the model's own message")


def ragged() -> list[torch.Tensor]:
    return [torch.randn(length, 5) for length in (3, 6, 2, 4)]


PLAIN = {"*weight": "linear.weight", "*bias": "linear.bias"}

INTERFACES = (
    Case(
        "keyword arguments",
        Keywords,
        lambda: {"ids": torch.randint(0, 20, (4, 6)), "values": torch.randn(4, 5), "mask": torch.ones(4, 6)},
        expects={"embed.weight": "embedding.weight", **PLAIN},
    ),
    Case(
        "one dictionary",
        OneDictionary,
        lambda: ({"a": torch.randn(4, 5), "b": {"c": torch.randn(4, 4)}},),
        normal(4, 8),
        lambda out, y: functional.mse_loss(out["hidden"], y),
        expects=PLAIN,
    ),
    Case(
        "tuple output",
        Pair,
        normal(6, 8),
        tokens(3, 6),
        lambda out, y: functional.cross_entropy(out[0], y) + out[1].square().mean(),
        expects=PLAIN,
    ),
    Case(
        "tuple output without a loss",
        Pair,
        normal(6, 8),
        expects=PLAIN,
        nondifferentiable=("auxiliary.*",),
    ),
    Case("dataclass output", Dataclass, normal(6, 8), tokens(3, 6), functional.cross_entropy, expects=PLAIN),
    Case(
        "named tuple output",
        NamedOutput,
        normal(6, 8),
        tokens(3, 6),
        lambda out, y: functional.cross_entropy(out.scores, y),
        expects=PLAIN,
    ),
    Case("its own loss", OwnLoss, lambda: {"x": torch.randn(6, 8), "labels": torch.randint(0, 3, (6,))}, expects=PLAIN),
    Case(
        "many inputs",
        ManyInputs,
        lambda: (torch.randn(6, 4), torch.randn(6, 5), torch.randn(6, 6), 2.0),
        expects=PLAIN,
    ),
    Case(
        "integer tokens",
        lambda: nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(48, 20)),
        tokens(20, 4, 6),
        tokens(20, 4),
        functional.cross_entropy,
        expects={"0.weight": "embedding.weight", **PLAIN},
    ),
    Case(
        "one-hot tokens",
        lambda: nn.Linear(20, 8),
        lambda: functional.one_hot(torch.randint(0, 20, (4, 6)), 20).float(),
        expects=PLAIN,
    ),
    Case(
        "list of sequences",
        Jagged,
        lambda: (ragged(),),
        expects={"layer.weight": "linear.weight " * 4, "layer.bias": "linear.bias " * 4, **PLAIN},
    ),
    Case("nested tensor", NestedTensor, lambda: (ragged(),), expects=PLAIN),
    Case(
        "siamese",
        Siamese,
        lambda: (torch.randn(6, 8), torch.randn(6, 8)),
        expects={"*.weight": "linear.weight linear.weight", "*.bias": "linear.bias linear.bias"},
    ),
    Case(
        "double precision",
        lambda: nn.Linear(8, 3).double(),
        lambda: torch.randn(6, 8, dtype=torch.float64),
        expects=PLAIN,
    ),
    Case("array input", lambda: nn.Linear(8, 3), lambda: torch.randn(6, 8).numpy(), expects=PLAIN),
    Case("a single weight", lambda: nn.Linear(1, 1, bias=False), normal(6, 1), expects=PLAIN),
)

RAISES = Case("forward that raises", Raising, normal(6, 8))
