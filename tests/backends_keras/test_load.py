"""Models by name."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import gainstage as gs
from gainstage.backends.keras.models.applications import load, model_names
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.load import load as load_any
from gainstage.errors import LoadError, MissingPackageError, UnknownNameError


def test_a_model_is_built_without_weights_and_planned():
    found = load("keras:MobileNetV2", seed=0)
    assert found.inputs[0].shape == (224, 224, 3)
    planned = gs.plan(found.model, "he_normal")
    assert sum(a.kernel is not None and a.kernel.groups > 1 for a in planned) == 17
    assert {a.role for a in planned if a.parameter.startswith("predictions.kernel")} == {"head"}


def test_the_same_seed_gives_the_same_weights():
    first, second = (values_of(load("MobileNetV3Small", seed=4).model.trainable_variables[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_unknown_names():
    assert "ResNet50" in model_names()
    with pytest.raises(UnknownNameError, match="Did you mean 'ResNet50"):
        load("keras:ResNet5")


def test_a_model_that_keras_cannot_build(monkeypatch):
    import keras

    monkeypatch.setattr(keras.applications, "VGG16", lambda weights: 1 / 0)
    with pytest.raises(LoadError, match="Keras cannot build 'keras:VGG16'"):
        load("keras:VGG16")


@pytest.mark.parametrize(
    ("missing", "message"), [("keras", r"pip install 'gainstage\[keras\]'"), ("jax", "backend 'jax'")]
)
def test_a_package_that_is_not_installed(monkeypatch, missing, message):
    def refuse(name):
        raise ModuleNotFoundError(f"No module named '{missing}'", name=missing)

    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingPackageError, match=message):
        load_any("keras:VGG16")


@pytest.mark.parametrize(("backend", "message"), [("mxnet", "KERAS_BACKEND to tensorflow, jax or torch"),
                                                  ("openvino", "pip install openvino")])  # fmt: skip
def test_a_backend_that_is_not_there(tmp_path, backend, message):
    """In a process of its own, since Keras settles its backend once."""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    call = "from gainstage.backends.load import load; load('keras:VGG16')"
    ran = subprocess.run([sys.executable, "-c", call], env=environment, capture_output=True, text=True, check=False)
    assert message in ran.stderr
    assert re.search(r"(MissingPackageError|LoadError): ", ran.stderr)
