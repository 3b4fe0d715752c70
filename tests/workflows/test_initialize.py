"""Automatic initialization end to end: where the loss starts, what is left of the examples, how gradients run."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median, variance

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends import torch as backend
from gainstage.graph import Operation, Role
from gainstage.planning.products import LOGIT_SPREAD
from zoo.networks import MLP, VGG, EncoderClassifier, MobileNet, ResidualMLP, ResidualNet
from zoo.untouched import untouched

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.SELU, nn.ELU, nn.Softplus, nn.Mish,
               nn.Hardswish)  # fmt: skip
EXAMPLES, CLASSES = 64, 10
SEEDS = range(3)


@dataclass(frozen=True)
class Net:
    name: str
    build: object
    shape: tuple[int, ...]
    normalised: bool

    def __str__(self) -> str:
        return self.name


def plain(depth: int, activation: type[nn.Module]) -> Net:
    sizes = (64, *[64] * depth, CLASSES)
    return Net(f"{activation.__name__} {depth}", lambda: MLP(*sizes, activation=activation), (64,), False)


NETS = (
    *(plain(depth, activation) for activation in ACTIVATIONS for depth in (10, 30)),
    *(Net(f"residual mlp, norm {n}", lambda n=n: ResidualMLP(20, norm=n), (64,), n) for n in (True, False)),
    *(Net(f"resnet, norm {n}", lambda n=n: ResidualNet(8, norm=n), (1, 8, 8), n) for n in (True, False)),
    *(Net(f"vgg, norm {n}", lambda n=n: VGG(norm=n), (1, 8, 8), n) for n in (True, False)),
    *(Net(f"transformer, pre-norm {n}", lambda n=n: EncoderClassifier(6, norm_first=n), (8, 8), True)
      for n in (True, False)),
    Net("mobilenet", MobileNet, (1, 8, 8), True),
)  # fmt: skip
UNNORMALISED = tuple(net for net in NETS if not net.normalised)


@dataclass(frozen=True)
class Figures:
    loss: float
    share: float | None
    gradients: float


@cache
def measured(net: Net, seed: int = 0) -> tuple[Figures, Figures]:
    """The framework's default, and automatic initialization."""
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(EXAMPLES, *net.shape, generator=generator), torch.arange(EXAMPLES) % CLASSES
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = net.build()
    default = figures(model, x, y)
    gs.initialize(model, "auto", x=x, seed=seed)
    return default, figures(model, x, y)


def over_seeds(net: Net) -> tuple[list[float], list[float]]:
    """Logs of the ratio of gradients over depth: the default's, and automatic initialization's."""
    pairs = [measured(net, seed) for seed in SEEDS]
    default, auto = zip(*pairs, strict=True)
    return [math.log(f.gradients) for f in default], [math.log(f.gradients) for f in auto]


def figures(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Figures:
    profile = backend.record(model, x, y, loss=nn.CrossEntropyLoss())
    graph = profile.graph
    heads = {index for p in graph.parameters if p.role is Role.HEAD for index in p.nodes}
    hidden = [profile.by_node.get(graph.nodes[index].inputs[0]) for index in heads]
    shares = [m.forward.example_share for m in hidden if m is not None and m.forward.example_share is not None]
    mixing = (Operation.LINEAR, Operation.CONVOLUTION)
    nodes = [n.index for n in graph.weighted() if n.operation in mixing and n.index not in heads]
    gradients = [profile.by_node[i].backward.rms for i in nodes if i in profile.by_node]
    smallest = min(gradients)
    return Figures(
        profile.task.loss.value, min(shares, default=None), max(gradients) / smallest if smallest else math.inf
    )


@pytest.mark.parametrize("net", NETS, ids=str)
def test_the_loss_starts_at_chance(net):
    """Logits of spread s cost s²/2 on average; their part at the label scatters by s over the examples."""
    _, auto = measured(net)
    scatter = 4 * LOGIT_SPREAD / math.sqrt(CLASSES)  # examples may share their logits, but classes do not
    assert abs(auto.loss - math.log(CLASSES)) < LOGIT_SPREAD**2 / 2 + scatter
    assert auto.loss < 1.1 * math.log(CLASSES)


@pytest.mark.parametrize("net", NETS, ids=str)
def test_examples_differ_no_less_than_by_default(net):
    default, auto = measured(net)
    if default.share is None:
        assert auto.share is None
    else:
        assert auto.share >= default.share


@pytest.mark.parametrize("net", NETS, ids=str)
def test_gradients_run_no_worse_than_by_default(net):
    """The means of the logs over seeds, and three times the scatter of their difference."""
    default, auto = over_seeds(net)
    scatter = math.sqrt((variance(default) + variance(auto)) / len(SEEDS))
    assert fmean(auto) <= fmean(default) + 3 * scatter


def test_gradients_run_ten_times_better_on_half_of_the_nets_without_normalisation():
    better = [net for net in UNNORMALISED if median(over_seeds(net)[1]) < median(over_seeds(net)[0]) - math.log(10)]
    assert len(better) >= len(UNNORMALISED) / 2


@pytest.mark.parametrize("depth", [10, 30])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.ReLU])
def test_gradients_grow_by_no_more_than_the_plan_allows(depth, activation):
    """Growth of the second moment by two over the depth; the rest is scatter of single draws at width 64."""
    _, auto = measured(next(net for net in NETS if net.name == f"{activation.__name__} {depth}"))
    kappa = 5  # of relu, the largest of the three: Var log q = L log(1 + kappa/n)
    scatter = 3 * math.sqrt(depth * math.log1p(kappa / 64))
    assert math.log(auto.gradients**2) < math.log(2) + scatter


def test_what_initialize_leaves_alone():
    model, x = ResidualNet(2), torch.randn(8, 1, 8, 8)
    plan = gs.plan(model, "auto", x=x)
    with untouched(model):
        assert gs.plan(model, "auto", x=x) == plan
    kept = copy.deepcopy(dict(model.named_buffers()))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    gs.initialize(model, "auto", x=x)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(buffer, kept[name]) for name, buffer in model.named_buffers())
    assert model.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_lazy_model_takes_its_sizes_from_the_batch():
    model, x = nn.Sequential(nn.LazyLinear(16), nn.Tanh(), nn.LazyLinear(4)), torch.randn(32, 8)
    plan = gs.initialize(model, "auto", x=x)
    assert [a.shape for a in plan] == [(16, 8), (16,), (4, 16), (4,)]
    with torch.no_grad():
        assert float(model(x).square().mean()) == pytest.approx(LOGIT_SPREAD**2, rel=0.01)


def test_a_plan_for_a_model_without_memory_is_that_of_the_model():
    x = torch.randn(8, 1, 8, 8)
    with torch.device("meta"):
        empty = ResidualNet(2)
    without, within = gs.plan(empty, "auto", x=x), gs.plan(ResidualNet(2), "auto", x=x)
    # What stands in a model has a say where a normalisation leaves the scale free, and (but for its eps) nowhere else.
    free = {a.parameter for a in within if "that the model was made with" in a.reason}
    assert free
    for one, two in zip(within, without, strict=True):
        assert one.scheme == two.scheme
        if one.parameter not in free and one.spread is not None:
            assert one.spread == pytest.approx(two.spread, rel=1e-2)


@pytest.mark.parametrize("batch", [None, torch.zeros(0, 64), "text"])
def test_automatic_initialization_refuses_what_is_no_batch(batch):
    model = MLP(64, 8, 2)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(gs.GainstageError):
        gs.initialize(model, "auto", x=batch)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
