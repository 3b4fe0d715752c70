"""How squares at two observations go together, against draws."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.finite_width import INFINITE_WIDTH, Deviation
from gainstage.propagation.function import IDENTITY, Function
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.propagation.signal_algebra import SignalAlgebra
from gainstage.propagation.squared_covariance import scatter, squares
from gainstage.theory import activation

DRAWS = 200_000
FUNCTIONS = {name: Function.of(activation(name)) for name in ("relu", "gelu", "tanh", "silu")} | {"x": IDENTITY}


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.7, -0.4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_of_squares_are_those_of_draws(name, correlation):
    function = FUNCTIONS[name]
    found = Expectations().of(function, Marginal(0.2, 1.5))
    u, other = np.random.default_rng(0).standard_normal((2, DRAWS))
    v = correlation * u + math.sqrt(1 - correlation**2) * other
    one, two = (function.value(0.2 + math.sqrt(1.5) * z) ** 2 / found.second for z in (u, v))
    error = 5 * (one * two).std() / math.sqrt(DRAWS)
    assert float(found.together(np.asarray(correlation))) == pytest.approx((one * two).mean() - 1, abs=error)


def test_a_gaussian_has_twice_the_squared_correlation():
    found = Expectations().of(IDENTITY, Marginal(0.0, 2.0))
    for correlation in (0.1, 0.5, 1.0):
        assert float(found.together(np.asarray(correlation))) == pytest.approx(2 * correlation**2)
    assert found.curvature == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["relu", "gelu", "x"])
def test_means_of_squares_scatter_as_told(name):
    """Of many draws of a few units at examples that are alike on average, and by chance."""
    function, units, examples, alike, finite_width = FUNCTIONS[name], 8, 6, 0.4, 0.02
    generator, levels = np.random.default_rng(1), []
    for _ in range(4000):
        off = np.triu(generator.standard_normal((examples, examples)) * math.sqrt(finite_width), 1)
        gram = (1 - alike) * np.eye(examples) + alike + off + off.T
        low = float(np.linalg.eigvalsh(gram)[0])
        if low < 0:  # not a covariance
            continue
        x = generator.standard_normal((units, examples)) @ np.linalg.cholesky(gram + 1e-9 * np.eye(examples)).T
        levels.append(float((function.value(x) ** 2).mean()))
    algebra = SignalAlgebra()
    source = Signal(
        Extent(units, 1, examples),
        SecondMoments(1.0, examples=alike),
        finite_width=INFINITE_WIDTH.with_deviation(Deviation(0, finite_width)),
    )
    source = algebra.new_source(source)
    found = algebra.expectations.of(function, source.marginal)
    told = scatter(found, source) / units
    measured = float(np.var(levels)) / float(np.mean(levels)) ** 2
    assert told == pytest.approx(measured, rel=0.12)
    assert squares(found, source).level == pytest.approx(found.fourth / found.second**2 - 1, rel=1e-6)
