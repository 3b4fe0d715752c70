"""The training loop and the names of losses and optimizers."""

import math

import keras
import numpy as np
import pytest
from keras import layers

from gainstage import data
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.build import mlp
from gainstage.backends.keras.training.objectives import LOSSES, OPTIMIZERS, default_loss, loss_named, optimizer_named
from gainstage.backends.keras.training.train import train
from gainstage.errors import InputError, ModelError, UnknownNameError


@pytest.fixture(scope="module")
def clouds():
    return data.gaussian(classes=3, features=4, examples=300)


def net(output=None):
    return mlp([4, 16, 3], output=output, seed=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns(clouds, name):
    rate = 0.1 if name in ("sgd", "momentum") else 0.01
    curve = train(net(), clouds, steps=60, batch=30, learning_rate=rate, optimizer=name, evaluations=1)
    assert (curve.steps, curve.final.step, curve.optimizer, curve.learning_rate) == (60, 60, name, rate)
    # Blind guessing gets a third of the 60 validation examples right, with a binomial spread.
    assert curve.final.accuracy > curve.chance_accuracy + 6 * math.sqrt(1 / 3 * 2 / 3 / 60)


def test_the_same_seed_gives_the_same_training(clouds):
    def noisy():
        return keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, seed=1), net()])

    first, again, other = (train(noisy(), clouds, steps=4, evaluations=1, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first.losses != other.losses


@pytest.mark.parametrize("output", [None, "softmax"])
def test_first_loss_and_accuracy_are_those_of_the_untrained_net(clouds, output):
    model = net(output)
    logits = np.asarray(model.predict(clouds.x_validation, verbose=0), np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) if output is None else logits
    curve = train(model, clouds, steps=4, evaluations=2)
    own = -np.log(shares[np.arange(len(logits)), clouds.y_validation]).mean()
    assert curve.evaluations[0].loss == pytest.approx(own, rel=1e-5)
    assert curve.evaluations[0].accuracy == (logits.argmax(1) == clouds.y_validation).mean()
    assert [e.step for e in curve.evaluations] == [0, 2, 4]
    assert curve.chance_loss == pytest.approx(math.log(3), rel=1e-12)


def test_the_first_step_is_that_of_the_gradient(clouds):
    """One step of plain descent on all examples moves the weights by the gradient that is recorded."""
    from gainstage.backends.keras import record

    model = net("softmax")
    before = values_of(model.layers[0].kernel)
    recorded = record(model, clouds.x_train, clouds.y_train, loss="sparse_categorical_crossentropy")
    train(model, clouds, steps=1, batch=len(clouds.x_train), learning_rate=0.1, optimizer="sgd")
    moved = np.square((values_of(model.layers[0].kernel) - before) / 0.1).mean()
    assert moved == pytest.approx(recorded.by_path["hidden_0.kernel"].gradient.second_moment, rel=1e-3)


def test_the_model_is_left_alone_but_for_the_weights(clouds):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dropout(0.5, seed=7), layers.Dense(3)])
    model.compile("sgd", "mse")
    own, state = model.optimizer, next(v for v in model.variables if v.name == "seed_generator_state")
    before, calls = values_of(state), [len(layer._inbound_nodes) for layer in model.layers]
    seen = []
    train(model, clouds, steps=7, on_step=lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in seen] == list(range(1, 8))
    assert model.optimizer is own
    assert model.loss == "mse"
    assert [len(layer._inbound_nodes) for layer in model.layers] == calls
    np.testing.assert_array_equal(values_of(state), before)


def test_statistics_of_normalisations_are_learned(clouds):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(3)])
    curve = train(model, clouds, steps=40, learning_rate=0.01)
    assert np.abs(values_of(model.layers[1].moving_mean)).max() > 0
    assert curve.final.accuracy > 0.5


def test_a_training_that_diverges_ends(clouds):
    curve = train(net(), clouds, steps=200, learning_rate=1e9, optimizer="sgd")
    assert curve.diverged
    assert curve.steps < 200


def test_clipping_shortens_the_step(clouds):
    moves = []
    for clip in (None, 1e-3):
        model = net()
        before = [values_of(v) for v in model.trainable_variables]
        train(model, clouds, steps=1, learning_rate=1.0, optimizer="sgd", clip=clip)
        steps = [values_of(v) - b for v, b in zip(model.trainable_variables, before, strict=True)]
        moves.append(sum(np.square(step).sum() for step in steps) ** 0.5)
    assert moves[1] == pytest.approx(1e-3, rel=1e-2)
    assert moves[0] > 10 * moves[1]


def test_a_regression_has_no_accuracy(tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=x @ np.array([0.5, -1.5, 0.25, 1.0], np.float32))
    curve = train(keras.Sequential([layers.Dense(1)]), data.load(tmp_path / "line.npz"), steps=200, learning_rate=0.1)
    assert curve.final.accuracy is None
    # A linear target is fitted exactly: what is left is far below the targets' own variance.
    assert curve.final.loss < 1e-3 * curve.chance_loss


def test_one_unit_tells_two_classes_apart():
    task = data.gaussian(classes=2, features=4, examples=300)
    curve = train(keras.Sequential([layers.Dense(1, activation="sigmoid")]), task, steps=60, learning_rate=0.1)
    # Guessing gets half of the 60 validation examples right, with a binomial spread of 0.065.
    assert curve.final.accuracy > 0.5 + 3 * 0.065
    assert curve.final.loss < curve.evaluations[0].loss


def test_a_sequence_task_trains_and_counts_only_what_counts():
    task = data.copy(length=2, symbols=3, examples=120)
    curve = train(keras.Sequential([layers.Embedding(4, 8), layers.Dense(4)]), task, steps=30, learning_rate=0.05)
    assert 0 <= curve.final.accuracy <= 1
    assert curve.final.loss < curve.evaluations[0].loss
    assert curve.chance_loss <= math.log(3)


def test_bad_arguments(clouds):
    with pytest.raises(InputError, match="positive"):
        train(net(), clouds, steps=0)
    with pytest.raises(InputError, match="norm to clip"):
        train(net(), clouds, clip=0.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        train(net(), clouds, optimizer="adm")
    with pytest.raises(UnknownNameError, match="Did you mean 'mse'"):
        train(net(), clouds, loss="mes")
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="learning rate"):
            optimizer_named("sgd", rate)
    with pytest.raises(ModelError, match="inputs of shape"):
        train(mlp([7, 3]), clouds, steps=1)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means(name, white):
    output, target = white(6, 5), np.arange(6) % 5
    if name == "nll":
        output = output - np.log(np.exp(output).sum(1, keepdims=True))
    elif name != "cross_entropy":
        output, target = 1 / (1 + np.exp(-white(6, 1))), (white(6, 1, seed=1) > 0).astype("float32")
    output, target, loss = keras.ops.convert_to_tensor(output), keras.ops.convert_to_tensor(target), loss_named(name)
    whole, parts = (loss(target, output), [loss(target[i : i + 1], output[i : i + 1]) for i in range(6)])
    assert tuple(whole.shape) == ()
    assert float(whole) == pytest.approx(np.mean([float(p) for p in parts]), rel=1e-5)


@pytest.mark.parametrize(
    ("output", "classes", "kind", "logits"),
    [
        ("softmax", 3, "SparseCategoricalCrossentropy", False),
        (None, 3, "SparseCategoricalCrossentropy", True),
        (None, 0, "MeanSquaredError", None),
    ],
)
def test_the_default_loss_goes_with_what_the_model_returns(output, classes, kind, logits, white):
    found = default_loss(net(output), white(2, 4), classes)
    assert type(found).__name__ == kind
    assert getattr(found, "from_logits", None) is logits


def test_plain_networks(white):
    model = mlp([4, 8, 8, 3], activation="tanh", output="softmax", seed=3)
    assert [layer.name for layer in model.layers] == ["hidden_0", "hidden_1", "head"]
    assert not np.array_equal(*(values_of(mlp([4, 4], seed=s).layers[0].kernel) for s in (0, 1)))
    with pytest.raises(InputError, match="two positive sizes"):
        mlp([4])
