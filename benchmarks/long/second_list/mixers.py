"""Mixers and convolutional blocks of modern vision: layer scales, spatial gates, split and transposed attention."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from second_list.case import Case, images
from second_list.case import Classifier as Head

__all__ = ["MIXERS", "LastNorm", "Scale"]


class Scale(nn.Module):
    """A learned scale by channel; ``maps`` has channels on axis 1."""

    def __init__(self, width: int, start: float, *, maps: bool = False) -> None:
        super().__init__()
        self.weight, self.maps = nn.Parameter(torch.full((width,), start)), maps

    def forward(self, x):
        return x * (self.weight[:, None, None] if self.maps else self.weight)


class LastNorm(nn.Module):
    """Layer norm over the channels of maps."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Branches(nn.Module):
    """A residual stream: x + branch(x) for each branch in turn."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x


class Pooler(nn.Module):
    """The mean of neighbours without the element itself."""

    def __init__(self, _width: int) -> None:
        super().__init__()

    def forward(self, x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - x


class Affine(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        return x * self.alpha + self.beta


class Across(nn.Module):
    """A linear map over tokens."""

    def __init__(self, tokens: int, hidden: int | None = None) -> None:
        super().__init__()
        self.net = (
            nn.Linear(tokens, tokens)
            if hidden is None
            else nn.Sequential(nn.Linear(tokens, hidden), nn.GELU(), nn.Linear(hidden, tokens))
        )

    def forward(self, x):
        return self.net(x.transpose(1, 2)).transpose(1, 2)


class SpatialGate(nn.Module):
    """Half of the channels, mixed over tokens, gate the other half; the gate starts at one."""

    def __init__(self, width: int, tokens: int) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)
        self.norm, self.mix = nn.LayerNorm(2 * width), nn.Conv1d(tokens, tokens, 1)
        nn.init.normal_(self.mix.weight, std=1e-3)
        nn.init.ones_(self.mix.bias)

    def forward(self, x):
        a, b = F.gelu(self.into(x)).chunk(2, -1)
        return self.out(a * self.mix(self.norm(b)))


class TransposedAttention(nn.Module):
    """Attention between channels: normalised queries and keys, a learned temperature (cross-covariance)."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 4, 1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        y = (q @ k.transpose(-1, -2) * self.temperature).softmax(-1) @ v
        return self.out(y.permute(0, 3, 1, 2).reshape(n, t, c))


class SplitDepthwise(nn.Module):
    """Depthwise convolutions on groups of channels, each reading the one before, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // 4
        self.convs = nn.ModuleList(nn.Conv2d(part, part, 3, padding=1, groups=part) for _ in range(3))

    def forward(self, x):
        first, *rest = x.chunk(4, 1)
        found, last = [first], None
        for conv, one in zip(self.convs, rest, strict=True):
            last = conv(one if last is None else one + last)
            found.append(last)
        return torch.cat(found, 1)


class Strips(nn.Module):
    """Depthwise square and strip convolutions on some channels, the rest unchanged (Inception-like)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.part = part = width // 8
        self.square = nn.Conv2d(part, part, 3, padding=1, groups=part)
        self.wide = nn.Conv2d(part, part, (1, 11), padding=(0, 5), groups=part)
        self.high = nn.Conv2d(part, part, (11, 1), padding=(5, 0), groups=part)

    def forward(self, x):
        p = self.part
        rest, a, b, c = x.split((x.shape[1] - 3 * p, p, p, p), 1)
        return torch.cat([rest, self.square(a), self.wide(b), self.high(c)], 1)


class LargeKernel(nn.Module):
    """A large depthwise kernel in pieces whose output multiplies its input (visual attention)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.into, self.out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.near = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.far = nn.Conv2d(width, width, 7, padding=9, groups=width, dilation=3)
        self.point = nn.Conv2d(width, width, 1)

    def forward(self, x):
        y = F.gelu(self.into(x))
        return self.out(y * self.point(self.far(self.near(y))))


class Recursive(nn.Module):
    """Recursive gated convolutions: channels that double, each gated by the next."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes = [width // 4, width // 2, width]
        self.into, self.deep = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(sum(self.sizes), sum(self.sizes), 7, padding=3,
            groups=sum(self.sizes))  # fmt: skip
        self.points = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x):
        y, more = self.into(x).split((self.sizes[0], sum(self.sizes)), 1)
        gates = self.deep(more).split(self.sizes, 1)
        y = y * gates[0]
        for point, gate in zip(self.points, gates[1:], strict=True):
            y = point(y) * gate
        return self.out(y)


class Starred(nn.Module):
    """Two projections multiplied element by element."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(width, width, 7, padding=3, groups=width), nn.BatchNorm2d(width))
        self.a, self.b = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Sequential(nn.Conv2d(3 * width, width, 1), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.near(x)
        return self.out(F.relu6(self.a(y)) * self.b(y))


def channel_mlp(width: int, norm: nn.Module, scale: float | None) -> nn.Module:
    layers = [norm, nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1)]
    return nn.Sequential(*layers, *([] if scale is None else [Scale(width, scale, maps=True)]))


def mixed(width: int, mixer, norm, scale: float | None, depth: int = 3) -> nn.Module:
    """Patches, residual branches of a mixer and a perceptron over channels, a norm and a head."""
    branches = []
    for _ in range(depth):
        own = [] if scale is None else [Scale(width, scale, maps=True)]
        branches += [nn.Sequential(norm(width), mixer(width), *own), channel_mlp(width, norm(width), scale)]
    return Head(width, nn.Conv2d(3, width, 4, 4), Branches(*branches), norm(width))


class Tokens(nn.Module):
    """Patches as tokens, residual branches, a norm, the mean over tokens, a head."""

    def __init__(self, width: int, *branches: nn.Module, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.patches, self.body = nn.Conv2d(3, width, 4, 4), Branches(*branches)
        self.norm, self.head = norm or nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.body(x)).mean(1))


def perceptron(width: int, norm: nn.Module, *more: nn.Module) -> nn.Module:
    return nn.Sequential(norm, nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), *more)


def affine_mixer(width: int = 64, tokens: int = 64) -> nn.Module:
    branches = []
    for _ in range(3):
        branches += [nn.Sequential(Affine(width), Across(tokens), Scale(width, 1e-4)),
                     perceptron(width, Affine(width), Scale(width, 1e-4))]  # fmt: skip
    return Tokens(width, *branches, norm=Affine(width))


def transposed(width: int = 64, scale: float = 1e-5) -> nn.Module:
    branches = []
    for _ in range(3):
        branches += [nn.Sequential(nn.LayerNorm(width), TransposedAttention(width), Scale(width, scale)),
                     perceptron(width, nn.LayerNorm(width), Scale(width, scale))]  # fmt: skip
    return Tokens(width, *branches)


def gated(width: int = 64, tokens: int = 64) -> nn.Module:
    return Tokens(width, *(nn.Sequential(nn.LayerNorm(width), SpatialGate(width, tokens)) for _ in range(4)))


class Depthwise(nn.Sequential):
    def __init__(self, width: int, kernel: int = 7) -> None:
        super().__init__(nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width), nn.Conv2d(width, width, 1))


def conv_mixer(width: int = 48, depth: int = 4) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 4), nn.GELU(), nn.BatchNorm2d(width)]
    for _ in range(depth):
        near = nn.Sequential(nn.Conv2d(width, width, 5, padding=2, groups=width), nn.GELU(), nn.BatchNorm2d(width))
        layers += [Branches(near), nn.Conv2d(width, width, 1), nn.GELU(), nn.BatchNorm2d(width)]
    return Head(width, *layers)


GROUP = lambda width: nn.GroupNorm(1, width)  # noqa: E731
MIXERS = (
    Case("pooling mixer, layer scale", "mixer, layer scale", lambda: mixed(48, Pooler, GROUP, 1e-5),
         images()),
    Case("affine mixer", "mixer, layer scale", affine_mixer, images()),
    Case("transposed attention, layer scale", "layer scale, transposed attention", transposed, images()),
    Case("transposed attention", "transposed attention", lambda: transposed(scale=1.0), images()),
    Case("spatial gates", "mixer", gated, images()),
    Case("split depthwise, layer scale", "layer scale", lambda: mixed(48, SplitDepthwise, LastNorm, 1e-6), images()),
    Case("strips, layer scale", "layer scale", lambda: mixed(48, Strips, nn.BatchNorm2d, 1e-6), images()),
    Case("large kernel gates", "gates", lambda: mixed(48, LargeKernel, nn.BatchNorm2d, 1e-2), images()),
    Case("recursive gates", "gates", lambda: mixed(48, Recursive, LastNorm, 1e-6), images()),
    Case("starred", "gates", lambda: Head(32, nn.Conv2d(3, 32, 4, 4), nn.BatchNorm2d(32), Branches(
        *(Starred(32) for _ in range(4)))), images()),
    Case("convolutional mixer", "mixer", conv_mixer, images()),
    Case("depthwise blocks, no scale", "mixer", lambda: mixed(48, Depthwise, LastNorm, None), images()),
)  # fmt: skip
