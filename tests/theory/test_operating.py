"""Operating points: the published table, laws over all activations, and plain nets simulated at them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import (
    activation,
    activations,
    correlated_moments,
    gate_point,
    gaussian_moments,
    operating_point,
    stability,
)
from gainstage.theory.gaussian.quadrature import gaussian_means

BUDGET = math.log(2)
DEPTHS = (1, 3, 10, 30, 100)
WIDTH, DEPTH, SEEDS = 512, 30, 15
CENTRED = {"hardsigmoid", "logsigmoid", "sigmoid", "softplus", "sparse_plus", "sparse_sigmoid", "squareplus"}
UNSTABLE = {
    "exponential", "gelu", "gelu_tanh", "hardshrink", "hardswish", "logsigmoid", "mish", "quick_gelu", "relu_squared",
    "silu", "softplus", "softshrink", "sparse_plus", "squareplus", "tanhshrink", "threshold",
}  # fmt: skip

# ---- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "level", "gain"),
    [(10, 0.446, 1.322), (20, 0.259, 1.206), (50, 0.138, 1.120), (100, 0.089, 1.081), (200, 0.059, 1.055)],
)
def test_tanh_by_depth(depth, level, gain) -> None:
    point = operating_point("tanh", depth)
    assert (point.level, point.gain) == pytest.approx((level, gain), abs=6e-4)
    assert depth * math.log(point.chi) == pytest.approx(BUDGET, rel=1e-6)
    assert not point.centred
    assert point.reason == f"tanh, {depth} layers: level {point.level:.3g}, so that gradients grow by no more than 2"


def test_centred_sigmoid() -> None:
    point = operating_point("sigmoid", 12)
    assert (point.level, point.centred, point.mean) == (1.0, True, pytest.approx(0.5))
    assert (point.gain, point.chi) == pytest.approx((4.80, 1.0336), abs=2e-3)
    small = gaussian_moments("sigmoid", 0.1)
    assert small.chi_centred == pytest.approx(1.0007, abs=6e-5)
    assert math.sqrt(0.1 / small.variance) == pytest.approx(4.10, abs=6e-3)


@pytest.mark.parametrize(
    ("name", "level", "chi"),
    [("gelu", 1.0, 1.072), ("gelu", 0.1, 1.042), ("gelu", 0.01, 1.006), ("silu", 1.0, 1.067), ("silu", 0.1, 1.020),
     ("silu", 0.01, 1.002), ("tanh", 1.0, 1.178), ("tanh", 0.3, 1.043), ("tanh", 0.1, 1.0084), ("tanh", 0.03, 1.001)],
)  # fmt: skip
def test_growth_by_level(name, level, chi) -> None:
    assert gaussian_moments(name, level).chi == pytest.approx(chi, abs=6e-4)


# ---- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", DEPTHS)
def test_gain_keeps_the_level(act, depth) -> None:
    point = operating_point(act, depth)
    moments = gaussian_moments(act, point.level)
    power = moments.variance if point.centred else moments.second_moment
    assert point.gain**2 * power == pytest.approx(point.level, rel=1e-12)
    assert point.gain**2 * moments.derivative_second_moment == pytest.approx(point.chi, rel=1e-12)
    assert point.mean == moments.mean
    assert 0 < point.level <= 1
    assert f"{act.label}, {depth} layer" in point.reason


def test_level_falls_with_depth_and_the_budget_is_kept_and_used(act) -> None:
    points = [operating_point(act, depth) for depth in DEPTHS]
    levels = [point.level for point in points]
    assert levels == sorted(levels, reverse=True)
    for depth, point in zip(DEPTHS, points, strict=True):
        growth = depth * math.log(max(point.chi, point.slope))
        if point.level < 1:
            assert growth == pytest.approx(BUDGET, rel=1e-6)
        elif growth > BUDGET:
            assert "no lower one is better" in point.reason


def test_homogeneous_functions_run_at_level_1(act) -> None:
    if act.homogeneous:
        for depth in DEPTHS:
            point = operating_point(act, depth)
            assert (point.level, point.centred, point.chi) == (1.0, False, pytest.approx(1.0))


def test_which_functions_are_centred_and_which_are_unstable() -> None:
    points = {name: operating_point(name, 30) for name in activations()}
    assert {name for name, point in points.items() if point.centred} == CENTRED
    assert {name for name, point in points.items() if not point.stable} == UNSTABLE
    for name in UNSTABLE:
        bounded = 30 * math.log(max(points[name].slope, points[name].chi)) <= BUDGET * (1 + 1e-6)
        promised = f"errors in the level, grow by no more than {math.exp(BUDGET):.3g}"
        reported = (
            f"an error in it by {points[name].slope:.4g} and gradients by {points[name].chi:.4g}: wants calibration"
        )
        assert (promised if bounded else reported) in points[name].reason
    assert all("centred" in points[name].reason for name in CENTRED)
    # Where nothing is centred, stability at level 1 is the gain's own.
    for name in set(points) - CENTRED:
        assert stability(name, points[name].level).stable == points[name].stable


@pytest.mark.parametrize("name", sorted(CENTRED))
def test_centring_is_what_keeps_two_inputs_apart(name) -> None:
    """Two uncorrelated inputs, twelve layers on: without centring they have become one."""
    point, moments = operating_point(name, 12), gaussian_moments(name, operating_point(name, 12).level)
    plain = centred = 0.0
    for _ in range(12):
        plain = correlated_moments(name, point.level, plain)[0] / moments.second_moment
        centred = (correlated_moments(name, point.level, centred)[0] - moments.mean**2) / moments.variance
    assert centred == pytest.approx(0, abs=1e-9)
    # The map is convex, so that every layer leaves at most chi of the distance to 1.
    assert 1 - plain <= moments.chi**12 + 1e-12 < 0.03


def test_a_function_of_the_users_own() -> None:
    found, known = operating_point(lambda x: np.tanh(x), 50), operating_point("tanh", 50)
    assert (found.level, found.gain, found.chi) == pytest.approx((known.level, known.gain, known.chi), rel=1e-7)
    assert found.reason.startswith("function, 50 layers: level 0.138")
    assert operating_point(lambda x: 0.5 + np.arctan(x) / 3, 5).centred


def test_a_wider_budget_allows_a_higher_level() -> None:
    levels = [operating_point("tanh", 50, growth=growth).level for growth in (0.1, BUDGET, 3.0)]
    assert levels == sorted(levels)
    assert operating_point("tanh", 50, growth=20.0).level == 1


# ---- simulation ------------------------------------------------------------------------------------------------------


NAMES = tuple(name for name in activations() if name not in UNSTABLE)


def scatter(name: str, *, gradient: bool) -> float:
    """Variance of the log of level (or of gradient growth) after all layers, to first order in 1/width."""
    act, point = activation(name), operating_point(name, DEPTH)
    spread, mean = math.sqrt(point.level), point.mean if point.centred else 0.0

    def powers(z: np.ndarray) -> np.ndarray:
        f, d = act.function(spread * z) - mean, act.derivative(spread * z)
        return np.stack([f**2, f**4, d**2, d**4])

    f2, f4, d2, d4 = gaussian_means(powers, [kink / spread for kink in act.kinks])
    kappa = f4 / f2**2 - 1
    if not gradient:
        carried = sum(point.slope ** (2 * k) for k in range(DEPTH))
        return (kappa * carried + 2 * point.slope ** (2 * DEPTH) + 2) / WIDTH
    # Each layer averages f'² over its units, and moves with the level: d log E f'² / d log q times the level's error.
    h = 1e-3
    ends = [gaussian_moments(act, point.level * (1 + s)).derivative_second_moment for s in (-h, h)]
    pull = (ends[1] - ends[0]) / (2 * h * d2)
    memory = min(1 / (1 - point.slope) if point.slope < 1 else math.inf, DEPTH)
    return DEPTH * (3 * d4 / d2**2 - 1 + (pull * memory) ** 2 * kappa) / WIDTH + 4 / WIDTH


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, np.ndarray]:
    """Log level at the end and log gradient growth, (seed, activation): plain nets that share their weights."""
    acts, points = [activation(name) for name in NAMES], [operating_point(name, DEPTH) for name in NAMES]
    gain = np.array([point.gain for point in points], dtype=np.float32)
    level = np.array([point.level for point in points])
    removed = np.array([point.mean * point.centred for point in points], dtype=np.float32)
    ends = np.empty((2, SEEDS, len(NAMES)))
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        weights = random.standard_normal((DEPTH, WIDTH, WIDTH), dtype=np.float32) / np.float32(math.sqrt(WIDTH))
        start, error = random.standard_normal((2, WIDTH))
        layers = [np.sqrt(level) * start[:, None]]
        for weight in weights:
            out = np.stack([act.function(h) for act, h in zip(acts, layers[-1].T, strict=True)], -1)
            bias = -weight.sum(1)[:, None] * removed  # what centring takes off: -mean · Σ w of every unit
            layers.append(gain * (weight @ out.astype(np.float32) + bias).astype(np.float64))
        g = np.repeat(error[:, None], len(NAMES), -1)
        for weight, h in zip(weights[::-1], layers[-2::-1], strict=True):
            slopes = np.stack([act.derivative(column) for act, column in zip(acts, h.T, strict=True)], -1)
            g = slopes * gain * (weight.T @ g.astype(np.float32))
        ends[0, seed] = np.log(np.mean(layers[-1] ** 2, 0) / level)
        ends[1, seed] = np.log(np.mean(g**2, 0) / np.mean(error**2))
    return ends[0], ends[1]


def band(variance: float) -> float:
    """Five standard errors of a median over the seeds, and the shift of a mean of logs, which is of second order."""
    return 5 * math.sqrt(math.pi / 2 * variance / SEEDS) + variance


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_net_stays_at_its_level(simulated, name) -> None:
    drift = np.median(simulated[0][:, NAMES.index(name)])
    assert abs(drift) <= band(scatter(name, gradient=False))


@pytest.mark.parametrize("name", NAMES)
def test_a_simulated_gradient_grows_as_promised(simulated, name) -> None:
    growth, slack = np.median(simulated[1][:, NAMES.index(name)]), band(scatter(name, gradient=True))
    assert abs(growth - DEPTH * math.log(operating_point(name, DEPTH).chi)) <= slack
    assert growth <= BUDGET + slack


def test_the_bands_are_narrow_enough_to_fail() -> None:
    """PyTorch's default for linear layers, a third of 1/fan_in, would end far outside every one of them."""
    assert max(band(scatter(name, gradient=False)) for name in NAMES) < DEPTH * math.log(3) / 10


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: operating_point("tahn", 3), UnknownNameError, "Did you mean 'tanh'"),
        (lambda: operating_point("tanh", 0), InputError, "at least 1"),
        (lambda: operating_point("tanh", -3), InputError, "at least 1"),
        (lambda: operating_point("tanh", 2.5), InputError, "whole number"),
        (lambda: operating_point("tanh", math.nan), InputError, "whole number"),
        (lambda: operating_point("tanh", math.inf), InputError, "whole number"),
        (lambda: operating_point("tanh", "3"), InputError, "whole number"),
        (lambda: operating_point("tanh", True), InputError, "whole number"),
        (lambda: operating_point("tanh", 3, growth=0.0), InputError, "above 0"),
        (lambda: operating_point("tanh", 3, growth=math.nan), InputError, "above 0"),
        (lambda: operating_point(np.ones_like, 3), InputError, "constant"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("depth", [1, 8, 64])
@pytest.mark.parametrize("name", ["sigmoid", "hardsigmoid", "tanh", "silu", "relu", "gelu"])
def test_a_gate_is_run_at_the_largest_level_that_its_depth_allows(name, depth):
    """Measured on a simulated unit: the gradient of Σ a f(b) with respect to an input of both is a sum of two parts."""
    point = gate_point(name, depth)
    act = activation(name)
    rng = np.random.default_rng(0)
    value, gate = rng.standard_normal(400_000), math.sqrt(point.level) * rng.standard_normal(400_000)
    output = (value * act.function(gate)) ** 2
    # Jacobians of the two linear maps from an input of level 1: of second moments 1 and ``level``.
    back = act.function(gate) ** 2 + point.level * (value * act.derivative(gate)) ** 2
    chi = back.mean() / output.mean()
    scatter = np.hypot(back.std() / back.mean(), output.std() / output.mean()) / math.sqrt(len(output))
    assert chi == pytest.approx(point.chi, rel=5 * scatter)
    assert math.sqrt(output.mean()) * point.gain == pytest.approx(1.0, rel=5 * scatter)
    if point.level < 1:
        assert depth * math.log(point.chi) == pytest.approx(math.log(2), rel=1e-6)
    assert name in point.reason


def test_a_gate_that_is_zero_at_zero_is_tamed_by_no_level():
    assert [gate_point(name, 64).level for name in ("silu", "tanh", "gelu")] == [1.0] * 3
    assert gate_point("sigmoid", 64).level < 0.1


@pytest.mark.parametrize(("depth", "growth"), [(0, 1.0), (True, 1.0), (1.5, 1.0), (3, 0.0), (3, math.inf)])
def test_a_gate_refuses_a_depth_or_growth_that_is_none(depth, growth):
    with pytest.raises(InputError):
        gate_point("sigmoid", depth, growth=growth)
