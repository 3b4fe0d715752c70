"""Every kind of layer: seen, tied to its weights, planned, drawn with its true fans."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

from gainstage.backends.keras import apply, record, trace
from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.keras.tracing.graph_from_layers import structure
from gainstage.graph import Operation, Role
from gainstage.planning import plan

SIGMAS = 5.0  # of the sampling error; all seeds are fixed, so a test that passes once passes always
REPEATS = 16

# One layer, the shape of one batch, the sizes of its kernels' (fan_in, blocks), and how many places at a border are not
# reached by all taps.
SUMMING = {
    "dense": (lambda: layers.Dense(60), (64, 40), 40, 0),
    "dense on positions": (lambda: layers.Dense(30), (16, 5, 40), 40, 0),
    "einsum, split": (lambda: layers.EinsumDense("abc,cde->abde", (None, 4, 10), bias_axes="de"), (16, 5, 32), 32, 0),
    "einsum, merged": (lambda: layers.EinsumDense("abcd,cde->abe", (None, 30), bias_axes="e"), (16, 5, 4, 10), 40, 0),
    "einsum, a matrix a position": (lambda: layers.EinsumDense("abc,bcd->abd", (8, 12)), (32, 8, 16), 16, 0),
    "einsum, out before in": (lambda: layers.EinsumDense("ab,cb->ac", 24), (64, 40), 40, 0),
    "conv1d": (lambda: layers.Conv1D(12, 5), (16, 24, 8), 40, 0),
    "conv2d": (lambda: layers.Conv2D(10, 3), (8, 10, 10, 6), 54, 0),
    "conv3d": (lambda: layers.Conv3D(6, 3), (4, 7, 7, 7, 4), 108, 0),
    "conv2d, strided": (lambda: layers.Conv2D(10, 3, strides=2), (8, 13, 13, 6), 54, 0),
    "conv2d, grouped": (lambda: layers.Conv2D(12, 3, groups=4), (8, 10, 10, 8), 18, 0),
    "depthwise1d": (lambda: layers.DepthwiseConv1D(5, depth_multiplier=2), (16, 24, 8), 5, 0),
    "depthwise2d": (lambda: layers.DepthwiseConv2D(3), (16, 10, 10, 16), 9, 0),
    "transposed1d": (lambda: layers.Conv1DTranspose(8, 6, strides=3), (16, 12, 12), 24, 5),
    "transposed2d": (lambda: layers.Conv2DTranspose(8, 4, strides=2), (8, 7, 7, 16), 64, 3),
    "transposed3d": (lambda: layers.Conv3DTranspose(4, 4, strides=2), (4, 5, 5, 5, 6), 48, 3),
    "transposed2d, stride one": (lambda: layers.Conv2DTranspose(8, 3), (8, 9, 9, 8), 72, 2),
}

OTHERS = {
    "separable1d": (lambda: layers.SeparableConv1D(8, 3), (4, 12, 6)),
    "separable2d": (lambda: layers.SeparableConv2D(8, 3, depth_multiplier=2), (4, 9, 9, 6)),
    "attention": (lambda: Attending(layers.MultiHeadAttention(4, 8)), (4, 6, 32)),
    "attention with dropout": (lambda: Attending(layers.MultiHeadAttention(4, 8, dropout=0.1)), (4, 6, 32)),
    "grouped attention": (lambda: Attending(layers.GroupQueryAttention(8, 4, 2)), (4, 6, 32)),
    "lstm": (lambda: layers.LSTM(5), (4, 6, 7)),
    "gru": (lambda: layers.GRU(5, return_sequences=True), (4, 6, 7)),
    "gru, reset before": (lambda: layers.GRU(5, reset_after=False), (4, 6, 7)),
    "simple rnn": (lambda: layers.SimpleRNN(5), (4, 6, 7)),
    "rnn of a cell": (lambda: layers.RNN(layers.LSTMCell(5)), (4, 6, 7)),
    "rnn of stacked cells": (lambda: layers.RNN([layers.GRUCell(5), layers.GRUCell(4)]), (4, 6, 7)),
    "convolutional lstm": (lambda: layers.ConvLSTM2D(3, 3), (2, 3, 6, 6, 2)),
    "bidirectional": (lambda: layers.Bidirectional(layers.LSTM(5, return_sequences=True)), (4, 6, 7)),
    "bidirectional, summed": (lambda: layers.Bidirectional(layers.GRU(5), merge_mode="sum"), (4, 6, 7)),
    "time distributed": (lambda: layers.TimeDistributed(layers.Conv2D(4, 3)), (2, 3, 6, 6, 2)),
    "batch norm": (lambda: layers.BatchNormalization(), (8, 5)),
    "layer norm": (lambda: layers.LayerNormalization(), (8, 5)),
    "group norm": (lambda: layers.GroupNormalization(2), (8, 4, 4, 6)),
    "rms norm": (lambda: layers.RMSNormalization(), (8, 5)),
    "prelu": (lambda: layers.PReLU(), (8, 5)),
    "custom": (lambda: Scaled(6), (8, 5)),
}


class Attending(layers.Layer):
    """Self-attention as a layer of one input."""

    def __init__(self, attention: layers.Layer) -> None:
        super().__init__()
        self.attention = attention

    def build(self, shape: tuple) -> None:
        self.attention.build(shape, shape)

    def call(self, inputs, training=None):
        return self.attention(inputs, inputs, training=training)

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape


class Scaled(layers.Layer):
    """Weights of its own, used transposed and scaled, with a bias."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = units

    def build(self, shape: tuple) -> None:
        self.mixing = self.add_weight(shape=(self.units, shape[-1]), name="mixing")
        self.offset = self.add_weight(shape=(self.units,), initializer="zeros")

    def call(self, inputs):
        return ops.matmul(inputs, ops.transpose(self.mixing)) / 2.0 + self.offset


def built(make, shape):
    layer = make()
    layer(keras.KerasTensor(shape))
    return layer


@pytest.mark.parametrize("name", [*SUMMING, *OTHERS])
def test_every_weight_is_tied_to_a_node(name, white):
    make, shape, *_ = (SUMMING | OTHERS)[name]
    layer = built(make, shape)
    graph = trace(layer, white(*shape))
    assert [p.path for p in graph.unreached] == []
    assert sum(math.prod(p.shape) for p in graph.parameters) == sum(math.prod(v.shape) for v in layer.trainable_weights)
    assert not [node for node in graph.nodes if node.operation is Operation.UNKNOWN]
    assert len(graph.nodes[graph.outputs[0]].shape) > 0


@pytest.mark.parametrize("name", [*SUMMING, *OTHERS])
def test_every_kernel_is_drawn_with_the_spread_of_its_plan(name, white):
    make, shape, *_ = (SUMMING | OTHERS)[name]
    layer = built(make, shape)
    planned = plan(trace(layer, white(*shape)), "he_normal", seed=3)
    apply(layer, planned)
    weights = {v.path: values_of(v).astype(np.float64) for v in layer.trainable_weights}
    kernels = [a for a in planned if a.kernel is not None]
    assert len(kernels) == sum(v.name.endswith(("kernel", "mixing")) for v in layer.trainable_weights)
    for assignment in kernels:
        count = assignment.kernel.size * assignment.blocks
        assert assignment.spread == pytest.approx(math.sqrt(2 / assignment.kernel.fan_in))
        same_shape = [w for w in weights.values() if w.shape == assignment.shape]
        # The sampling error of a second moment over n normal values is √(2/n) of it.
        errors = [abs(np.mean(w**2) / assignment.spread**2 - 1) / math.sqrt(2 / count) for w in same_shape]
        assert min(errors) < SIGMAS


@pytest.mark.parametrize("name", SUMMING)
def test_unit_gain_keeps_the_level_of_white_input(name, white):
    make, shape, fan_in, margin = SUMMING[name]
    layer = built(make, shape)
    graph = trace(layer, white(*shape))
    (kernel,) = (p.kernel for p in graph.parameters if p.kernel is not None)
    assert kernel.fan_in == fan_in
    levels = []
    for seed in range(REPEATS):
        apply(layer, plan(graph, "normal", seed=seed))
        output = as_array(layer(white(*shape, seed=seed)))
        if margin:
            output = output[(slice(None), *[slice(margin, -margin)] * (output.ndim - 2))]
        levels.append(float(np.mean(np.square(output, dtype=np.float64))))
    error = np.std(levels, ddof=1) / math.sqrt(REPEATS)
    assert error < 0.1, "the test could not see a fault"
    assert abs(np.mean(levels) - 1) < SIGMAS * error


@pytest.mark.parametrize("name", [*SUMMING, *OTHERS])
def test_every_layer_is_measured_forward_and_backward(name, white):
    make, shape, *_ = (SUMMING | OTHERS)[name]
    layer = built(make, shape)
    profile = record(layer, white(*shape))
    assert profile.nodes, "nothing was measured"
    assert all(n.forward.finite and n.backward is not None and n.backward.finite for n in profile.nodes)
    assert {p.path for p in profile.parameters if p.gradient is None} == set()


@pytest.mark.parametrize("name", [n for n in [*SUMMING, *OTHERS] if n != "custom"])
def test_structure_without_a_batch_finds_the_same_kernels(name, white):
    make, shape, *_ = (SUMMING | OTHERS)[name]
    layer = built(make, shape)
    seen = {p.path: (p.kernel, p.blocks, p.layout) for p in trace(layer, white(*shape)).parameters}
    told = {p.path: (p.kernel, p.blocks, p.layout) for p in structure(layer).parameters}
    assert told == seen


ROLES = {
    "attention": {"query": Role.QUERY, "key": Role.KEY, "value": Role.VALUE, "attention_output": Role.HEAD},
    "attention with dropout": {"query": Role.QUERY, "key": Role.KEY, "value": Role.VALUE},
    "grouped attention": {"query": Role.QUERY, "key": Role.KEY, "value": Role.VALUE},
}


@pytest.mark.parametrize("name", ROLES)
def test_projections_of_attention_are_recognised(name, white):
    make, shape = OTHERS[name]
    graph = trace(built(make, shape), white(*shape))
    roles = {p.path.split(".")[-2]: p.role for p in graph.parameters if p.path.endswith("kernel")}
    assert {k: roles[k] for k in ROLES[name]} == ROLES[name]


@pytest.mark.parametrize("name", ["lstm", "rnn of a cell"])
def test_gates_are_blocks_and_the_forget_gate_starts_open(name, white):
    make, shape = OTHERS[name]
    layer = built(make, shape)
    planned = plan(trace(layer, white(*shape)), "orthogonal", seed=1)
    apply(layer, planned)
    bias = next(v for v in layer.trainable_weights if v.name == "bias")
    assert values_of(bias).tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10
    state = next(v for v in layer.trainable_weights if v.name == "recurrent_kernel")
    for gate in np.split(values_of(state), 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(5), atol=1e-6)


ACTIVATIONS = {
    "relu": ("relu", {}), "relu6": ("relu6", {}), "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "elu": ("elu", {"alpha": 1.0}), "selu": ("selu", {}), "celu": ("celu", {"alpha": 1.0}), "gelu": ("gelu", {}),
    "silu": ("silu", {}), "mish": ("mish", {}), "sigmoid": ("sigmoid", {}), "tanh": ("tanh", {}),
    "softplus": ("softplus", {}), "softsign": ("softsign", {}), "hard_sigmoid": ("hardsigmoid", {}),
    "hard_silu": ("hardswish", {}), "hard_tanh": ("hardtanh", {}), "log_sigmoid": ("logsigmoid", {}),
    "soft_shrink": ("softshrink", {"lambd": 0.5}), "hard_shrink": ("hardshrink", {"lambd": 0.5}),
    "tanh_shrink": ("tanhshrink", {}), "exponential": ("exp", {}), "squareplus": ("squareplus", {"b": 4.0}),
    "sparse_plus": ("sparse_plus", {}), "sparse_sigmoid": ("sparse_sigmoid", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_those_of_the_theory(name, white):
    from gainstage.theory import activation

    model = keras.Sequential([keras.Input((200,)), layers.Activation(name)])
    x = white(8, 200)
    graph = trace(model, x)
    found = [n for n in graph.nodes if n.operation is Operation.ACTIVATION]
    assert [(n.function, dict(n.settings)) for n in found] == [ACTIVATIONS[name]]
    theory = activation(found[0].function, **dict(found[0].settings))
    output = as_array(model(x))
    np.testing.assert_allclose(output, theory.function(x.astype(np.float64)), rtol=2e-5, atol=2e-6)
