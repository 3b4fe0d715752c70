"""Functions with exact derivatives: the algebra agrees with NumPy, finite differences and the moments of theory."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.function import IDENTITY, Function
from gainstage.theory import activation, activations, correlated_moments, gaussian_moments

TANH, RELU, SIGMOID = (Function.of(activation(name)) for name in ("tanh", "relu", "sigmoid"))
COMPOSED = {
    "silu by hand": IDENTITY * SIGMOID,
    "x + relu": IDENTITY + RELU,
    "relu of a line": RELU.after(IDENTITY.scaled(-2.0).shifted(0.7)),
    "tanh of a cube": TANH.after(IDENTITY * IDENTITY * IDENTITY),
    "softsign by hand": IDENTITY / (RELU + RELU.after(IDENTITY.scaled(-1.0)) + SIGMOID.scaled(0.0).shifted(1.0)),
    "relu of a sum": RELU.after(TANH.scaled(2.0).shifted(-0.5)),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_slopes_are_those_of_finite_differences(name):
    function, h = COMPOSED[name], 1e-6
    x = np.linspace(-4.0, 4.0, 161) + 0.0007
    away = np.abs(x[:, None] - np.asarray([*function.kinks, 1e9])).min(1) > 1e-3
    x = x[away]
    numeric = (function.value(x + h) - function.value(x - h)) / (2 * h)
    np.testing.assert_allclose(function.slope(x), numeric, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("name", COMPOSED)
def test_kinks_are_where_the_slope_jumps(name):
    function = COMPOSED[name]
    x = np.linspace(-4.0, 4.0, 8001) + 1.3e-5
    jumps = np.flatnonzero(np.abs(np.diff(function.slope(x))) > 0.05)
    for place in (x[jumps] + x[jumps + 1]) / 2:
        assert min(abs(place - kink) for kink in function.kinks) < 2e-3


def test_a_line_stays_a_line_and_equal_functions_share_a_key():
    line = (IDENTITY.scaled(3.0).shifted(1.0) + IDENTITY).scaled(0.5)
    assert line.affine == (2.0, 0.5)
    assert (IDENTITY * SIGMOID).key == (IDENTITY * SIGMOID).key
    assert (TANH + RELU).affine is None


@pytest.mark.parametrize("level", [0.04, 1.0, 9.0])
@pytest.mark.parametrize("name", activations())
def test_expectations_agree_with_the_moments_of_theory(name, level):
    known = gaussian_moments(name, level)
    found = Expectations().of(Function.of(activation(name)), Marginal(0.0, level))
    assert found.mean == pytest.approx(known.mean, rel=1e-7, abs=1e-9)
    assert found.second == pytest.approx(known.second_moment, rel=1e-7, abs=1e-12)
    assert found.slope_second == pytest.approx(known.derivative_second_moment, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("name", ["relu", "gelu", "tanh", "sigmoid", "silu", "selu"])
def test_pairs_agree_with_the_bivariate_integral(name, correlation):
    values, slopes = correlated_moments(name, 1.0, correlation)
    found = Expectations().of(Function.of(activation(name)), Marginal(0.0, 1.0))
    # What the series leaves out of relu's step is a fraction of a percent at high correlation.
    assert found.pair(correlation) == pytest.approx(values, rel=1e-3, abs=1e-5)
    assert found.slope_pair(correlation) == pytest.approx(slopes, rel=2e-2, abs=2e-3)


def test_the_largest_of_several_is_what_drawing_says():
    draws = np.random.default_rng(0)
    count, common, size = 4, 0.6, 400_000
    shared = np.sqrt(common) * draws.standard_normal((size, 1))
    largest = (shared + np.sqrt(1 - common) * draws.standard_normal((size, count))).max(1)
    values = np.maximum(largest, 0)
    found = Expectations().of(RELU, Marginal(0.0, 1.0), count, common)
    for power, mean in ((1, found.mean), (2, found.second)):
        error = (values**power).std() / np.sqrt(size)
        assert abs((values**power).mean() - mean) < 4 * error + 1e-4
    assert abs((largest > 0).mean() - found.slope_second) < 4 * 0.5 / np.sqrt(size) + 1e-4


def test_cumulants_correct_a_sum_that_is_not_gaussian():
    draws = np.random.default_rng(1)
    size = 1_000_000
    x = np.maximum(draws.standard_normal(size), 0) + draws.standard_normal(size)
    mean, variance = 1 / np.sqrt(2 * np.pi), 0.5 - 1 / (2 * np.pi) + 1
    skew, excess = ((x - mean) ** 3).mean() / variance**1.5, ((x - mean) ** 4).mean() / variance**2 - 3
    truth = (np.maximum(x, 0) ** 2).mean()
    plain = Expectations().of(RELU, Marginal(mean, variance)).second
    corrected = Expectations().of(RELU, Marginal(mean, variance, skew, excess)).second
    assert abs(corrected / truth - 1) < 0.006
    assert abs(corrected - truth) < abs(plain - truth) / 3


def test_a_marginal_without_spread_is_one_value():
    found = Expectations().of(RELU, Marginal(2.0, 0.0))
    assert (found.mean, found.second, found.zero) == (2.0, 4.0, 0.0)
