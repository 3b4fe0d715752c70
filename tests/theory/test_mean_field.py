"""Mean field: closed forms, an independent library's numbers, Monte Carlo, and the maps iterated by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import (
    activation,
    correlated_moments,
    correlation_map,
    critical_line,
    critical_point,
    gaussian_moments,
    level_gain,
    meanfield,
    stability,
    variance_map,
)

CORRELATIONS = (-1.0, -0.99999, -0.5, 0.0, 1e-3, 0.3, 0.9, 0.999, 1 - 1e-9, 1.0)
STEPS = np.arange(1, 11)
INPUTS = [x / math.sqrt(np.mean(x * x)) for x in (np.sin(STEPS), np.cos(0.7 * STEPS))]
FIRST = float(np.mean(INPUTS[0] * INPUTS[1]))  # the correlation of the gold file's two inputs

# ---- two correlated inputs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("q", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("c", CORRELATIONS)
def test_closed_forms(q, c) -> None:
    t = math.acos(c)
    f, d = correlated_moments("relu", q, c)
    assert f == pytest.approx(q * (math.sin(t) + (math.pi - t) * c) / (2 * math.pi), rel=1e-9, abs=1e-12)
    assert d == pytest.approx((math.pi - t) / (2 * math.pi), rel=1e-9, abs=1e-9)
    f, d = correlated_moments("erf", q, c)
    assert f == pytest.approx(2 / math.pi * math.asin(2 * q * c / (1 + 2 * q)), rel=1e-9, abs=1e-12)
    assert d == pytest.approx(4 / math.pi / math.sqrt((1 + 2 * q) ** 2 - (2 * q * c) ** 2), rel=1e-9)
    f, d = correlated_moments("sin", q, c)
    assert f == pytest.approx(math.exp(-q) * math.sinh(q * c), rel=1e-9, abs=1e-12)
    assert d == pytest.approx(math.exp(-q) * math.cosh(q * c), rel=1e-9, abs=1e-12)


def test_the_ends_are_moments_of_one_input(act) -> None:
    for q in (0.2, 1.0):
        moments = gaussian_moments(act, q)
        same, none = correlated_moments(act, q, 1.0), correlated_moments(act, q, 0.0)
        assert same == pytest.approx((moments.second_moment, moments.derivative_second_moment), rel=1e-9)
        assert none == pytest.approx((moments.mean**2, moments.derivative_mean**2), rel=1e-9, abs=1e-12)
        near = correlated_moments(act, q, 1 - 1e-10)
        # Next to 1 the mean falls as √(1 - c) at most, from a jump.
        assert near == pytest.approx(same, rel=1e-4)


@pytest.mark.parametrize("c", [-0.4, 0.7])
def test_two_inputs_agree_with_monte_carlo(act, c) -> None:
    z = np.random.default_rng(3).standard_normal((2, 100_000))
    u, v = z[0], c * z[0] + math.sqrt(1 - c * c) * z[1]
    for found, sample in zip(
        correlated_moments(act, 1.0, c), (act(u) * act(v), act.derivative(u) * act.derivative(v)), strict=True
    ):
        assert abs(sample.mean() - found) <= 5 * sample.std() / math.sqrt(sample.size) + 1e-12


# ---- gold numbers ----------------------------------------------------------------------------------------------------


def propagate(name: str, sigma_w: float, sigma_b: float, depth: int) -> dict[int, tuple[float, float]]:
    """Level and covariance after the activation of every layer, by the two maps alone."""
    q, c, after = 1.0, FIRST, {}
    q, c = sigma_w**2 + sigma_b**2, (sigma_w**2 * c + sigma_b**2) / (sigma_w**2 + sigma_b**2)
    for layer in range(1, depth + 1):
        after[layer] = gaussian_moments(name, q).second_moment, correlated_moments(name, q, c)[0]
        q, c = variance_map(name, q, sigma_w, sigma_b), correlation_map(name, q, min(c, 1.0), sigma_w, sigma_b)
    after[depth + 1] = q, q * c
    return after


@pytest.mark.parametrize(
    ("case", "name", "sigma_w", "sigma_b", "depth", "tolerance"),
    [
        ("fc_relu_50_sw1.41421_sb0", "relu", math.sqrt(2), 0.0, 50, 1e-11),
        ("fc_erf_50_sw1.5_sb0.1", "erf", 1.5, 0.1, 50, 1e-11),
        # The gold file's tanh is a Gauss-Hermite rule of 60 nodes, good to about 1e-6.
        ("fc_tanh_numeric_20_sw1.3_sb0.2", "tanh", 1.3, 0.2, 20, 2e-6),
    ],
)
def test_gold_fully_connected(gold, case, name, sigma_w, sigma_b, depth, tolerance) -> None:
    found = propagate(name, sigma_w, sigma_b, depth)
    layers = gold["nngp"]["cases"][case]["layers"]
    assert len(layers) >= 5
    for layer in layers:
        same, cross, _ = layer["nngp"]
        assert found[layer["op"]] == pytest.approx((same, cross), rel=tolerance)


def test_gold_layer_norm(gold) -> None:
    c, found = FIRST, {}
    for layer in range(1, 21):
        second, cross = gaussian_moments("relu").second_moment, correlated_moments("relu", 1.0, c)[0]
        found[layer], c = (second, cross), correlation_map("relu", 1.0, c, 1.0)
    for layer in gold["nngp"]["cases"]["fc_layernorm_relu_20"]["layers"][:-1]:
        assert found[layer["op"]] == pytest.approx(tuple(layer["nngp"][:2]), rel=1e-9)


def test_gold_residual(gold) -> None:
    q, c = 1.0, FIRST
    found = {1: (q, q * c)}
    for block in range(2, 32):
        own, cross = gaussian_moments("relu", q).second_moment, correlated_moments("relu", q, c)[0]
        q, c = q + 2 / 30 * own, (q * c + 2 / 30 * cross) / (q + 2 / 30 * own)
        found[block] = q, q * c
    for layer in gold["nngp"]["cases"]["resfc_relu_30_stable_1_over_sqrtL"]["layers"]:
        assert found[layer["op"]] == pytest.approx(tuple(layer["nngp"][:2]), rel=1e-9)
    assert q == pytest.approx(2.674319, abs=5e-7)


def test_gold_gradients(gold) -> None:
    """The tangent kernel on the diagonal follows from chi alone: T' = K' + sigma_w² E f'² T."""
    q = 1.5**2 + 0.1**2
    kernel, tangent = q, q
    for layer in range(1, 51):
        moments = gaussian_moments("erf", q)
        kernel, tangent = moments.second_moment, moments.derivative_second_moment * tangent
        for row in gold["nngp"]["cases"]["fc_erf_50_sw1.5_sb0.1"]["layers"]:
            if row["op"] == layer:
                assert tangent == pytest.approx(row["ntk"][0], rel=1e-9)
        q = 1.5**2 * kernel + 0.1**2
        tangent = q + 1.5**2 * tangent


# ---- fixed points ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("squared", "q_star", "chi", "xi", "c_star"),
    [
        (1.0, 0.193593, 0.759032, 3.6270, 1.0),
        (1.5, 0.418037, 0.938636, 15.791, 1.0),
        (2.5, 1.063958, 1.133516, 11.796, 0.446804),
    ],
)
def test_tanh_of_the_literature(squared, q_star, chi, xi, c_star) -> None:
    found = meanfield("tanh", math.sqrt(squared), math.sqrt(0.05))
    assert (found.q_star, found.chi_1, found.c_star) == pytest.approx((q_star, chi, c_star), abs=6e-7)
    assert found.xi_c == found.depth_scale == pytest.approx(xi, abs=6e-4)
    assert found.regime == ("chaotic" if chi > 1 else "ordered")


@pytest.mark.parametrize(("scale", "sigma_b"), [(0.7, 0.3), (1.6, 0.0)])
def test_fixed_points_are_where_the_maps_settle(act, scale, sigma_b) -> None:
    """The maps iterated from level 1 come to the record's fixed points, or run away where it says so."""
    sigma_w = scale * level_gain(act)
    found = meanfield(act, sigma_w, sigma_b)
    q = 1.0
    for _ in range(100):
        try:
            q = variance_map(act, q, sigma_w, sigma_b)
        except InputError:
            q = math.inf
        if q > 1e12 or q < 1e-15:
            break
    if found.regime == "divergent":
        assert q > 1e12
        assert math.isinf(found.q_star)
        assert found.c_star is found.xi_c is found.chi_q is None
        return
    # Whatever is left of the distance after 100 layers, about chi_q^100 of it.
    left = abs(found.chi_q) ** 100 * 10
    assert q == pytest.approx(found.q_star, rel=1e-8 + left, abs=1e-12 + left)
    if found.q_star == 0:
        return
    assert correlation_map(act, found.q_star, found.c_star, sigma_w, sigma_b) == pytest.approx(found.c_star, abs=1e-7)
    for c in (0.5 * found.c_star, 0.5 + 0.5 * found.c_star):  # from both sides the map leads towards it
        step = correlation_map(act, found.q_star, c, sigma_w, sigma_b) - c
        assert step * (found.c_star - c) >= -1e-9
    assert found.regime == ("chaotic" if found.chi_1 > 1 else "ordered")


def test_slopes_are_those_of_the_maps() -> None:
    found, h = meanfield("gelu", 1.4, 0.3), 1e-4
    rise = (variance_map("gelu", found.q_star + h, 1.4, 0.3) - variance_map("gelu", found.q_star - h, 1.4, 0.3)) / (
        2 * h
    )
    assert found.chi_q == pytest.approx(rise, rel=1e-6)
    assert found.xi_q == pytest.approx(-1 / math.log(rise), rel=1e-5)
    found = meanfield("tanh", 2.0, 0.3)
    ends = [correlation_map("tanh", found.q_star, found.c_star + d, 2.0, 0.3) for d in (-h, h)]
    assert found.xi_c == pytest.approx(-1 / math.log((ends[1] - ends[0]) / (2 * h)), rel=1e-5)
    assert correlation_map("tanh", found.q_star, found.c_star, 2.0, 0.3) == pytest.approx(found.c_star, abs=1e-9)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "linear", "prelu"])
def test_homogeneous_nets_are_critical_on_a_point(name) -> None:
    edge = level_gain(name)
    critical = meanfield(name, edge)
    assert (critical.regime, critical.q_star, critical.xi_c) == ("critical", 1.0, math.inf)
    assert meanfield(name, 0.9 * edge).regime == "ordered"
    assert meanfield(name, 0.9 * edge).q_star == 0
    assert meanfield(name, 0.9 * edge, 0.2).q_star == pytest.approx(0.04 / (1 - 0.81))
    for divergent in (meanfield(name, edge, 0.1), meanfield(name, 1.1 * edge)):
        assert divergent.regime == "divergent"
        assert "grows from layer to layer" in divergent.reason
    assert meanfield(name, 1.1 * edge).chi_1 == pytest.approx(1.21)


@pytest.mark.parametrize("name", ["gelu", "silu", "mish", "hardswish"])
def test_unit_gain_of_unstable_functions_runs_away(name) -> None:
    """A hair above the gain that keeps level 1 there is no level at all; a hair below, the signal dies."""
    assert meanfield(name, 1.01 * level_gain(name)).regime == "divergent"
    assert meanfield(name, 0.99 * level_gain(name)).q_star < 0.7
    assert not stability(name).stable


def test_the_runaway_of_a_deep_gelu_net() -> None:
    q = 2.35
    for _ in range(30):
        q = variance_map("gelu", q, level_gain("gelu"))
    assert q == pytest.approx(189, abs=1)


# ---- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_of_a_layer_of_pytorch() -> None:
    """Levels, products of two inputs and gradients, through ``nn.Dropout`` and one wide layer."""
    q, c, rate, sigma_w, sigma_b, units = 1.3, 0.6, 0.3, 1.2, 0.4, 20_000
    found = meanfield("tanh", sigma_w, sigma_b, dropout=rate)
    one, other = np.random.default_rng(0).standard_normal((2, units))
    pair = torch.tensor(math.sqrt(q) * np.stack((one, c * one + math.sqrt(1 - c * c) * other)), requires_grad=True)
    torch.manual_seed(0)
    passed = torch.nn.Dropout(rate)(torch.tanh(pair))
    moments = gaussian_moments("tanh", q)
    for sample, expected in (
        ((passed[0] ** 2).detach().numpy(), moments.second_moment / (1 - rate)),
        ((passed[0] * passed[1]).detach().numpy(), correlated_moments("tanh", q, c)[0]),
    ):
        assert abs(sample.mean() - expected) <= 5 * sample.std() / math.sqrt(units)
    (back,) = torch.autograd.grad(passed, pair, torch.randn(pair.shape, dtype=torch.float64))
    sample = (back[0] ** 2).numpy()
    expected = moments.derivative_second_moment / (1 - rate)
    assert abs(sample.mean() - expected) <= 5 * sample.std() / math.sqrt(units)
    # And the fixed point is that of these maps.
    own = gaussian_moments("tanh", found.q_star)
    assert sigma_w**2 * own.second_moment / (1 - rate) + sigma_b**2 == pytest.approx(found.q_star, rel=1e-9)
    assert found.chi_1 == pytest.approx(sigma_w**2 * own.derivative_second_moment / (1 - rate), rel=1e-9)
    product = correlated_moments("tanh", found.q_star, found.c_star)
    assert (sigma_w**2 * product[0] + sigma_b**2) / found.q_star == pytest.approx(found.c_star, abs=1e-7)
    assert found.xi_c == pytest.approx(-1 / math.log(sigma_w**2 * product[1]), rel=1e-5)


def test_dropout_leaves_no_critical_point() -> None:
    plain, dropped = meanfield("relu", math.sqrt(2)), meanfield("relu", math.sqrt(2 * 0.9), dropout=0.1)
    assert plain.c_star == 1
    assert math.isinf(plain.trainable_depth)
    assert dropped.chi_1 == pytest.approx(1)
    assert dropped.c_star < 1
    assert dropped.trainable_depth == 6 * dropped.xi_c < 100
    depths = [meanfield("tanh", 1.3, 0.2, dropout=rate).trainable_depth for rate in (0.0, 0.01, 0.1, 0.5)]
    assert depths == sorted(depths, reverse=True)
    assert meanfield("relu", 3.0, dropout=0.2).trainable_depth is None


# ---- the critical line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sigma_b", "sigma_w"),
    [("tanh", 0.0, 1.0), ("tanh", 0.1, 1.193401), ("tanh", 0.3, 1.395584), ("tanh", 1.0, 1.855589),
     ("erf", 0.0, math.sqrt(math.pi) / 2), ("relu", 0.0, math.sqrt(2))],
)  # fmt: skip
def test_critical_points_of_the_literature(name, sigma_b, sigma_w) -> None:
    point = critical_point(name, sigma_b)
    assert (point.sigma_w, point.sigma_b) == pytest.approx((sigma_w, sigma_b), abs=6e-7)
    assert point.stable


@pytest.mark.parametrize("q", [0.05, 0.5, 2.0])
def test_on_the_critical_line_gradients_keep_their_size(act, q) -> None:
    moments = gaussian_moments(act, q)
    slope = moments.derivative_second_moment
    if slope < 1e-12 or moments.second_moment / slope > q * (1 + 1e-9):
        with pytest.raises(InputError, match="no slope" if slope < 1e-12 else "never critical"):
            critical_line(act, q)
        return
    point = critical_line(act, q)
    assert variance_map(act, q, point.sigma_w, point.sigma_b) == pytest.approx(q, rel=1e-8)
    assert point.sigma_w**2 * gaussian_moments(act, q).derivative_second_moment == pytest.approx(1)
    found = meanfield(act, point.sigma_w, point.sigma_b)
    # The net settles there from level 1 where the point is stable and the only one.
    if abs(found.q_star - q) < 1e-4:
        assert found.regime == "critical"
        assert point.chi_q == pytest.approx(found.chi_q, rel=1e-3)


def test_unstable_critical_points_are_marked() -> None:
    assert critical_line("tanh", 0.5).stable
    assert not critical_line("silu", 0.5).stable
    assert not critical_point("gelu").stable


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: meanfield("tanh", 0.0), InputError, "sigma_w"),
        (lambda: meanfield("tanh", -1.0), InputError, "sigma_w"),
        (lambda: meanfield("tanh", math.nan), InputError, "sigma_w"),
        (lambda: meanfield("tanh", 1.0, -0.1), InputError, "sigma_b"),
        (lambda: meanfield("tanh", 1.0, dropout=1.0), InputError, "dropout rate"),
        (lambda: meanfield("tanh", 1.0, dropout=-0.1), InputError, "dropout rate"),
        (lambda: meanfield("tanh", 1.0, math.inf), InputError, "sigma_b"),
        (lambda: meanfield("tahn", 1.0), UnknownNameError, "Did you mean 'tanh'"),
        (lambda: meanfield(lambda x: np.exp(x * x), 1.0), InputError, "infinite moments"),
        (lambda: variance_map("tanh", -1.0, 1.0), InputError, "at least 0"),
        (lambda: variance_map("tanh", 1.0, 0.0), InputError, "sigma_w"),
        (lambda: correlation_map("tanh", 1.0, 1.5, 1.0), InputError, "between -1 and 1"),
        (lambda: correlation_map("tanh", 1.0, math.nan, 1.0), InputError, "between -1 and 1"),
        (lambda: correlation_map("softshrink", 1e-9, 0.5, 1.0), InputError, "needs a signal"),
        (lambda: correlated_moments("tanh", -1.0, 0.5), InputError, "at least 0"),
        (lambda: critical_line("sigmoid", 1.0), InputError, "never critical"),
        (lambda: critical_line("tanh", -1.0), InputError, "at least 0"),
        (lambda: critical_line(np.round, 1.0), InputError, "no slope"),
        (lambda: critical_point("relu", 0.1), InputError, "no critical point"),
        (lambda: critical_point("tanh", -0.1), InputError, "sigma_b"),
        (lambda: critical_point(activation("softplus")), InputError, "no critical point"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
