"""Every tensor is judged in its own number format under Keras's mixed policy, and gs.formats takes Keras models."""

import keras
import numpy as np
import pytest
from keras import layers

import gainstage as gs

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 32)).astype("float32"), RNG.integers(0, 10, 64)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CODES = {"GS802", "GS803", "GS804"}


def network(policy):
    """Hidden layers under a policy, and logits in float32, as Keras's guide writes it."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((32,)),
        layers.Dense(48, "relu", dtype=policy),
        layers.Dense(48, "relu", dtype=policy),
        layers.Dense(10, dtype="float32"),
    ])  # fmt: skip


def found(policy, *, scale=1.0, loss_scale=1.0):
    diagnosis = gs.check(network(policy), scale * X, Y, loss=lambda y, out: loss_scale * LOSS(y, out))
    pending = [*diagnosis.findings]
    for finding in pending:
        pending += finding.consequences
    return {f.code for f in pending} & CODES


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_a_healthy_network_is_not_flagged(policy):
    assert found(policy) == set()


def test_the_end_of_float16_is_seen_behind_float32_logits():
    assert "GS802" in found("mixed_float16", scale=4e3)
    assert "GS802" not in found("float32", scale=4e3)


def test_underflow_is_seen_behind_float32_logits():
    assert "GS803" in found("mixed_float16", loss_scale=1e-7)
    assert "GS803" not in found("float32", loss_scale=1e-7)


def test_formats_of_a_keras_model():
    model = network("mixed_float16")
    formats = gs.formats(model, X, Y, loss=LOSS, optimizer="adam", learning_rate=1e-3)
    assert {t.dtype for t in formats.tensors if t.kind == "output"} == {"float16", "float32"}
    assert {t.dtype for t in formats.tensors if t.kind == "weight"} == {"float32"}
    assert all(t.of("bfloat16").lost is not None for t in formats.tensors if t.kind == "weight" and "kernel" in t.path)
    assert not formats.harmed("bfloat16")


def test_shares_of_a_keras_model_agree_with_real_casts():
    model = network("float32")
    formats = gs.formats(model, 1e-7 * X, formats=["float16"])
    first = next(t for t in formats.tensors if t.kind == "output")
    values = 1e-7 * X @ np.asarray(model.layers[0].kernel) + np.asarray(model.layers[0].bias)
    real = float(((values.astype("float16") == 0) & (values != 0)).mean())
    assert first.of("float16").underflow == pytest.approx(real, abs=4 * np.sqrt(real * (1 - real) / values.size))
