"""Functions of two independent numbers, against draws of correlated pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.propagation.function import IDENTITY, Function
from gainstage.propagation.joint import joint, term_times_function_of_sum
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import FunctionOf, Signal
from gainstage.propagation.signal_algebra import SignalAlgebra
from gainstage.theory import activation

DRAWS = 400_000
RELU = Function.of(activation("relu"))
OPEN = Function(("open",), lambda x: (x > 0) * 1.0, np.zeros_like, (0.0,))


def correlated(generator: np.random.Generator, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    first, other = generator.standard_normal((2, DRAWS))
    return first, correlation * first + math.sqrt(1 - correlation**2) * other


@pytest.mark.parametrize("correlations", [(0.0, 0.0), (0.3, 0.0), (0.2, 0.5), (-0.3, 0.4), (0.6, 0.6)])
def test_pairs_are_those_of_draws(correlations):
    def gradient(u, v):  # of a gate behind a relu on a sum
        return (np.maximum(u, 0) + 0.5 * v > 0) * v

    generator = np.random.default_rng(0)
    (u, other_u), (v, other_v) = (correlated(generator, c) for c in correlations)
    draws = gradient(u, v) * gradient(other_u, other_v)
    both = joint(gradient)
    assert both.pair(*correlations) == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(DRAWS) + 1e-3)
    assert both.second == pytest.approx((gradient(u, v) ** 2).mean(), rel=0.01)


def test_pairs_run_from_the_squared_mean_to_the_second_moment():
    both = joint(lambda u, v: np.maximum(u + v, 0) * v)
    means = [both.pair(c, c) for c in np.linspace(0, 1, 11)]
    assert means[0] == pytest.approx(0.25, rel=1e-3)  # E relu(u + v) v, Stein's lemma
    assert means == sorted(means)
    assert means[-1] == pytest.approx(both.second)


@pytest.mark.parametrize("gate", [1.0, 0.5])
def test_a_relu_of_a_sum_meets_one_of_its_terms(gate):
    algebra = SignalAlgebra()
    source = algebra.new_source(Signal(Extent(64, 16), SecondMoments(1.0, positions=0.2)))
    signal = algebra.new_source(Signal(Extent(64, 16), SecondMoments(1.5, positions=0.3)))
    factor = algebra.apply(IDENTITY.scaled(0.0).shifted(gate), algebra.new_source(source))
    whole = algebra.add(algebra.apply(RELU, source), algebra.multiply(signal, factor))
    assert whole.dependence is not None
    found = term_times_function_of_sum(algebra, FunctionOf(whole.dependence.source, OPEN), whole, signal)
    assert found is not None
    generator = np.random.default_rng(1)
    one, two = correlated(generator, 0.2), correlated(generator, 0.2)
    first, second = (
        (np.maximum(u, 0) + gate * math.sqrt(1.5) * v > 0) * v * math.sqrt(1.5) for u, v in zip(one, two, strict=True)
    )
    error = 4 * (first * second).std() / math.sqrt(DRAWS)
    assert found.positions == pytest.approx((first * second).mean(), abs=error + 1e-3)
    assert found.level == pytest.approx((first**2).mean(), rel=0.01)


def test_a_sum_of_nearly_gaussian_terms_is_left_to_regression():
    algebra = SignalAlgebra()
    one, two = (algebra.new_source(Signal(Extent(64), SecondMoments(1.0))) for _ in range(2))
    whole = algebra.add(one, two)
    assert whole.dependence is not None
    assert term_times_function_of_sum(algebra, FunctionOf(whole.dependence.source, OPEN), whole, one) is None
