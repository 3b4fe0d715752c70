"""What is measured agrees with what plain framework code computes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from gainstage.backends.keras import record
from gainstage.backends.keras.measuring.gradients import differentiate
from gainstage.backends.keras.models.batch import as_array, values_of


def plain_gradients(model, x, y, loss):
    """By the framework's own tools, on the model's own call."""
    variables = model.trainable_variables
    match keras.config.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                value = loss(y, model(x, training=True))
            return value, [tf.convert_to_tensor(g) for g in tape.gradient(value, [v.value for v in variables])]
        case "torch":
            value = loss(ops.convert_to_tensor(y), model(x, training=True))
            model.zero_grad()
            value.backward()
            return value, [v.value.grad for v in variables]
        case "jax":
            import jax

            def at(values):
                output, _ = model.stateless_call(
                    values, [v.value for v in model.non_trainable_variables], x, training=True
                )
                return loss(y, output)

            return jax.value_and_grad(at)([v.value for v in variables])


def convolutional():
    return keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(6, 3, activation="gelu"),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


def transformer():
    x = keras.Input((6, 8))
    attended = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(layers.Dense(12, activation="silu")(attended))))


def recurrent():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(4, activation="tanh")),
            layers.GRU(3),
            layers.Dense(2),
        ]
    )


MODELS = {"convolutional": (convolutional, (6, 10, 10, 3)), "transformer": (transformer, (6, 6, 8)),
          "recurrent": (recurrent, (6, 5, 4))}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_plain_code(name, white):
    make, shape = MODELS[name]
    model, x, y = make(), white(*shape), white(6, 2, seed=1)
    profile = record(model, x, y, loss="mse")
    value, gradients = plain_gradients(model, x, y, keras.losses.MeanSquaredError())
    assert profile.task.loss.value == pytest.approx(float(as_array(value)), rel=1e-5)
    found = sorted(p.gradient.second_moment for p in profile.parameters)
    expected = sorted(float(np.mean(np.square(as_array(g), dtype=np.float64))) for g in gradients)
    # Both sum float32 products, in another order: relative errors of some 1e-7 times the root of the number of terms.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12)


def test_levels_and_gradients_of_single_nodes_are_those_of_the_closed_form(white):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(7, "relu"), layers.Dense(3)])
    x, y = white(16, 5), white(16, 3, seed=1)
    profile = record(model, x, y, loss="mse")
    first, _, second, _ = (values_of(v).astype(np.float64) for v in model.trainable_variables)
    before = x @ first
    hidden = np.maximum(before, 0)
    output = hidden @ second
    by_output = 2 * (output - y) / output.size
    by_hidden = by_output @ second.T
    forward = {n.node: n.forward.second_moment for n in profile.nodes}
    backward = {n.node: n.backward.second_moment for n in profile.nodes}
    expected = {1: (before, by_hidden * (before > 0)), 2: (hidden, by_hidden), 3: (output, by_output)}
    for node, (signal, gradient) in expected.items():
        assert forward[node] == pytest.approx(np.mean(signal**2), rel=1e-5)
        assert backward[node] == pytest.approx(np.mean(gradient**2), rel=1e-5)
    weight = profile.by_path["0.kernel"]
    assert weight.gradient.second_moment == pytest.approx(np.mean((x.T @ (by_hidden * (before > 0))) ** 2), rel=1e-5)
    zero = profile.nodes[1].units
    assert zero.zero_share == pytest.approx(np.mean(hidden == 0))


def test_the_first_step_is_the_optimizers_own(white):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    x, y = white(16, 5), white(16, 3, seed=1)
    profile = record(model, x, y, loss="mse", optimizer=keras.optimizers.SGD(0.3))
    kernel, bias = (values_of(v).astype(np.float64) for v in model.trainable_variables)
    error = x @ kernel + bias - y
    by_kernel, by_bias = 2 * x.T @ error / error.size, 2 * error.sum(0) / error.size
    after = np.mean((x @ (kernel - 0.3 * by_kernel) + bias - 0.3 * by_bias - y) ** 2)
    assert profile.step.loss_after == pytest.approx(after, rel=1e-5)
    assert profile.step.slope == pytest.approx(-0.3 * (np.sum(by_kernel**2) + np.sum(by_bias**2)), rel=1e-4)
    # A quadratic loss along the step: L(s) is exactly what the three figures say.
    assert profile.step.curvature == pytest.approx(2 * np.mean((0.3 * (x @ by_kernel + by_bias)) ** 2), rel=1e-3)
    update = 0.3 * np.linalg.norm(by_kernel) / np.linalg.norm(kernel)
    assert profile.by_path["0.kernel"].update == pytest.approx(update, rel=1e-4)


def test_a_loss_scaling_does_not_shrink_the_step(white):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="tanh"), layers.Dense(2)])
    x, y, plain = white(16, 4), white(16, 2, seed=1), keras.optimizers.SGD(0.3)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.3))
    first, second = (record(model, x, y, loss="mse", optimizer=optimizer) for optimizer in (plain, scaled))
    assert second.step == first.step
    assert second.task.optimizer == first.task.optimizer


def test_compiled_models_use_their_own_loss_and_optimizer(white):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3, "softmax")])
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    profile = record(model, white(9, 5), np.arange(9) % 3)
    assert profile.task.loss.kind == "probability_nll"
    assert profile.task.loss.chance == pytest.approx(np.log(3))
    assert profile.task.optimizer.name == "Adam"
    assert profile.task.optimizer.learning_rates == pytest.approx((0.02,))
    assert profile.step is not None
    assert record(model, white(9, 5)).task.loss is None


def test_the_same_seed_drops_the_same_units(white):
    model = keras.Sequential([keras.Input((50,)), layers.Dropout(0.5), layers.Dense(50)])
    levels = [record(model, white(8, 50), seed=seed).nodes[-1].forward.second_moment for seed in (1, 1, 2)]
    assert levels[0] == levels[1] != levels[2]


def test_the_first_operation_with_an_infinity_is_named(white):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="wide"), layers.Activation("exponential")])
    model.layers[0].kernel.assign(np.full((5, 4), 300.0, "float32"))
    profile = record(model, np.abs(white(6, 5)) + 1)
    assert profile.graph.nodes[profile.first_nonfinite].function == "exp"


def test_lean_leaves_out_what_is_no_layer(white):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.LayerNormalization(), layers.Dense(2)])
    lean, standard = (record(model, white(6, 5), detail=d) for d in ("lean", "standard"))
    assert [n.node for n in lean.nodes] == [1, 3]
    assert [n.node for n in standard.nodes] == [1, 2, 3]


def test_a_weight_that_the_loss_does_not_reach_has_no_gradient(white):
    x = keras.Input((5,))
    model = keras.Model(x, [layers.Dense(2, name="used")(x), layers.Dense(2, name="idle")(x)])
    profile = record(model, white(6, 5), white(6, 2), loss="mse")
    assert profile.by_path["used.kernel"].gradient is not None
    idle = profile.by_path["idle.kernel"].gradient
    assert idle is None or idle.second_moment == 0


def test_differentiate_hands_back_what_it_was_asked_for():
    weights = {"w": ops.convert_to_tensor(np.array([1.0, 2.0], "float32"))}

    def function(values, tap):
        hidden = tap(0, values["w"] * 3.0)
        return ops.sum(ops.square(hidden)), hidden

    loss, rest, by_weight, seen, by_node = differentiate(function, weights, {0: ((2,), "float32")})
    assert float(as_array(loss)) == 45.0
    np.testing.assert_array_equal(as_array(seen[0]), [3.0, 6.0])
    np.testing.assert_array_equal(as_array(by_node[0]), [6.0, 12.0])
    np.testing.assert_array_equal(as_array(by_weight["w"]), [18.0, 36.0])
    np.testing.assert_array_equal(as_array(rest), [3.0, 6.0])
