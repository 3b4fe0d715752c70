"""What a node computes stands in its operation, function and settings, whatever PyTorch calls it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.graph import DerivationStep, Operation


class Calls(nn.Module):
    """A layer, a function of its output, and a head."""

    def __init__(self, function, width=8):
        super().__init__()
        self.layer, self.head, self.function = nn.Linear(8, 8), nn.Linear(width, 3), function
        self.vector = nn.Parameter(torch.ones(8))

    def forward(self, x):
        return self.head(self.function(self, self.layer(x)))


def nodes_of(function, operation, width=8):
    graph = gs.trace(Calls(function, width), torch.randn(4, 8))
    return [node for node in graph.nodes if node.operation is operation and node.index > 1]


SUMS = {
    "x + y": (lambda _, x: x + torch.relu(x), (1, 1)),
    "x - y": (lambda _, x: x - torch.relu(x), (1, -1)),
    "y less x, in place": (lambda _, x: torch.relu(x).sub_(x), (1, -1)),
    "half of y": (lambda _, x: torch.add(x, torch.relu(x), alpha=0.5), (1, 0.5)),
    "rsub": (lambda _, x: torch.rsub(x, torch.relu(x), alpha=2), (-2, 1)),
    "lerp": (lambda _, x: torch.lerp(x, torch.relu(x), 0.25), (0.75, 0.25)),
}


@pytest.mark.parametrize(("function", "coefficients"), SUMS.values(), ids=SUMS)
def test_a_sum_has_the_coefficients_of_its_operands(function, coefficients):
    (node,) = nodes_of(function, Operation.ADD)
    assert node.coefficients == coefficients


OFFSETS = {
    "x + 3": (lambda _, x: x + 3, 1, 3),
    "x - 3": (lambda _, x: x - 3, 1, -3),
    "3 - x": (lambda _, x: 3 - x, -1, 3),
    "x + w": (lambda m, x: x + m.vector, 1, None),
    "x - w": (lambda m, x: x - m.vector, 1, None),
    "w - x": (lambda m, x: m.vector - x, -1, None),
}


@pytest.mark.parametrize(("function", "factor", "added"), OFFSETS.values(), ids=OFFSETS)
def test_an_offset_has_the_factor_of_the_signal_and_the_number_that_is_added(function, factor, added):
    (node,) = nodes_of(function, Operation.OFFSET)
    assert node.coefficients[0] == factor
    assert dict(node.settings).get("other") == added


@pytest.mark.parametrize("function", [lambda _, x: x / (torch.relu(x) + 1), lambda m, x: x / m.vector])
def test_a_quotient_says_so(function):
    assert [n.divides for kind in (Operation.ACTIVATION, Operation.SCALE) for n in nodes_of(function, kind)][-1]


MOVES = {
    "slice": (lambda _, x: x[:, :4], 4), "gather": (lambda _, x: x[:, torch.tensor([0, 3])], 2),
    "reorder": (lambda _, x: x.flip(-1), 8), "pad": (lambda _, x: functional.pad(x, (1, 1)), 10),
    "repeat": (lambda _, x: x.repeat(1, 2), 16),
    "depth_to_space": (lambda _, x: functional.pixel_shuffle(x[:, :, None, None], 2).flatten(1), 8),
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVES)
def test_a_reshape_says_what_becomes_of_the_elements(kind):
    function, width = MOVES[kind]
    assert nodes_of(function, Operation.RESHAPE, width)[-1].function == kind


NORMS = {
    "group": (nn.GroupNorm(4, 8), "group_norm", 4, 1),
    "layer": (nn.LayerNorm((8, 6, 6)), "layer_norm", 1, 1),
    "instance": (nn.InstanceNorm2d(8, affine=True), "instance_norm", 8, 1),
    "batch": (nn.BatchNorm2d(8), "batch_norm", 1, 0),
}


@pytest.mark.parametrize(("norm", "function", "groups", "shared"), NORMS.values(), ids=NORMS)
def test_a_normalization_says_which_units_and_positions_share_a_statistic(norm, function, groups, shared):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 4, 3))
    graph = gs.trace(model, torch.randn(5, 3, 8, 8))
    (node,) = [node for node in graph.nodes if node.operation is Operation.NORMALIZATION]
    assert (node.function, node.setting("groups", 1.0), node.setting("over_positions")) == (function, groups, shared)
    assert (node.shape, node.example_axis, node.unit_axis) == ((5, 8, 6, 6), 0, 1)
    activation = next(node for node in graph.nodes if node.operation is Operation.ACTIVATION)
    assert (activation.shape, activation.unit_axis) == ((5, 8, 6, 6), 1)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_a_resampling_says_how(mode, antialias):
    if mode == "nearest" and antialias:
        return  # PyTorch knows no such thing
    keywords = {} if mode == "nearest" else {"antialias": antialias}
    model = Resampled(lambda x: functional.interpolate(x, scale_factor=0.5, mode=mode, **keywords))
    (node,) = [n for n in gs.trace(model, torch.randn(2, 3, 8, 8)).nodes if n.operation is Operation.RESAMPLE]
    assert (node.function, node.setting("antialias") == 1) == (mode.removeprefix("bi"), antialias)


class Resampled(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3), function

    def forward(self, x):
        return self.conv(self.function(x))


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_a_bag_of_tokens_says_what_it_takes_of_the_rows(mode):
    graph = gs.trace(nn.Sequential(nn.EmbeddingBag(20, 8, mode=mode), nn.Linear(8, 3)), torch.randint(0, 20, (4, 6)))
    assert [n.function for n in graph.nodes if n.operation is Operation.EMBEDDING] == [f"bag_{mode}"]


@pytest.mark.parametrize("mode", ["mean", "sum"])
def test_the_level_of_a_bag_of_tokens(mode):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.EmbeddingBag(2000, 64, mode=mode), nn.Linear(64, 8)), torch.randint(0, 2000, (256, 12))
    predicted, measured = gs.predict(model, x), gs.check(model, x).profile
    low, high = predicted.nodes[0].forward.second_moment * 0.97, predicted.nodes[0].forward.second_moment * 1.03
    assert low < measured.nodes[0].forward.second_moment < high  # 16384 elements: four times √(2 / n) is 4 %


class Derived(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.randn(8, 8)), function

    def forward(self, x):
        return functional.linear(x, self.function(self.weight))


DERIVATIONS = {
    "as it is": (lambda w: w, ()), "half": (lambda w: 0.5 * w, (DerivationStep.SCALE,)),
    "around one": (lambda w: 1 + w, (DerivationStep.SUM,)), "less": (lambda w: 1 - w, (DerivationStep.DIFFERENCE,)),
    "exponential": (lambda w: w.exp(), (DerivationStep.EXPONENTIAL,)), "turned": (lambda w: w.T, ()),
    "noisy": (lambda w: w * torch.randn(8, 8), (DerivationStep.NOISE,)),
    "of rank eight": (lambda w: w @ w, (DerivationStep.PRODUCT,)),
    "gamma": (lambda w: torch.lgamma(w.abs() + 1), (DerivationStep.ABSOLUTE, DerivationStep.SUM, DerivationStep.OTHER)),
}  # fmt: skip


@pytest.mark.parametrize(("function", "changes"), DERIVATIONS.values(), ids=DERIVATIONS)
def test_the_steps_from_a_parameter_to_its_use(function, changes):
    graph = gs.trace(Derived(function), torch.randn(4, 8))
    (use,) = (use for node in graph.nodes for use in node.uses)
    assert use.changes == changes
    assert all(isinstance(step, DerivationStep) for step in use.derivation)


class Held(nn.Module):
    def __init__(self, name, cell):
        super().__init__()
        self.name, self.head = name, nn.Linear(cell.hidden_size * (1 + cell.bidirectional), 4)
        self.add_module(name, cell)

    def forward(self, x):
        return self.head(getattr(self, self.name)(x)[0])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
def test_directions_come_from_the_layer_and_not_from_its_name(kind, layers, bidirectional):
    x, profiles = torch.randn(8, 6, 8), []
    for name in ("layer", "backward_model", "reverse"):
        torch.manual_seed(0)
        model = Held(name, kind(8, 16, layers, batch_first=True, bidirectional=bidirectional))
        (node,) = [n for n in gs.trace(model, x).nodes if n.operation is Operation.RECURRENT]
        assert (node.function, node.setting("directions", 1.0)) == (kind.__name__.lower(), 1 + bidirectional)
        profiles.append(gs.predict(model, x).nodes)
    assert repr(profiles[0]) == repr(profiles[1]).replace("backward_model", "layer")
    assert repr(profiles[0]) == repr(profiles[2]).replace("reverse", "layer")


def test_a_simple_recurrent_layer_says_which_function_it_has():
    functions = {nonlinearity: nn.RNN(8, 16, nonlinearity=nonlinearity) for nonlinearity in ("tanh", "relu")}
    nodes = {name: gs.trace(Held("layer", cell), torch.randn(4, 6, 8)).nodes for name, cell in functions.items()}
    found = {name: [n.function for n in of if n.operation is Operation.RECURRENT] for name, of in nodes.items()}
    assert found == {"tanh": ["rnn"], "relu": ["rnn_relu"]}
