"""Every operation's rule, forward and backward, against real layers that are drawn again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.graph import Operation
from gainstage.propagation.table import RULES

SEEDS = 16


class Apply(nn.Module):
    """Modules first, then a function of their outputs on one input."""

    def __init__(self, function: Callable[..., torch.Tensor], *modules: nn.Module):
        super().__init__()
        self.function, self.parts = function, nn.ModuleList(modules)

    def forward(self, x):
        return self.function(*(part(x) for part in self.parts))


class Pairwise(nn.Module):
    """Two layers of one input, and a bilinear layer of both."""

    def __init__(self, first: nn.Linear, second: nn.Linear, width: int):
        super().__init__()
        self.first, self.second = first, second
        self.both = nn.Bilinear(first.out_features, second.out_features, width)

    def forward(self, x):
        return self.both(torch.relu(self.first(x)), self.second(x))


@dataclass(frozen=True)
class Case:
    """One operation between layers; ``slack`` is what theory may miss beyond the sampling error."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = (32, 256)
    slack: float = 0.02
    tokens: int = 0
    operations: tuple[Operation, ...] = ()


def between(*middle: nn.Module, width: int = 256, out: int | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), *middle, nn.Linear(out or width, width))


def image(*middle: nn.Module, channels: int = 64, out: int | None = None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(16, channels, 3, padding=1), *middle, nn.Conv2d(out or channels, 64, 3, padding=1))


def attend(x, causal=False):
    q, k, v = x.chunk(3, -1)
    split = lambda t: t.unflatten(-1, (4, -1)).transpose(1, 2)  # noqa: E731
    out = functional.scaled_dot_product_attention(split(q * 3), split(k * 3), split(v), is_causal=causal)
    return out.transpose(1, 2).flatten(2)


def attend_at_once(x):
    """As BLOOM does: the product of queries and keys is scaled as it is added to a bias."""
    q, k, v = (part.unflatten(-1, (4, -1)).transpose(1, 2).flatten(0, 1) for part in x.chunk(3, -1))
    scores = torch.baddbmm(torch.zeros(len(q), 1, q.shape[1]), q * 3, k.mT * 3, alpha=q.shape[-1] ** -0.5)
    out = scores.softmax(-1) @ v
    return out.unflatten(0, (-1, 4)).transpose(1, 2).flatten(2)


def attend_by_hand(x):
    q, k, v = x.chunk(3, -1)
    return ((3 * q) @ (3 * k).transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v


def heads_of(*projected):
    return [x.unflatten(-1, (4, -1)).transpose(1, 2) for x in projected]


def heads(q, k, v):
    return functional.scaled_dot_product_attention(*heads_of(q, k, v)).transpose(1, 2).flatten(2)


def heads_by_hand(q, k, v):
    q, k, v = heads_of(q, k, v)
    return ((q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v).transpose(1, 2).flatten(2)


def averaged(attending) -> nn.Module:
    """Attention whose tokens all get the same gradient: those of one value add up, over the tokens of every head."""
    projections = (nn.Linear(64, 64, bias=False) for _ in range(3))
    return nn.Sequential(Apply(attending, *projections), nn.Linear(64, 64), Calls(torch.mean, dim=1))


def gelu_by_hand(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class Calls(nn.Module):
    def __init__(self, function, **settings):
        super().__init__()
        self.function, self.settings = function, settings

    def forward(self, x):
        return self.function(x, **self.settings)


class Causal(nn.Module):
    """Causal attention on a stream whose rows differ in level, with a norm before it."""

    def __init__(self, width: int):
        super().__init__()
        self.norm, self.qkv, self.out = nn.RMSNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        return x + 3 * self.out(attend(self.qkv(self.norm(x)), causal=True))


class Biased(nn.Module):
    """Scores written out, with a learned bias by position, which is no mask."""

    def __init__(self, width: int, places: int):
        super().__init__()
        self.qkv, self.bias = nn.Linear(width, 3 * width), nn.Embedding(places * places, 1)
        self.register_buffer("where", torch.arange(places * places).view(places, places))

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (4 * q) @ (4 * k).transpose(-1, -2) / math.sqrt(q.shape[-1])
        return (scores + self.bias(self.where).squeeze(-1)).softmax(-1) @ v


class Mixes(nn.Module):
    """Adds to every token a mixture of all, behind a norm."""

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.norm, self.mix = nn.LayerNorm(width), nn.Linear(tokens, tokens, bias=False)
        nn.init.normal_(self.mix.weight, std=tokens**-0.5)

    def forward(self, x):
        return x + self.mix(self.norm(x).transpose(1, 2)).transpose(1, 2)


class Highway(nn.Module):
    """t · f(x) + (1 - t) · x."""

    def __init__(self, width: int):
        super().__init__()
        self.evaluated, self.gate = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        opened = torch.sigmoid(self.gate(x))
        return opened * torch.relu(self.evaluated(x)) + (1 - opened) * x


class Squeezed(nn.Module):
    """relu(x + y · gate(mean of y)), with a gate for the whole image."""

    def __init__(self, width: int):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.gate = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, width), nn.Sigmoid())

    def forward(self, x):
        y = self.branch(x)
        return torch.relu(x + y * self.gate(y.mean((2, 3)))[:, :, None, None])


class First(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)[0]


class PostNorm(nn.Module):
    """norm(x + small branch of x): the norms stand on the stream."""

    def __init__(self, width: int):
        super().__init__()
        self.branch, self.norm = nn.Linear(width, width), nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(x + 0.3 * torch.tanh(self.branch(x)))


class Stream(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x


def recurrent(kind) -> nn.Module:
    return nn.Sequential(First(kind(64, 128, batch_first=True)), nn.Linear(128, 64))


IMAGE, TOKENS = (8, 16, 12, 12), (8, 24, 128)
O = Operation
CASES = {
    "linear": Case(lambda: between(), operations=(O.LINEAR, O.INPUT)),
    "relu": Case(lambda: between(nn.ReLU(), nn.Linear(256, 256), nn.ReLU()), operations=(O.ACTIVATION,)),
    "leaky relu with a bias": Case(lambda: between(nn.LeakyReLU(0.2))),
    "tanh": Case(lambda: between(nn.Tanh(), nn.Linear(256, 256), nn.Tanh())),
    "sigmoid": Case(lambda: between(nn.Sigmoid())),
    "gelu written out": Case(lambda: between(Calls(gelu_by_hand))),
    "square": Case(lambda: between(Calls(lambda x: x * x))),
    "x + x": Case(lambda: between(Calls(lambda x: x + x)), operations=(O.ADD,)),
    "x + relu(x)": Case(lambda: between(Calls(lambda x: x + torch.relu(x)))),
    "x - mean of nothing": Case(lambda: between(Calls(lambda x: 2 * x - 0.5)), operations=(O.OFFSET, O.SCALE)),
    "relu(relu(x) + y)": Case(
        lambda: nn.Sequential(
            nn.Linear(256, 256), nn.ReLU(), Stream(nn.Linear(256, 256)), nn.ReLU(), Stream(nn.Linear(256, 256)),
            nn.ReLU(),
        ),
        slack=0.03,
    ),
    "residual stream": Case(
        lambda: Stream(*(nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 256), nn.ReLU()) for _ in range(4)))
    ),
    "gate": Case(
        lambda: nn.Sequential(
            nn.Linear(256, 256),
            Apply(lambda a, b: torch.sigmoid(a) * b, nn.Linear(256, 256), nn.Linear(256, 256)),
            nn.Linear(256, 64),
        ),
        operations=(O.MULTIPLY,),
    ),
    "gated by a half": Case(lambda: between(nn.GLU(), out=128), slack=0.03),
    "split and multiplied": Case(lambda: between(Calls(lambda x: x.chunk(2, -1)[0] * x.chunk(2, -1)[1]), out=128)),
    "dropout": Case(lambda: between(nn.ReLU(), nn.Dropout(0.4)), operations=(O.DROPOUT,)),
    "layer norm": Case(lambda: between(nn.ReLU(), nn.LayerNorm(256)), operations=(O.NORMALIZATION,)),
    "norms on the stream": Case(
        lambda: nn.Sequential(nn.Linear(64, 64), *(PostNorm(64) for _ in range(6)), nn.Linear(64, 64)), (64, 64), 0.03
    ),
    "rms norm": Case(lambda: between(nn.RMSNorm(256))),
    "batch norm": Case(lambda: between(nn.ReLU(), nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU()), slack=0.015),
    "batch norm of few examples": Case(
        lambda: between(nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256), nn.BatchNorm1d(256), nn.ReLU()),
        (12, 256), 0.03,
    ),
    "batch norm behind few units": Case(
        lambda: nn.Sequential(
            nn.Linear(256, 24), nn.BatchNorm1d(24), nn.Linear(24, 256), nn.BatchNorm1d(256), nn.ReLU()
        ),
        (128, 256), 0.02,
    ),
    "batch norm beside a skip": Case(
        lambda: between(
            nn.ReLU(), Apply(lambda a, b: torch.relu(a + b), nn.Identity(), between(nn.BatchNorm1d(256)))
        ), slack=0.03,
    ),
    "batch norm behind largest places": Case(
        lambda: image(
            nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(64, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        ), IMAGE, 0.03,
    ),
    "batch norm in evaluation": Case(lambda: between(nn.BatchNorm1d(256), nn.ReLU()).eval()),
    "batch norm of images": Case(
        lambda: image(nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()), IMAGE, 0.06
    ),
    "group norm": Case(lambda: image(nn.GroupNorm(4, 64), nn.ReLU()), IMAGE, 0.03),
    "convolution": Case(
        lambda: image(nn.ReLU(), nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU()), IMAGE, 0.04, operations=(O.CONVOLUTION,)
    ),
    "dilated and grouped": Case(lambda: image(nn.Conv2d(64, 64, 3, padding=2, dilation=2, groups=4)), IMAGE, 0.04),
    "depthwise": Case(lambda: image(nn.Conv2d(64, 64, 5, padding=2, groups=64)), IMAGE, 0.06),
    "transposed": Case(lambda: image(nn.ConvTranspose2d(64, 64, 4, 2, 1), nn.ReLU()), IMAGE, 0.04),
    "max pooling": Case(lambda: image(nn.ReLU(), nn.MaxPool2d(2)), IMAGE, 0.04, 0, (O.POOLING,)),
    "overlapping maxima, places averaged": Case(
        lambda: nn.Sequential(
            nn.Conv2d(16, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), Calls(torch.mean, dim=(2, 3)),
            nn.Linear(64, 64),
        ), IMAGE, 0.03,
    ),
    "average pooling": Case(lambda: image(nn.ReLU(), nn.AvgPool2d(2)), IMAGE, 0.04),
    "mean over an image": Case(
        lambda: nn.Sequential(
            nn.Conv2d(16, 256, 3, padding=1), nn.ReLU(), Calls(torch.mean, dim=(2, 3)), nn.Linear(256, 64)
        ),
        IMAGE, 0.04, operations=(O.REDUCTION,),
    ),
    "nearest upsampling": Case(lambda: image(nn.Upsample(scale_factor=2)), IMAGE, 0.04, 0, (O.RESAMPLE,)),
    "bilinear layer": Case(
        lambda: nn.Sequential(Pairwise(nn.Linear(256, 192), nn.Linear(256, 160), 128), nn.Linear(128, 256)),
        slack=0.05, operations=(Operation.BILINEAR,),
    ),
    "bilinear upsampling": Case(
        lambda: image(
            nn.ReLU(), nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        ), IMAGE, 0.03,
    ),
    "ways side by side between convolutions": Case(
        lambda: image(
            Apply(
                lambda a, b: torch.cat((a, b), 1), nn.Upsample(scale_factor=2),
                nn.Upsample(scale_factor=2, mode="bilinear"),
            ), nn.Conv2d(128, 64, 3, padding=1), nn.ReLU(), out=64,
        ), (16, 16, 6, 6), 0.03,
    ),
    "flattening": Case(
        lambda: nn.Sequential(nn.Conv2d(16, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 144, 64)),
        IMAGE, 0.04,
    ),
    "concatenation": Case(
        lambda: nn.Sequential(
            Apply(lambda a, b: torch.cat((a, torch.tanh(4 * b)), 1), nn.Linear(256, 256), nn.Linear(256, 128)),
            nn.BatchNorm1d(384), nn.ReLU(), nn.Linear(384, 128),
        ),
        slack=0.05, operations=(O.CONCATENATION,),
    ),
    "slices": Case(lambda: between(Calls(lambda x: x[:, :128]), out=128), operations=(O.RESHAPE,)),
    "padding": Case(lambda: image(nn.ZeroPad2d(2)), IMAGE, 0.06),
    "zeros set around few places": Case(
        lambda: image(
            nn.ReLU(), nn.ZeroPad2d(1), nn.Conv2d(64, 64, 3, groups=64), nn.ReLU(), nn.ZeroPad2d((0, 2, 0, 1)),
            nn.Conv2d(64, 64, 3), nn.ReLU(),
        ), (16, 16, 3, 3), 0.06,
    ),
    "softmax": Case(lambda: between(nn.Softmax(-1)), slack=0.03, operations=(O.SOFTMAX,)),
    "token mixing": Case(
        lambda: nn.Sequential(
            nn.Linear(128, 128), nn.GELU(), Calls(torch.transpose, dim0=1, dim1=2), nn.Linear(24, 48), nn.GELU(),
            nn.Linear(48, 24), Calls(torch.transpose, dim0=1, dim1=2), nn.Linear(128, 64),
        ),
        TOKENS, 0.06,
    ),
    "tokens of few directions, mixed on a stream": Case(
        lambda: nn.Sequential(
            nn.Linear(8, 128, bias=False), *(Mixes(128, 24) for _ in range(3)), nn.LayerNorm(128), nn.Linear(128, 64)
        ),
        (16, 24, 8), 0.03,
    ),
    "attention": Case(
        lambda: nn.Sequential(nn.Linear(128, 384), Calls(attend), nn.Linear(128, 64)), TOKENS, 0.15, 0, (O.ATTENTION,)
    ),
    "causal attention": Case(
        lambda: nn.Sequential(nn.Linear(128, 384), Calls(attend, causal=True), nn.Linear(128, 64)), TOKENS, 0.15
    ),
    "causal streams of rows of different level": Case(
        lambda: nn.Sequential(*(Causal(128) for _ in range(3)), nn.RMSNorm(128), nn.Linear(128, 64)), TOKENS, 0.08
    ),
    "highway": Case(lambda: between(nn.ReLU(), *(Highway(256) for _ in range(3))), slack=0.05),
    "squeeze and excitation": Case(
        lambda: nn.Sequential(
            nn.Conv2d(16, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), Squeezed(64), Squeezed(64),
            Calls(torch.mean, dim=(2, 3)), nn.Linear(64, 64),
        ),
        IMAGE, 0.06,
    ),
    "attention by hand": Case(
        lambda: nn.Sequential(nn.Linear(128, 384), Calls(attend_by_hand), nn.Linear(128, 64)),
        TOKENS, 0.15, operations=(O.MATMUL,),
    ),
    "scores added to a bias at once": Case(
        lambda: nn.Sequential(nn.Linear(128, 384), Calls(attend_at_once), nn.Linear(128, 64)), TOKENS, 0.15,
        operations=(O.MATMUL,),
    ),
    "heads, tokens averaged": Case(lambda: averaged(heads), (16, 16, 64), 0.15),
    "heads by hand, tokens averaged": Case(lambda: averaged(heads_by_hand), (16, 16, 64), 0.15),
    "embedding": Case(
        lambda: nn.Sequential(nn.Embedding(500, 128), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64)), (16, 12),
        0.03, 500, (O.EMBEDDING,),
    ),
    "rnn": Case(lambda: recurrent(nn.RNN), (16, 12, 64), 0.15, operations=(O.RECURRENT,)),
    "lstm": Case(lambda: recurrent(nn.LSTM), (16, 12, 64), 0.15),
    "gru": Case(lambda: recurrent(nn.GRU), (16, 12, 64), 0.15),
}  # fmt: skip


def signs(output: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
    return (output * sign.expand_as(output) if sign.numel() == 1 else output * sign).sum() / len(output)


def batch(case: Case, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    if case.tokens:
        return torch.randint(0, case.tokens, case.shape, generator=generator)
    return torch.randn(case.shape, generator=generator)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_agrees_with_real_layers(name):
    case = CASES[name]
    forward, backward, predicted = {}, {}, []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model, x = case.build(), batch(case, 1000 + seed)
        sign = torch.randint(0, 2, model(x).shape) * 2.0 - 1
        profile = record(model, x, sign, loss=signs, seed=seed)
        if seed < 4:  # the weights' own moments scatter little
            predicted.append(
                gs.predict(model, input_shape=None if case.tokens else case.shape, x=x if case.tokens else None)
            )
        for node in profile.nodes:
            forward.setdefault(node.node, []).append(node.forward.second_moment)
            backward.setdefault(node.node, []).append(node.backward.second_moment)
    graph = predicted[0].graph
    for index, values in forward.items():
        for which, found in (("forward", values), ("backward", backward[index])):
            told = [getattr(p.by_node[index], which).second_moment for p in predicted]
            error = np.std(found, ddof=1) / math.sqrt(SEEDS) + np.std(told, ddof=1) / math.sqrt(len(told))
            off = abs(np.mean(found) - np.mean(told))
            where = f"{which} at {graph.nodes[index].label}: {np.mean(found):.4g}, predicted {np.mean(told):.4g}"
            assert off <= 4 * error + case.slack * np.mean(told), where


def test_a_bias_on_scores_is_no_mask():
    torch.manual_seed(0)
    model, levels = nn.Sequential(Biased(128, 24), nn.Linear(128, 64)), []
    profile = gs.predict(model, input_shape=TOKENS)
    assert not any("causal" in note.message for note in profile.notes)
    last = profile.nodes[-1]
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        found = nn.Sequential(Biased(128, 24), nn.Linear(128, 64))(batch(Case(between, TOKENS), seed))
        levels.append(found.square().mean().item())
    error = np.std(levels, ddof=1) / math.sqrt(SEEDS)
    assert abs(np.mean(levels) - last.forward.second_moment) <= 4 * error + 0.03 * np.mean(levels)


def test_every_operation_has_a_rule_that_is_tested():
    tested = {operation for case in CASES.values() for operation in case.operations}
    untested = set(RULES) - tested - {Operation.MASK, Operation.UNKNOWN}  # these say that they do not know
    assert untested == set()
    assert set(Operation) - set(RULES) == {Operation.LOSS}
