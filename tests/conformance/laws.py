"""Laws of what the backends share. A test module imports them all and defines the fixture ``framework``."""

from __future__ import annotations

import inspect
import math
import typing
from dataclasses import replace

import numpy as np
import pytest

from conformance.framework import Array, Framework
from gainstage import planning
from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import Role
from gainstage.records import Assignment, Plan

EXACT = 1e-5
"""Relative error of some dozens of float32 operations."""


def white(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# -- labels, entropy, chance -----------------------------------------------------------------------------------------


def entropy(*shares: float) -> float:
    return -sum(p * math.log(p) for p in shares if p > 0)


CLASSES = np.array([0, 0, 1, 2])
SOFT = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.9, 0.05, 0.05]], np.float32)
SEVERAL = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 1]], np.float32)
VALUES = white(4, 3, seed=3)
MEAN = SOFT.mean(0)

LABELS = {
    "class numbers": ("cross_entropy", CLASSES, "classes", 3, entropy(0.5, 0.25, 0.25), np.log([0.5, 0.25, 0.25])),
    "one-hot": ("cross_entropy", np.eye(3, dtype=np.float32)[CLASSES], "one_hot", 3, entropy(0.5, 0.25, 0.25),
                np.log([0.5, 0.25, 0.25])),
    "soft": ("cross_entropy", SOFT, "probabilities", 3, entropy(*MEAN), np.log(MEAN)),
    "soft, a class never": ("cross_entropy", SOFT[:, [0, 1, 2, 2]] * np.float32([1, 1, 1, 0]), "probabilities", 3,
                            entropy(*MEAN), np.array([*np.log(MEAN), -80.0])),
    "binary": ("bce_logits", SEVERAL[:, :1], "binary", None, entropy(0.75, 0.25), np.log([3.0])),
    "several": ("bce_logits", SEVERAL[:, :2], "multi_label", None, entropy(0.75, 0.25), np.log([3.0, 3.0])),
    "several, unlike": ("bce_logits", SEVERAL, "multi_label", None, entropy(7 / 12, 5 / 12), np.log([3, 3, 1 / 3])),
    "squares": ("mse", VALUES, "values", None, None, VALUES.mean(0)),
    "distances": ("l1", VALUES, "values", None, None, np.median(VALUES, 0)),
}  # fmt: skip
"""Kind of loss, labels, their kind, classes and entropy, and the output of the best constant guess."""


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_described_alike(framework: Framework, name: str) -> None:
    kind, labels, described, classes, nats, guess = LABELS[name]
    model = framework.constant(5, guess)
    target = framework.backend.record(model, framework.tensor(white(4, 5)), framework.tensor(labels),
                                      loss=framework.loss(kind, labels)).task.target  # fmt: skip
    assert (target.kind, target.classes, target.shape) == (described, classes, labels.shape)
    assert target.entropy == (None if nats is None else pytest.approx(nats, rel=EXACT))


@pytest.mark.parametrize("name", LABELS)
def test_chance_is_the_loss_of_the_best_constant_guess(framework: Framework, name: str) -> None:
    kind, labels, *_, guess = LABELS[name]
    model = framework.constant(5, guess)
    loss = framework.backend.record(model, framework.tensor(white(4, 5)), framework.tensor(labels),
                                    loss=framework.loss(kind, labels)).task.loss  # fmt: skip
    assert loss.kind == kind
    assert loss.chance == pytest.approx(loss.value, rel=EXACT)


# -- moments and units -----------------------------------------------------------------------------------------------

ARRAYS = {
    "normal": white(7, 5),
    "far from zero": 1e3 + white(7, 500),
    "tiny": 1e-25 * white(7, 5),
    "huge": 1e25 * white(7, 5),
    "constant": np.full((7, 5), 0.1, np.float32),
    "single": np.array([3.0], np.float32),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_moments_are_those_of_double_precision(framework: Framework, name: str) -> None:
    array = np.float32(ARRAYS[name])
    found, wide = framework.moments_of(framework.tensor(array), extremes=True), array.astype(np.float64)
    assert found.count == array.size
    assert found.mean == pytest.approx(wide.mean(), rel=EXACT, abs=1e-7 * np.abs(wide).max())
    assert found.second_moment == pytest.approx(np.square(wide).mean(), rel=EXACT)
    # A mean rounded to float32 shifts all centred values by at most half a unit in its last place.
    rounding = (np.finfo(np.float32).eps * np.abs(wide).max()) ** 2
    assert found.variance == pytest.approx(wide.var(), rel=1e-3, abs=rounding)
    assert (found.minimum, found.maximum) == (array.min(), array.max())


def test_what_is_not_finite_is_counted(framework: Framework) -> None:
    found = framework.moments_of(framework.tensor(np.array([1.0, np.nan, np.inf, -np.inf], np.float32)))
    assert found.nonfinite == 3
    assert not found.finite


def test_units_are_judged_over_the_batch(framework: Framework) -> None:
    model, x = framework.perceptron((4, 6, 2), "relu"), white(32, 4)
    kernel = white(6, 4, seed=1)
    kernel[2] = 0
    bias = np.zeros(6, np.float32)
    bias[2] = -1  # a unit that is zero for every example
    framework.put(model, framework.weight(0), framework.stored(kernel))
    framework.put(model, "0.bias", bias)
    hidden = np.maximum(x @ kernel.T + bias, 0).astype(np.float64)
    profile = framework.backend.record(model, framework.tensor(x))
    node = next(n for n in profile.nodes if profile.node(n).function == "relu")
    units = node.units
    assert (units.units, units.observations, units.examples) == (6, 32, 32)
    assert units.zero == 1
    assert units.zero_share == pytest.approx(np.mean(hidden == 0))
    second, common = np.square(hidden).mean(), np.square(hidden.mean(0)).mean()
    assert units.example_correlation == pytest.approx((32 * common / second - 1) / 31, rel=EXACT)
    assert node.forward.example_share == pytest.approx(hidden.var(0, ddof=1).mean() / hidden.var(), rel=EXACT)


def test_saturation_is_a_hundredth_of_the_range_from_a_bound(framework: Framework) -> None:
    model, x = framework.perceptron((4, 6, 2), "tanh"), white(32, 4)
    kernel = 2 * white(6, 4, seed=1)
    kernel[1] = 0
    bias = np.zeros(6, np.float32)
    bias[1] = 9
    framework.put(model, framework.weight(0), framework.stored(kernel))
    framework.put(model, "0.bias", bias)
    hidden = np.tanh((x @ kernel.T + bias).astype(np.float64))
    profile = framework.backend.record(model, framework.tensor(x))
    units = next(n for n in profile.nodes if profile.node(n).function == "tanh").units
    assert units.saturated_share == pytest.approx(np.mean(np.abs(hidden) > 0.98))
    assert units.stuck == 1


def test_a_lean_profile_holds_a_part_of_the_standard_one(framework: Framework) -> None:
    model, x = framework.perceptron((4, 6, 2), "relu"), framework.tensor(white(8, 4))
    lean, standard = (framework.backend.record(model, x, detail=detail) for detail in ("lean", "standard"))
    assert {n.node for n in lean.nodes} <= {n.node for n in standard.nodes}
    assert all(n.forward.minimum is None for n in lean.nodes)
    with pytest.raises(InputError, match="Unknown detail 'full'"):
        framework.backend.record(model, x, detail="full")


def test_inputs_that_are_not_finite_are_refused(framework: Framework) -> None:
    x = white(8, 4)
    x[3, 2] = np.nan
    with pytest.raises(InputError, match=r"of shape \(8, 4\) holds NaN or infinite values"):
        framework.backend.record(framework.perceptron((4, 2), "relu"), framework.tensor(x))


# -- weights ---------------------------------------------------------------------------------------------------------


def test_repeated_units_are_counted_with_their_bias(framework: Framework) -> None:
    model, kernel = framework.perceptron((4, 6, 2), "relu"), white(6, 4)
    kernel[3] = kernel[5] = kernel[0]
    bias = np.zeros(6, np.float32)
    bias[5] = 1
    framework.put(model, framework.weight(0), framework.stored(kernel))
    framework.put(model, "0.bias", bias)
    profile = framework.backend.record(model, framework.tensor(white(8, 4)))
    measured = profile.by_path[framework.weight(0)]
    assert measured.copies == 1
    norms = np.linalg.norm(kernel, axis=1) / 2
    assert measured.unit_spread == pytest.approx((norms.min(), norms.max()), rel=EXACT)


def test_prediction_reads_the_sums_of_incoming_weights(framework: Framework) -> None:
    model, x = framework.perceptron((4, 6, 2), "relu"), framework.tensor(white(8, 4))
    kernel, bias = white(6, 4), white(6, seed=2)
    framework.put(model, framework.weight(0), framework.stored(kernel))
    framework.put(model, "0.bias", bias)
    found = framework.backend.weight_moments(model, framework.backend.trace(model, x))
    sums, wide = kernel.sum(1, dtype=np.float64), kernel.astype(np.float64)
    known = found[framework.weight(0)]
    assert known.second_moment == pytest.approx(np.square(wide).mean(), rel=EXACT)
    assert known.row_sum_square == pytest.approx(np.square(sums).mean())
    assert known.row_sum_mean == pytest.approx(sums.mean())
    assert known.kurtosis == pytest.approx(np.mean(wide**4) / np.square(wide).mean() ** 2)
    assert found["0.bias"].row_sum_product == pytest.approx(np.mean(bias.astype(np.float64) * sums))
    only = framework.backend.weight_moments(model, framework.backend.trace(model, x), {"0.bias"})
    assert set(only) == {"0.bias"}


@pytest.mark.parametrize("shape", [(), (0, 4), (True, 4), (8, 2.5)])
def test_a_placeholder_has_positive_sizes(framework: Framework, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="input_shape is the shape of an input with the batch"):
        framework.backend.placeholder(framework.perceptron((4, 2), "relu"), shape)


# -- writing ---------------------------------------------------------------------------------------------------------


def planned(framework: Framework, scheme: str = "he_normal") -> tuple[object, Array, Plan]:
    model, x = framework.perceptron((12, 24, 24, 5), "tanh"), white(64, 12)
    return model, x, planning.plan(framework.backend.trace(model, framework.tensor(x)), scheme, seed=4)


def changed(plan: Plan, path: str, **fields: object) -> Plan:
    assert any(a.parameter == path for a in plan)
    return replace(plan, assignments=tuple(replace(a, **fields) if a.parameter == path else a for a in plan))


BROKEN = {
    "twice": (lambda p, w: replace(p, assignments=(*p.assignments, p.assignments[0])), InputError, "twice"),
    "unknown": (lambda p, w: changed(p, w, parameter="nowhere"), UnknownNameError, "nowhere"),
    "shape": (lambda p, w: changed(p, w, shape=(3, 4)), InputError, "Make the plan from this"),
    "gain": (lambda p, w: changed(p, w, gain=math.nan), InputError, "not finite"),
    "scale": (lambda p, w: changed(p, w, scale=math.inf), InputError, "not finite"),
    "scheme": (lambda p, w: changed(p, w, scheme="he_norml"), UnknownNameError, "he_norml"),
    "kernel": (lambda p, w: changed(p, w, kernel=None), InputError, "has no kernel"),
    "blocks": (lambda p, w: changed(p, w, blocks=7), InputError, "cannot hold"),
    "draw": (lambda p, w: changed(p, w.replace("0", "4"), scheme="delta_orthogonal"), InputError, "cannot be drawn"),
    "values": (lambda p, w: changed(p, "0.bias", bias="measured", values=(1.0,)), InputError, "hold the 1 values"),
    "gates": (lambda p, w: changed(p, "4.bias", bias="forget_one"), InputError, "four gates"),
    "no weight": (lambda p, w: changed(p, "0.bias", bias="centre", weight=None), InputError, "needs the path"),
    "wrong weight": (lambda p, w: changed(p, "4.bias", bias="centre", weight=w), InputError, "is not the bias of"),
    "no kernel": (lambda p, w: changed(p, "0.bias", bias="centre", weight="2.bias"), InputError, "needs the kernel"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_plan_that_does_not_fit_changes_nothing(framework: Framework, fault: str) -> None:
    model, _, plan = planned(framework)
    before = framework.variables(model)
    spoil, kind, words = BROKEN[fault]
    with pytest.raises(kind, match=words):
        framework.backend.apply(model, spoil(plan, framework.weight(0)))
    after = framework.variables(model)
    assert all((before[path] == after[path]).all() for path in before)


def test_rules_for_biases(framework: Framework) -> None:
    model, _, plan = planned(framework)
    weight = framework.weight(2)
    plan = changed(plan, "0.bias", bias="uniform_fan_in", weight=framework.weight(0))
    plan = changed(plan, "2.bias", bias="centre", value=0.5, weight=weight)
    plan = changed(plan, "4.bias", bias="constant", value=0.25)
    framework.backend.apply(model, plan)
    found = framework.variables(model)
    np.testing.assert_allclose(found["2.bias"], -0.5 * framework.incoming(found[weight]).sum(1), rtol=EXACT, atol=1e-6)
    assert (found["4.bias"] == 0.25).all()
    assert np.abs(found["0.bias"]).max() <= 12**-0.5
    assert len(set(found["0.bias"].tolist())) == 24


def test_the_same_plan_gives_the_same_bytes(framework: Framework) -> None:
    model, _, plan = planned(framework)
    framework.backend.apply(model, plan)
    first = framework.variables(model)
    framework.backend.apply(model, plan)
    assert all((first[path] == values).all() for path, values in framework.variables(model).items())


def test_calibration_brings_every_output_to_its_level_and_the_plan_keeps_it(framework: Framework) -> None:
    model, x, plan = planned(framework, "auto")
    framework.backend.apply(model, plan)
    calibrated = framework.backend.calibrate(model, plan, framework.tensor(x))
    values, signal = framework.variables(model), x.astype(np.float64)
    for layer in (0, 2, 4):
        assignment = next(a for a in calibrated if a.parameter == framework.weight(layer))
        bias = values[f"{layer}.bias"]
        signal = signal @ framework.incoming(values[assignment.parameter]).T
        centred = (
            signal + bias if any(a.bias == "measured" for a in calibrated if a.parameter == f"{layer}.bias") else signal
        )
        assert np.square(centred).mean() == pytest.approx(assignment.level, rel=1e-4)
        assert "; calibrated by " in assignment.reason
        signal = np.tanh(signal + bias)
    framework.backend.apply(model, calibrated)
    for path, again in framework.variables(model).items():
        np.testing.assert_array_equal(again, values[path])


def test_a_signal_that_is_lost_leaves_the_predicted_level(framework: Framework) -> None:
    model, x, plan = planned(framework, "auto")
    framework.backend.apply(model, plan)
    framework.put(model, framework.weight(0), framework.stored(np.zeros((24, 12), np.float32)))
    calibrated = framework.backend.calibrate(model, plan, framework.tensor(x))
    first = next(a for a in calibrated if a.parameter == framework.weight(0))
    assert first.scale == 1.0
    assert "predicted only: the signal arrived with a level of 0" in first.reason


def test_lsuv_brings_every_layer_to_unit_variance(framework: Framework) -> None:
    model, x, plan = planned(framework, "lsuv")
    framework.backend.apply(model, plan)
    scaled = framework.backend.lsuv(model, plan, framework.tensor(x))
    values, signal = framework.variables(model), x.astype(np.float64)
    for layer in (0, 2, 4):
        signal = signal @ framework.incoming(values[framework.weight(layer)]).T + values[f"{layer}.bias"]
        assert signal.var() == pytest.approx(1, abs=0.1)  # the recipe's own tolerance
        signal = np.tanh(signal)
    reasons = {a.parameter: a.reason for a in scaled}
    assert all(reasons[framework.weight(layer)].startswith("lsuv: orthogonal, then divided") for layer in (0, 2, 4))
    for wrong in ({"tolerance": 0.0}, {"tries": 0}):
        with pytest.raises(InputError, match="LSUV needs a positive tolerance"):
            framework.backend.lsuv(model, plan, framework.tensor(x), **wrong)


def test_a_weight_that_is_kept_is_neither_checked_nor_written(framework: Framework) -> None:
    model, _, _ = planned(framework)
    before = framework.variables(model)
    framework.backend.apply(model, Plan((Assignment("nowhere", Role.HIDDEN, (1,), "keep"),)))
    assert all((before[path] == values).all() for path, values in framework.variables(model).items())


# -- the protocol ----------------------------------------------------------------------------------------------------


def test_the_workbench_has_every_name_of_its_protocols(framework: Framework) -> None:
    for protocol in framework.workbench_protocols:
        for name in typing.get_type_hints(protocol):
            assert hasattr(framework.workbench, name), name
        for name, promised in inspect.getmembers(protocol, inspect.isfunction):
            if name.startswith("_"):
                continue
            offered = inspect.signature(getattr(framework.workbench, name)).parameters
            asked = [n for n in inspect.signature(promised).parameters if n != "self"]
            assert [n for n in asked if n not in offered] == [], name
