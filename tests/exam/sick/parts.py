"""Sums that drown a part, noise that drowns the signal, attention that reads one key."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import (
    digits,
    markov,
    misclassified,
    prices,
    ratio_of_variance,
    votes,
)

FAMILY = "input and target"


@sick(
    "sum-drowns-part",
    family="parts of a sum",
    cause="token vectors of scale 0.02 are added to sinusoids of scale 0.7: the network sees where, not what",
    place=("embed",),
    link="https://github.com/SamLynnEvans/Transformer/issues/10",
)
def sinusoids_over_small_tokens(seed: int, cured: bool) -> Case:
    class Encoder(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, d)
            nn.init.normal_(self.embed.weight, std=0.003)
            angle = torch.arange(12)[:, None] / 10000 ** (torch.arange(0, d, 2) / d)
            self.register_buffer("pe", torch.stack([angle.sin(), angle.cos()], -1).flatten(1))
            self.layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.0, batch_first=True)
            self.out, self.scale = nn.Linear(d, 20), 333.0 if cured else 1.0

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.layer(self.embed(tokens) * self.scale + self.pe)).transpose(1, 2)

    x, y = markov(seed)
    return Case(Encoder(), x, y, F.cross_entropy, adam(1e-3), steps=80)


@sick(
    "sum-drowns-part",
    family="parts of a sum",
    cause="a new adapter is drawn at unit gain after a large scale and drowns the frozen features that it "
    "should correct",
    place=("adapter",),
    link="https://github.com/hao-ai-lab/FastVideo/pull/781",
)
def adapter_louder_than_what_it_adapts(seed: int, cured: bool) -> Case:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen = nn.Linear(8, 24).requires_grad_(False)
            self.adapter = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Linear(16, 24, bias=False))
            self.head = nn.Linear(24, 1).requires_grad_(False)
            nn.init.normal_(self.adapter[0].weight)
            nn.init.zeros_(self.adapter[1].weight) if cured else nn.init.normal_(self.adapter[1].weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.frozen(x) + self.adapter(x)))

    x, _ = prices(seed)
    model = Adapted()
    with torch.no_grad():
        y = model.head(torch.tanh(model.frozen(x + 0.3 * x.roll(1, 1))))
    optimizer = lambda m: torch.optim.AdamW(m.adapter.parameters(), lr=3e-3)  # noqa: E731
    return Case(model, x, y, F.mse_loss, optimizer, steps=80)


@sick(
    "noise-drowns-signal",
    family="noise",
    cause="the keep probability is used as the drop rate: nine tenths of the features are dropped, three times "
    "in a row",
    place=("features",),
    link="https://github.com/hassony2/kinetics_i3d_pytorch/issues/6",
)
def keep_probability_as_drop_rate(seed: int, cured: bool) -> Case:
    rate = 0.1 if cured else 0.9

    class Inflated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 12, 3, padding=1),
                nn.ReLU(),
                nn.Dropout(rate),
                nn.Conv2d(12, 12, 3, padding=1),
                nn.ReLU(),
                nn.Dropout(rate),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Dropout(rate),
            )
            self.logits = nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.logits(self.features(x))

    x, y = digits(seed)
    return Case(Inflated(), x, y, F.cross_entropy, adam(5e-3), steps=80)


@sick(
    "noise-drowns-signal",
    family="noise",
    cause="the augmentation adds noise of ten times the spread of the standardised features",
    place=("jitter",),
    link="https://github.com/wandb/senpai/pull/2144",
)
def augmentation_of_ten_spreads(seed: int, cured: bool) -> Case:
    class Jitter(nn.Module):
        def __init__(self, sigma: float) -> None:
            super().__init__()
            self.sigma = sigma

        def forward(self, x: Tensor) -> Tensor:
            return x + self.sigma * torch.randn_like(x) if self.training else x

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.jitter = Jitter(0.05 if cured else 10.0)
            self.mlp = nn.Sequential(nn.Linear(8, 48), nn.GELU(), nn.Linear(48, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.mlp(self.jitter(x))

    x, y = prices(seed)
    return Case(Field(), x, y, F.l1_loss, adam(5e-3), ratio_of_variance, steps=120)


@sick(
    "one-hot-attention",
    family="attention",
    cause="the scores of attention lack the division by the root of the width, so every query reads one key",
    place=("q", "k"),
    link="https://github.com/huggingface/blog/pull/2893",
)
def unscaled_scores_of_attention(seed: int, cured: bool) -> Case:
    class Attention(nn.Module):
        def __init__(self, d: int = 128) -> None:
            super().__init__()
            self.embed, self.cls = nn.Linear(4, d), nn.Parameter(torch.randn(1, 1, d))
            self.q, self.k, self.v = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
            for layer in (self.q, self.k):
                nn.init.normal_(layer.weight, std=d**-0.5)
            self.norm, self.out, self.d = nn.LayerNorm(d), nn.Linear(d, 4), d

        def forward(self, x: Tensor) -> Tensor:
            h = self.norm(self.embed(x))
            scores = self.q(self.norm(self.cls)) @ self.k(h).transpose(1, 2)
            if cured:
                scores = scores / self.d**0.5
            return self.out((scores.softmax(-1) @ self.v(h)).squeeze(1))

    x, y = votes(seed)
    fresh = votes(seed + 1)
    evaluate = lambda model, *_: misclassified(model(fresh[0]), fresh[1])  # noqa: E731
    return Case(Attention(), x, y, F.cross_entropy, adam(1e-3), evaluate=evaluate, steps=80)


@sick(
    "one-hot-attention",
    family="attention",
    cause="the scores of attention are scaled up by a thousand before the softmax, which leaves one key a query",
    place=("slots",),
    link="https://github.com/dvgodoy/PyTorchStepByStep/issues/54",
)
def attention_of_a_tiny_temperature(seed: int, cured: bool) -> Case:
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key, self.value = nn.Linear(4, 24), nn.Linear(4, 24)
            self.slots = nn.Parameter(torch.randn(1, 24))
            self.temperature = 0.2 if cured else 1e-3
            self.out = nn.Linear(24, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            keys = F.normalize(self.key(tokens), dim=-1).transpose(1, 2)
            weights = (F.normalize(self.slots, dim=-1) @ keys / self.temperature).softmax(-1)
            return self.out((weights @ self.value(tokens)).flatten(1))

    x, y = votes(seed)
    fresh = votes(seed + 1)
    evaluate = lambda model, *_: misclassified(model(fresh[0]), fresh[1])  # noqa: E731
    return Case(Lookup(), x, y, F.cross_entropy, adam(1e-2), evaluate=evaluate, steps=100)
