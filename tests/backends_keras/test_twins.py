"""The same networks in Keras and in PyTorch: with equal weights, equal profiles, findings and plans."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import torch
from keras import layers, ops
from torch import nn

import gainstage as gs
from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.keras.models.layout import native
from gainstage.backends.keras.writing.write import stream_path
from gainstage.backends.torch.writing.layout import canonical
from gainstage.planning import plan

DEPTH = 12
DTYPES = ("float32", "float16", "bfloat16", *(("float64",) if keras.config.backend() != "jax" else ()))  # not JAX's


def perceptron(activation, depth=DEPTH):
    acts = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
    twin = [m for i in range(depth) for m in (nn.Linear(20 if i == 0 else 48, 48), acts[activation]())]
    own = [m for _ in range(depth) for m in (layers.Dense(48), layers.Activation(activation))]
    return [*own, layers.Dense(5)], [*twin, nn.Linear(48, 5)], (32, 20)


def convolutional():
    own = [layers.Conv2D(8, 3, padding="same"), layers.ReLU(), layers.MaxPooling2D(2),
           layers.Conv2D(8, 3, strides=2), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(5)]  # fmt: skip
    twin = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, stride=2),
        nn.ReLU(),
        Pooled(),
        nn.Linear(8, 5),
    ]
    return own, twin, (32, 12, 12, 3)


def normalised():
    own = [layers.Dense(48), layers.LayerNormalization(epsilon=1e-5), layers.ReLU()] * 1
    own += [layers.Dense(48), layers.LayerNormalization(epsilon=1e-5), layers.ReLU(), layers.Dense(5)]
    twin = [nn.Linear(20, 48), nn.LayerNorm(48), nn.ReLU(), nn.Linear(48, 48), nn.LayerNorm(48), nn.ReLU()]
    return own, [*twin, nn.Linear(48, 5)], (32, 20)


class Pooled(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def scaled(factor):
    def change(model):
        with torch.no_grad():
            for module in model:
                if isinstance(module, nn.Linear):
                    module.weight.mul_(factor)

    return change


def constant(model):
    with torch.no_grad():
        for module in model[:-1]:
            if isinstance(module, nn.Linear):
                module.weight.fill_(0.02)


def dead(model):
    with torch.no_grad():
        model[0].bias.fill_(-30.0)


NETWORKS = {
    "healthy relu": (lambda: perceptron("relu", 3), "he_normal", None, False),
    "healthy convolutions": (convolutional, "he_normal", None, False),
    "healthy with normalisation": (normalised, "he_normal", None, False),
    "vanishing sigmoid": (lambda: perceptron("sigmoid"), "glorot_uniform", None, False),
    "exploding relu": (lambda: perceptron("relu"), "he_normal", scaled(3.0), False),
    "constant weights": (lambda: perceptron("tanh", 3), "he_normal", constant, False),
    "dead units": (lambda: perceptron("relu", 3), "he_normal", dead, False),
    "softmax before a loss of logits": (lambda: perceptron("relu", 3), "he_normal", None, True),
}


def pair(name):
    make, scheme, change, softmax = NETWORKS[name]
    own, twin, shape = make()
    if softmax:
        own, twin = [*own, layers.Softmax()], [*twin, nn.Softmax(dim=1)]
    model, other = keras.Sequential([keras.Input(shape[1:]), *own]), nn.Sequential(*twin)
    gs.initialize(other, scheme, seed=2)
    if change is not None:
        change(other)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    y = np.arange(shape[0]) % 5
    copy_weights(model, other, x)
    return model, other, x, y


def copy_weights(model, other, x):
    """From PyTorch to Keras, by path, through the one layout."""
    graph = gs.trace(other, torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x))
    tensors = dict(other.named_parameters())
    from gainstage.backends.keras.models.names import named_parameters

    for path, variable in named_parameters(model)[0].items():
        tensor = tensors[stream_path(path)].detach().numpy()
        known = graph.parameter(stream_path(path))
        if known.kernel is not None:
            tensor = native(canonical(tensor, known.kernel), tuple(variable.shape), known.kernel)
        variable.assign(tensor)


def checked(name):
    model, other, x, y = pair(name)
    own = gs.check(model, x, y, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen = torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x)
    twin = gs.check(other, seen, torch.from_numpy(y), loss=nn.functional.cross_entropy)
    return own, twin


@pytest.mark.filterwarnings("ignore:.*produced by a Softmax activation.*:UserWarning")  # TensorFlow says it too
@pytest.mark.parametrize("name", NETWORKS)
def test_findings_and_profiles_are_those_of_the_twin(name):
    own, twin = checked(name)
    assert [(f.code, f.severity, f.path.replace("kernel", "weight")) for f in own.findings] == [
        (f.code, f.severity, f.path) for f in twin.findings
    ]
    assert own.ok is name.startswith("healthy")
    if "softmax" in name and keras.config.backend() == "tensorflow":
        # TensorFlow's losses reach through a softmax for its logits, so that nothing is normalised twice there.
        assert own.profile.task.loss.kind == "cross_entropy"
        return
    levels = [[n.forward.second_moment for n in d.profile.nodes] for d in (own, twin)]
    gradients = [[n.backward.second_moment for n in d.profile.nodes] for d in (own, twin)]
    # Two frameworks add the same float32 terms in another order, layer after layer.
    np.testing.assert_allclose(*levels, rtol=1e-3)
    np.testing.assert_allclose(*gradients, rtol=1e-3)
    assert own.profile.task.loss.kind == twin.profile.task.loss.kind
    assert own.profile.task.loss.value == pytest.approx(twin.profile.task.loss.value, rel=1e-5)
    by_weight = [sorted(p.gradient.second_moment for p in d.profile.parameters) for d in (own, twin)]
    np.testing.assert_allclose(*by_weight, rtol=1e-3, atol=1e-20)


@pytest.mark.parametrize("name", ["healthy relu", "healthy convolutions", "healthy with normalisation"])
def test_predicted_levels_are_those_of_the_twin(name):
    model, other, x, _ = pair(name)
    own = gs.predict(model, x)
    twin = gs.predict(other, torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x))
    assert own.source.framework.startswith("keras")
    levels = [[n.forward.second_moment for n in p.nodes] for p in (own, twin)]
    gradients = [[n.backward.second_moment for n in p.nodes] for p in (own, twin)]
    np.testing.assert_allclose(*levels, rtol=1e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-5)
    planned = gs.predict(model, input_shape=x.shape, plan="he_normal")
    assert all(n.forward.second_moment > 0 for n in planned.nodes)


class Attending(nn.Module):
    """Self-attention over single projections, as Keras keeps them, by one operation or written out."""

    def __init__(self, width, heads, fused):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.head, self.heads, self.fused = nn.Linear(width, 5), heads, fused

    def forward(self, x):
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.query, self.key, self.value))
        if self.fused:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            shares = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1)
            mixed = nn.functional.dropout(shares, 0.1) @ v
        return self.head((x + self.out(mixed.transpose(1, 2).flatten(2))).mean(1))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("heads", "width"), [(4, 8), (1, 24)])
def test_predicted_levels_of_attention_are_those_of_the_twin(heads, width, fused, white):
    x, units = white(16, 8, heads * width), heads * width
    inputs = keras.Input(x.shape[1:])
    attended = layers.MultiHeadAttention(heads, width, dropout=0.0 if fused else 0.1)(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(5)(ops.mean(inputs + attended, axis=1)))
    other = Attending(units, heads, fused)
    own = parameters(model)
    names = zip(own.values(), other.parameters(), strict=True)
    with torch.no_grad():
        for variable, parameter in names:  # kernels lie as (units, heads, width) and (heads, width, units)
            values = values_of(variable).reshape(-1, len(parameter)).T
            parameter.copy_(torch.from_numpy(values.reshape(parameter.shape)))
    told, twin = gs.predict(model, x), gs.predict(other, torch.from_numpy(x))
    for which in ("forward", "backward"):
        levels = [
            [getattr(p.by_node[n.index], which).second_moment for n in p.graph.nodes if n.operation.weighted]
            for p in (told, twin)
        ]
        np.testing.assert_allclose(*levels, rtol=1e-5, err_msg=which)


GATES = {"LSTM": ((0.8, -1.0, 0.5, 0.2), (0, 1, 2, 3)), "GRU": ((-1.0, 1.5, 0.4), (1, 0, 2))}
"""Means of the biases in Keras's order of gates, and PyTorch's order in it."""


class States(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cell = getattr(nn, kind)(12, 16, batch_first=True)

    def forward(self, x):
        return self.cell(x)[0]


@pytest.mark.parametrize("kind", GATES)
def test_predicted_levels_of_gates_with_biases_are_those_of_the_twin(kind, white):
    means, order = GATES[kind]
    x, layer = white(32, 10, 12), getattr(layers, kind)(16, return_sequences=True)
    model, other = keras.Sequential([keras.Input((10, 12)), layer]), States(kind)
    bias = layer.cell.bias
    bias.assign(np.broadcast_to(np.repeat(means, 16), bias.shape).astype("float32"))
    ordered = [
        np.concatenate([np.split(values_of(v), len(order), -1)[i] for i in order], -1)
        for v in layer.cell.trainable_variables
    ]
    with torch.no_grad():
        other.cell.weight_ih_l0.copy_(torch.from_numpy(ordered[0].T))
        other.cell.weight_hh_l0.copy_(torch.from_numpy(ordered[1].T))
        rows = ordered[2].reshape(-1, ordered[2].shape[-1])  # a GRU has one for the input and one for the state
        for parameter, row in zip((other.cell.bias_ih_l0, other.cell.bias_hh_l0), (*rows, 0 * rows[0]), strict=False):
            parameter.copy_(torch.from_numpy(row))
    np.testing.assert_allclose(as_array(model(x)), other(torch.from_numpy(x)).detach().numpy(), atol=1e-5)
    told, twin = (gs.predict(m, i).nodes[-1].forward for m, i in ((model, x), (other, torch.from_numpy(x))))
    assert told.mean == pytest.approx(twin.mean, rel=1e-6)
    assert told.second_moment == pytest.approx(twin.second_moment, rel=1e-6)


@pytest.mark.parametrize("scheme", ["auto", "he_normal", "orthogonal", "pytorch_default"])
@pytest.mark.parametrize("name", ["healthy relu", "healthy convolutions", "healthy with normalisation"])
def test_plans_and_bytes_are_those_of_the_twin(name, scheme):
    model, other, x, _ = pair(name)
    seen = torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim == 4 else x)
    own, twin = plan(gs.trace(model, x), scheme, seed=5), plan(gs.trace(other, seen), scheme, seed=5)
    assert [(stream_path(a.parameter), a.role, a.scheme, a.gain, a.kernel, a.spread) for a in own] == [
        (a.parameter, a.role, a.scheme, a.gain, a.kernel, a.spread) for a in twin
    ]
    gs.apply(model, own)
    gs.apply(other, twin)
    tensors = dict(other.named_parameters())
    for assignment in own:
        variable = next(v for p, v in parameters(model).items() if p == assignment.parameter)
        tensor = tensors[stream_path(assignment.parameter)].detach().numpy()
        if assignment.kernel is not None:
            tensor = native(canonical(tensor, assignment.kernel), assignment.shape, assignment.kernel)
        assert values_of(variable).tobytes() == np.ascontiguousarray(tensor).tobytes()


def parameters(model):
    from gainstage.backends.keras.models.names import named_parameters

    return named_parameters(model)[0]


def test_a_map_of_paths_gives_a_dense_layer_the_bytes_of_any_linear_layer():
    own, other = layers.Dense(6), nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(4, 6)))
    own.build((None, 4))
    gs.initialize(other, "he_normal", seed=9)
    from gainstage.backends.keras import apply, structure

    apply(own, plan(structure(own), "he_normal", seed=9), streams={"kernel": "1.0.weight"})
    assert values_of(own.kernel).tobytes() == np.ascontiguousarray(other[1][0].weight.detach().numpy().T).tobytes()


def test_calibration_reaches_the_level_of_the_twin():
    model, other, x, _ = pair("healthy relu")
    own = gs.initialize(model, "auto", x=x, seed=1)
    twin = gs.initialize(other, "auto", x=torch.from_numpy(x), seed=1)
    np.testing.assert_allclose([a.scale for a in own], [a.scale for a in twin], rtol=1e-4)
    before = [values_of(v) for v in model.trainable_variables]
    gs.apply(model, own)
    for old, variable in zip(before, model.trainable_variables, strict=True):
        assert values_of(variable).tobytes() == old.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_calibrated_plan_gives_both_frameworks_the_same_bytes(dtype, white):
    """The measured scale multiplies what was cast already, in single precision or better, and is cast again."""
    own = keras.Sequential([keras.Input((20,)), layers.Dense(48, dtype=dtype), layers.Dense(5, dtype=dtype)])
    other = nn.Sequential(nn.Linear(20, 48), nn.Linear(48, 5)).to(getattr(torch, dtype))
    measured = [(0.7390851, (0.1, *[0.3] * 47)), (1.6180339, (1 / 3,) * 5)]

    def calibrated(graph):
        planned = plan(graph, "he_normal", seed=3)
        pairs = zip(planned.assignments[::2], planned.assignments[1::2], measured, strict=True)
        return replace(planned, assignments=tuple(
            a for w, b, (scale, values) in pairs
            for a in (replace(w, scale=scale), replace(b, scheme="measured", bias="measured", values=values))
        ))  # fmt: skip

    from gainstage.backends.keras import apply, structure
    from gainstage.backends.torch import apply as apply_torch
    from gainstage.backends.torch import structure as structure_torch

    apply(own, calibrated(structure(own)))
    apply_torch(other, calibrated(structure_torch(other)))
    for path, variable in parameters(own).items():
        tensor = dict(other.named_parameters())[stream_path(path)].detach()
        written = values_of(variable).astype(np.float64)
        np.testing.assert_array_equal(written, tensor.double().numpy().T)
