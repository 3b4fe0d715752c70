"""Moments and gains: gold numbers, real frameworks, Monte Carlo within its own error, SciPy's quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from gainstage.errors import InputError, UnknownNameError, UnstableGainWarning
from gainstage.theory import (
    GaussianMoments,
    activation,
    batch_norm_growth,
    gain,
    gated_chi,
    gaussian_moments,
    layer_norm_growth,
    level_gain,
    stability,
)

LEVELS = (1e-4, 0.1, 0.7, 3.0)
pytestmark = pytest.mark.filterwarnings("ignore::gainstage.errors.UnstableGainWarning")


def test_gold(gold) -> None:
    for label, row in gold["gains"]["activations"].items():
        name, _, slope = label.partition("_0")
        act = activation(name, negative_slope=0.2) if slope else activation(name)
        moments = gaussian_moments(act)
        found = {
            "mean": moments.mean,
            "second_moment": moments.second_moment,
            "variance": moments.variance,
            "gain_second_moment": gain(act),
            "gain_centred": gain(act, "centred"),
            "deriv_mean": moments.derivative_mean,
            "deriv_second_moment": moments.derivative_second_moment,
            "backward_gain": gain(act, "backward"),
            "ratio_d2_over_m2": layer_norm_growth(act),
            "bn_grad_factor": batch_norm_growth(act),
            "q_slope_at_unit": stability(act).slope,
            "c0_limit": moments.mean**2 / moments.second_moment,
        }
        for key, value in found.items():
            assert value == pytest.approx(row[key], rel=1e-11, abs=1e-14), (label, key)


@pytest.mark.parametrize("level", LEVELS)
def test_moments_agree_with_scipy(act, level) -> None:
    """Another quadrature (QUADPACK, adaptive Gauss-Kronrod) at levels that are in no table."""
    moments, spread = gaussian_moments(act, level), math.sqrt(level)
    kinks = [k / spread for k in act.kinks if abs(k / spread) < 12]

    def mean(g) -> float:
        edges = sorted({-12.0, *np.arange(-11.0, 12.0, 2.0), 12.0, *kinks})
        density = [lambda z: g(spread * z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)] * (len(edges) - 1)
        parts = zip(density, edges[:-1], edges[1:], strict=True)
        return math.fsum(integrate.quad(d, a, b, epsabs=1e-14, epsrel=1e-11)[0] for d, a, b in parts)

    assert moments.level == level
    assert moments.second_moment == pytest.approx(mean(lambda x: float(act(x)) ** 2), rel=1e-9, abs=1e-13)
    slopes = mean(lambda x: float(act.derivative(np.asarray(x))) ** 2)
    assert moments.derivative_second_moment == pytest.approx(slopes, rel=1e-9, abs=1e-13)


def test_moments_agree_with_monte_carlo(act) -> None:
    """Each mean within 5 standard errors (38 x 6 trials: 1 in 8000 by chance; the draw is fixed)."""
    z = np.random.default_rng(0).standard_normal(200_000)
    f, d = act(z), act.derivative(z)
    moments = gaussian_moments(act)
    for found, sample in (
        (moments.mean, f),
        (moments.second_moment, f**2),
        (moments.derivative_mean, d),
        (moments.derivative_second_moment, d**2),
        # z f f' and z f' by Stein's lemma, so that jumps of f count as they should.
        (moments.z_f_fprime, (f**2 * (z**2 - 1)) / 2),
        (moments.z_fprime, f * (z**2 - 1)),
    ):
        error = sample.std() / math.sqrt(sample.size)
        assert abs(sample.mean() - found) <= 5 * error + 1e-12


def test_gain_against_monte_carlo(act) -> None:
    """A layer with that gain keeps E h²: the error of 1/√(mean f²) is half the relative error of the mean."""
    f = act(np.random.default_rng(1).standard_normal(200_000))
    relative = (f**2).std() / math.sqrt(f.size) / (f**2).mean()
    assert gain(act) == pytest.approx(1 / math.sqrt((f**2).mean()), rel=5 * relative / 2 + 1e-12)


@pytest.mark.parametrize("level", [0.05, 1.0, 2.0])
def test_slope_is_that_of_the_variance_map(act, level) -> None:
    """√q E[z f f'] / E f² against a difference of E f² over the level, jumps of f included."""
    h = 1e-4 * level
    own = gaussian_moments(act, level)
    before, after = gaussian_moments(act, level - h), gaussian_moments(act, level + h)
    rise = (after.second_moment - before.second_moment) / (2 * h)
    assert own.slope == pytest.approx(rise * level / own.second_moment, rel=1e-6, abs=1e-9)
    drift = (after.mean - before.mean) / (2 * h)
    centred = (rise - 2 * own.mean * drift) * level / own.variance
    assert own.slope_centred == pytest.approx(centred, rel=1e-5, abs=1e-8)


def test_poincare(act) -> None:
    """Var f <= q E f'² for every continuous f: a centred net never loses its gradient."""
    for level in LEVELS:
        moments = gaussian_moments(act, level)
        if act.name not in ("hardshrink", "threshold", "softshrink") or (act.name == "softshrink" and level > 0.01):
            assert moments.chi_centred >= 1 - 1e-9


def test_gain_at_a_level_keeps_that_level(act) -> None:
    for level in (0.1, 3.0):
        moments = gaussian_moments(act, level)
        assert gain(act, q=level) ** 2 * moments.second_moment == pytest.approx(level, rel=1e-12)
        assert gain(act, "centred", q=level) ** 2 * moments.variance == pytest.approx(level, rel=1e-12)
        assert gain(act, "backward", q=level) ** 2 * moments.derivative_second_moment == pytest.approx(1, rel=1e-12)


def test_homogeneous_gains_do_not_depend_on_the_level(act) -> None:
    gains = [gain(act, q=level) for level in (0.01, 1.0, 50.0)]
    assert (max(gains) / min(gains) - 1 < 1e-9) == act.homogeneous


# ---- numbers of the literature ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: gain("tanh"), 1.592537),
        (lambda: gain("gelu"), 1.533530),
        (lambda: gain("silu"), 1.676532),
        (lambda: gain("relu"), math.sqrt(2)),
        (lambda: gain("relu", "centred"), 1.712859),
        (lambda: gain("relu", "centred"), math.sqrt(2 / (1 - 1 / math.pi))),
        (lambda: batch_norm_growth("relu"), math.pi / (math.pi - 1)),
        (lambda: batch_norm_growth("tanh"), 1.177807),
        (lambda: batch_norm_growth("gelu"), 1.318845),
        (lambda: batch_norm_growth("linear"), 1.0),
        (lambda: layer_norm_growth("relu"), 1.0),
    ],
)
def test_known_numbers(found, expected) -> None:
    assert found() == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize(
    ("name", "slope", "stable"),
    [
        ("gelu", 1.144, False), ("silu", 1.173, False), ("mish", 1.076, False), ("hardswish", 1.224, False),
        ("relu_squared", 2.0, False), ("tanh", 0.461, True), ("selu", 0.783, True), ("elu", 0.891, True),
        ("relu", 1.0, True), ("linear", 1.0, True),
    ],
)  # fmt: skip
def test_which_gains_are_unstable(name, slope, stable) -> None:
    found = stability(name)
    assert found.slope == pytest.approx(slope, abs=6e-4)
    assert found.stable is stable
    assert found.depth == (math.inf if slope == 1 else pytest.approx(1 / abs(math.log(found.slope))))


@pytest.mark.filterwarnings("error")
def test_an_unstable_gain_comes_with_a_warning(act) -> None:
    """By second moment and centred, as the slopes of the two maps say; whoever wants the figure alone has it."""
    moments = gaussian_moments(act)
    for convention, slope in (("second_moment", moments.slope), ("centred", moments.slope_centred)):
        if slope > 1 + 1e-9:
            with pytest.warns(UnstableGainWarning, match=f"'{act.label}' keeps level 1 .* {slope:.4g} a layer"):
                warned = gain(act, convention)
        else:
            warned = gain(act, convention)
        assert warned == level_gain(act, convention)
    unstable = {name for name in ("gelu", "silu", "mish", "hardswish", "relu_squared") if not stability(name).stable}
    assert len(unstable) == 5


@pytest.mark.parametrize(
    ("name", "gate"),
    [("glu", "sigmoid"), ("SwiGLU", "silu"), ("geglu", "gelu"), ("reglu", "relu"), ("bilinear", "linear")],
)
@pytest.mark.parametrize("level", [1.0, 0.4])
def test_gated_units_agree_with_monte_carlo(name, gate, level) -> None:
    rng = np.random.default_rng(4)
    act = activation(gate)
    a, b = math.sqrt(level) * rng.standard_normal((2, 200_000))
    out = a * act(b)
    for found, sample in (
        (level / gain(name, q=level) ** 2, out**2),
        (level / gain(name, "centred", q=level) ** 2, out**2),
        (1 / gain(name, "backward", q=level) ** 2, act(b) ** 2 + a**2 * act.derivative(b) ** 2),
    ):
        assert abs(sample.mean() - found) <= 5 * sample.std() / math.sqrt(sample.size)
    assert gain(name) == pytest.approx(level_gain(gate))


def test_gated_units_of_pytorch() -> None:
    assert gain(torch.nn.GLU()) == gain(torch.nn.functional.glu) == gain("glu")


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "linear"])
@pytest.mark.parametrize("batch", [8, 16, 64])
def test_batch_norm_growth_of_small_batches(name, batch) -> None:
    """A deep batch-normalised net of 256 units, six draws: the mean growth per layer within four standard errors."""
    act, depth, units = activation(name), 16, 256
    functions = {"relu": torch.relu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu, "linear": lambda x: x}
    growths = []
    for seed in range(6):
        generator = torch.manual_seed(seed)
        h = torch.randn(batch, units, dtype=torch.float64, generator=generator).requires_grad_()
        kept = []
        for _ in range(depth):
            x = (h - h.mean(0)) / h.var(0, unbiased=False).sqrt()
            weight = torch.randn(units, units, dtype=torch.float64, generator=generator) / math.sqrt(units)
            h = functions[name](x) @ weight
            h.retain_grad()
            kept.append(h)
        h.backward(torch.randn(h.shape, dtype=torch.float64, generator=generator))
        one, other = (float((layer.grad**2).mean()) for layer in (kept[2], kept[-3]))
        growths.append(math.log(one / other) / (depth - 5))
    error = np.std(growths, ddof=1) / math.sqrt(len(growths))
    # Units count as 1/units: of the growth a percent.
    assert abs(np.mean(growths) - math.log(batch_norm_growth(act, batch))) <= 4 * error + 0.012


def test_batch_norm_growth_tends_to_that_of_large_batches(act) -> None:
    assert batch_norm_growth(act, 1e6) == pytest.approx(batch_norm_growth(act), rel=0.01)


def test_gated_chi() -> None:
    assert (gated_chi("silu"), gated_chi("gelu")) == pytest.approx((2.067, 2.072), abs=6e-4)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu"])
def test_pytorch_gains_are_pytorchs(name) -> None:
    assert gain(name, "pytorch") == torch.nn.init.calculate_gain(name)
    if name == "leaky_relu":
        sloped = activation(name, negative_slope=0.3)
        assert gain(sloped, "pytorch") == torch.nn.init.calculate_gain(name, 0.3)


def test_moments_at_the_limit_of_small_levels() -> None:
    relu, sigmoid = gaussian_moments("relu", 0), gaussian_moments("sigmoid", 0)
    assert relu.derivative_second_moment == pytest.approx(0.5, rel=1e-12)
    assert (sigmoid.mean, sigmoid.derivative_mean) == pytest.approx((0.5, 0.25), rel=1e-12)
    assert gaussian_moments("tanh", 0).slope == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("level", [1e4, 1e8])
def test_moments_at_high_levels(level) -> None:
    """tanh becomes a sign: 1 - E f² is the width of its step; gelu becomes relu."""
    width = 2 / math.sqrt(2 * math.pi * level)
    assert 1 - gaussian_moments("tanh", level).second_moment == pytest.approx(width, rel=3 / level)
    assert gaussian_moments("gelu", level).second_moment == pytest.approx(level / 2, rel=3 / math.sqrt(level))
    assert gaussian_moments("relu", level).second_moment == pytest.approx(level / 2, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gain("gelo"), UnknownNameError, "Did you mean 'gelu'"),
        (lambda: gain("gelu", "centered"), UnknownNameError, "Did you mean 'centred'"),
        (lambda: gain("swiglu", "pytorch"), InputError, "calculate_gain has no 'swiglu'"),
        (lambda: gain("swiglu", q=0), InputError, "above 0"),
        (lambda: gain("gelu", "pytorch"), InputError, "calculate_gain has no 'gelu'"),
        (lambda: gain("tanh", "pytorch", q=0.5), InputError, "level 1"),
        (lambda: gain(np.tanh, "pytorch"), InputError, "calculate_gain has no 'tanh'"),
        (lambda: gain("gelu", q=0), InputError, "above 0"),
        (lambda: gain("gelu", q=-1), InputError, "at least 0"),
        (lambda: gain("gelu", q=math.nan), InputError, "at least 0"),
        (lambda: gaussian_moments("gelu", q=math.inf), InputError, "finite"),
        (lambda: gaussian_moments("exponential", q=1e6), InputError, "infinite moments"),
        (lambda: gain("softshrink", q=1e-9), InputError, "no signal"),
        (lambda: gain(np.round, "backward"), InputError, "derivative is zero"),
        (lambda: stability("gelu", q=0), InputError, "above 0"),
        (lambda: batch_norm_growth(np.ones_like), InputError, "constant"),
        (lambda: batch_norm_growth("relu", 3), InputError, "4 examples"),
        (lambda: batch_norm_growth("relu", math.nan), InputError, "4 examples"),
        (lambda: gated_chi(3.0), InputError, "received 3.0"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()


def test_moments_are_a_record() -> None:
    moments = gaussian_moments("relu")
    assert isinstance(moments, GaussianMoments)
    with pytest.raises(AttributeError):
        moments.mean = 0.0
