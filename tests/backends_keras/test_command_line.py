"""Keras models on the command line: everything that can be typed about a PyTorch model."""

import json
import textwrap

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from gainstage.backends.keras.models.inputs import example_batch, known_inputs
from gainstage.backends.load import load
from gainstage.cli.app import gainstage
from gainstage.data import InputSpec
from gainstage.errors import InputError

MODEL = "keras:MobileNetV2"
NETS = """
    import keras
    from keras import layers

    classifier = keras.Sequential(
        [keras.Input((64,)), layers.Dense(32, "relu", kernel_initializer="he_normal"), layers.Dense(10, "softmax")]
    )
    classifier.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    one_hot = keras.Sequential([keras.Input((64,)), layers.Dense(10, "softmax")])
    one_hot.compile("adam", "categorical_crossentropy")

    def plain():
        return keras.Sequential([layers.Dense(32, "relu"), layers.Dense(10)])

    def sick():
        shape = [keras.Input((64,)), *[layers.Dense(64, "sigmoid") for _ in range(12)], layers.Dense(10)]
        return keras.Sequential(shape)

    def words():
        tokens = keras.Input((12,), dtype="int32")
        return keras.Model(tokens, layers.Dense(2)(layers.LSTM(8)(layers.Embedding(50, 8)(tokens))))

    def two():
        first, second = keras.Input((4,), name="first"), keras.Input((6,), name="second")
        joined = layers.Concatenate()([first, second])
        return keras.Model({"first": first, "second": second}, layers.Dense(2)(joined))

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.head = layers.Dense(16, "tanh"), layers.Dense(3)

        def call(self, inputs):
            return self.head(self.hidden(inputs))
"""


def run(*arguments):
    return CliRunner().invoke(gainstage, list(arguments), prog_name="gainstage")


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The user's own file in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "nets.py").write_text(textwrap.dedent(NETS))
    return tmp_path


def checked(*arguments):
    done = run("check", *arguments, "--json")
    assert done.exit_code in (0, 1), done.stderr
    return json.loads(done.stdout)["record"]


def test_weights_are_drawn_and_written(tmp_path):
    file = tmp_path / "net.weights.h5"
    done = run("init", MODEL, "--batch-size", "2", "--scheme", "he_normal", "--out", str(file))
    assert done.exit_code == 0, done.stderr
    assert "he_normal" in done.stdout
    assert file.stat().st_size > 1_000_000


def test_data_loss_and_optimizer_of_a_compiled_model_are_its_own(nets):
    task = checked("nets.py:classifier", "--data", "digits")["profile"]["task"]
    assert (task["loss"]["kind"], task["optimizer"]["name"]) == ("probability_nll", "SGD")
    assert task["optimizer"]["learning_rates"] == pytest.approx([0.1])


def test_a_loss_and_an_optimizer_by_name(nets):
    task = checked("nets.py:classifier", "--data", "digits", "--loss", "nll", "--optimizer", "adamw", "--lr", "0.01")
    task = task["profile"]["task"]
    assert task["optimizer"]["name"] == "AdamW"
    assert task["loss"]["kind"] == "other"
    own = checked("nets.py:one_hot", "--data", "digits", "--loss", "sparse_categorical_crossentropy")
    assert own["profile"]["task"]["loss"]["kind"] == "probability_nll"


def test_an_uncompiled_model_gets_the_loss_that_goes_with_its_output(nets):
    task = checked("nets.py:plain", "--data", "digits")["profile"]["task"]
    assert task["loss"]["kind"] == "cross_entropy"


@pytest.mark.parametrize("name", ["nets.py:Own", "nets:Own"])
def test_a_model_that_is_not_built_takes_the_shape_that_is_given(nets, name):
    assert checked(name, "--input", "20")["profile"]["source"]["batch"] == [32, 20]


def test_a_built_model_knows_its_inputs(nets):
    assert checked("nets.py:words", "--batch-size", "4")["profile"]["source"]["batch"] == [4, 12]
    assert [i["shape"] for i in checked("nets.py:two")["profile"]["task"]["inputs"]] == [[32, 4], [32, 6]]
    named = ("--input", "second=6", "--input", "first=4")
    assert [i["shape"] for i in checked("nets.py:two", *named)["profile"]["task"]["inputs"]] == [[32, 4], [32, 6]]


def test_fix_mends_and_writes_what_check_finds(nets):
    assert run("check", "nets.py:sick").exit_code == 1
    done = run("fix", "nets.py:sick", "--out", "mended.keras")
    assert done.exit_code == 0, done.stdout
    assert "cured" in done.stdout
    again = run("check", "mended.keras")
    assert again.exit_code == 0, again.stdout


def test_the_same_seed_gives_the_same_model_whether_it_is_made_at_import_or_by_a_call(nets):
    for name in ("nets.py:classifier", "nets.py:sick"):
        first, again, other = (load(name, seed=seed).model.get_weights()[0] for seed in (3, 3, 4))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other)


def test_what_the_models_own_preprocessing_takes_is_made_up():
    scaling = keras.layers.Normalization(mean=[5.0, 7.0, 9.0], variance=[4.0, 1.0, 0.25])
    whole = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), scaling, keras.layers.Flatten()])
    images = example_batch(whole, known_inputs(whole), batch=64)
    assert images.std() > 100
    seen = np.asarray(whole.predict(images, verbose=0))
    # 12288 values: their mean scatters by 0.009, their spread by 0.0064
    assert abs(seen.mean()) < 0.05
    assert abs(seen.std() - 1) < 0.04


def test_inputs_that_cannot_be_made():
    model = keras.Sequential([keras.Input((None, 4)), keras.layers.GRU(3)])
    assert known_inputs(model) is None
    with pytest.raises(InputError, match="no embedding"):
        example_batch(model, [InputSpec((5,), "ids")])
    with pytest.raises(InputError, match="all or none of them named"):
        example_batch(model, [InputSpec((5,)), InputSpec((5,), name="x")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "keras:MobilNetV2"), "Did you mean 'MobileNetV2'?"),
        (("check", MODEL, "--data", "digits"), "64 values"),
        (("init", MODEL, "--emit-code"), "--emit-code prints PyTorch"),
        (("init", MODEL, "--out", "net.safetensors"), "the ending .weights.h5 or .keras"),
        (("check", "nets.py:plain"), "The input of 'nets.py:plain' is not known"),
        (("check", "nets.py:two", "--data", "digits"), "takes 2"),
        (("check", "nets.py:plain", "--data", "digits", "--loss", "mes"), "Did you mean 'mse'?"),
        (("check", "nets.py:plain", "--input", "64", "--optimizer", "adm", "--lr", "0.1"), "Did you mean 'adam'?"),
        (("check", "nets.py:one_hot", "--data", "digits"), "sparse_categorical_crossentropy"),
        (("check", "nets.py:plain", "--input", "64", "--device", "cuda"), "Keras and its backend choose"),
        (("init", "nets.py:sick", "--emit-code"), "--emit-code prints PyTorch"),
        (("init", "nets.py:sick", "--out", "net.safetensors"), "the ending .weights.h5 or .keras"),
        (("check", "absent.keras"), "no file 'absent.keras'"),
        (("check", "broken.keras"), "cannot read 'broken.keras'"),
    ],
)
def test_what_does_not_go_is_said(nets, arguments, message):
    (nets / "broken.keras").write_text("no model")
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.split())


def test_the_textbook_network_is_demonstrated(tmp_path):
    picture = tmp_path / "demo.svg"
    arguments = ("demo", "--framework", "keras", "--network", "classic", "--steps", "40", "--out", str(picture))
    told = run(*arguments)
    assert told.exit_code == 0, told.stderr
    assert "Dense 784 → 128 relu, Dense 128 → 10 softmax" in told.stdout
    assert told.stdout.count("as drawn") == 2
    assert picture.read_text().startswith("<svg")
    shown = json.loads(run(*arguments, "--json").stdout)["record"]
    # A softmax with a loss that expects probabilities is right, and no finding says otherwise.
    assert not [f for f in shown["diagnosis"]["findings"] if f["severity"] != "note"]
    assert shown["before"]["evaluations"][-1]["accuracy"] > 0.5
