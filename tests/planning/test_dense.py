"""Dense streams: what is set beside the signal it comes from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record, trace
from gainstage.graph import KernelShape, Node, Operation, SignalGraph
from gainstage.planning.dense import TOGETHER, dense_streams
from gainstage.theory import gaussian_moments
from zoo.architectures import ARCHITECTURES
from zoo.healthy import UNet

NAMED = {case.name: case for case in ARCHITECTURES}


class Dense(nn.Module):
    """Layers that read all before them, in one of the two ways in which people write that."""

    def __init__(self, width: int = 32, growth: int = 8, depth: int = 6, *, listed: bool = False) -> None:
        super().__init__()
        self.stem, self.listed = nn.Linear(16, width), listed
        self.layers = nn.ModuleList(nn.Linear(width + i * growth, growth) for i in range(depth))
        self.head = nn.Linear(width + depth * growth, 4)

    def forward(self, x):
        parts = [self.stem(x)]
        for layer in self.layers:
            seen = torch.cat(parts, 1)
            new = layer(functional.relu(seen))
            parts = [*parts, new] if self.listed else [torch.cat([seen, new], 1)]
        return self.head(torch.cat(parts, 1))


class Inception(nn.Module):
    """Four ways side by side, none of which reads another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.ways = nn.Linear(16, 16), nn.ModuleList(nn.Linear(16, 8) for _ in range(4))
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return self.head(torch.cat([way(x) for way in self.ways], 1))


def lines(plan):
    return {line.parameter: line for line in plan}


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(("width", "growth", "depth"), [(32, 8, 6), (8, 8, 6), (64, 8, 4)])
def test_parts_bring_their_budget_together(listed, width, growth, depth):
    model, x = Dense(width, growth, depth, listed=listed), torch.randn(64, 16)
    (stream,) = dense_streams(trace(model, x))
    assert (stream.width, list(stream.parts.values())) == (width, [growth] * depth)
    planned = lines(gs.plan(model, "auto", x=x))
    levels = [planned[f"layers.{i}.weight"].level for i in range(depth)]
    assert levels == pytest.approx([min(1, TOGETHER * width / (growth * depth))] * depth)
    told = f"brings with {depth - 1} others 0.5 of what that does"
    assert all((told in planned[f"layers.{i}.weight"].reason) == (levels[i] < 1) for i in range(depth))


def test_the_gradient_grows_as_the_stream_does():
    """Σ level · width at its end over that at its start: the law that the budget rests on, in wide layers."""
    depth, ratios = 6, []
    for seed in range(20):
        torch.manual_seed(seed)
        model, x = Dense(256, 256, depth), torch.randn(64, 16)
        gs.initialize(model, "auto", x=x, seed=seed)
        profile = record(model, x)
        found = [profile.by_node[n.index].backward for n in profile.graph.weighted() if n.path != "head"]
        ratios.append(found[0].second_moment / found[-1].second_moment)
    mean, spread = sum(ratios) / 20, torch.tensor(ratios).std().item() / math.sqrt(20)
    assert abs(mean - (1 + TOGETHER)) < 4 * spread


@pytest.mark.parametrize("name", ["densenet", "densenet, no norms", "u-net", "u-net, no norms"])
def test_networks_that_have_some(name):
    case = NAMED[name]
    (stream,) = dense_streams(trace(case.model(0), case.batch(0)))
    assert set(stream.ends) == set(stream.parts)


@pytest.mark.parametrize(
    ("model", "x"),
    [(Inception(), torch.randn(8, 16)), (NAMED["mixer"].model(0), NAMED["mixer"].batch(0)),
     (NAMED["resnet"].model(0), NAMED["resnet"].batch(0)), (NAMED["hf:llama"].model(0), NAMED["hf:llama"].batch(0)),
     (NAMED["hf:segformer"].model(0), NAMED["hf:segformer"].batch(0))],
    ids=["inception", "mixer", "resnet", "llama", "segformer"],
)  # fmt: skip
def test_networks_that_have_none(model, x):
    assert dense_streams(trace(model, x)) == ()


def test_a_unets_way_up_does_not_drown_the_skip_beside_it():
    model, x = UNet(), torch.randn(16, 1, 8, 8)
    planned = lines(gs.plan(model, "auto", x=x))
    assert planned["upsample.weight"].level == pytest.approx(TOGETHER * gaussian_moments("relu", 1.0).variance)
    assert planned["upsample.weight"].scheme == "centred_normal"


def test_strides_of_transposed_convolutions_make_no_pattern():
    """A mean of what they read would come out as one, the same for all examples; where few of them follow another."""

    def upsampling(steps):
        up = [layer for _ in range(steps) for layer in (nn.ReLU(), nn.ConvTranspose2d(8, 8, 2, 2))]
        return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), *up)

    x = torch.randn(32, 1, 4, 4)
    one, two = (lines(gs.plan(upsampling(steps), "auto", x=x)) for steps in (1, 2))
    assert one["2.weight"].scheme == "centred_normal"
    assert {two["2.weight"].scheme, two["4.weight"].scheme} == {"normal"}, "centring each relu would grow gradients"
    shares = []
    for bare in (False, True):
        model = upsampling(1)
        gs.initialize(model, "auto", x=x, overrides={"2.weight": "normal"} if bare else None)
        profile = record(model, x)
        shares.append(profile.by_node[max(n.index for n in profile.graph.weighted())].forward.example_share)
    assert shares[0] > shares[1] + 0.2


def test_a_stream_of_hundreds_of_concatenations_meets_no_recursion_limit():
    nodes = [Node(0, Operation.INPUT, "input", (), (8, 4), unit_axis=1)]
    for block in range(600):
        width, stream = 4 + 2 * block, len(nodes) - 1
        kernel = KernelShape(2, width)
        nodes.append(Node(len(nodes), Operation.LINEAR, "mm", (stream,), (8, 2), unit_axis=1, kernel=kernel))
        inputs, shape = (stream, stream + 1), (8, width + 2)
        joined = Operation.CONCATENATION
        nodes.append(Node(len(nodes), joined, "cat", inputs, shape, settings=(("axis", 1.0),), unit_axis=1))
    (stream,) = dense_streams(SignalGraph(tuple(nodes), ()))
    assert (stream.start, stream.width, len(stream.parts)) == (0, 4, 600)
