"""Forward passes that do more than compute: they cache, branch, look at values, recompute, cast, and roll dice."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from gainstage.graph import Role
from zoo.case import Case, Expected, normal, tokens

__all__ = ["RUNTIME"]


class Checkpointed(nn.Module):
    """Blocks that are computed again on the way back."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.1), nn.Tanh()) for _ in range(2)])
        self.head = nn.Linear(8, 3)
        self.reentrant = reentrant

    def forward(self, x):
        x = x.clone().requires_grad_()
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


class Caching(nn.Module):
    """Keeps tensors, counts its calls, and grows a list."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.calls, self.history, self.last, self.mask = 0, [], None, None

    def forward(self, x):
        if self.mask is None:
            self.mask = torch.linspace(0.5, 1.5, 8)
        self.calls += 1
        self.last = torch.relu(self.layer(x)) * self.mask
        self.history.append(self.last)
        return self.head(self.last)


class PlainAttributes(nn.Module):
    """Tensors that are neither parameters nor buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.mean, self.rotation = torch.randn(8), torch.linalg.qr(torch.randn(8, 8))[0]
        self.scales = [torch.full((8,), 2.0), torch.full((8,), 0.5)]

    def forward(self, x):
        x = (x - self.mean) @ self.rotation
        return self.layer(x) * self.scales[0] * self.scales[1]


class LooksAtValues(nn.Module):
    """Calls ``.item()`` and branches on what it finds."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.large, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        scale = x.abs().max().item()
        x = self.small(x / scale) if scale < 100 else self.large(x)
        return self.head(torch.relu(x))


class SelectedRows(nn.Module):
    """The number of rows depends on the values: indexing by a mask, then scattering back."""

    def __init__(self) -> None:
        super().__init__()
        self.positive, self.negative = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x):
        chosen = x.sum(1) > 0
        out = torch.zeros(len(x), 3)
        out[chosen] = self.positive(x[chosen])
        out[~chosen] = self.negative(x[~chosen])
        return out


class Autocast(nn.Module):
    """Works in bfloat16, and knows it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for layer in self.layers:
                x = functional.gelu(layer(x))
            return self.norm(x).float()


class Cube(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x, scale)
        return x.pow(3) * scale

    @staticmethod
    def backward(ctx, gradient):
        x, scale = ctx.saved_tensors
        return gradient * 3 * x.pow(2) * scale, (gradient * x.pow(3)).sum(0)


class Custom(nn.Module):
    """Uses a custom autograd function that takes a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.scale = nn.Parameter(torch.full((8,), 0.3))

    def forward(self, x):
        return self.head(Cube.apply(self.layer(x), self.scale))


class StraightThrough(nn.Module):
    """Rounds on the way forward and not on the way back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = torch.sigmoid(self.layer(x))
        return self.head(x + (x.round() - x).detach())


class Dice(nn.Module):
    """Draws from the random states of Python, NumPy and PyTorch, and drops whole layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])
        self.noise = nn.Dropout(0.3)

    def forward(self, x):
        x = x + 0.1 * torch.randn_like(x) * float(np.random.rand())
        for layer in self.layers:
            x = x + self.noise(torch.tanh(layer(x))) * (1.0 if random.random() < 2 else 0.0)
        return functional.dropout(x, 0.2, self.training)


class Hooked(nn.Module):
    """Brings hooks of its own, one of which changes the output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.layer.register_forward_hook(lambda module, args, out: 2 * out)
        self.head.register_forward_pre_hook(lambda module, args: (torch.relu(args[0]),))
        self.layer.weight.register_hook(lambda gradient: gradient * 1.0)

    def forward(self, x):
        return self.head(self.layer(x))


class MovingCodes(nn.Module):
    """A buffer is written in training, as in vector quantisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 4), nn.Linear(4, 3)
        self.register_buffer("codes", torch.randn(5, 4))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, x):
        hidden = self.layer(x)
        nearest = torch.cdist(hidden, self.codes).argmin(1)
        if self.training:
            self.steps += 1
            self.codes.index_copy_(0, nearest[:1], hidden[:1].detach())
        codes = functional.embedding(nearest, self.codes)
        return self.head(hidden + (codes - hidden).detach())


class HalfFrozen(nn.Module):
    """The first part runs without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 3)

    def forward(self, x):
        with torch.no_grad():
            x = self.backbone(x)
        return self.head(x)


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 64), nn.Linear(64, 3)
        )


def half(dtype: torch.dtype) -> Case:
    return Case(
        str(dtype).removeprefix("torch."),
        lambda: nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)).to(dtype),
        lambda: torch.randn(6, 8, dtype=dtype),
        tokens(3, 6),
        functional.cross_entropy,
        expects={
            "0.weight": Expected("linear.weight", Role.BEFORE_NORM),
            "1.weight": "normalization.scale",
            "1.bias": "normalization.shift",
            **PLAIN,
        },
    )


PLAIN = {"*weight": "linear.weight", "*bias": "linear.bias"}
ROWS = normal(6, 8)

RUNTIME = (
    Case("checkpointed block", lambda: Checkpointed(reentrant=False), ROWS, expects=PLAIN),
    Case("reentrant checkpoint", lambda: Checkpointed(reentrant=True), ROWS, expects=PLAIN),
    Case("cached tensors", Caching, ROWS, expects=PLAIN),
    Case("tensors as plain attributes", PlainAttributes, ROWS, expects=PLAIN),
    Case("item in forward", LooksAtValues, ROWS, expects=PLAIN, unreached=("large.*",)),
    Case("rows chosen by value", SelectedRows, ROWS, expects=PLAIN),
    Case(
        "autocast",
        Autocast,
        ROWS,
        expects={"norm.weight": "normalization.scale", "norm.bias": "normalization.shift", **PLAIN},
    ),
    Case("custom function", Custom, ROWS, expects={"scale": "scale.scale", **PLAIN}),
    Case("straight-through rounding", StraightThrough, ROWS, expects=PLAIN),
    Case("dice", Dice, ROWS, expects=PLAIN),
    Case(
        "dropout",
        lambda: nn.Sequential(nn.Linear(8, 12), nn.Dropout(0.5), nn.AlphaDropout(0.1), nn.Linear(12, 3)),
        ROWS,
        expects=PLAIN,
    ),
    Case("hooks of its own", Hooked, ROWS, expects=PLAIN),
    Case("moving codes", MovingCodes, ROWS, expects=PLAIN, unknown=("_cdist_forward",)),
    Case("half without gradients", HalfFrozen, ROWS, expects=PLAIN, nondifferentiable=("backbone.*",)),
    Case(
        "evaluation mode",
        lambda: nn.Sequential(nn.Linear(8, 12), nn.Dropout(0.5), nn.Linear(12, 3)).eval(),
        ROWS,
        expects=PLAIN,
    ),
    half(torch.bfloat16),
    half(torch.float16),
    Case(
        "meta device",
        on_meta,
        normal(4, 3, 8, 8),
        expects={
            "0.weight": Expected("convolution.weight", Role.BEFORE_NORM),
            "0.bias": "convolution.bias",
            "1.weight": "normalization.scale",
            "1.bias": "normalization.shift",
            **PLAIN,
        },
        memoryless=True,
    ),
)
