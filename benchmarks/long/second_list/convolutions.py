"""Convolutional networks in the styles of published families: branches, cheap copies, gates."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from second_list.case import Case, Classifier, act_conv, images

__all__ = ["CONVOLUTIONS"]

STEM = lambda width: act_conv(3, width, 3, 2)  # noqa: E731 — a name for a one-line layer


class Skipped(nn.Module):
    """x + scale · branch(x), an activation behind it or none."""

    def __init__(self, branch: nn.Module, *, scale: float | None = None, act: bool = True) -> None:
        super().__init__()
        self.branch, self.act = branch, act
        self.scale = None if scale is None else nn.Parameter(torch.tensor(scale))

    def forward(self, x):
        y = self.branch(x)
        y = x + (y if self.scale is None else self.scale * y)
        return F.relu(y) if self.act else y


def basic(width: int, *, silent: bool = False) -> nn.Sequential:
    """Two convolutions with batch norm; ``silent`` starts the last scale at zero."""
    branch = nn.Sequential(*act_conv(width, width), *act_conv(width, width, act=None))
    if silent:
        nn.init.zeros_(branch[-1].weight)
    return branch


class Ghost(nn.Module):
    """Half of the channels by a convolution, the other half as cheap depthwise copies of them."""

    def __init__(self, inputs: int, outputs: int, *, act: bool = True) -> None:
        super().__init__()
        half, kind = outputs // 2, nn.ReLU if act else None
        self.primary, self.cheap = act_conv(inputs, half, 1, act=kind), act_conv(half, half, 3, groups=half, act=kind)

    def forward(self, x):
        y = self.primary(x)
        return torch.cat([y, self.cheap(y)], 1)


class OneShot(nn.Module):
    """One-shot aggregation: the outputs of a chain of convolutions side by side, mixed, with a channel gate."""

    def __init__(self, width: int, growth: int, steps: int = 4) -> None:
        super().__init__()
        self.steps = nn.ModuleList(act_conv(width if i == 0 else growth, growth) for i in range(steps))
        self.mix, self.gate = act_conv(width + steps * growth, width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x):
        found = [x]
        for step in self.steps:
            found.append(step(found[-1]))
        y = self.mix(torch.cat(found, 1))
        return x + y * F.hardsigmoid(self.gate(y.mean((2, 3), keepdim=True)))


class Parallel(nn.Module):
    """Re-parametrised branches: several convolutions with batch norm and a normed identity, added up."""

    def __init__(self, width: int, branches: int, groups: int = 1) -> None:
        super().__init__()
        self.wide = nn.ModuleList(act_conv(width, width, 3, groups=groups, act=None) for _ in range(branches))
        self.point, self.identity = act_conv(width, width, 1, groups=groups, act=None), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(sum((one(x) for one in self.wide), self.point(x) + self.identity(x)))


class SplitAttention(nn.Module):
    """Radix-two split attention: a softmax over two groups of maps weights their sum, channel by channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = act_conv(width, 2 * width, 3, groups=2)
        self.down, self.norm, self.up = nn.Conv2d(width, width // 2, 1), nn.BatchNorm2d(width // 2), None
        self.up = nn.Conv2d(width // 2, 2 * width, 1)

    def forward(self, x):
        a, b = self.maps(x).chunk(2, 1)
        gate = self.up(F.relu(self.norm(self.down((a + b).mean((2, 3), keepdim=True)))))
        gate = gate.view(len(x), 2, -1, 1, 1).softmax(1)
        return a * gate[:, 0] + b * gate[:, 1]


class Selective(nn.Module):
    """Selective kernels: two receptive fields weighted by a softmax."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.near, self.far = act_conv(width, width, 3, groups=4), act_conv(width, width, 5, groups=4)
        self.down, self.up = act_conv(width, width // 2, 1), nn.Conv2d(width // 2, 2 * width, 1)

    def forward(self, x):
        maps = torch.stack([self.near(x), self.far(x)], 1)
        gate = self.up(self.down(maps.sum(1).mean((2, 3), keepdim=True)))
        return (maps * gate.view(len(x), 2, -1, 1, 1).softmax(1)).sum(1)


class Squeeze(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, width: int, hidden: int, gate: type[nn.Module] = nn.Sigmoid, act=nn.ReLU) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, hidden, 1), act(), nn.Conv2d(hidden, width, 1), gate()
        )

    def forward(self, x):
        return x * self.net(x)


def inverted(width: int, act, gate, kernel: int = 3, expansion: int = 4) -> nn.Module:
    """An inverted residual with squeeze and excitation."""
    wide = expansion * width
    return Skipped(
        nn.Sequential(
            act_conv(width, wide, 1, act=act), act_conv(wide, wide, kernel, groups=wide, act=act),
            Squeeze(wide, width // 2, gate, act), act_conv(wide, width, 1, act=None),
        ), act=False,
    )  # fmt: skip


class ChannelConv(nn.Module):
    """A gate from a one-dimensional convolution along the channels (efficient channel attention)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x):
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).sigmoid().squeeze(1)
        return x * gate[:, :, None, None]


class BothAttentions(nn.Module):
    """A channel gate from mean and maximum, then a gate over places (convolutional block attention)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(width, width // 4, 1), nn.ReLU(), nn.Conv2d(width // 4, width, 1))
        self.places = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x):
        x = x * (self.net(F.adaptive_avg_pool2d(x, 1)) + self.net(F.adaptive_max_pool2d(x, 1))).sigmoid()
        seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.places(seen).sigmoid()


class Hierarchical(nn.Module):
    """Groups of channels one after another, each reading the one before (multi-scale residual)."""

    def __init__(self, width: int, groups: int = 4) -> None:
        super().__init__()
        part = width // groups
        self.groups, self.into, self.out = groups, act_conv(width, width, 1), act_conv(width, width, 1, act=None)
        self.steps = nn.ModuleList(act_conv(part, part) for _ in range(groups - 1))

    def forward(self, x):
        first, *rest = self.into(x).chunk(self.groups, 1)
        found, last = [first], None
        for step, one in zip(self.steps, rest, strict=True):
            last = step(one if last is None else one + last)
            found.append(last)
        return self.out(torch.cat(found, 1))


class CrossStage(nn.Module):
    """Half of the channels go around the blocks (cross-stage partial)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half, act = width // 2, nn.SiLU
        self.one, self.two = act_conv(width, half, 1, act=act), act_conv(width, half, 1, act=act)
        self.blocks = nn.Sequential(*(
            Skipped(nn.Sequential(act_conv(half, half, 1, act=act), act_conv(half, half, 3, act=act)), act=False)
            for _ in range(2)))  # fmt: skip
        self.mix = act_conv(width, width, 1, act=act)

    def forward(self, x):
        return self.mix(torch.cat([self.blocks(self.one(x)), self.two(x)], 1))


class Shuffled(nn.Module):
    """Half of the channels through a branch, then both halves interleaved."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.branch = nn.Sequential(
            act_conv(half, half, 1), act_conv(half, half, 3, groups=half, act=None), act_conv(half, half, 1)
        )

    def forward(self, x):
        a, b = x.chunk(2, 1)
        y = torch.stack([a, self.branch(b)], 2)
        return y.flatten(1, 2)


class Mixed(nn.Module):
    """Depthwise kernels of several sizes on groups of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        part = width // 4
        self.convs = nn.ModuleList(
            nn.Conv2d(part, part, k, padding=k // 2, groups=part, bias=False) for k in (3, 5, 7, 9)
        )
        self.norm, self.mix = nn.BatchNorm2d(width), act_conv(width, width, 1, act=None)

    def forward(self, x):
        y = torch.cat([conv(one) for conv, one in zip(self.convs, x.chunk(4, 1), strict=True)], 1)
        return x + self.mix(F.silu(self.norm(y)))


def net(name: str, style: str, width: int, block, count: int = 4, size: int = 32) -> Case:
    """A stem, the block so many times, and a head."""
    return Case(name, style, lambda: Classifier(width, STEM(width), *(block() for _ in range(count))), images(size))


CONVOLUTIONS = (
    net("zero last scale", "zero-scale branches", 32, lambda: Skipped(basic(32, silent=True))),
    net("zero multiplier", "zero-scale branches", 32, lambda: Skipped(basic(32), scale=0.0, act=False)),
    net("small multiplier", "layer scale", 32, lambda: Skipped(basic(32), scale=0.1)),
    net("ghost bottlenecks", "cheap copies", 32, lambda: Skipped(
        nn.Sequential(Ghost(32, 96), Ghost(96, 32, act=False)), act=False)),
    net("ghost chain", "cheap copies", 48, lambda: Ghost(48, 48)),
    net("one-shot aggregation", "aggregation", 48, lambda: OneShot(48, 24), 3),
    net("re-parametrised, three branches", "parallel branches", 32, lambda: Parallel(32, 1)),
    net("re-parametrised, six branches", "parallel branches", 32, lambda: Parallel(32, 4)),
    net("re-parametrised depthwise", "parallel branches", 48, lambda: nn.Sequential(
        Parallel(48, 2, groups=48), act_conv(48, 48, 1))),
    net("split attention", "split attention", 32, lambda: Skipped(nn.Sequential(
        act_conv(32, 32, 1), SplitAttention(32), act_conv(32, 32, 1, act=None)))),
    net("selective kernels", "split attention", 32, lambda: Skipped(nn.Sequential(
        act_conv(32, 32, 1), Selective(32), act_conv(32, 32, 1, act=None)))),
    net("inverted, silu, squeeze", "squeeze in inverted residuals", 24, lambda: inverted(24, nn.SiLU, nn.Sigmoid)),
    net("inverted, hardswish, squeeze", "squeeze in inverted residuals", 24,
        lambda: inverted(24, nn.Hardswish, nn.Hardsigmoid, 5)),
    net("inverted at 64", "normalisation over few values", 24, lambda: nn.Sequential(
        inverted(24, nn.SiLU, nn.Sigmoid), nn.MaxPool2d(2)), 4, 64),
    net("squeeze in bottlenecks", "squeeze and excitation", 48, lambda: Skipped(nn.Sequential(
        act_conv(48, 24, 1), act_conv(24, 24), act_conv(24, 48, 1, act=None), Squeeze(48, 12)))),
    net("channel convolution gates", "squeeze and excitation", 32, lambda: Skipped(
        nn.Sequential(basic(32), ChannelConv()))),
    net("channel and place gates", "squeeze and excitation", 32, lambda: Skipped(
        nn.Sequential(basic(32), BothAttentions(32)))),
    net("hierarchical groups", "aggregation", 48, lambda: Skipped(Hierarchical(48))),
    net("cross-stage partial", "aggregation", 32, lambda: CrossStage(32), 3),
    net("shuffled halves", "cheap copies", 48, lambda: Shuffled(48)),
    net("mixed depthwise kernels", "parallel branches", 48, lambda: Mixed(48)),
)  # fmt: skip
