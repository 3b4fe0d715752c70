"""Networks of several resolutions (U-Nets with attention, pyramids, trees), and mirrored starts."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from second_list.case import Case, Classifier, act_conv, images, vectors
from second_list.convolutions import STEM, Skipped, basic

__all__ = ["DENSE_NETS"]


class GatedSkip(nn.Module):
    """An attention gate on a U-Net's skip: a sigmoid map from the skip and the coarser signal."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.x, self.g = nn.Conv2d(width, width // 2, 1), nn.Conv2d(width, width // 2, 1)
        self.out = nn.Conv2d(width // 2, 1, 1)

    def forward(self, x, coarse):
        return x * self.out(F.relu(self.x(x) + self.g(coarse))).sigmoid()


class GatedUNet(nn.Module):
    """A U-Net whose skips are gated."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.first = nn.Sequential(act_conv(3, width), act_conv(width, width))
        self.low = nn.Sequential(act_conv(width, 2 * width), act_conv(2 * width, 2 * width))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.gate, self.last = GatedSkip(width), act_conv(2 * width, width)
        self.out = nn.Conv2d(width, 3, 1)

    def forward(self, x):
        fine = self.first(x)
        coarse = self.up(self.low(F.max_pool2d(fine, 2)))
        return self.out(self.last(torch.cat([self.gate(fine, coarse), coarse], 1)))


class TimedBlock(nn.Module):
    """Group norm, silu, convolution, twice; a shift from the time in between; the last convolution starts at zero."""

    def __init__(self, inputs: int, width: int, time: int, *, silent: bool) -> None:
        super().__init__()
        self.one, self.two = nn.GroupNorm(8, inputs), nn.GroupNorm(8, width)
        self.into, self.out = nn.Conv2d(inputs, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(time, width)
        self.skip = nn.Conv2d(inputs, width, 1) if inputs != width else nn.Identity()
        if silent:
            nn.init.zeros_(self.out.weight)

    def forward(self, x, t):
        y = self.into(F.silu(self.one(x))) + self.time(F.silu(t))[:, :, None, None]
        return self.skip(x) + self.out(F.silu(self.two(y)))


class PlaceAttention(nn.Module):
    """Self-attention over places with a group norm in front, added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = (
            nn.GroupNorm(8, width),
            nn.Conv2d(width, 3 * width, 1),
            nn.Conv2d(width, width, 1),
        )

    def forward(self, x):
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        y = ((q @ k.transpose(1, 2)) / math.sqrt(x.shape[1])).softmax(-1) @ v
        return x + self.out(y.transpose(1, 2).reshape(x.shape))


class Denoiser(nn.Module):
    """A U-Net of diffusion models: time, group norms, attention at the coarse level."""

    def __init__(self, width: int = 32, *, silent: bool = False) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(1, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width))
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        block = lambda i, o: TimedBlock(i, o, 4 * width, silent=silent)  # noqa: E731
        self.a, self.b, self.c = block(width, width), block(width, 2 * width), block(2 * width, 2 * width)
        self.attention, self.d, self.e = PlaceAttention(2 * width), block(4 * width, 2 * width), block(3 * width, width)
        self.norm, self.out = nn.GroupNorm(8, width), nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x):
        t = self.time(x.new_full((len(x), 1), 0.5))
        one = self.a(self.stem(x), t)
        two = self.b(F.avg_pool2d(one, 2), t)
        low = self.attention(self.c(two, t))
        low = self.d(torch.cat([low, two], 1), t)
        up = F.interpolate(low, scale_factor=2.0, mode="nearest")
        return self.out(F.silu(self.norm(self.e(torch.cat([up, one], 1), t))))


class Resolutions(nn.Module):
    """Two resolutions side by side that exchange sums (high-resolution network)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fine, self.coarse = Skipped(basic(width)), Skipped(basic(2 * width))
        self.down = act_conv(width, 2 * width, 3, 2, act=None)
        self.up = act_conv(2 * width, width, 1, act=None)

    def forward(self, both):
        fine, coarse = self.fine(both[0]), self.coarse(both[1])
        up = F.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        return F.relu(fine + up), F.relu(coarse + self.down(fine))


class HighResolution(nn.Module):
    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem, self.down = STEM(width), act_conv(width, 2 * width, 3, 2)
        self.stages = nn.Sequential(Resolutions(width), Resolutions(width))
        self.head = nn.Linear(3 * width, 10)

    def forward(self, x):
        x = self.stem(x)
        fine, coarse = self.stages((x, self.down(x)))
        return self.head(torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], 1))


class Tree(nn.Module):
    """Two residual blocks whose outputs are aggregated with the input (deep layer aggregation)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = Skipped(basic(width)), Skipped(basic(width))
        self.root = act_conv(3 * width, width, 1)

    def forward(self, x):
        left = self.left(x)
        right = self.right(left)
        return self.root(torch.cat([x, left, right], 1))


class Pyramid(nn.Module):
    """A feature pyramid: lateral sums from coarse to fine."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.one, self.two, self.three = STEM(width), act_conv(width, width, 3, 2), act_conv(width, width, 3, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.smooth, self.out = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, 4, 1)

    def forward(self, x):
        one = self.one(x)
        two = self.two(one)
        top = self.lateral[2](self.three(two))
        top = self.lateral[1](two) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        top = self.lateral[0](one) + F.interpolate(top, scale_factor=2.0, mode="nearest")
        return self.out(F.relu(self.smooth(top)))


class Dilated(nn.Module):
    """Parallel dilated convolutions and a pooled branch, mixed (atrous pyramid)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(STEM(width), act_conv(width, width))
        self.rates = nn.ModuleList(nn.Conv2d(width, width, 3, padding=r, dilation=r, bias=False) for r in (1, 2, 4))
        self.pooled, self.mix = nn.Conv2d(width, width, 1), act_conv(4 * width, width, 1)
        self.out = nn.Conv2d(width, 5, 1)

    def forward(self, x):
        x = self.stem(x)
        pooled = F.relu(self.pooled(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])
        return self.out(self.mix(torch.cat([*(F.relu(one(x)) for one in self.rates), pooled], 1)))


def plain(width: int, depth: int, act: type[nn.Module]) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), act()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def plain_maps(width: int, depth: int) -> nn.Module:
    layers = [nn.Sequential(nn.Conv2d(width if i else 3, width, 3, padding=1), nn.ReLU()) for i in range(depth)]
    return Classifier(width, *layers)


def normed(width: int, depth: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


DENSE_NETS = (
    Case("gated U-Net", "U-Net with attention", GatedUNet, images(32)),
    Case("denoiser", "U-Net with attention", Denoiser, images(16)),
    Case("denoiser, zero ends", "zero-scale branches", lambda: Denoiser(silent=True), images(16)),
    Case("two resolutions", "parallel branches", HighResolution, images(32)),
    Case("aggregation tree", "aggregation", lambda: Classifier(32, STEM(32), Tree(32), Tree(32)), images(32)),
    Case("feature pyramid", "aggregation", Pyramid, images(32)),
    Case("dilated pyramid", "parallel branches", Dilated, images(32)),
    Case("mirrored relu, 20 layers", "mirrored pairs", lambda: plain(64, 20, nn.ReLU), vectors(64), scheme="mirrored"),
    Case("mirrored gelu, 12 layers", "mirrored pairs", lambda: plain(96, 12, nn.GELU), vectors(96), scheme="mirrored"),
    Case("mirrored convolutions", "mirrored pairs", lambda: plain_maps(16, 6), images(16), scheme="mirrored"),
    Case("mirrored, batch norm", "mirrored pairs", lambda: normed(64, 8), vectors(64), scheme="mirrored"),
)
