"""Where each bound lies, and that it is where the rule's page says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from gainstage import rules
from gainstage.graph import Operation, Role
from gainstage.records import Severity, Step, UnitStats
from gainstage.rules.trend import trend
from gainstage.rules.units import silent_probability
from rules.builders import CLASSES, EXAMPLES, WIDTH, Net, chain, mlp, regression, residual, role_of, with_task
from rules.cases import dead, labels, out_of_scale, saturated, starved, tokens, with_input, with_loss, with_output
from rules.cases import with_updates as stepped


def severity(code, profile):
    found = rules.get(code).judge(profile)
    return found[0].severity if found else None


# -- drift over depth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 8, 12, 50])
@pytest.mark.parametrize(
    ("decades", "expected"), [(2.9, None), (3.1, Severity.WARNING), (3.9, Severity.WARNING), (4.1, Severity.ERROR)]
)
def test_three_decades_are_a_warning_and_four_an_error_at_any_depth(depth, decades, expected):
    factor = 10 ** (decades / (depth - 1))
    down, up = chain(depth, level=lambda i: factor**-i), chain(depth, level=lambda i: factor**i)
    # Six layers that all lose the same make a fall sure, and then two decades are enough.
    assert severity("GS101", down.profile()) == (expected or (Severity.WARNING if depth >= 6 else None))
    assert severity("GS102", up.profile()) == expected
    assert severity("GS101", up.profile()) is severity("GS102", down.profile()) is None
    falls = chain(depth, gradient=lambda i: factor**i).profile()
    grows = chain(depth, gradient=lambda i: factor**-i).profile()
    assert severity("GS201", falls) == severity("GS202", grows) == expected


@pytest.mark.parametrize("depth", [6, 14, 50])
@pytest.mark.parametrize(("decades", "expected"), [(1.9, None), (2.1, Severity.WARNING)])
@pytest.mark.parametrize("loud", [1.0, 0.1, 30.0])
def test_two_decades_are_a_warning_where_every_layer_loses(depth, decades, expected, loud):
    """Below one or the input, whichever is less: the first layer's loss counts, an offset does not."""
    factor = 10 ** (decades / depth)
    level = min(loud, 1.0)
    profile = chain(depth, level=lambda i: level * factor ** -(i + 1)).profile()
    inputs = (dataclasses.replace(profile.task.inputs[0], spread=loud),)
    assert severity("GS101", with_task(profile, inputs=inputs)) == expected


def test_a_fall_by_chance_is_not_sure():
    # Seven steps as wide as these scatter by more than a third of what they sum up to.
    steps = np.cumsum([0.0, -1.4, 0.9, -1.3, 0.8, -1.5, 1.1, -1.1])
    profile = chain(8, level=lambda i: 10.0 ** steps[i]).profile()
    assert steps[-1] < -2
    assert severity("GS101", profile) is None


@pytest.mark.parametrize("depth", [8, 12, 50])
def test_an_offset_or_one_layer_out_of_scale_is_no_drift(depth):
    one_off = chain(depth, level=lambda i: 1e5 if i == depth // 2 else 1.0).profile()
    assert severity("GS101", one_off) is severity("GS102", one_off) is None
    quiet = chain(depth, level=lambda _: 1e-6, gradient=lambda _: 1e-9).profile()
    assert not {f.code for f in rules.judge(quiet).findings} & {"GS101", "GS102", "GS201", "GS202"}


def test_a_normalised_network_may_have_any_levels():
    for factor in (0.1, 10.0):
        normed = chain(12, norm="batch_norm", level=lambda i, f=factor: f**i).profile()
        assert severity("GS101", normed) is severity("GS102", normed) is None


def test_gradients_before_a_normalisation_count_times_what_it_divides_out():
    # A level 2^i before the norm makes the gradient there 2^-i: nothing has vanished.
    compensated = chain(
        14, norm="batch_norm", level=lambda i: 2.0**i, gradient=lambda i: 2.0**-i, relative=1.0, spread=0.1
    ).profile()
    assert severity("GS202", compensated) is None


def test_no_new_weights_are_proposed_where_a_normalisation_divides_their_scale_out():
    grows = {"gradient": lambda i: 1.21**-i}
    normed = rules.get("GS202").judge(chain(60, norm="batch_norm", **grows).profile())
    plain = rules.get("GS202").judge(chain(60, **grows).profile())
    assert [f.remedy.action for f in (*normed, *plain)] == ["edit", "initialize"]


def test_signal_and_weights_must_agree_that_the_gradient_drifts():
    # Homogeneous networks: the signal's gradient falls as the level rises, and every weight gets the same.
    flat = chain(12, gradient=lambda i: 0.1 ** (12 - i), relative=1e-3).profile()
    assert severity("GS201", flat) is None


def test_the_cause_names_the_spread_that_holds_the_level():
    vanishing = chain(20, level=lambda i: 0.08**i, spread=0.01).profile()
    cause = rules.get("GS101").judge(vanishing)[0].cause
    needed = math.sqrt(2 / WIDTH)  # He et al. 2015
    assert "spread 0.01" in cause
    assert f"a spread of {needed:.3g}" in cause


def test_the_cause_of_a_vanishing_sigmoid_multiplies_up_to_the_measured_factor():
    """Simulated in NumPy: one sigmoid layer at PyTorch's default, its slope and its weights."""
    random = np.random.default_rng(0)
    width = 512
    h = random.normal(0, 0.3, (256, width))
    slope = 1 / (1 + np.exp(-h))
    slope *= 1 - slope
    weights = random.uniform(-1, 1, (width, width)) / math.sqrt(width)
    delta = random.normal(size=(256, width))
    factor = float(np.linalg.norm(delta @ weights * slope) / np.linalg.norm(delta))
    sick = chain(12, function="sigmoid", level=lambda _: 0.3, gradient=lambda i: factor ** (12 - i),
                 gain=3**-0.5).profile()  # fmt: skip
    words = rules.get("GS201").judge(sick)[0].cause
    told = float(words.split("passes on ")[1].split(" ")[0]) * float(
        words.split("spread ")[1].split(", ")[1].split(" ")[0]
    )
    # Three digits in words; ‖δ W‖² over 256 × 512 normals scatters by √(2 / 512) at most.
    assert told == pytest.approx(factor, rel=0.005 + 3 * math.sqrt(2 / width) / 2)


def test_the_drift_is_the_slope_of_a_power_law_and_robust_to_noise():
    random = np.random.default_rng(1)
    for depth in (3, 10, 40):
        exact = trend((d, d, 0.5**d) for d in range(depth))
        assert exact.factor == pytest.approx(0.5)
        assert exact.decades == pytest.approx((depth - 1) * math.log10(0.5))
    noisy = [trend((d, d, math.exp(random.normal(0, 0.5))) for d in range(40)) for _ in range(200)]
    # A median of ten has a standard error of 1.25 · 0.5 / √10; two of them over 30 of 39 steps, in decades.
    error = 1.2533 * 0.5 / math.sqrt(10) * math.sqrt(2) * 39 / 30 / math.log(10)
    assert np.std([t.decades for t in noisy]) == pytest.approx(error, rel=4 / math.sqrt(2 * 200))
    assert trend([(0, 0, 1.0), (1, 1, 2.0)]) is None
    assert trend([(0, 0, 1.0), (1, 1, 0.0), (2, 2, math.nan), (3, 3, math.inf), (4, 4, 1.0)]) is None


# -- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("examples", [2, 8, 32])
def test_units_silent_by_chance_against_simulation(correlation, examples):
    random = np.random.default_rng(examples)
    units = 40_000
    common, own = random.normal(size=(units, 1)), random.normal(size=(units, examples))
    share = float((math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own < 0).all(1).mean())
    expected = silent_probability(correlation, examples)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / units) + 1e-12)


def test_silent_units_are_judged_against_chance():
    chance = silent_probability(0.95, EXAMPLES) * WIDTH
    assert severity("GS105", dead(round(chance), 0.95)) is None
    assert severity("GS105", dead(7)) is Severity.WARNING
    assert severity("GS105", dead(6)) is None  # a tenth of 64
    assert severity("GS105", dead(58)) is Severity.ERROR
    assert severity("GS105", dead(WIDTH, 1.0)) is Severity.ERROR


def test_units_that_a_shift_silences_are_not_excused_by_the_correlation_it_causes():
    by_chance = dead(30, 0.95)
    assert severity("GS105", by_chance) is None
    first, *others = by_chance.nodes
    shifted = dataclasses.replace(first, forward=dataclasses.replace(first.forward, mean=-0.6))
    assert severity("GS105", dataclasses.replace(by_chance, nodes=(shifted, *others))) is Severity.WARNING


@pytest.mark.parametrize(
    ("share", "expected"), [(0.25, None), (0.5, None), (0.51, Severity.WARNING), (0.96, Severity.ERROR)]
)
def test_saturation_begins_where_the_typical_unit_is_saturated(share, expected):
    assert severity("GS106", saturated(share)) == expected


def test_saturated_gates_and_outputs_are_no_fault():
    net = Net()
    start = net.last
    net.linear("gate")
    gate = net.activation("sigmoid", saturated_share=0.9, stuck=0)
    value = net.linear("value", source=start)
    net.put(Operation.MULTIPLY, "mul", inputs=(gate, value))
    net.linear("head", CLASSES)
    net.activation("sigmoid", saturated_share=0.9, stuck=0)
    assert severity("GS106", net.profile()) is None


@pytest.mark.parametrize(
    ("correlations", "expected"),
    [((0.1, 0.9, 0.99), None), ((0.1, 0.9999), None), ((0.1, 0.99999), Severity.WARNING), ((0.1, 1.0), Severity.ERROR)],
)
def test_tokens_collapse_when_a_hundredth_of_their_difference_is_left(correlations, expected):
    assert severity("GS110", tokens(correlations)) == expected


def test_attention_that_a_skip_goes_around_may_average():
    net = Net()
    for i in range(3):
        stats = UnitStats(WIDTH, EXAMPLES, EXAMPLES, example_correlation=0.1)
        net.linear(f"layers.{i}")
        net.put(
            Operation.ATTENTION, "attention", level=0.1, units=dataclasses.replace(stats, token_correlation=0.9999999)
        )
        net.put(Operation.ADD, "add", level=1.0, units=dataclasses.replace(stats, token_correlation=0.2))
    net.linear("head", CLASSES)
    assert severity("GS110", net.profile()) is None


# -- weights, and zeros on purpose -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.04, 0.1, 0.58, 1.41, 5.0, 9.9])
def test_gains_in_use_are_in_scale(gain):
    assert severity("GS103", out_of_scale(gain)) is None


def test_a_small_weight_beside_a_skip_is_in_scale():
    net = Net()
    stream = net.linear("stem")
    net.linear("branch.0", gain=0.001)
    net.activation()
    branch = net.linear("branch.1")
    net.add(stream, branch)
    net.linear("head", CLASSES)
    assert severity("GS103", net.profile()) is None


def test_a_zero_that_everything_passes_is_told_from_one_beside_a_skip():
    assert severity("GS403", residual(branch_scale=0.0).profile()) is None
    shut = rules.get("GS403").judge(residual(branch_scale=0.0, before="shut").profile())
    assert [f.path for f in shut] == ["shut"]
    assert shut[0].severity is Severity.ERROR


def test_zero_gradients_behind_a_zero_are_by_design_only_if_something_goes_around_it():
    def network(skip: bool):
        net = Net()
        stem = net.linear("stem", gradient=0.0 if not skip else 1.0)
        net.linear("inner", gradient=0.0)
        net.activation("tanh")
        branch = net.linear("outer", spread=0.0, level=0.0)
        if skip:
            net.add(stem, branch)
        net.linear("head", CLASSES)
        return net.profile()

    assert severity("GS203", network(skip=True)) is None
    assert severity("GS203", network(skip=False)) is Severity.WARNING  # two of four


def test_a_constant_hidden_layer_is_an_error_only_where_nothing_tells_its_units_apart():
    def network(head_constant: bool):
        net = Net()
        net.linear("hidden", spread=0.1, constant=True, copies=WIDTH - 1)
        net.activation()
        net.linear("head", CLASSES, constant=head_constant, copies=CLASSES - 1 if head_constant else 0)
        return net.profile()

    assert role_of(network(True), "head.weight") is Role.HEAD
    assert severity("GS301", network(True)) is Severity.ERROR
    assert severity("GS301", network(False)) is Severity.WARNING


def test_a_normalisation_is_starved_a_decade_below_its_scale():
    assert severity("GS402", starved(0.11)) is None
    assert severity("GS402", starved(0.09)) is Severity.WARNING


# -- the start of the loss -------------------------------------------------------------------------------------------


def test_the_loss_is_compared_with_what_a_guess_gives():
    uniform, sampling = math.log(CLASSES), 3 * 0.3 / math.sqrt(EXAMPLES)
    for value, expected in ((1.25, None), (1.27, Severity.NOTE), (3.99, Severity.NOTE), (4.01, Severity.WARNING)):
        found = severity("GS501", with_loss(mlp(), value=value * uniform + (sampling if expected else 0.0)))
        assert found == expected
    for value, expected in ((1.9, None), (2.1, Severity.NOTE), (99.0, Severity.NOTE), (101.0, Severity.WARNING)):
        assert severity("GS501", with_loss(regression(), value=value)) == expected


def test_normal_logits_add_half_their_variance_to_the_loss():
    """What GS502 tells of the excess, by simulation, below the freezing point."""
    random = np.random.default_rng(0)
    classes, draws, spread = 1000, 4000, 1.0
    logits = random.normal(0, spread, (draws, classes))
    excess = np.log(np.exp(logits).sum(1)) - logits[:, 0] - math.log(classes)
    assert float(excess.mean()) == pytest.approx(spread**2 / 2, abs=4 * spread / math.sqrt(draws) + 2 / classes)


def test_logits_freeze_at_the_transition_of_the_random_energy_model():
    for spread, expected in ((1.0, None), (1.1, Severity.NOTE), (4.2, Severity.NOTE), (4.4, Severity.WARNING)):
        assert severity("GS502", with_output(mlp(), spread_within=spread)) == expected
    assert 2 * math.sqrt(2 * math.log(CLASSES)) == pytest.approx(4.29, abs=0.005)


def test_a_sum_over_examples_has_no_chance_level():
    judged = rules.judge(with_loss(mlp(), value=500.0, mean_reduced=False))
    assert "GS501" in {u.code for u in judged.unjudged}


def test_unequal_classes_are_judged_only_with_ten_labels_a_class():
    target = mlp().task.target
    few = labels(dataclasses.replace(target, shape=(90,), entropy=0.1))
    assert "GS513" in {u.code for u in rules.judge(few).unjudged}


# -- inputs, step, numerics ------------------------------------------------------------------------------------------


def test_features_are_compared_with_each_other_and_not_with_one():
    for largest, expected in ((9.9, None), (11.0, Severity.NOTE), (101.0, Severity.WARNING)):
        assert severity("GS601", with_input(feature_spread=(0.1, 1.0, largest))) == expected
        assert severity("GS601", with_input(feature_spread=(100.0, 1000.0, 1000 * largest))) == expected
        assert severity("GS601", with_input(feature_spread=(0.1, 1.0, largest), normalised_first=True)) is None
        made_up = rules.judge(with_input(feature_spread=(0.1, 1.0, largest), synthetic=True))
        assert "GS601" in {u.code for u in made_up.unjudged}


def test_standardised_inputs_beyond_one_are_no_fault():
    assert severity("GS602", with_input(minimum=-8.0, maximum=9.0)) is None
    assert severity("GS602", with_input(mean=100.0, spread=100.0)) is None  # the first layer makes 1 of it


@pytest.mark.parametrize(("update", "small"), [(1e-6, Severity.WARNING), (1.1e-5, None), (0.09, None), (1.5, None)])
def test_relative_size_alone_convicts_no_large_step(update, small):
    profile = stepped(update)
    assert (severity("GS701", profile), severity("GS702", profile)) == (None, small)


@pytest.mark.parametrize(
    ("rise", "expected"), [(-0.5, None), (0.9, None), (1.1, Severity.WARNING), (11, Severity.ERROR)]
)
def test_a_step_is_too_large_by_what_it_does_to_the_loss(rise, expected):
    base = mlp()
    value = base.task.loss.value
    after = value + rise * (value - base.task.loss_shape.lowest)
    assert severity("GS701", dataclasses.replace(base, step=Step(-1.0, 0.0, after))) == expected


@pytest.mark.parametrize(("stable", "expected"), [(2.0, None), (0.9, Severity.NOTE), (0.4, Severity.WARNING)])
def test_an_overshooting_step_is_measured_in_multiples_of_the_stable_one(stable, expected):
    base = mlp()
    value, slope = base.task.loss.value, -1.0
    curvature = -2 * slope / stable
    step = Step(slope, curvature, value + slope + curvature / 2)
    assert step.stable_factor == pytest.approx(stable)
    assert severity("GS703", dataclasses.replace(base, step=step)) == expected


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 2.0**-9), ("float16", 2.0**-12)])
def test_steps_below_half_a_unit_in_the_last_place_are_lost(dtype, bound):
    assert severity("GS804", stepped(0.9 * bound, dtype)) is Severity.WARNING
    assert severity("GS804", stepped(1.1 * bound, dtype)) is None
    assert severity("GS804", stepped(0.9 * bound)) is None


def test_without_an_optimizer_the_step_is_not_judged():
    judged = rules.judge(with_task(mlp(), optimizer=None))
    assert {"GS701", "GS702", "GS703"} <= {u.code for u in judged.unjudged}
