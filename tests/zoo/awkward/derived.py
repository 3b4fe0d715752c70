"""Weights that are computed before they are used: normalised, scaled, cut, glued, added to, or parametrized."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

from gainstage.graph import KernelShape, Role
from zoo.case import Case, Expected, normal

__all__ = ["DERIVED"]


class Adapter(nn.Module):
    """A frozen layer with a low-rank update that starts at zero (LoRA)."""

    def __init__(self, base: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, base.in_features) / base.in_features**0.5)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        return self.base(x) + functional.linear(functional.linear(x, self.a), self.b) * 2.0


class MergedAdapter(nn.Module):
    """The same update added to the weight before it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.randn(8, 8) / 8**0.5, requires_grad=False)
        self.a = nn.Parameter(torch.randn(4, 8) / 8**0.5)
        self.b = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x):
        return functional.linear(x, self.base + self.b @ self.a)


class Symmetric(nn.Module):
    """A parametrization: the weight that is used is symmetric."""

    def forward(self, w):
        return w.triu() + w.triu(1).transpose(-1, -2)


def parametrized() -> nn.Module:
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return nn.Sequential(layer, nn.Tanh(), nn.Linear(8, 3))


def orthogonally_parametrized() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(8, 8)), nn.Tanh(), nn.Linear(8, 3))


class StandardisedConvolution(nn.Conv2d):
    """Weights standardised in every forward pass, as in BiT and NFNets."""

    def forward(self, x):
        flat = self.weight.flatten(1)
        mean, variance = flat.mean(1, keepdim=True), flat.var(1, keepdim=True, unbiased=False)
        weight = ((flat - mean) / (variance + 1e-5).sqrt() / flat.shape[1] ** 0.5).view_as(self.weight)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class EqualisedLinear(nn.Module):
    """Unit weights that are scaled when they are used, as in StyleGAN."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_out, fan_in))
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.scale = fan_in**-0.5

    def forward(self, x):
        return functional.linear(x, self.weight * self.scale, self.bias)


class ConcatenatedProjections(nn.Module):
    """Query, key and value in one product of three weights."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(16, 16, bias=False) for _ in range(3))
        self.out = nn.Linear(16, 16)

    def forward(self, x):
        weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])
        q, k, v = functional.linear(x, weight).chunk(3, -1)
        return self.out(functional.scaled_dot_product_attention(q, k, v))


class Sliced(nn.Module):
    """Two layers cut out of one array, and positions cut out of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Parameter(torch.randn(16, 8) / 8**0.5)
        self.positions = nn.Parameter(torch.randn(1, 10, 8) * 0.02)

    def forward(self, x):
        x = x + self.positions[:, : x.shape[1]]
        return functional.linear(torch.tanh(functional.linear(x, self.both[:8])), self.both[8:])


def old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and in many a model
        return weight_norm(layer)


def mlp(layer) -> nn.Module:
    return nn.Sequential(layer(nn.Linear(8, 12)), nn.ReLU(), nn.Linear(12, 3))


PLAIN = {"*.weight": "linear.weight", "*.bias": "linear.bias"}

DERIVED = (
    Case(
        "frozen base with an adapter",
        lambda: nn.Sequential(Adapter(nn.Linear(8, 12)), nn.ReLU(), nn.Linear(12, 3)),
        normal(6, 8),
        expects={"0.a": "linear.weight", "0.b": "linear.weight", **PLAIN},
    ),
    Case(
        "merged adapter",
        MergedAdapter,
        normal(6, 8),
        expects={"base": "linear.weight", "a": "linear.weight", "b": "linear.weight"},
    ),
    Case(
        "parametrized weight",
        parametrized,
        normal(6, 8),
        expects={"*.original": Expected("linear.weight", Role.HIDDEN, KernelShape(8, 8)), **PLAIN},
    ),
    Case(
        "orthogonal parametrization",
        orthogonally_parametrized,
        normal(6, 8),
        expects={"*.original": "linear.weight", **PLAIN},
    ),
    Case(
        "weight norm",
        lambda: mlp(parametrizations.weight_norm),
        normal(6, 8),
        expects={
            "*.original0": Expected("linear.weight", Role.MAGNITUDE),
            "*.original1": Expected("linear.weight", Role.HIDDEN, KernelShape(12, 8)),
            **PLAIN,
        },
    ),
    Case(
        "old weight norm",
        lambda: mlp(old_weight_norm),
        normal(6, 8),
        expects={
            "*.weight_g": Expected("linear.weight", Role.MAGNITUDE),
            "*.weight_v": Expected("linear.weight", Role.HIDDEN, KernelShape(12, 8)),
            **PLAIN,
        },
    ),
    Case(
        "weight norm of a convolution",
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv1d(3, 8, 3)), nn.ReLU(), nn.Conv1d(8, 2, 3)),
        normal(4, 3, 12),
        expects={
            "*.original0": Expected("convolution.weight", Role.MAGNITUDE),
            "*.original1": Expected("convolution.weight", Role.HIDDEN, KernelShape(8, 3, 3)),
            "*.weight": "convolution.weight",
            "*.bias": "convolution.bias",
        },
    ),
    Case(
        "spectral norm",
        lambda: mlp(parametrizations.spectral_norm),
        normal(6, 8),
        expects={"*.original": Expected("linear.weight", Role.HIDDEN, KernelShape(12, 8)), **PLAIN},
    ),
    Case(
        "old spectral norm",
        lambda: mlp(spectral_norm),
        normal(6, 8),
        expects={"*.weight_orig": Expected("linear.weight", Role.HIDDEN, KernelShape(12, 8)), **PLAIN},
    ),
    Case(
        "weight-standardised convolution",
        lambda: nn.Sequential(StandardisedConvolution(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)),
        normal(4, 3, 8, 8),
        expects={
            "0.weight": Expected("convolution.weight", Role.HIDDEN, KernelShape(8, 3, 9)),
            "1.weight": "convolution.weight",
            "*.weight": "convolution.weight",
            "*.bias": "convolution.bias",
        },
    ),
    Case(
        "equalised weights",
        lambda: nn.Sequential(EqualisedLinear(8, 12), nn.ReLU(), EqualisedLinear(12, 3)),
        normal(6, 8),
        expects={"0.weight": Expected("linear.weight", Role.HIDDEN, KernelShape(12, 8)), **PLAIN},
    ),
    Case(
        "concatenated projections",
        ConcatenatedProjections,
        normal(4, 5, 16),
        expects={
            "[qkv].weight": Expected("linear.weight", kernel=KernelShape(16, 16)),
            "out.weight": "linear.weight",
            "out.bias": "linear.bias",
        },
    ),
    Case(
        "sliced weight",
        Sliced,
        normal(4, 5, 8),
        expects={
            "both": Expected("linear.weight linear.weight", kernel=KernelShape(8, 8), blocks=2),
            "positions": Expected("offset.*", Role.OTHER),
        },
    ),
)
