"""Networks that healthy and sick cases share."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

__all__ = [
    "MLP", "DecoderBlock", "EncoderClassifier", "MobileNet", "ResidualMLP", "ResidualNet", "SequenceClassifier", "VGG",
]  # fmt: skip

Rule = Callable[[torch.Tensor], object]


def MLP(  # noqa: N802
    *sizes: int, activation: Callable[[], nn.Module] = nn.ReLU, rule: Rule | None = None, head: Rule | None = None,
    bias: bool = True,
) -> nn.Sequential:  # fmt: skip
    """Linear layers with an activation between them, drawn by ``rule`` (biases then zero), the last one by ``head``."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out, bias=bias), activation()]
    layers.pop()
    network = nn.Sequential(*layers)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    for layer in linear:
        chosen = head if layer is linear[-1] and head is not None else rule
        if chosen is not None:
            chosen(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


class VGG(nn.Module):
    """Convolutions, normalised or not, with pooling in between."""

    def __init__(self, channels: int = 1, width: int = 16, *, norm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, out in enumerate((width, width, 2 * width, 2 * width)):
            layers.append(nn.Conv2d(channels, out, 3, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(out)] if norm else []
            layers.append(nn.ReLU())
            layers += [nn.MaxPool2d(2)] if index % 2 else []
            channels = out
        self.features, self.head = nn.Sequential(*layers), nn.Linear(2 * width, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, *, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=not norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=not norm)
        self.norm1 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm2d(outputs) if norm else nn.Identity()
        changes = stride > 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changes else nn.Identity()

    def forward(self, x):
        out = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class ResidualNet(nn.Module):
    """A small ResNet with batch norm or without; its branches start at zero on request (without norms: Fixup)."""

    def __init__(self, blocks: int = 4, width: int = 16, *, norm: bool = True, zero_branches: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        sizes = [width] * (blocks // 2) + [2 * width] * (blocks - blocks // 2)
        stages, inputs = [], width
        for outputs in sizes:
            stages.append(_Block(inputs, outputs, 1 if outputs == inputs else 2, norm=norm))
            inputs = outputs
        self.blocks, self.head = nn.Sequential(*stages), nn.Linear(inputs, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in stages if zero_branches else ():
            if norm:
                nn.init.zeros_(block.norm2.weight)
            else:
                nn.init.zeros_(block.conv2.weight)
                block.conv1.weight.data *= blocks**-0.5
        if zero_branches and not norm:
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


class ResidualMLP(nn.Module):
    """Pre-norm residual blocks on a stream, with or without the norms, each branch scaled."""

    def __init__(self, depth: int = 8, width: int = 64, *, norm: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList(
            [
                nn.Sequential(
                    nn.LayerNorm(width) if norm else nn.Identity(),
                    nn.Linear(width, width),
                    nn.ReLU(),
                    nn.Linear(width, width),
                )
                for _ in range(depth)
            ]
        )
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.head, self.scale = nn.Linear(width, 10), scale

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + self.scale * block(x)
        return self.head(self.norm(x))


class EncoderClassifier(nn.Module):
    """Rows of an image through PyTorch's own encoder layers."""

    def __init__(self, depth: int = 2, width: int = 32, *, norm_first: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(8, width)
        self.positions = nn.Parameter(torch.randn(1, 8, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        for copy in self.encoder.layers:  # clones start as copies of each other
            for parameter in copy.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        self.norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.norm(self.encoder(self.project(x) + self.positions)).mean(1))


class SequenceClassifier(nn.Module):
    """A recurrent layer over the rows of an image."""

    def __init__(self, layer: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.layer(x)[0][:, -1])


class MobileNet(nn.Module):
    """Depthwise and pointwise convolutions with batch norm."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU6())
        blocks = []
        for _ in range(3):
            blocks.append(
                nn.Sequential(
                    nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
                    nn.Conv2d(width, 2 * width, 1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU6(),
                )
            )  # fmt: skip
            width *= 2
        self.blocks, self.head = nn.Sequential(*blocks), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class DecoderBlock(nn.Module):
    """Causal attention and a feed-forward part, pre-norm; without skips on request."""

    def __init__(self, width: int = 32, *, skips: bool = True) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.skips = skips

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        branch = self.out(attended.transpose(1, 2).flatten(2))
        x = x + branch if self.skips else branch
        branch = self.down(functional.gelu(self.up(self.norm2(x))))
        return x + branch if self.skips else branch
