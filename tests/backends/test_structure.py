"""Weights read off modules alone agree with weights read off a run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gainstage.backends.torch import structure, trace
from gainstage.errors import InputError
from gainstage.graph import Role

MODULES = {
    "linear": (nn.Linear(6, 4), (2, 6)),
    "without bias": (nn.Linear(6, 4, bias=False), (2, 6)),
    "conv1d": (nn.Conv1d(3, 4, 3), (2, 3, 8)),
    "conv2d": (nn.Conv2d(4, 8, 3, groups=2), (2, 4, 8, 8)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (2, 4, 8, 8)),
    "conv3d": (nn.Conv3d(2, 4, 3), (2, 2, 6, 6, 6)),
    "transposed": (nn.ConvTranspose2d(4, 6, 4, stride=2, groups=2), (2, 4, 5, 5)),
    "batch norm": (nn.BatchNorm2d(4), (2, 4, 5, 5)),
    "layer norm": (nn.LayerNorm(6), (2, 6)),
    "group norm": (nn.GroupNorm(2, 4), (2, 4, 5, 5)),
    "rms norm": (nn.RMSNorm(6), (2, 6)),
    "attention": (nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8)),
    "attention with other sizes": (
        nn.MultiheadAttention(8, 2, kdim=8, vdim=8, batch_first=True, bias=False),
        (2, 5, 8),
    ),
    "lstm": (nn.LSTM(6, 4, 2, bidirectional=True), (3, 2, 6)),
    "lstm with a projection": (nn.LSTM(6, 4, proj_size=3), (3, 2, 6)),
    "gru": (nn.GRU(6, 4), (3, 2, 6)),
    "rnn": (nn.RNN(6, 4), (3, 2, 6)),
    "lstm cell": (nn.LSTMCell(6, 4), (2, 6)),
    "gru cell": (nn.GRUCell(6, 4), (2, 6)),
    "rnn cell": (nn.RNNCell(6, 4), (2, 6)),
}
ROLES_OF_THE_GRAPH = {Role.HEAD, Role.BEFORE_NORM, Role.BRANCH_END, Role.GATE, Role.QUERY, Role.KEY, Role.VALUE}


@pytest.mark.parametrize("name", MODULES)
def test_geometry_without_a_run_is_that_of_a_run(name):
    module, shape = MODULES[name]
    x = torch.randn(shape)
    static, traced = structure(module), trace(module, (x, x, x) if "attention" in name else x)
    for one in static.parameters:
        other = traced.parameter(one.path)
        assert (one.shape, one.dtype, one.kernel, one.trainable) == (
            other.shape,
            other.dtype,
            other.kernel,
            other.trainable,
        )
        if one.kernel is not None:
            assert (one.blocks, one.layout) == (other.blocks, other.layout)
        if other.role not in ROLES_OF_THE_GRAPH:
            assert one.role is other.role, one.path
        assert one.reached


def test_embeddings_are_read_off_their_module():
    for module in (nn.Embedding(7, 4), nn.EmbeddingBag(7, 4)):
        (parameter,) = structure(module).parameters
        (other,) = trace(module, torch.zeros(2, 3, dtype=torch.long)).parameters
        assert (parameter.role, parameter.kernel, parameter.layout) == (other.role, other.kernel, other.layout)


def test_tied_weights_are_one_parameter_with_all_names():
    model = nn.ModuleDict({"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)})
    model["b"].weight = model["a"].weight
    parameter = structure(model).parameter("b.weight")
    assert (parameter.path, parameter.aliases) == ("a.weight", ("b.weight",))


def test_what_no_known_module_uses_stays_as_it_is():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(torch.ones(3, 3))

    (parameter,) = structure(Own()).parameters
    assert parameter.role is Role.OTHER
    assert not parameter.reached


def test_weights_without_memory_and_weights_without_size():
    assert structure(nn.Linear(6, 4).to("meta")).parameter("weight").kernel.fan_in == 6
    with pytest.raises(InputError, match="lazy"):
        structure(nn.LazyLinear(4))


def test_no_model_is_refused():
    with pytest.raises(InputError, match=r"Expected a torch\.nn\.Module"):
        structure("resnet")
