"""Architectures with and without their normalisation layers: one declarative list."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from zoo.case import Case
from zoo.healthy import ConvNeXt, Mixer, UNet
from zoo.hf import HUGGING_FACE
from zoo.networks import MLP, VGG, EncoderClassifier, MobileNet, ResidualMLP, ResidualNet

__all__ = ["ARCHITECTURES", "EXAMPLES", "Architecture"]

EXAMPLES, CLASSES = 32, 10
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.SELU, nn.ELU, nn.Softplus, nn.Mish,
               nn.Hardswish)  # fmt: skip
_NEEDS_ITS_NORMS = ("mamba", "wav2vec2")  # their own code reads the norm's weight, or passes it more than a signal
_NORM = re.compile(r"Norm\d?d?$")


@dataclass(frozen=True, eq=False)
class Architecture:
    """One row of the table.

    Args:
        name: of the architecture.
        build: makes it, from the random state it is called in, as its own code draws it.
        inputs: makes a batch.
        chance: the loss at equal probabilities; None where the model's own loss has no such value.
        normalised: whether it has normalisation layers.
        targets: makes the labels; None where the model computes its own loss.
        loss: on the output and the labels.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    chance: float | None
    normalised: bool
    targets: Callable[[], torch.Tensor] | None = None
    loss: Callable[[Any, Any], torch.Tensor] | None = None

    def __str__(self) -> str:
        return self.name

    def model(self, seed: int) -> nn.Module:
        """Equal seeds give equal weights."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build()

    def batch(self, seed: int) -> Any:
        """Equal seeds give equal values."""
        with torch.random.fork_rng():
            torch.manual_seed(1000 + seed)
            return self.inputs()


class DenseNet(nn.Module):
    """Every layer reads all before it."""

    def __init__(self, growth: int = 8, depth: int = 6) -> None:
        super().__init__()
        widths = [growth * (i + 1) for i in range(depth)]
        self.stem = nn.Conv2d(1, growth, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(w), nn.ReLU(), nn.Conv2d(w, growth, 3, padding=1)) for w in widths
        )
        self.head = nn.Linear(widths[-1] + growth, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(x.mean((2, 3)))


def without_norms(build: Callable[[], nn.Module]) -> nn.Module:
    """The same network, its normalisation layers taken out."""
    model = build()
    for name, module in list(model.named_modules()):
        if name and _NORM.search(type(module).__name__):
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, nn.Identity())
    return model


def _own(name: str, build: Callable[[], nn.Module], *shape: int, normalised: bool = True) -> Iterator[Architecture]:
    """A classifier of ten classes, as many examples of each as of any other."""
    one = Architecture(
        name, build, partial(torch.randn, EXAMPLES, *shape), math.log(CLASSES), normalised,
        lambda: torch.arange(EXAMPLES) % CLASSES, functional.cross_entropy,
    )  # fmt: skip
    yield one
    if normalised:
        yield replace(one, name=f"{name}, no norms", build=partial(without_norms, build), normalised=False)


def _pixels(name: str, build: Callable[[], nn.Module], *shape: int) -> Iterator[Architecture]:
    """Yes or no for every pixel."""
    for one in _own(name, build, *shape):
        yield replace(
            one, chance=math.log(2), loss=functional.binary_cross_entropy_with_logits,
            targets=lambda: torch.arange(EXAMPLES * math.prod(shape)).reshape(EXAMPLES, *shape) % 2.0,
        )  # fmt: skip


def _several(case: Case) -> dict[str, Any]:
    """Batches of the library's cases are small: several of them side by side."""
    parts = [case.inputs() for _ in range(8)]
    joined = {
        name: torch.cat([part[name] for part in parts]) if isinstance(value, torch.Tensor) else value
        for name, value in parts[0].items()
    }
    labels = joined.get("labels")
    if labels is not None and labels.dim() == 1:
        joined["labels"] = torch.arange(len(labels)) % 3
    return joined


def _library(case: Case) -> Iterator[Architecture]:
    inputs = partial(_several, case)
    yield Architecture(f"hf:{case.name}", case.build, inputs, case.chance, True)
    if case.name not in _NEEDS_ITS_NORMS:
        bare = partial(without_norms, case.build)
        yield Architecture(f"hf:{case.name}, no norms", bare, inputs, case.chance, False)


ARCHITECTURES: tuple[Architecture, ...] = (
    *(
        one
        for activation in ACTIVATIONS
        for depth in (10, 30)
        for one in _own(
            f"{activation.__name__} {depth}", lambda a=activation, d=depth: MLP(64, *[64] * d, CLASSES, activation=a),
            64, normalised=False,
        )
    ),
    *_own("residual mlp", lambda: ResidualMLP(20), 64),
    *_own("resnet", lambda: ResidualNet(8), 1, 8, 8),
    *_own("vgg", VGG, 1, 8, 8),
    *_own("mobilenet", MobileNet, 1, 8, 8),
    *_own("transformer, pre-norm", lambda: EncoderClassifier(6), 8, 8),
    *_own("transformer, post-norm", lambda: EncoderClassifier(6, norm_first=False), 8, 8),
    *_own("mixer", Mixer, 8, 8),
    *_own("convnext, 3 blocks", ConvNeXt, 1, 8, 8),
    *_own("densenet", DenseNet, 1, 8, 8),
    *_pixels("u-net", UNet, 1, 8, 8),
    *(one for case in HUGGING_FACE for one in _library(case)),
)  # fmt: skip
