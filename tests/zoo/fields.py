"""Networks of many fields, each as its own literature starts it: healthy, and unlike a stack of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["FIELDS", "Field"]

EXAMPLES = 64


@dataclass(frozen=True)
class Field:
    """One network with its batch, labels and loss."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    labels: Callable[[], torch.Tensor | None]
    loss: Callable[[Any, Any], torch.Tensor]

    def __str__(self) -> str:
        return self.name


def normal(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(EXAMPLES, *shape)


def classes(count: int, *shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(count, (EXAMPLES, *shape))


def nothing() -> None:
    return None


def stack(*sizes: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return nn.Sequential(*layers[:-1])


class WaveNet(nn.Module):
    """tanh(a) · σ(b) of dilated convolutions, residual and skip paths (van den Oord 2016)."""

    def __init__(self, width: int = 32, depth: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, width, 1)
        self.gated = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2 ** (i % 6)) for i in range(depth))
        self.back = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth - 1))
        self.out = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(width, width, 1), nn.ReLU(), nn.Conv1d(width, 16, 1))

    def forward(self, x):
        x, skipped = self.first(x), 0
        for index, (gated, out) in enumerate(zip(self.gated, self.out, strict=True)):
            a, b = gated(functional.pad(x, (gated.dilation[0], 0))).chunk(2, 1)
            h = torch.tanh(a) * torch.sigmoid(b)
            skipped = skipped + out(h)
            x = x + self.back[index](h) if index < len(self.back) else x
        return self.last(skipped)


class ActorCritic(nn.Module):
    """Two heads of one task: actions, and their value (orthogonal, as in PPO)."""

    def __init__(self) -> None:
        super().__init__()
        self.actor, self.critic = (stack(17, 64, 64, size, activation=nn.Tanh) for size in (6, 1))
        for part, last in ((self.actor, 0.01), (self.critic, 1.0)):
            for index, gain in ((0, math.sqrt(2)), (2, math.sqrt(2)), (4, last)):
                nn.init.orthogonal_(part[index].weight, gain)
                nn.init.zeros_(part[index].bias)

    def forward(self, x):
        return self.actor(x), self.critic(x)


class TwoTowers(nn.Module):
    """Scores of all pairs as products of two signals."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.keys = stack(20, 64, 32), stack(30, 64, 32)

    def forward(self, x, y):
        return self.queries(x) @ self.keys(y).T / math.sqrt(32)


class Factorization(nn.Module):
    """A rating as the product of two rows, plus one number each (Koren 2009)."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(500, 64), nn.Embedding(300, 64)
        self.user, self.item = nn.Embedding(500, 1), nn.Embedding(300, 1)
        for table in (self.users, self.items, self.user, self.item):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs):
        user, item = pairs[:, 0], pairs[:, 1]
        product = (self.users(user) * self.items(item)).sum(-1)
        return product + self.user(user).squeeze(-1) + self.item(item).squeeze(-1)


class DeepONet(nn.Module):
    """An operator: a function's samples times a place's features (Lu 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.trunk = stack(50, 64, 32), nn.Sequential(stack(1, 64, 32, activation=nn.Tanh), nn.Tanh())
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, values, place):
        return (self.branch(values) * self.trunk(place)).sum(-1) + self.shift


class Noisy(nn.Module):
    """A weight that is drawn anew in every pass around a learned one (Fortunato 2018)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.centre = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.width = nn.Parameter(torch.full((outputs, inputs), 0.5 * bound))
        self.shift, self.shift_width = nn.Parameter(torch.zeros(outputs)), nn.Parameter(torch.full((outputs,), bound))

    def forward(self, x):
        weight = self.centre + self.width * torch.randn_like(self.width)
        return functional.linear(x, weight, self.shift + self.shift_width * torch.randn_like(self.shift))


class RadialBasis(nn.Module):
    """Learned curves on every edge, from radial basis functions, beside a linear layer (KAN; Liu 2024)."""

    def __init__(self, inputs: int, outputs: int, bases: int = 8) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(-2, 2, bases))
        self.curves = nn.Parameter(0.1 * torch.randn(inputs, bases, outputs) / math.sqrt(inputs))
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        bumps = torch.exp(-(((x[..., None] - self.centres) * 2) ** 2))
        return torch.einsum("bik,iko->bo", bumps, self.curves) + self.linear(functional.silu(x))


class Coupling(nn.Module):
    """Half of a signal scales and shifts the other half; nothing at the start (Dinh 2017)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.net = stack(width // 2, 64, 64, width)
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, state):
        x, logarithm = state
        kept, moved = x.chunk(2, -1)
        scale, shift = self.net(kept).chunk(2, -1)
        scale = torch.tanh(scale)
        return torch.cat([moved * scale.exp() + shift, kept], -1), logarithm + scale.sum(-1)


class Flow(nn.Module):
    """Minus the log-likelihood of every example."""

    def __init__(self) -> None:
        super().__init__()
        self.couplings = nn.Sequential(*(Coupling() for _ in range(6)))

    def forward(self, x):
        z, logarithm = self.couplings((x, torch.zeros(len(x))))
        return 0.5 * (z**2).sum(-1) - logarithm


class GraphAttention(nn.Module):
    """Attention of every node over its neighbours (Veličković 2018)."""

    def __init__(self) -> None:
        super().__init__()
        near = (torch.rand(EXAMPLES, EXAMPLES) < 0.15) | torch.eye(EXAMPLES, dtype=torch.bool)
        self.register_buffer("near", near)
        self.first, self.last = nn.Linear(16, 64, bias=False), nn.Linear(64, 5, bias=False)
        self.pairs = nn.Parameter(0.25 * torch.randn(2, 4, 16))
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.xavier_uniform_(self.last.weight)

    def forward(self, x):
        h = self.first(x).view(-1, 4, 16)
        scores = (h * self.pairs[0]).sum(-1)[:, None] + (h * self.pairs[1]).sum(-1)[None]
        scores = functional.leaky_relu(scores, 0.2).masked_fill(~self.near[..., None], -1e9)
        return self.last(functional.elu(torch.einsum("ijh,jhd->ihd", scores.softmax(1), h).flatten(1)))


class Spectral(nn.Module):
    """Complex weights on the lowest frequencies beside a layer over channels (Li 2021)."""

    def __init__(self, width: int = 32, modes: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.modes, self.first = modes, nn.Linear(1, width)
        self.mixed = nn.ParameterList(
            nn.Parameter(torch.randn(width, width, modes, dtype=torch.cfloat) / width) for _ in range(depth)
        )
        self.local = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(depth))
        self.last = stack(width, 64, 1, activation=nn.GELU)

    def forward(self, x):
        x = self.first(x).transpose(1, 2)
        for mixed, local in zip(self.mixed, self.local, strict=True):
            waves = torch.fft.rfft(x)
            kept = torch.zeros_like(waves)
            kept[..., : self.modes] = torch.einsum("bim,iom->bom", waves[..., : self.modes], mixed)
            x = functional.gelu(torch.fft.irfft(kept, n=x.shape[-1]) + local(x))
        return self.last(x.transpose(1, 2))


class Equilibrium(nn.Module):
    """One layer again and again, with the input in every step (Bai 2019)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first, self.state, self.last = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 5)
        nn.init.normal_(self.state.weight, std=0.5 / math.sqrt(width))

    def forward(self, x):
        given = self.first(x)
        state = torch.zeros_like(given)
        for _ in range(12):
            state = torch.tanh(self.state(state) + given)
        return self.last(state)


class Detector(nn.Module):
    """Classes and boxes at every place; classes start rare (Lin 2017)."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((3, 32), (32, 64), (64, 64))
        self.body = nn.Sequential(
            *(
                layer
                for before, after in sizes
                for layer in (nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU())
            )
        )
        self.classes, self.boxes = nn.Conv2d(64, 45, 3, 1, 1), nn.Conv2d(64, 36, 3, 1, 1)
        for layer, bias in ((self.classes, -math.log(99)), (self.boxes, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, bias)

    def forward(self, x):
        x = self.body(x)
        return self.classes(x), self.boxes(x)


def rewards(output, target):
    actions, values = output
    return (actions - target).square().mean() + (values - 1).square().mean()


def boxes(output, _target):
    scores, places = output
    return functional.softplus(scores).mean() + functional.smooth_l1_loss(places, torch.ones_like(places))


def ratings():
    return torch.stack([torch.randint(500, (EXAMPLES,)), torch.randint(300, (EXAMPLES,))], 1)


FIELDS = (
    Field("wavenet", WaveNet, normal(1, 128), classes(16, 128), functional.cross_entropy),
    Field("actor and critic", ActorCritic, normal(17), normal(6), rewards),
    Field("two towers", TwoTowers, lambda: (torch.randn(EXAMPLES, 20), torch.randn(EXAMPLES, 30)),
          lambda: torch.arange(EXAMPLES), functional.cross_entropy),
    Field("matrix factorization", Factorization, ratings, normal(), functional.mse_loss),
    Field("operator", DeepONet, lambda: (torch.randn(EXAMPLES, 50), torch.rand(EXAMPLES, 1)), normal(),
          functional.mse_loss),
    Field("noisy layers", lambda: nn.Sequential(Noisy(8, 64), nn.ReLU(), Noisy(64, 64), nn.ReLU(), Noisy(64, 4)),
          normal(8), normal(4), functional.smooth_l1_loss),
    Field("radial basis functions", lambda: nn.Sequential(RadialBasis(8, 32), RadialBasis(32, 32), RadialBasis(32, 3)),
          normal(8), classes(3), functional.cross_entropy),
    Field("normalizing flow", Flow, normal(8), nothing, lambda output, _target: output.mean()),
    Field("graph attention", GraphAttention, normal(16), classes(5), functional.cross_entropy),
    Field("spectral operator", Spectral, normal(64, 1), normal(64, 1), functional.mse_loss),
    Field("equilibrium", Equilibrium, normal(16), classes(5), functional.cross_entropy),
    Field("detector", Detector, normal(3, 32, 32), nothing, boxes),
)  # fmt: skip
