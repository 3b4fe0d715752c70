"""Models, losses and labels as users of Keras write them: what is seen, what is said, and in which words."""

import keras
import numpy as np
import pytest
from keras import layers, losses, ops

import gainstage as gs
from gainstage.errors import InputError, ModelError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 8), dtype=np.float32)
CLASSES = RNG.integers(0, 4, 64)
ONE_HOT = np.eye(4, dtype=np.float32)[CLASSES]
VALUES = RNG.standard_normal((64, 4), dtype=np.float32)
COUNTS = RNG.poisson(3.0, (64, 1)).astype(np.float32)


def head(units: int, activation: str | None = None) -> keras.Model:
    return keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(units, activation)])


def serious(diagnosis: gs.Diagnosis) -> list[str]:
    return [finding.code for finding in diagnosis.findings if finding.severity != "note"]


@pytest.mark.parametrize(
    ("model", "labels", "loss", "kind"),
    [
        (head(4), VALUES, "cosine_similarity", "other"),
        (head(1, "softplus"), COUNTS, "poisson", "other"),
        (head(1), COUNTS + 1, "mape", "other"),
        (head(1, "softplus"), COUNTS, "msle", "other"),
        (head(4), VALUES, "log_cosh", "other"),
        (head(4, "softmax"), 0.9 * ONE_HOT + 0.025, "kl_divergence", "kl"),
        (head(1, "tanh"), 2 * (CLASSES[:, None] % 2) - 1.0, "hinge", "other"),
        (head(1, "sigmoid"), CLASSES % 2, losses.BinaryFocalCrossentropy(), "bce"),
        (head(4, "softmax"), ONE_HOT, losses.CategoricalFocalCrossentropy(), "probability_nll"),
        (head(4, "sigmoid"), ONE_HOT, losses.Dice(), "other"),
        (head(4, "sigmoid"), ONE_HOT, losses.Tversky(), "other"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_losses_of_keras_are_what_they_are(model, labels, loss, kind):
    diagnosis = gs.check(model, X, labels, loss=loss)
    assert diagnosis.profile.task.loss.kind == kind
    assert diagnosis.profile.task.loss.chance is None
    assert not serious(diagnosis)


def test_classes_that_do_not_count_belong_to_no_share():
    labels = CLASSES.copy()
    labels[:16] = 255
    loss = losses.SparseCategoricalCrossentropy(ignore_class=255)
    diagnosis = gs.check(head(4, "softmax"), X, labels, loss=loss)
    shares = np.bincount(CLASSES[16:]) / 48
    assert diagnosis.profile.task.loss.chance == pytest.approx(-np.sum(shares * np.log(shares)))
    assert not serious(diagnosis)


def test_chance_counts_label_smoothing():
    loss = losses.CategoricalCrossentropy(label_smoothing=0.2)
    diagnosis = gs.check(head(4, "softmax"), X, ONE_HOT, loss=loss)
    shares = 0.8 * ONE_HOT.mean(0) + 0.05
    assert diagnosis.profile.task.loss.chance == pytest.approx(-np.sum(shares * np.log(shares)))


@pytest.mark.parametrize(
    ("model", "labels", "loss", "code", "words"),
    [
        (head(4, "softmax"), CLASSES, losses.SparseCategoricalCrossentropy(from_logits=True), "GS504", "from_logits"),
        (head(4), CLASSES, "sparse_categorical_crossentropy", "GS509", "from_logits=True"),
        (head(4), ONE_HOT, "categorical_crossentropy", "GS509", "CategoricalCrossentropy(from_logits=True)"),
        (head(4, "sigmoid"), ONE_HOT, "categorical_crossentropy", "GS508", 'activation="softmax"'),
        (head(1, "sigmoid"), CLASSES % 2, losses.BinaryCrossentropy(from_logits=True), "GS510", "from_logits=False"),
        (head(4, "softmax"), ONE_HOT, losses.CategoricalFocalCrossentropy(from_logits=True), "GS504", "from_logits"),
        (head(1, "softmax"), CLASSES % 2, "binary_crossentropy", "GS505", 'activation="sigmoid"'),
    ],
    ids=["GS504", "GS509 sparse", "GS509", "GS508", "GS510", "GS504 focal", "GS505"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras says some of it too
def test_remedies_are_in_words_of_keras(model, labels, loss, code, words):
    found = {finding.code: finding for finding in gs.check(model, X, labels, loss=loss).findings}
    assert words in found[code].remedy.code
    assert not any("torch." in f.remedy.code or "nn." in f.remedy.code for f in found.values())


def test_a_learning_rate_is_one_of_keras():
    model = head(4, "softmax")
    model.compile(keras.optimizers.Adam(1e-9), "sparse_categorical_crossentropy")
    (slow,) = [f for f in gs.check(model, X, CLASSES).findings if f.code == "GS702"]
    assert slow.remedy.code.startswith("optimizer = keras.optimizers.Adam(learning_rate=")


def test_labels_beyond_a_binary_loss_are_named_where_the_backend_takes_them():
    try:
        found = serious(gs.check(head(1, "sigmoid"), X, CLASSES, loss="binary_crossentropy"))
    except gs.GainstageError as error:  # PyTorch refuses them, as training does
        found = ["GS507"] if "between 0 and 1" in str(error) else []
    assert "GS507" in found


def test_whole_numbers_are_values_where_a_layer_reads_them_and_tokens_where_a_table_does():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1)).astype("uint8")
    convolution = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(8, 3), layers.Flatten(), layers.Dense(4)])
    loud = gs.check(convolution, pixels)
    assert loud.profile.task.inputs[0].kind == "image"
    assert "GS602" in serious(loud)
    words = keras.Sequential([layers.Embedding(256, 8), layers.GlobalAveragePooling1D(), layers.Dense(4)])
    assert gs.check(words, pixels[:, :, 0, 0]).profile.task.inputs[0].kind == "tokens"


class WithCache(layers.Layer):
    """As attention with an optional cache returns it."""

    def __init__(self, form: str):
        super().__init__()
        self.inner = layers.Dense(32, "sigmoid")
        self.form = form

    def call(self, x):
        x = self.inner(x)
        return {"tuple": (x, None), "dict": {"x": x, "cache": None, "length": 3}}[self.form]


class Stack(keras.Model):
    def __init__(self, form: str):
        super().__init__()
        self.blocks = [WithCache(form) for _ in range(10)]
        self.out = layers.Dense(4)

    def call(self, x):
        for block in self.blocks:
            found = block(x)
            x = found["x"] if isinstance(found, dict) else found[0]
        return self.out(x)


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_layers_that_return_more_than_tensors_are_seen(form):
    assert "GS201" in serious(gs.check(Stack(form), X))


def raw_sigmoid(x, w):
    match keras.config.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.nn.sigmoid(tf.matmul(x, w))
        case "torch":
            import torch

            return torch.sigmoid(torch.matmul(x, w))
    import jax

    return jax.nn.sigmoid(x @ w.value)


class Raw(layers.Layer):
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 32), initializer="glorot_uniform", name="w")

    def call(self, x):
        return raw_sigmoid(x, self.w)

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], 32), x.dtype)


def test_layers_in_functions_of_the_backend_are_seen_or_not_judged():
    diagnosis = gs.check(keras.Sequential([keras.Input((8,)), *[Raw() for _ in range(10)], layers.Dense(4)]), X)
    if keras.config.backend() == "jax":
        assert not diagnosis.judged
        assert len(diagnosis.profile.hidden) == 10
    else:
        assert "GS201" in serious(diagnosis)


class Unseen(layers.Layer):
    """Its weight works on numbers that no trace can follow."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 8), initializer="glorot_uniform", name="w")

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("numbers only")
        return ops.matmul(x, self.w)

    def compute_output_spec(self, x):
        return keras.KerasTensor((*x.shape[:-1], 8), x.dtype)


def test_a_weight_out_of_sight_is_no_healthy_model():
    diagnosis = gs.check(keras.Sequential([keras.Input((8,)), Unseen(), layers.Dense(4)]), X)
    assert diagnosis.profile.hidden == ("0.w",)
    assert not diagnosis.judged
    assert "NOT JUDGED" in str(diagnosis)


def as_function(call):
    """Wrapped as TensorFlow's own guides wrap it; other backends have nothing alike."""
    if keras.config.backend() != "tensorflow":
        return call
    import tensorflow as tf

    return tf.function(call)


class Compiled(Raw):
    call = as_function(Raw.call)


def test_a_compiled_layer_is_left_as_it_was_found():
    model = keras.Sequential([keras.Input((8,)), Compiled(), layers.Dense(4)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    assert not serious(gs.check(model, X, VALUES))
    before = model.get_weights()[0]
    model.fit(X, VALUES, verbose=0)
    after = model.get_weights()[0]
    assert not np.array_equal(before, after)
    output = ops.convert_to_numpy(model.layers[0](X))
    np.testing.assert_allclose(output, 1 / (1 + np.exp(-X @ after)), rtol=1e-4, atol=1e-5)


class OverBatch(layers.Layer):
    def call(self, x):
        return x - ops.mean(x, axis=0, keepdims=True)


def test_a_leak_through_the_batch_is_found():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), OverBatch(), layers.Dense(4, "softmax")])
    assert serious(gs.check(model, X, CLASSES, loss="sparse_categorical_crossentropy")) == ["GS111"]


def test_batch_normalisation_is_no_leak():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16), layers.BatchNormalization(), layers.Dense(4)])
    diagnosis = gs.check(model, X, VALUES, loss="mse")
    assert diagnosis.profile.reactions.leak < 1e-5


def test_a_rate_that_was_meant_to_be_kept_is_found():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(64, "relu"), layers.Dropout(0.95), layers.Dense(4)])
    found = {f.code: f for f in gs.check(model, X, VALUES, loss="mse").findings}
    assert found["GS112"].remedy.code == "keras.layers.Dropout(0.05)"


class Holder:
    def __init__(self):
        self.hidden = layers.Dense(16, "relu")


class Untracked(keras.Model):
    def __init__(self):
        super().__init__()
        self.holder = Holder()
        self.out = layers.Dense(4)

    def call(self, x):
        return self.out(self.holder.hidden(x))


def test_layers_that_keras_does_not_track_are_found():
    model = Untracked()
    model(X[:1])
    found = {f.code: f for f in gs.check(model, X, VALUES, loss="mse").findings}
    assert "self.blocks" in found["GS205"].remedy.code


def test_an_optimizer_of_another_model_is_found():
    optimizer = keras.optimizers.Adam()
    optimizer.build(head(4).trainable_variables)
    model = head(4)
    model.compile(optimizer, "mse")
    assert set(serious(gs.check(model, X, VALUES))) == {"GS704", "GS705"}


def test_a_rate_of_zero_is_found():
    model = head(4)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    assert "GS707" in serious(gs.check(model, X, VALUES))


def test_a_loss_of_the_wrong_sign_is_found():
    def away(y_true, y_pred):
        return -ops.mean(ops.square(y_true - y_pred), axis=-1)

    assert "GS514" in serious(gs.check(head(4), X, VALUES, loss=away))


def test_errors_of_a_layer_are_told_in_one_line():
    model = keras.Sequential([layers.Embedding(10, 8), layers.GlobalAveragePooling1D(), layers.Dense(4)])
    if keras.config.backend() == "jax":
        return  # JAX clips indices out of range
    with pytest.raises(ModelError) as caught:
        gs.check(model, np.full((8, 5), 50))
    assert not [mark for mark in ("{{", "\x1b", "\n") if mark in str(caught.value)]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layers_are_told_by_the_names_of_the_summary():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(layers.Dense(16, "relu")(inputs)))
    first, last = model.layers[1].name, model.layers[2].name
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    found = next(f for f in gs.check(model, X, CLASSES, loss=loss).findings if f.code == "GS504")
    assert found.place == f"1 ({last})"
    plan = gs.plan(model, "keep", x=X, overrides={f"{first}.kernel": "zeros"})
    assert [str(a.scheme) for a in plan.assignments if a.parameter == "0.kernel"] == ["zero"]


def test_a_normalization_that_saw_no_data_normalises_nothing():
    far = (1000 + 100 * X).astype("float32")
    normalization = layers.Normalization()
    model = keras.Sequential([keras.Input((8,)), normalization, layers.Dense(16, "relu"), layers.Dense(4)])
    before = {f.code: f for f in gs.check(model, far, VALUES, loss="mse").findings}
    assert "GS602" in before
    assert "adapt" in before["GS902"].evidence
    normalization.adapt(far)
    model = keras.Sequential([keras.Input((8,)), normalization, layers.Dense(16, "relu"), layers.Dense(4)])
    assert not serious(gs.check(model, far, VALUES, loss="mse"))


def test_text_is_refused_with_the_reason():
    with pytest.raises(InputError, match="holds text"):
        gs.check(head(4), np.array([["a few words"]]))


def test_prediction_knows_a_compiled_loss_and_the_models_own_input():
    model = head(4)
    model.compile("adam", "mse")
    assert gs.predict(model, X, VALUES).task.loss.kind == "mse"
    assert gs.predict(model).nodes


@pytest.mark.parametrize("layer", [
    layers.SimpleRNN(32, activation="relu", recurrent_initializer=keras.initializers.Identity(1.3)),
    layers.SimpleRNN(32, activation="relu", recurrent_initializer=keras.initializers.Identity(1.3), go_backwards=True),
], ids=["forward", "backward"])  # fmt: skip
def test_a_recurrence_that_explodes_is_named_though_it_returns_one_position(layer):
    x = RNG.standard_normal((16, 80, 8), dtype=np.float32)
    model = keras.Sequential([keras.Input((80, 8)), layer, layers.Dense(1)])
    found = {f.code: f for f in gs.check(model, x, COUNTS[:16], loss="mse").findings}
    assert found["GS102"].path == "0"


def test_an_optimizer_that_shrinks_the_weights_is_found():
    model = head(4)
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=50.0), "mse")
    step = gs.check(model, X, VALUES).profile.step
    assert step.shrinks > 0.9
    assert step.share == pytest.approx(0.5, rel=0.1)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    found = gs.check(model, X, VALUES).profile
    assert found.step.climbs == pytest.approx(-1, abs=1e-3)
    assert found.task.optimizer.memory == pytest.approx(0.9)
