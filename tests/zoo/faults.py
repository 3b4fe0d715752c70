"""Seeded faults: one thing is wrong with each network, and the check should give it this name at this place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from torch.nn.init import constant_, kaiming_normal_, normal_, xavier_normal_

from zoo import data
from zoo.case import Case
from zoo.networks import MLP, VGG, DecoderBlock, ResidualMLP

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True)
class Fault:
    """One sick network.

    Args:
        case: model, batch, loss.
        codes: of the rules that name the fault; the first one is the best name for it.
        place: pattern of the path where it is found; several with ``|``.
        also: beginnings of further codes that are true of this network too.
    """

    case: Case
    codes: tuple[str, ...]
    place: str = "*"
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.case.name


class Lambda(nn.Module):
    """A function as a layer."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Detached(nn.Module):
    """The gradient is cut between the body and the head."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = MLP(64, 64, 64), nn.Linear(64, 10)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).detach())


class RowsThroughAttention(nn.Module):
    """Attention blocks without skips, over the rows of an image."""

    def __init__(self, depth: int = 10, width: int = 32) -> None:
        super().__init__()
        self.project = nn.Linear(8, width)
        self.blocks = nn.Sequential(*[AttentionAlone(width) for _ in range(depth)])
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.blocks(self.project(x)).mean(1))


class AttentionAlone(nn.Module):
    """A layer norm and attention, no skip and nothing beside it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.norm = nn.LayerNorm(width)
        nn.init.orthogonal_(self.v.weight)

    def forward(self, x):
        x = self.norm(x)
        return functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x))


class TiedTokens(nn.Module):
    """A language model whose head is its embedding at a spread of one."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.embed, self.block = nn.Embedding(128, width), DecoderBlock(width)
        self.head = nn.Linear(width, 128, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.block(self.embed(ids))).flatten(0, 1)


def altered(network: nn.Module, change) -> nn.Module:
    """The network after ``change`` was made to it without gradients."""
    with torch.no_grad():
        change(network)
    return network


def he(*sizes: int, **options) -> nn.Sequential:
    return MLP(*sizes, rule=kaiming_normal_, head=partial(kaiming_normal_, nonlinearity="linear"), **options)


def spread(value: float):
    return partial(normal_, std=value)


def scaled(value: float):
    """Normal weights with ``value`` / √fan_in."""
    return lambda weight: normal_(weight, std=value * weight.shape[1] ** -0.5)


def unchecked_mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return ((output - target) ** 2).mean()


def nll_of_log(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(output.log(), target)


def times(factor: float, values):
    return lambda: values() * factor


def uneven() -> torch.Tensor:
    """One column in other units than the rest."""
    x = data.digits()
    x[:, 20] *= 1e4
    return x


def raw_pixels() -> torch.Tensor:
    return data.images() * 80 + 128


def several() -> torch.Tensor:
    """Several labels may be true of one example."""
    y = data.labels()
    return torch.stack([(y % k == 0).float() for k in (1, 2, 3, 4, 5)], 1)


def sgd(rate: float):
    return lambda model: torch.optim.SGD(model.parameters(), lr=rate)


def adam(rate: float):
    return lambda model: torch.optim.Adam(model.parameters(), lr=rate)


def fault(
    name: str, codes: str, place: str, build, inputs=data.digits, targets=data.labels, loss=functional.cross_entropy,
    *, optimizer=None, also: str = "",
) -> Fault:  # fmt: skip
    case = Case(name, build, inputs, targets, loss, optimizer)
    return Fault(case, tuple(codes.split()), place, tuple(also.split()))


def with_norms(depth: int, width: int = 64) -> nn.Module:
    """Linear, batch norm, relu, many times, without a skip."""
    layers: list[nn.Module] = [nn.Linear(64, width)]
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


FORWARD = (
    fault("default relu network of twenty layers", "GS201", "0", lambda: MLP(64, *[64] * 19, 10), also="GS5"),
    fault("weights four times too large, twelve layers", "GS102", "*",
          lambda: MLP(64, *[128] * 11, 10, rule=scaled(4.0)), also="GS2 GS5"),
    fault("glorot relu network of twenty layers", "GS101", "*",
          lambda: MLP(64, *[128] * 19, 10, rule=xavier_normal_), also="GS2"),
    fault("a constant spread of .01 whatever the width", "GS101 GS104", "*",
          lambda: MLP(64, *[128] * 5, 10, activation=nn.Tanh, rule=spread(0.01)), also="GS2"),
    fault("a constant spread of one whatever the width", "GS104", "",
          lambda: MLP(64, *[128] * 5, 10, activation=nn.Tanh, rule=spread(1.0)), also="GS2 GS5"),
    fault("one layer fifty times too large", "GS103", "4",
          lambda: altered(he(64, *[128] * 5, 10), lambda n: n[4].weight.mul_(50)), also="GS5 GS2"),
    fault("one layer a hundred times too small", "GS103", "6",
          lambda: altered(he(64, *[128] * 5, 10), lambda n: n[6].weight.mul_(0.01)), also="GS2"),
    fault("residual stream of thirty branches without a norm", "GS102", "blocks*",
          lambda: altered(ResidualMLP(30, norm=False), lambda n: [
              kaiming_normal_(layer.weight) for block in n.blocks for layer in (block[1], block[3])]), also="GS2 GS5"),
)  # fmt: skip

GRADIENT = (
    fault("default sigmoid network of twelve layers", "GS201", "0",
          lambda: MLP(64, *[128] * 11, 10, activation=nn.Sigmoid)),
    fault("chaotic tanh network of forty layers", "GS202", "0",
          lambda: MLP(64, *[128] * 39, 10, activation=nn.Tanh, rule=scaled(3.0)), also="GS5"),
    fault("batch norm and relu sixty times without a skip", "GS202", "0", lambda: with_norms(60)),
    fault("body cut off from the loss", "GS204", "body.0", Detached),
)  # fmt: skip

UNITS = (
    fault("dead relu layer", "GS105", "3",
          lambda: altered(he(64, 64, 64, 10), lambda n: constant_(n[2].bias, -30.0)), also="GS2"),
    fault("two thirds of the relu units dead", "GS105", "1",
          lambda: altered(he(64, 64, 64, 10), lambda n: constant_(n[0].bias[:43], -5.0))),
    fault("saturated sigmoid units", "GS103 GS106", "0|1|2|3",
          lambda: MLP(64, 64, 64, 10, activation=nn.Sigmoid, rule=spread(4.0)), also="GS2 GS5"),
    fault("softmax between layers", "GS107", "2",
          lambda: nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Softmax(1), nn.Linear(128, 64), nn.ReLU(),
          nn.Linear(64, 10)),
          also="GS2"),
    fault("exponential activation", "GS108", "1",
          lambda: MLP(64, 64, 64, 64, 10, activation=lambda: Lambda(torch.exp), rule=scaled(1.5)), also="GS2 GS5 GS8"),
)  # fmt: skip

SYMMETRY = (
    fault("all weights equal", "GS301", "0",
          lambda: MLP(64, 64, 64, 10, rule=partial(constant_, val=0.05)), also="GS1"),
    fault("all weights zero", "GS301", "0", lambda: MLP(64, 64, 64, 10, rule=nn.init.zeros_), also="GS1 GS2"),
    fault("half of the units copied from the other half", "GS302", "0",
          lambda: altered(he(64, 64, 64, 10), lambda n: (n[0].weight[32:].copy_(n[0].weight[:32]), n[0].bias.zero_()))),
    fault("one weight equal within a layer", "GS301", "2",
          lambda: altered(he(64, 64, 64, 10), lambda n: constant_(n[2].weight, 0.1)), also="GS1 GS5"),
)  # fmt: skip

COLLAPSE = (
    fault("sigmoid network at unit spread, not centred", "GS201 GS109", "*",
          lambda: MLP(64, *[128] * 11, 10, activation=nn.Sigmoid, rule=scaled(1.85))),
    fault("ten layers of attention alone", "GS110", "blocks*", RowsThroughAttention, data.rows, also="GS2"),
)  # fmt: skip

START = (
    fault("head thirty times too large", "GS502", "4", lambda: altered(he(64, 128, 128, 10),
          lambda n: n[4].weight.mul_(30))),
    fault("he's gain times five on the head of a wide net", "GS502", "2",
          lambda: altered(he(64, 512, 10), lambda n: n[2].weight.mul_(5))),
    fault("tied embedding at a spread of one", "GS502", "head", TiedTokens,
          data.sequences(128), lambda: torch.randint(0, 128, (32 * 16,))),
    fault("head bias sure of one class", "GS502 GS503", "2", lambda: altered(he(64, 64, 10),
          lambda n: constant_(n[2].bias[3], 20.0))),
)  # fmt: skip

OUTPUT = (
    fault("softmax before cross-entropy", "GS504", "3", lambda: nn.Sequential(*MLP(64, 64, 10), nn.Softmax(1))),
    fault("sigmoid before cross-entropy", "GS508", "3", lambda: nn.Sequential(*MLP(64, 64, 10), nn.Sigmoid())),
    fault("relu on logits", "GS506", "3", lambda: nn.Sequential(*MLP(64, 64, 10), nn.ReLU())),
    fault("softmax over one unit", "GS505", "3", lambda: nn.Sequential(*MLP(64, 64, 1), nn.Softmax(1)),
          targets=data.parity, loss=functional.binary_cross_entropy, also="GS2"),
    fault("sigmoid before a loss with a sigmoid", "GS510", "3", lambda: nn.Sequential(*MLP(64, 64, 1), nn.Sigmoid()),
          targets=data.parity, loss=functional.binary_cross_entropy_with_logits),
    fault("relu output for targets below zero", "GS507", "3", lambda: nn.Sequential(*MLP(64, 64, 1), nn.ReLU()),
          targets=data.scores, loss=functional.mse_loss),
    fault("sigmoid output for targets outside its range", "GS507", "3", lambda: nn.Sequential(*MLP(64, 64, 1),
          nn.Sigmoid()),
          targets=times(3.0, data.scores), loss=functional.mse_loss, also="GS6"),
    fault("tanh output for targets outside its range", "GS507", "3", lambda: nn.Sequential(*MLP(64, 64, 1), nn.Tanh()),
          targets=times(5.0, data.scores), loss=functional.mse_loss, also="GS6"),
    fault("negative log-likelihood of raw logits", "GS509", "", lambda: MLP(64, 64, 10), loss=functional.nll_loss),
    fault("logarithm of an unbounded output", "GS509", "", lambda: MLP(64, 64, 10), loss=nll_of_log, also="GS8 GS2"),
    fault("several labels through a softmax", "GS511", "3", lambda: nn.Sequential(*MLP(64, 64, 5), nn.Softmax(1)),
          targets=several, loss=functional.binary_cross_entropy),
    fault("output and target broadcast against each other", "GS512", "", lambda: MLP(64, 64, 1),
          targets=lambda: data.scores().squeeze(1), loss=unchecked_mse),
)  # fmt: skip

INPUT = (
    fault("one feature in other units", "GS601", "", lambda: MLP(64, 64, 10), uneven, also="GS1 GS5"),
    fault("raw pixels into a net without norms", "GS602", "", lambda: altered(VGG(norm=False), lambda n: [
        kaiming_normal_(m.weight) for m in n.modules() if isinstance(m, nn.Conv2d)]), raw_pixels, also="GS1 GS5"),
    fault("inputs a hundred times too large for tanh", "GS602", "", lambda: MLP(64, 64, 64, 10, activation=nn.Tanh),
          times(100.0, data.digits), also="GS1"),
    fault("regression targets in the thousands", "GS604", "", lambda: MLP(64, 64, 1), targets=times(3000.0,
          data.scores),
          loss=functional.mse_loss),
)  # fmt: skip

NORMALISATION = (
    fault("batch norm with a batch of one", "GS401", "features.1", VGG,
          lambda: data.images()[:1], lambda: data.labels()[:1], also="GS9"),
    fault("constant features into batch norm", "GS301 GS402", "features.0|features.1",
          lambda: altered(VGG(), lambda n: n.features[0].weight.zero_()), data.images, also="GS1 GS2 GS3"),
    fault("norm scale at zero where there is no skip", "GS403", "features.4",
          lambda: altered(VGG(), lambda n: n.features[4].weight.zero_()), data.images, also="GS1 GS2"),
)  # fmt: skip

OPTIMISATION = (
    fault("learning rate of a hundred", "GS703 GS701", "", lambda: he(64, 64, 64, 10), optimizer=sgd(100.0)),
    fault("learning rate of one with adam", "GS703 GS701", "", lambda: he(64, 64, 64, 10), optimizer=adam(1.0)),
    fault("learning rate of a billionth", "GS702", "", lambda: he(64, 64, 64, 10), optimizer=sgd(1e-9)),
)  # fmt: skip

NUMERICS = (
    fault("logarithm of a relu", "GS801", "2",
          lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), Lambda(torch.log), nn.Linear(64, 10)), also="GS5"),
    fault("square root of a masked signal", "GS801 GS805", "1",
          lambda: nn.Sequential(nn.Linear(64, 64), Lambda(lambda x: (x * (x > 0)).sqrt()), nn.Linear(64, 10)),
          also="GS2"),
    fault("half precision that overflows", "GS801 GS802", "*",
          lambda: MLP(64, *[64] * 5, 10, rule=scaled(30.0)).half(), lambda: data.digits().half(), also="GS1 GS5"),
    fault("half precision whose gradient underflows", "GS101 GS803", "*",
          lambda: MLP(64, *[64] * 5, 10, activation=nn.Tanh, rule=scaled(0.02)).half(), lambda: data.digits().half(),
          also="GS1"),
    fault("exponential that overflows", "GS108 GS801", "1",
          lambda: nn.Sequential(nn.Linear(64, 64), Lambda(lambda x: torch.exp(40 * x)), nn.Linear(64, 10)),
          times(3.0, data.digits), also="GS5 GS6 GS1"),
)  # fmt: skip

FAULTS = (
    *FORWARD, *GRADIENT, *UNITS, *SYMMETRY, *COLLAPSE, *START, *OUTPUT, *INPUT, *NORMALISATION, *OPTIMISATION,
    *NUMERICS,
)  # fmt: skip
