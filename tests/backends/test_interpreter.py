"""Which node every operation becomes, and which parameters take part."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch import trace
from gainstage.graph import KernelShape, Operation


class Runs(nn.Module):
    """A module around one function; its parameters are given by name."""

    def __init__(self, function, **parameters):
        super().__init__()
        self.function = function
        for name, value in parameters.items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, *inputs):
        return self.function(self, *inputs)


def nodes(function, *shapes, **parameters):
    graph = trace(Runs(function, **parameters), tuple(torch.randn(s) for s in shapes))
    assert [n.index for n in graph.nodes] == list(range(len(graph.nodes)))
    return [n for n in graph.nodes if n.operation is not Operation.INPUT]


W = torch.randn(8, 6)

# One function of one input of shape (4, 6) or of two; the operations it becomes.
OPERATIONS = {
    "relu": (lambda m, x: F.relu(x), "activation:relu"),
    "clamp at zero": (lambda m, x: x.clamp(min=0), "activation:relu"),
    "leaky relu": (lambda m, x: F.leaky_relu(x, 0.2), "activation:leaky_relu"),
    "selu": (lambda m, x: F.selu(x), "activation:selu"),
    "elu": (lambda m, x: F.elu(x), "activation:elu"),
    "celu": (lambda m, x: F.celu(x, 0.5), "activation:celu"),
    "gelu": (lambda m, x: F.gelu(x), "activation:gelu"),
    "gelu by tanh": (lambda m, x: F.gelu(x, approximate="tanh"), "activation:gelu_tanh"),
    "relu6": (lambda m, x: F.relu6(x), "activation:relu6"),
    "softplus": (lambda m, x: F.softplus(x), "activation:softplus"),
    "log sigmoid": (lambda m, x: F.logsigmoid(x), "activation:logsigmoid"),
    "glu": (lambda m, x: F.glu(x), "activation:glu"),
    "sigmoid": (lambda m, x: torch.sigmoid(x), "activation:sigmoid"),
    "silu by hand": (lambda m, x: x * torch.sigmoid(x), "activation:sigmoid activation:silu"),
    "square": (lambda m, x: x * x, "activation:square"),
    "reciprocal": (lambda m, x: 1 / x, "activation:reciprocal scale:"),
    "softmax": (lambda m, x: x.softmax(-1), "softmax:softmax"),
    "log softmax": (lambda m, x: x.log_softmax(-1), "softmax:log_softmax"),
    "dropout": (lambda m, x: F.dropout(x), "dropout:"),
    "mean": (lambda m, x: x.mean(0), "reduction:mean"),
    "offset": (lambda m, x: x + 3, "offset:"),
    "scale": (lambda m, x: x * 3, "scale:"),
    "divide": (lambda m, x: x / 3, "scale:"),
    "negate": (lambda m, x: -x, "scale:"),
    "noise": (lambda m, x: x + torch.randn(4, 6), "offset:"),
    "mask": (lambda m, x: x.masked_fill(torch.ones(4, 6, dtype=torch.bool), 0), "mask:"),
    "gram": (lambda m, x: x @ x.T, "matmul:"),
    "cat": (lambda m, x: torch.cat([x, x]), "concatenation:"),
    "slice": (lambda m, x: x[:, 1:], "reshape:slice"),
    "views": (lambda m, x: x.view(2, 12).t().contiguous().unsqueeze(0).expand(3, 12, 2), ""),
    "cast": (lambda m, x: x.double().float(), ""),
    "detach": (lambda m, x: x.detach(), ""),
    "comparison": (lambda m, x: x * (x > 0), "scale:"),
    "constant": (lambda m, x: x + torch.arange(6.0).cos() * 2, "offset:"),
    "fixed matrix": (lambda m, x: x @ torch.ones(6, 3), "scale:matrix"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_one_function_one_operation(name):
    function, expected = OPERATIONS[name]
    found = nodes(function, (4, 6))
    assert [f"{n.operation}:{n.function}" for n in found] == expected.split()


TWO = {
    "add": (lambda m, x, y: x + y, Operation.ADD),
    "subtract": (lambda m, x, y: x - y, Operation.ADD),
    "multiply": (lambda m, x, y: x * y, Operation.MULTIPLY),
    "divide": (lambda m, x, y: x / y, Operation.MULTIPLY),
    "in place": (lambda m, x, y: x.clone().add_(y), Operation.ADD),
    "blend": (lambda m, x, y: torch.lerp(x, y, 0.5), Operation.ADD),
    "product": (lambda m, x, y: x @ y.T, Operation.MATMUL),
}


@pytest.mark.parametrize("name", TWO)
def test_two_signals(name):
    function, operation = TWO[name]
    (node,) = nodes(function, (4, 6), (4, 6))
    assert node.operation is operation
    assert node.inputs == (0, 1)


# Every way to multiply a signal of shape (4, 6) by a weight; parameter, kernel, layout.
PRODUCTS = {
    "linear": (lambda m, x: F.linear(x, m.w, m.b), {"w": W, "b": torch.zeros(8)}, KernelShape(8, 6), "out_in"),
    "linear on tokens": (lambda m, x: F.linear(x[:, None], m.w), {"w": W}, KernelShape(8, 6), "out_in"),
    "product": (lambda m, x: x @ m.w, {"w": W.T.contiguous()}, KernelShape(8, 6), "in_out"),
    "transposed product": (lambda m, x: x @ m.w.T, {"w": W}, KernelShape(8, 6), "out_in"),
    "weight first": (lambda m, x: m.w @ x.T, {"w": W}, KernelShape(8, 6), "out_in"),
    "einsum": (lambda m, x: torch.einsum("bi,oi->bo", x, m.w), {"w": W}, KernelShape(8, 6), "out_in"),
    "einsum in by out": (lambda m, x: torch.einsum("bi,io->bo", x, m.w), {"w": W.T.contiguous()},
                         KernelShape(8, 6), "in_out"),
    "batched": (lambda m, x: torch.bmm(x[None], m.w[None].transpose(1, 2)), {"w": W}, KernelShape(8, 6), "out_in"),
    "one output": (lambda m, x: F.linear(x, m.w), {"w": torch.randn(1, 6)}, KernelShape(1, 6), "out_in"),
    "one output, in by out": (lambda m, x: x @ m.w, {"w": torch.randn(6, 1)}, KernelShape(1, 6), "in_out"),
    "one input": (lambda m, x: F.linear(x[:, :1], m.w), {"w": torch.randn(8, 1)}, KernelShape(8, 1), "out_in"),
    "scaled weight": (lambda m, x: F.linear(x, m.w * 2), {"w": W}, KernelShape(8, 6), "out_in"),
    "cast weight": (lambda m, x: F.linear(x.double(), m.w.double()), {"w": W}, KernelShape(8, 6), "out_in"),
    "normalised weight": (lambda m, x: F.linear(x, F.normalize(m.w)), {"w": W}, KernelShape(8, 6), "out_in"),
    "convolution": (lambda m, x: F.conv1d(x[:, None], m.w), {"w": torch.randn(8, 1, 3)},
                    KernelShape(8, 1, 3), "out_in"),
    "transposed convolution": (lambda m, x: F.conv_transpose1d(x[:, None], m.w, stride=2), {"w": torch.randn(1, 8, 4)},
                               KernelShape(8, 1, 4, overlap=2), "in_out"),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_way_to_use_a_weight(name):
    function, parameters, kernel, layout = PRODUCTS[name]
    graph = trace(Runs(function, **parameters), torch.randn(4, 6))
    parameter = graph.parameter("w")
    (index,) = parameter.nodes
    node = graph.nodes[index]
    assert node.operation is (Operation.CONVOLUTION if "convolution" in name else Operation.LINEAR)
    assert (node.kernel, parameter.kernel, parameter.layout) == (kernel, kernel, layout)
    assert [u.parameter for u in node.uses_of("weight")] == ["w"]
    assert [u.parameter for u in node.uses_of("bias")] == (["b"] if "b" in parameters else [])


def test_a_concatenated_weight_belongs_to_all_its_parameters():
    graph = trace(Runs(lambda m, x: F.linear(x, torch.cat([m.a, m.b])), a=W, b=W.clone()), torch.randn(4, 6))
    assert {u.parameter for u in graph.nodes[1].uses} == {"a", "b"}
    assert graph.parameter("a").kernel == KernelShape(8, 6)


def test_a_slice_of_a_weight_belongs_to_its_parameter():
    graph = trace(Runs(lambda m, x: F.linear(x, m.w[:4]) + F.linear(x, m.w[4:]), w=W), torch.randn(4, 6))
    parameter = graph.parameter("w")
    assert len(parameter.nodes) == 2
    assert (parameter.kernel, parameter.blocks) == (KernelShape(4, 6), 2)


def test_a_weight_put_together_in_place_belongs_to_its_parts():
    def function(m, x):
        weight = torch.zeros(16, 6)
        weight[:8] = m.a
        weight[8:] = m.b
        return F.linear(x, weight)

    graph = trace(Runs(function, a=W, b=W.clone()), torch.randn(4, 6))
    assert {u.parameter for u in graph.nodes[-1].uses} == {"a", "b"}


def test_integers_derived_from_the_input_stay_tied_to_it():
    """Shifted labels, as encoder-decoder models make them: written in part, and filled in part with a constant."""

    def function(m, ids):
        shifted = ids.new_zeros(ids.shape)
        shifted[:, 1:] = ids[:, :-1].clone()
        shifted[:, 0] = 1
        return F.embedding(shifted, m.table)

    graph = trace(Runs(function, table=torch.randn(9, 4)), torch.randint(0, 9, (3, 5)))
    node = graph.nodes[-1]
    assert node.operation is Operation.EMBEDDING
    assert node.from_input
    assert (node.inputs, node.example_axis) == ((0,), 0)


def test_masks_made_of_the_input_are_no_signal():
    def function(m, x, mask):
        added = (1.0 - mask.float())[:, None, :] * -1e9
        return (x @ x.transpose(1, 2) + added).softmax(-1)

    graph = trace(Runs(function), (torch.randn(4, 5, 6), torch.ones(4, 5, dtype=torch.long)))
    sums = [n for n in graph.nodes if n.name == "add"]
    assert [n.operation for n in sums] == [Operation.OFFSET]


def test_images_of_bytes_are_a_signal_once_a_weight_meets_them():
    x = torch.randint(0, 255, (4, 3, 5, 5), dtype=torch.uint8)
    bytes_to_values = Runs(lambda m, x: x.float() / 255)
    graph = trace(nn.Sequential(bytes_to_values, nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)), x)
    assert [str(n.operation) for n in graph.nodes] == ["input", "scale", "convolution", "activation", "linear"]
    assert all(n.example_axis == 0 for n in graph.nodes)


def test_unequal_parts_have_their_own_shapes():
    parts = nodes(lambda m, x: torch.cat([p * 2 for p in x.split([1, 5], 1)], 1), (4, 6))
    assert [n.shape for n in parts if n.name == "split_with_sizes"] == [(4, 1), (4, 5)]


def test_a_learned_token_enters_like_an_input():
    graph = trace(
        Runs(lambda m, x: torch.cat([m.token.expand(len(x), -1, -1), x], 1), token=torch.randn(1, 1, 6)),
        torch.randn(4, 3, 6),
    )
    assert [(n.operation, n.example_axis) for n in graph.nodes][1:] == [
        (Operation.INPUT, 0),
        (Operation.CONCATENATION, 0),
    ]
    assert not graph.nodes[1].from_input


def test_module_paths_and_stages():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    graph = trace(model, torch.randn(3, 4), torch.tensor([0, 1, 0]), loss=F.cross_entropy)
    assert [n.path for n in graph.nodes] == ["", "0", "1.0", "1.1", "", ""]
    assert [n.stage for n in graph.nodes] == ["model"] * 4 + ["loss"] * 2
    assert graph.nodes[graph.loss].operation is Operation.LOSS
    assert graph.outputs == (3,)


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_recurrent_layer_is_one_node(make):
    cell = "Cell" in make.__name__
    graph = trace(make(6, 8), torch.randn(4, 6) if cell else torch.randn(5, 4, 6))
    assert [n.operation for n in graph.nodes] == [Operation.INPUT, Operation.RECURRENT]
    assert {u.slot for u in graph.nodes[1].uses} == {"weight", "state", "bias"}
    assert graph.nodes[1].function == make.__name__.lower().removesuffix("cell")


def test_unknown_operations_pass_the_signal_on_and_are_named():
    graph = trace(Runs(lambda m, x: F.linear(torch.linalg.inv(x), m.w), w=torch.randn(2, 4)), torch.randn(3, 4, 4))
    unknown = next(n for n in graph.nodes if n.operation is Operation.UNKNOWN)
    assert "inv" in unknown.name
    assert graph.nodes[-1].inputs == (unknown.index,)
