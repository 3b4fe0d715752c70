"""Means over a skewed number: a pair of independent ones has the squared mean, whatever the skew."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.function import Function
from gainstage.theory.activations import activation

SKEWED = Marginal(mean=0.4, variance=1.3, skew=0.3, excess=0.2)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid", "softplus"])
@pytest.mark.parametrize("marginal", [Marginal(0.0, 1.0), Marginal(-0.5, 2.0), SKEWED])
def test_pairs_run_from_the_squared_mean_to_the_second_moment(name, marginal):
    found = Expectations().of(Function.of(activation(name)), marginal)
    assert found.pair(0.0) == pytest.approx(found.mean**2, rel=1e-9)
    assert found.pair(1.0) == pytest.approx(found.second, rel=1e-9)
    assert np.all(np.diff([found.pair(c) for c in np.linspace(0, 1, 11)]) > 0)
