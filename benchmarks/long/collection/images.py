"""Convolutional networks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from collection.case import Architecture, chain, images

__all__ = ["IMAGES"]


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Padded to keep the size."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1,
         activation: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:  # fmt: skip
    """Convolution, batch norm, activation."""
    return chain(
        convolution(inputs, outputs, kernel, stride, groups),
        nn.BatchNorm2d(outputs),
        activation() if activation else None,
    )


class Classifier(nn.Module):
    """Features, their mean over places, ten classes."""

    def __init__(self, width: int, *features: nn.Module) -> None:
        super().__init__()
        self.features, self.head = nn.Sequential(*features), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


def plain(width: int, depth: int, *, norm: bool = False, pool: bool = False, channels: int = 3) -> nn.Module:
    """VGG: 3 × 3 convolutions, relu, maxima over 2 × 2."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers.append(nn.Conv2d(channels if index == 0 else width, width, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(width)] if norm else []
        layers += [nn.ReLU(), *([nn.MaxPool2d(2)] if pool and index % 2 else [])]
    return Classifier(width, *layers)


def lenet() -> nn.Module:
    """tanh and averages (LeCun 1998)."""
    return chain(
        nn.Conv2d(1, 256, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(256, 256, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(256 * 16, 256), nn.Tanh(), nn.Linear(256, 10),
    )  # fmt: skip


class Block(nn.Module):
    """A residual block: relu(x + branch x)."""

    def __init__(self, inputs: int, outputs: int, branch: nn.Module, stride: int = 1) -> None:
        super().__init__()
        self.branch = branch
        changed = stride > 1 or inputs != outputs
        self.shortcut = unit(inputs, outputs, 1, stride, activation=None) if changed else nn.Identity()

    def forward(self, x):
        return torch.relu(self.branch(x) + self.shortcut(x))


def basic(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return Block(
        inputs, outputs, chain(unit(inputs, outputs, 3, stride), unit(outputs, outputs, activation=None)), stride
    )


def bottleneck(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    inner = outputs // 2
    branch = chain(unit(inputs, inner, 1), unit(inner, inner, 3, stride), unit(inner, outputs, 1, activation=None))
    return Block(inputs, outputs, branch, stride)


class PreActivation(nn.Module):
    """x + conv(relu(norm(conv(relu(norm x))))) (He 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = chain(
            nn.BatchNorm2d(width), nn.ReLU(), convolution(width, width), nn.BatchNorm2d(width), nn.ReLU(),
            convolution(width, width),
        )  # fmt: skip

    def forward(self, x):
        return x + self.branch(x)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of an image."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNext(nn.Module):
    """Depthwise 7 × 7, norm, two layers over channels, a scale that starts at 0.1 (Liu 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(functional.gelu(self.up(y)))).permute(0, 3, 1, 2)


class Inverted(nn.Module):
    """MobileNet v2: wide depthwise convolutions between narrow ends."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, wider: int = 4) -> None:
        super().__init__()
        inner = wider * inputs
        self.branch = chain(
            unit(inputs, inner, 1, activation=nn.ReLU6), unit(inner, inner, 3, stride, inner, nn.ReLU6),
            unit(inner, outputs, 1, activation=None),
        )  # fmt: skip
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.branch(x) if self.adds else self.branch(x)


class Dense(nn.Module):
    """DenseNet: every unit reads all before it."""

    def __init__(self, inputs: int, growth: int, depth: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            chain(nn.BatchNorm2d(inputs + i * growth), nn.ReLU(), convolution(inputs + i * growth, growth))
            for i in range(depth)
        )

    def forward(self, x):
        for one in self.units:
            x = torch.cat([x, one(x)], 1)
        return x


class Branches(nn.Module):
    """Several ways side by side, stacked (Inception, and SqueezeNet's fire module)."""

    def __init__(self, *ways: nn.Module) -> None:
        super().__init__()
        self.ways = nn.ModuleList(ways)

    def forward(self, x):
        return torch.cat([way(x) for way in self.ways], 1)


def fire(inputs: int, squeezed: int, expanded: int) -> nn.Module:
    return chain(
        nn.Conv2d(inputs, squeezed, 1), nn.ReLU(),
        Branches(chain(nn.Conv2d(squeezed, expanded, 1), nn.ReLU()),
                 chain(nn.Conv2d(squeezed, expanded, 3, padding=1), nn.ReLU())),
    )  # fmt: skip


def inception(inputs: int) -> nn.Module:
    return Branches(
        unit(inputs, 128, 1), chain(unit(inputs, 128, 1), unit(128, 128)),
        chain(unit(inputs, 64, 1), unit(64, 64, 5)), chain(nn.MaxPool2d(3, 1, 1), unit(inputs, 64, 1)),
    )  # fmt: skip


class Squeezed(nn.Module):
    """A residual block whose channels are weighed by a gate over the whole image (Hu 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = chain(unit(width, width), unit(width, width, activation=None))
        self.gate = chain(nn.Linear(width, width // 4), nn.ReLU(), nn.Linear(width // 4, width), nn.Sigmoid())

    def forward(self, x):
        y = self.branch(x)
        return torch.relu(x + y * self.gate(y.mean((2, 3)))[:, :, None, None])


class UNet(nn.Module):
    """Down, up again, and across (Ronneberger 2015)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = unit(3, width), unit(width, width)
        self.bottom = unit(width, width)
        self.rise, self.last = unit(2 * width, width), unit(2 * width, width)
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x):
        first = self.first(x)
        second = self.second(functional.max_pool2d(first, 2))
        bottom = self.bottom(functional.max_pool2d(second, 2))
        up = functional.interpolate(bottom, scale_factor=2, mode="bilinear")
        up = functional.interpolate(self.rise(torch.cat([up, second], 1)), scale_factor=2, mode="nearest")
        return self.head(self.last(torch.cat([up, first], 1)))


def autoencoder(width: int) -> nn.Module:
    """Strided convolutions down, transposed ones up."""
    return chain(
        nn.Conv2d(3, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(),
        nn.ConvTranspose2d(width, width, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1),
    )  # fmt: skip


SMALL = images(8, 3, 16)
W = 256

IMAGES = (
    Architecture("VGG", "convolutional", lambda: plain(W, 5), SMALL, "he_normal"),
    Architecture(
        "VGG, pooling",
        "convolutional",
        lambda: plain(W, 6, pool=True, channels=1),
        images(8, 1, 28),
        "he_normal",
        real="mnist",
    ),
    Architecture("VGG, batch norm", "normalised", lambda: plain(W, 5, norm=True, pool=True), SMALL),
    Architecture(
        "LeNet, tanh, average pooling", "convolutional", lenet, images(8, 1, 28), "glorot_normal", real="mnist"
    ),
    Architecture(
        "ResNet, basic",
        "residual",
        lambda: Classifier(W, unit(3, W), basic(W, W), basic(W, W, 2), basic(W, W)),
        SMALL,
        "he_normal",
    ),
    Architecture(
        "ResNet, bottleneck",
        "residual",
        lambda: Classifier(512, unit(1, W), bottleneck(W, 512), bottleneck(512, 512, 2), bottleneck(512, 512)),
        images(8, 1, 28),
        "he_normal",
        real="mnist",
    ),
    Architecture(
        "ResNet, pre-activation",
        "residual",
        lambda: Classifier(W, convolution(3, W), PreActivation(W), PreActivation(W), nn.BatchNorm2d(W), nn.ReLU()),
        SMALL,
    ),
    Architecture(
        "ConvNeXt",
        "residual",
        lambda: Classifier(
            W, nn.Conv2d(3, W, 4, 4), ChannelNorm(W), ConvNext(W), ConvNext(W), ConvNext(W), ChannelNorm(W)
        ),
        images(8, 3, 32),
    ),
    Architecture(
        "MobileNet v2",
        "residual",
        lambda: Classifier(
            W,
            unit(3, 64, activation=nn.ReLU6),
            Inverted(64, 64),
            Inverted(64, 96, 2),
            Inverted(96, 96),
            unit(96, W, 1, activation=nn.ReLU6),
        ),
        SMALL,
        "he_normal",
    ),
    Architecture(
        "DenseNet",
        "normalised",
        lambda: Classifier(
            512,
            convolution(3, W),
            Dense(W, 64, 4),
            nn.BatchNorm2d(512),
            nn.ReLU(),
            convolution(512, W, 1),
            nn.AvgPool2d(2),
            Dense(W, 64, 4),
        ),
        SMALL,
    ),
    Architecture(
        "SqueezeNet",
        "convolutional",
        lambda: Classifier(
            512, nn.Conv2d(3, W, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), fire(W, 64, W), fire(512, 64, W)
        ),
        SMALL,
        "he_normal",
    ),
    Architecture("Inception", "normalised", lambda: Classifier(384, unit(3, W), inception(W), inception(384)), SMALL),
    Architecture("squeeze and excitation", "gated", lambda: Classifier(W, unit(3, W), Squeezed(W), Squeezed(W)), SMALL),
    Architecture("U-Net", "normalised", lambda: UNet(W), SMALL),
    Architecture("autoencoder, transposed", "convolutional", lambda: autoencoder(W), SMALL, "he_normal"),
)
