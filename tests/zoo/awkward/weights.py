"""Weights that are not simply the ``weight`` of a layer: shared, reused, functional, packed, lazy, or never used."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gainstage.graph import KernelShape, Role
from zoo.case import Case, Expected, normal, tokens

__all__ = ["WEIGHTS"]


class TiedLanguageModel(nn.Module):
    """The output layer is the embedding, as in GPT-2."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 16)
        self.body = nn.Linear(16, 16)
        self.head = nn.Linear(16, 32, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(torch.tanh(self.body(self.embed(ids))))


class TiedAutoencoder(nn.Module):
    """The decoder is the encoder's weight, transposed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(12, 6)
        self.shift = nn.Parameter(torch.zeros(12))

    def forward(self, x):
        code = torch.relu(self.encoder(x))
        return functional.linear(code, self.encoder.weight.t()) + self.shift


class Reused(nn.Module):
    """One layer, three times."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for _ in range(3):
            x = torch.tanh(self.layer(x))
        return self.head(x)


class Functional(nn.Module):
    """Weights that belong to no layer, in both orders of their axes."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(16, 8) / 8**0.5)
        self.b = nn.Parameter(torch.zeros(16))
        self.A = nn.Parameter(torch.randn(16, 5) / 4)
        self.v = nn.Parameter(torch.randn(5) / 5**0.5)

    def forward(self, x):
        hidden = torch.relu(functional.linear(x, self.w, self.b)) @ self.A
        return hidden * self.v


class Stacked(nn.Module):
    """All experts of a mixture in one array of three axes, contracted by einsum and by bmm."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(torch.randn(4, 8, 12) / 8**0.5)
        self.down = nn.Parameter(torch.randn(4, 12, 8) / 12**0.5)
        self.router = nn.Linear(8, 4)

    def forward(self, x):
        gates = self.router(x).softmax(-1)
        hidden = torch.relu(torch.einsum("bi,eio->beo", x, self.up))
        out = torch.bmm(hidden.transpose(0, 1), self.down).transpose(0, 1)
        return (out * gates.unsqueeze(-1)).sum(1)


class PackedAttention(nn.Module):
    """``nn.MultiheadAttention`` attending to itself: one array holds query, key and value."""

    def __init__(self, **options) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True, **options)

    def forward(self, x):
        return self.attention(x, x, x)[0]


class CrossAttention(nn.Module):
    """Keys and values of another width, so that the projections are kept apart."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, kdim=12, vdim=10, batch_first=True)

    def forward(self, x, keys, values):
        return self.attention(x, keys, values, need_weights=False)[0]


class Partial(nn.Module):
    """A layer that no input reaches, and one whose result is thrown away."""

    def __init__(self) -> None:
        super().__init__()
        self.used = nn.Linear(8, 3)
        self.spare = nn.Linear(8, 8)
        self.discarded = nn.Linear(8, 2)

    def forward(self, x):
        self.discarded(x)
        return self.used(x)


class TokensAndPositions(nn.Module):
    """A class token, a position table, and layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 6, 16) * 0.02)
        self.layer = nn.Linear(16, 16)
        self.gamma = nn.Parameter(torch.full((16,), 1e-6))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        x = x + self.gamma * torch.relu(self.layer(x))
        return self.head(x[:, 0])


PLAIN = {"*.weight": "linear.weight", "*.bias": "linear.bias"}

WEIGHTS = (
    Case(
        "tied weights",
        TiedLanguageModel,
        tokens(32, 4, 6),
        tokens(32, 4, 6),
        lambda out, y: functional.cross_entropy(out.flatten(0, 1), y.flatten()),
        expects={
            "embed.weight": Expected("embedding.weight linear.weight", Role.HEAD, KernelShape(32, 16)),
            "body.weight": Expected("linear.weight", Role.HIDDEN),
            "body.bias": "linear.bias",
        },
    ),
    Case(
        "tied autoencoder",
        TiedAutoencoder,
        normal(6, 12),
        normal(6, 12),
        functional.mse_loss,
        expects={
            "encoder.weight": "linear.weight linear.weight",
            "encoder.bias": "linear.bias",
            "shift": "offset.bias",
        },
    ),
    Case(
        "reused layer",
        Reused,
        normal(6, 8),
        expects={
            "layer.weight": Expected("linear.weight " * 3, Role.HIDDEN),
            "layer.bias": "linear.bias " * 3,
            "head.weight": Expected("linear.weight", Role.HEAD),
            "head.bias": "linear.bias",
        },
    ),
    Case(
        "functional weights",
        Functional,
        normal(6, 8),
        expects={
            "w": Expected("linear.weight", Role.HIDDEN, KernelShape(16, 8)),
            "b": "linear.bias",
            "A": Expected("linear.weight", Role.HEAD, KernelShape(5, 16)),
            "v": "scale.scale",
        },
    ),
    Case(
        "stacked experts",
        Stacked,
        normal(6, 8),
        expects={
            "up": "linear.weight",
            "down": "linear.weight",
            "router.weight": "linear.weight",
            "router.bias": "linear.bias",
        },
    ),
    Case(
        "packed attention",
        PackedAttention,
        normal(4, 5, 16),
        expects={
            "*.in_proj_weight": Expected("linear.weight", Role.PACKED_ATTENTION, KernelShape(16, 16), 3),
            "*.in_proj_bias": "*.bias",
            "*.out_proj.weight": Expected("linear.weight", Role.HEAD),
            "*.out_proj.bias": "linear.bias",
        },
    ),
    Case(
        "packed attention with learned keys",
        lambda: PackedAttention(add_bias_kv=True),
        normal(4, 5, 16),
        expects={
            "*.in_proj_weight": "linear.weight",
            "*.in_proj_bias": "*.bias",
            "*.bias_[kv]": "concatenation.operand",
            "*.out_proj.weight": "linear.weight",
            "*.out_proj.bias": "linear.bias",
        },
    ),
    Case(
        "cross attention",
        CrossAttention,
        lambda: (torch.randn(4, 5, 16), torch.randn(4, 7, 12), torch.randn(4, 7, 10)),
        expects={
            "*.q_proj_weight": Expected("linear.weight", Role.QUERY, KernelShape(16, 16)),
            "*.k_proj_weight": Expected("linear.weight", Role.KEY, KernelShape(16, 12)),
            "*.v_proj_weight": Expected("linear.weight", Role.VALUE, KernelShape(16, 10)),
            "*.in_proj_bias": "*.bias *.bias *.bias",
            "*.out_proj.weight": "linear.weight",
            "*.out_proj.bias": "linear.bias",
        },
    ),
    Case(
        "lazy layer",
        lambda: nn.Sequential(nn.LazyLinear(12), nn.ReLU(), nn.LazyLinear(3)),
        normal(6, 8),
        expects=PLAIN,
    ),
    Case(
        "lazy convolution",
        lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)),
        normal(4, 3, 6, 6),
        expects={
            "0.weight": "convolution.weight",
            "0.bias": "convolution.bias",
            "1.weight": "normalization.scale",
            "1.bias": "normalization.shift",
            **PLAIN,
        },
    ),
    Case(
        "unused parameters",
        Partial,
        normal(6, 8),
        expects=PLAIN,
        unreached=("spare.*",),
        nondifferentiable=("discarded.*",),
    ),
    Case(
        "class token, positions and layer scale",
        TokensAndPositions,
        normal(4, 5, 16),
        expects={
            "token": Expected("input.*", Role.OTHER),
            "positions": Expected("offset.*", Role.OTHER),
            "gamma": Expected("scale.scale", Role.OTHER),
            "layer.weight": Expected("linear.weight", Role.BRANCH_END),
            "head.weight": Expected("linear.weight", Role.HEAD),
            **PLAIN,
        },
    ),
)
