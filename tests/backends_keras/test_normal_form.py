"""A node's operation, function and settings describe its computation, whatever Keras calls it."""

import math

import keras
import numpy as np
import pytest
from keras import layers, ops

import gainstage as gs
from gainstage.backends.keras import trace
from gainstage.backends.keras.tracing.graph_from_layers import structure
from gainstage.graph import DerivationStep, Operation, Role

DRAWS = 12


def between(function, *, width=8):
    """A layer, a function of its output, and a head."""
    inputs = keras.Input((8,))
    hidden = layers.Dense(8)(inputs)
    return keras.Model(inputs, layers.Dense(3)(function(hidden)))


def nodes_of(function, operation):
    graph = trace(between(function), np.ones((4, 8), "float32"))
    return [node for node in graph.nodes if node.operation is operation]


def relu(x):
    return ops.relu(x)


SUMS = {
    "x + y": (lambda x: x + relu(x), (1, 1)),
    "x - y": (lambda x: x - relu(x), (1, -1)),
    "y - x": (lambda x: relu(x) - x, (1, -1)),
}
OFFSETS = {
    "x + 3": (lambda x: x + 3.0, 1, 3),
    "x - 3": (lambda x: x - 3.0, 1, -3),
    "3 - x": (lambda x: 3.0 - x, -1, 3),
}


@pytest.mark.parametrize(("function", "coefficients"), SUMS.values(), ids=SUMS)
def test_a_sum_has_the_coefficients_of_its_operands(function, coefficients):
    (node,) = nodes_of(function, Operation.ADD)
    assert node.coefficients == coefficients


@pytest.mark.parametrize(("function", "factor", "added"), OFFSETS.values(), ids=OFFSETS)
def test_an_offset_has_the_factor_of_the_signal_and_the_number_that_is_added(function, factor, added):
    (node,) = nodes_of(function, Operation.OFFSET)
    assert (node.coefficients[0], dict(node.settings)["other"]) == (factor, added)


MOVES = {
    "slice": lambda x: x[:, :4], "gather": lambda x: ops.take(x, np.array([0, 3]), axis=1),
    "reorder": lambda x: ops.flip(x, axis=-1), "pad": lambda x: ops.pad(x, ((0, 0), (1, 1))),
    "repeat": lambda x: ops.tile(x, (1, 2)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MOVES)
def test_a_reshape_says_what_becomes_of_the_elements(kind):
    assert nodes_of(MOVES[kind], Operation.RESHAPE)[-1].function == kind


RESAMPLINGS = {
    "repeated": (lambda: layers.UpSampling2D(2), "nearest", 0),
    "bilinear": (lambda: layers.UpSampling2D(2, interpolation="bilinear"), "linear", 0),
    "resized": (lambda: layers.Resizing(4, 4, antialias=True), "linear", 1),
}


@pytest.mark.parametrize(("build", "function", "antialias"), RESAMPLINGS.values(), ids=RESAMPLINGS)
def test_a_resampling_says_how(build, function, antialias):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3, padding="same"), build()])
    (node,) = [n for n in trace(model, np.ones((2, 8, 8, 3), "float32")).nodes if n.operation is Operation.RESAMPLE]
    assert (node.function, node.setting("antialias")) == (function, antialias)


@pytest.mark.parametrize(("groups", "expected"), [(1, 1), (4, 4), (-1, 8)])
def test_a_group_norm_says_how_many_groups_it_has(groups, expected):
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(8, 3), layers.GroupNormalization(groups), layers.Flatten()]
    )
    (node,) = [n for n in trace(model, np.ones((2, 6, 6, 3), "float32")).nodes if n.function == "group_norm"]
    assert (node.setting("groups"), node.setting("over_positions")) == (expected, 1)


@pytest.mark.parametrize("groups", [1, 8, 32])  # of four units, the inverse of a variance has no variance itself
def test_the_gradient_in_front_of_a_group_norm_is_predicted_within_its_sampling_error(groups):
    found = []
    for seed in range(DRAWS):
        keras.utils.set_random_seed(seed)
        norm = layers.GroupNormalization(groups, epsilon=1e-5)
        model = keras.Sequential([keras.Input((128,)), layers.Dense(64), norm, layers.Dense(32)])
        x = np.random.default_rng(seed).standard_normal((256, 128)).astype("float32")
        predicted, measured = gs.predict(model, x), gs.check(model, x, seed=seed).profile
        (one,), (other,) = ([n for n in p.nodes if n.node == 1] for p in (measured, predicted))
        found.append(one.backward.second_moment / other.backward.second_moment)
    error = np.std(found, ddof=1) / math.sqrt(DRAWS)
    assert abs(np.mean(found) - 1) < 4 * error


def test_directions_do_not_come_from_a_name():
    levels = []
    for name in ("layer", "backward_reverse"):
        keras.utils.set_random_seed(0)
        cells = layers.RNN([layers.LSTMCell(8), layers.LSTMCell(8)], return_sequences=True, name=name)
        model = keras.Sequential([keras.Input((6, 4)), cells, layers.Dense(3)])
        nodes = gs.predict(model, np.ones((4, 6, 4), "float32")).nodes
        levels.append([(n.forward.second_moment, n.backward.second_moment) for n in nodes])
    assert levels[0] == levels[1]


class Own(layers.Layer):
    """A matrix that bears a name which Keras's own layers give to something else."""

    def __init__(self, called):
        super().__init__()
        self.called = called

    def build(self, shape):
        self.matrix = self.add_weight(shape=(shape[-1], 8), name=self.called)

    def call(self, inputs):
        return ops.matmul(inputs, 2 * self.matrix)


class Unshaped(keras.Model):
    """A model that does not know the shape of its input, so that its layers are listed one by one."""

    def __init__(self, called):
        super().__init__()
        self.own, self.head = Own(called), layers.Dense(3)

    def call(self, inputs):
        return self.head(self.own(inputs))


@pytest.mark.parametrize("called", ["matrix", "gamma", "bias", "embeddings", "recurrent_kernel"])
def test_what_a_weight_is_for_does_not_come_from_its_name(called):
    model, x = Unshaped(called), np.ones((4, 8), "float32")
    model(x)
    assert next(p.role for p in structure(model).parameters) is Role.OTHER
    graph = trace(model, x)
    assert graph.parameters[0].role is Role.HIDDEN
    (use,) = [
        use for node in graph.nodes for use in node.uses_of("weight") if use.parameter == graph.parameters[0].path
    ]
    assert use.changes == (DerivationStep.SCALE,)
