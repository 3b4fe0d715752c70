"""Tracing without memory gives the graph of a real run, and bad input is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch import materialise, record, trace
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.errors import InputError, ModelError

X, Y = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])


class Asks(nn.Module):
    """Looks at a value, which only real tensors have."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x) * 2 if x.sum().item() > -1e9 else x


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)

    def forward(self, x):
        return self.layer(x[:, None].repeat(1, 3, 1)).mean(1)


MODELS = {
    "plain": lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)),
    "normalised": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)),
    "asking": Asks,
    "attending": Attends,
    "recurrent": lambda: nn.RNNCell(6, 3),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_graph_without_memory_is_that_of_a_real_run(name):
    model = MODELS[name]().eval()
    traced, recorded = trace(model, X, Y, loss=F.cross_entropy), record(model, X, Y, loss=F.cross_entropy).graph
    kinds = [[(n.operation, n.function, n.path, n.uses) for n in g.nodes if n.operation.weighted or n.function]
             for g in (traced, recorded)]  # fmt: skip
    if name == "attending":  # attention takes another kernel without gradients
        kinds = [[k for k in side if k[0].weighted] for side in kinds]
    assert kinds[0] == kinds[1]
    nodes = [{p.path: len(p.nodes) for p in g.parameters} for g in (traced, recorded)]
    assert nodes[0] == nodes[1]
    roles = [[replace(p, nodes=()) for p in g.parameters] for g in (traced, recorded)]
    assert roles[0] == roles[1]


@pytest.mark.parametrize("name", ["plain", "normalised", "attending"])
def test_models_on_the_meta_device(name):
    model = MODELS[name]().eval()
    real = trace(model, X)
    meta = trace(model.to("meta"), X)
    assert [p.role for p in meta.parameters] == [p.role for p in real.parameters]
    assert all(p.is_meta for p in model.parameters())


def test_a_compiled_model_is_unwrapped():
    model = MODELS["plain"]()
    wrapper = nn.Module()
    wrapper._orig_mod = model
    assert unwrap(wrapper) is model


def test_lazy_layers_stay_lazy_and_can_be_materialised():
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.BatchNorm1d(8), nn.Dropout(), nn.LazyLinear(3))
    graph = trace(model, X)
    assert graph.parameter("0.weight").shape == (8, 6)
    assert isinstance(model[0].weight, nn.parameter.UninitializedParameter)
    materialise(model, X)
    assert model[0].weight.shape == (8, 6)
    assert model.training
    assert model[3].training
    assert not model[2].running_mean.any()  # running statistics did not move
    materialise(model, X)  # nothing to do for a model with sizes


def bad(kind, text, *args, **options):
    with pytest.raises(kind, match=text) as caught:
        trace(*args, **options)
    return caught.value


def test_bad_input_is_refused_with_advice():
    model = MODELS["plain"]()
    bad(InputError, r"Expected a torch\.nn\.Module, received str", "resnet18", X)
    bad(InputError, r"Expected a torch\.nn\.Module, received type", nn.Linear, X)
    bad(InputError, "batch is empty", model, torch.zeros(0, 6))
    bad(InputError, "holds no tensor", model, None)
    bad(InputError, "one number", model, X, Y, loss=lambda o, t: o)
    bad(InputError, "returned NoneType", model, X, Y, loss=lambda o, t: None)
    bad(InputError, "batch is empty", nn.LazyLinear(3), torch.zeros(0, 6))
    bad(ModelError, "lazy layers", nn.Sequential(nn.LazyLinear(3), nn.Linear(7, 2)), X)
    bad(InputError, "holds no tensor", nn.LazyLinear(3), {})


def test_what_a_model_raises_is_chained_with_the_place():
    error = bad(ModelError, r"The model raised RuntimeError after relu in '1'.*\(4, 6\)",
                nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(7, 3)), X)  # fmt: skip
    assert isinstance(error.__cause__, RuntimeError)
    bad(ModelError, "The loss raised", MODELS["plain"](), X, Y, loss=lambda o, t: o + torch.ones(7))
    bad(ModelError, "no floating tensor", Runs(), X)


class Runs(nn.Module):
    def forward(self, x):
        return None
