"""Layers beyond the usual: every kind of convolution, normalisation, and mixing that PyTorch ships."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gainstage.graph import KernelShape, Role
from zoo.case import Case, Expected, normal, tokens

__all__ = ["LAYERS"]


class FourierMixing(nn.Module):
    """FNet: tokens are mixed by a Fourier transform, complex in between."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(16, 32)
        self.down = nn.Linear(32, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        x = self.norm(x + torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real)
        return x + self.down(functional.gelu(self.up(x)))


class SpectralFilter(nn.Module):
    """A complex filter on the frequencies of the signal (global filter networks)."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(5, 6, dtype=torch.complex64) * 0.5)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        frequencies = torch.fft.rfft(x, dim=1) * self.filter
        return self.head(torch.fft.irfft(frequencies, n=x.shape[1], dim=1).mean(1))


class Einsum(nn.Module):
    """Attention with weights of three axes, all contractions written as einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Parameter(torch.randn(12, 3, 4) / 12**0.5) for _ in range(3))
        self.out = nn.Parameter(torch.randn(3, 4, 12) / 12**0.5)

    def forward(self, x):
        q, k, v = (torch.einsum("btd,dhk->bhtk", x, w) for w in (self.q, self.k, self.v))
        weights = (torch.einsum("bhsk,bhtk->bhst", q, k) / 2.0).softmax(-1)
        return torch.einsum("bhsk,hkd->bsd", torch.einsum("bhst,bhtk->bhsk", weights, v), self.out)


class GatedMLP(nn.Module):
    """SwiGLU: an activation of one projection multiplies another."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class RootMeanSquareNorm(nn.Module):
    """Written by hand, as in Llama."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class SeparateTokens(nn.Module):
    """A token for every example, and a bag of tokens for every example, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(20, 8, mode="sum")
        self.table = nn.Embedding(20, 8, padding_idx=0)
        self.head = nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.bag(ids) + self.table(ids[:, 0]))


def convolutional(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


def normalised(norm: nn.Module, *, training: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        norm,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).train(training)


HEAD = {"*.weight": "linear.weight", "*.bias": "linear.bias"}
CONVOLUTION = {"0.bias": "convolution.bias", **HEAD}
NORM = {
    "0.weight": Expected("convolution.weight", Role.BEFORE_NORM, KernelShape(8, 3, 9)),
    "1.weight": Expected("normalization.scale", Role.NORM_SCALE),
    "1.bias": Expected("normalization.shift", Role.NORM_SHIFT),
    **HEAD,
}
IMAGE = normal(4, 3, 8, 8)


def kernel(*sizes: int, **options) -> Expected:
    return Expected("convolution.weight", kernel=KernelShape(*sizes, **options))


LAYERS = (
    Case(
        "conv1d",
        lambda: convolutional(nn.Conv1d(3, 8, 5, stride=2), nn.GELU(), features=32),
        normal(4, 3, 12),
        expects={"0.weight": kernel(8, 3, 5), **CONVOLUTION},
    ),
    Case(
        "conv3d",
        lambda: convolutional(nn.Conv3d(2, 4, 3), nn.ReLU(), features=32),
        normal(4, 2, 4, 4, 4),
        expects={"0.weight": kernel(4, 2, 27), **CONVOLUTION},
    ),
    Case(
        "transposed convolution",
        lambda: convolutional(nn.ConvTranspose2d(3, 4, 4, stride=2), nn.ReLU(), features=1296),
        IMAGE,
        expects={"0.weight": kernel(4, 3, 16, overlap=4.0), **CONVOLUTION},
    ),
    Case(
        "grouped transposed convolution",
        lambda: convolutional(nn.ConvTranspose1d(4, 6, 4, stride=2, groups=2), nn.ReLU(), features=84),
        normal(4, 4, 6),
        expects={"0.weight": kernel(6, 4, 4, 2, overlap=2.0), **CONVOLUTION},
    ),
    Case(
        "grouped convolution",
        lambda: convolutional(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), features=128),
        normal(4, 4, 6, 6),
        expects={"0.weight": kernel(8, 4, 9, 2), **CONVOLUTION},
    ),
    Case(
        "depthwise convolution",
        lambda: convolutional(nn.Conv2d(4, 4, 3, groups=4), nn.ReLU(), features=64),
        normal(4, 4, 6, 6),
        expects={"0.weight": Expected("convolution.weight", Role.DEPTHWISE, KernelShape(4, 4, 9, 4)), **CONVOLUTION},
    ),
    Case(
        "dilated and reflected convolution",
        lambda: convolutional(
            nn.Conv2d(3, 4, 3, padding=2, dilation=2, padding_mode="reflect"), nn.ReLU(), features=256
        ),
        IMAGE,
        expects={"0.weight": kernel(4, 3, 9), **CONVOLUTION},
    ),
    Case("batch norm in training", lambda: normalised(nn.BatchNorm2d(8)), IMAGE, expects=NORM),
    Case("batch norm in evaluation", lambda: normalised(nn.BatchNorm2d(8), training=False), IMAGE, expects=NORM),
    Case(
        "batch norm without statistics",
        lambda: normalised(nn.BatchNorm2d(8, affine=False, track_running_stats=False)),
        IMAGE,
        expects={"0.weight": NORM["0.weight"], **HEAD},
    ),
    Case("group norm", lambda: normalised(nn.GroupNorm(2, 8)), IMAGE, expects=NORM),
    Case("instance norm", lambda: normalised(nn.InstanceNorm2d(8, affine=True)), IMAGE, expects=NORM),
    Case(
        "root mean square norm by hand",
        lambda: nn.Sequential(nn.Linear(8, 16), RootMeanSquareNorm(16), nn.Linear(16, 3)),
        normal(6, 8),
        expects={
            "0.weight": Expected("linear.weight", Role.BEFORE_NORM),
            "1.weight": Expected("normalization.scale", Role.NORM_SCALE),
            **HEAD,
        },
    ),
    Case(
        "root mean square norm",
        lambda: nn.Sequential(nn.Linear(8, 16), nn.RMSNorm(16), nn.Linear(16, 3)),
        normal(6, 8),
        expects={
            "0.weight": Expected("linear.weight", Role.BEFORE_NORM),
            "1.weight": Expected("normalization.scale", Role.NORM_SCALE),
            **HEAD,
        },
    ),
    Case(
        "learned slope",
        lambda: nn.Sequential(nn.Linear(8, 16), nn.PReLU(), nn.Linear(16, 3)),
        normal(6, 8),
        expects={"1.weight": "activation.operand", **HEAD},
    ),
    Case(
        "bilinear layer",
        lambda: nn.Bilinear(5, 6, 4),
        lambda: (torch.randn(6, 5), torch.randn(6, 6)),
        expects={"weight": "bilinear.weight", "bias": "offset.bias"},
    ),
    Case(
        "gated linear unit",
        lambda: nn.Sequential(nn.Linear(8, 16), nn.GLU(), nn.Linear(8, 3)),
        normal(6, 8),
        expects=HEAD,
    ),
    Case(
        "gated network",
        GatedMLP,
        normal(6, 8),
        expects={
            "gate.weight": Expected("linear.weight", Role.GATE),
            "up.weight": Expected("linear.weight", Role.HIDDEN),
            "down.weight": Expected("linear.weight", Role.HEAD),
            **HEAD,
        },
    ),
    Case(
        "einsum attention",
        Einsum,
        normal(4, 5, 12),
        expects={
            "q": Expected("linear.weight", Role.QUERY),
            "k": Expected("linear.weight", Role.KEY),
            "v": Expected("linear.weight", Role.VALUE),
            "out": "linear.weight",
        },
    ),
    Case(
        "Fourier mixing",
        FourierMixing,
        normal(4, 5, 16),
        expects={"norm.weight": "normalization.scale", "norm.bias": "normalization.shift", **HEAD},
    ),
    Case("complex filter", SpectralFilter, normal(4, 8, 6), expects={"filter": "scale.operand", **HEAD}),
    Case(
        "bag of tokens",
        SeparateTokens,
        tokens(20, 4, 6),
        expects={
            "bag.weight": Expected("embedding.weight", Role.EMBEDDING),
            "table.weight": Expected("embedding.weight", Role.EMBEDDING),
            **HEAD,
        },
    ),
    Case(
        "encoder and decoder",
        lambda: nn.Transformer(16, 4, 1, 1, 32, batch_first=True),
        lambda: (torch.randn(4, 5, 16), torch.randn(4, 6, 16)),
        expects={
            "encoder.layers.0.self_attn.in_proj_weight": Expected(
                "linear.weight", Role.PACKED_ATTENTION, KernelShape(16, 16), 3
            ),
            "decoder.layers.0.multihead_attn.in_proj_weight": "linear.weight linear.weight",
            "decoder.layers.0.multihead_attn.in_proj_bias": "*.bias *.bias",
            "*norm*.weight": "normalization.scale",
            "*norm*.bias": "normalization.shift",
            "*weight": "linear.weight",
            "*bias": "*.bias",
        },
    ),
    Case(
        "fused encoder layer in evaluation",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2).eval(),
        normal(4, 5, 16),
        expects={
            "*.in_proj_weight": Expected("linear.weight", Role.PACKED_ATTENTION, KernelShape(16, 16), 3),
            "*norm*.weight": "normalization.scale",
            "*norm*.bias": "normalization.shift",
            "*weight": "linear.weight",
            "*bias": "*.bias",
        },
    ),
)
