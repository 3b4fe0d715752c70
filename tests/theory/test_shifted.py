"""Gaussian inputs with means, one and two of them: the adaptive quadrature, closed forms and SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import activation, correlated_moments, gaussian_moments, joint_moments, shifted_moments

FIELDS = ("mean", "second_moment", "fourth_moment", "derivative_mean", "derivative_second_moment")


@pytest.mark.parametrize("level", [1e-3, 0.3, 1.0, 4.0, 30.0])
def test_without_a_mean_they_are_those_of_gaussian_moments(act, level) -> None:
    found, known = shifted_moments(act, 0.0, level), gaussian_moments(act, level)
    heavy = act.name == "exponential"  # whose fourth power reaches far out
    for name in FIELDS:
        tolerance = 1e-6 if heavy and name == "fourth_moment" else 1e-8
        if not (heavy and level > 1 and name == "fourth_moment"):
            assert getattr(found, name) == pytest.approx(getattr(known, name), rel=tolerance, abs=1e-12), name


@pytest.mark.parametrize(("mean", "variance"), [(0.7, 0.4), (-2.0, 3.0)])
def test_with_a_mean_they_agree_with_scipy(act, mean, variance) -> None:
    spread = math.sqrt(variance)
    found = shifted_moments(act, mean, variance)

    def integral(g) -> float:
        kinks = [k for k in act.kinks if abs(k - mean) < 12 * spread]
        edges = sorted({*np.linspace(mean - 12 * spread, mean + 12 * spread, 13), *kinks})
        density = stats.norm(mean, spread).pdf
        pieces = itertools.pairwise(edges)
        return math.fsum(
            integrate.quad(lambda x: g(x) * density(x), a, b, epsabs=1e-13, epsrel=1e-9)[0] for a, b in pieces
        )

    assert found.mean == pytest.approx(integral(lambda x: float(act(x))), rel=1e-7, abs=1e-9)
    assert found.second_moment == pytest.approx(integral(lambda x: float(act(x)) ** 2), rel=1e-7, abs=1e-9)


def test_relu_in_closed_form_and_many_at_once() -> None:
    mean, variance = np.meshgrid([-2.0, 0.0, 0.5, 9.0], [0.01, 1.0, 50.0])
    found = shifted_moments("relu", mean, variance)
    m, s = mean, np.sqrt(variance)
    normal = stats.norm(0, 1)
    assert found.mean.shape == (3, 4)
    np.testing.assert_allclose(found.mean, m * normal.cdf(m / s) + s * normal.pdf(m / s), rtol=1e-9, atol=1e-15)
    expected = (m**2 + s**2) * normal.cdf(m / s) + m * s * normal.pdf(m / s)
    np.testing.assert_allclose(found.second_moment, expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.derivative_second_moment, normal.cdf(m / s), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.variance, expected - found.mean**2, atol=1e-12)


def test_no_variance_is_one_point() -> None:
    found = shifted_moments("gelu", 1.3, 0.0)
    assert (found.mean, found.derivative_mean) == pytest.approx(
        (float(activation("gelu")(1.3)), float(activation("gelu").derivative(np.asarray(1.3)))), rel=1e-9
    )
    assert shifted_moments("relu", 0.0, 0.0).derivative_second_moment == pytest.approx(0.5)


@pytest.mark.parametrize("c", [-0.999, -0.5, 0.0, 0.4, 0.9, 0.9999, 1.0])
def test_two_alike_inputs_are_those_of_correlated_moments(act, c) -> None:
    for q in (0.3, 1.0):
        unit = gaussian_moments(act, q)
        found, known = joint_moments(act, act, c, variances=(q, q)), correlated_moments(act, q, c)
        assert found[0] == pytest.approx(known[0], rel=1e-7, abs=1e-7 * unit.second_moment)
        assert found[1] == pytest.approx(known[1], rel=1e-7, abs=1e-6 * unit.derivative_second_moment)


@pytest.mark.parametrize("c", [-0.6, 0.3, 0.95])
def test_two_functions_of_two_inputs_agree_with_monte_carlo(c) -> None:
    z = np.random.default_rng(0).standard_normal((2, 400_000))
    u, v = 0.5 + math.sqrt(2.0) * z[0], -1.0 + math.sqrt(0.3) * (c * z[0] + math.sqrt(1 - c * c) * z[1])
    for one, two in (("relu", "gelu"), ("tanh", "relu"), ("hardtanh", "sigmoid"), ("silu", "hardswish")):
        f, g = activation(one), activation(two)
        found = joint_moments(f, g, c, means=(0.5, -1.0), variances=(2.0, 0.3))
        for value, sample in zip(found, (f(u) * g(v), f.derivative(u) * g.derivative(v)), strict=True):
            assert abs(sample.mean() - value) <= 5 * sample.std() / math.sqrt(sample.size)


def test_functions_that_grow_like_an_exponential() -> None:
    """E e^u e^v = e^((1 + c) q), most of it far out."""
    for q in (1.0, 30.0):
        for c in (-0.9, 0.5, 0.99, 1 - 1e-8):
            assert joint_moments("exp", "exp", c, variances=(q, q))[0] == pytest.approx(math.exp((1 + c) * q), rel=1e-9)
            assert correlated_moments("exp", q, c)[0] == pytest.approx(math.exp((1 + c) * q), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: shifted_moments("tanh", math.nan), InputError, "finite mean"),
        (lambda: shifted_moments("tanh", 0.0, -1.0), InputError, "at least 0"),
        (lambda: shifted_moments("tanh", [0.0, 1.0], [1.0, math.inf]), InputError, "finite variance"),
        (lambda: shifted_moments("tanh", [0.0, 1.0], [1.0, 1.0, 1.0]), InputError, "one shape"),
        (lambda: shifted_moments("tanh", "zero"), InputError, "numbers"),
        (lambda: shifted_moments("tahn"), UnknownNameError, "Did you mean 'tanh'"),
        (lambda: shifted_moments(lambda x: np.exp(x * x)), InputError, "infinite moments"),
        (lambda: joint_moments("tanh", "relu", 1.5), InputError, "between -1 and 1"),
        (lambda: joint_moments("tanh", "relu", math.nan), InputError, "between -1 and 1"),
        (lambda: joint_moments("tanh", "relu", 0.5, variances=(1.0, -1.0)), InputError, "at least 0"),
        (lambda: joint_moments("tanh", "relu", 0.5, means=(1.0, 1.0, 2.0)), InputError, "one shape"),
        (lambda: joint_moments("tanh", lambda x: np.exp(x * x), 0.5), InputError, "infinite moments"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
