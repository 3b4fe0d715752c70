"""Intervals cover what they promise, counted over many made-up experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.errors import InputError
from gainstage.statistics import exact, factor, mean, share

TRIALS = 2000
# Four standard errors of a share of .95 over so many trials.
TOLERANCE = 4 * math.sqrt(0.95 * 0.05 / TRIALS)


@pytest.mark.parametrize("n", [2, 3, 5, 20])
def test_means_are_covered_by_nineteen_of_twenty_intervals(n: int) -> None:
    draws = np.random.default_rng(n).normal(3.0, 2.0, (TRIALS, n))
    covered = np.mean([(f := mean("x", row)).low <= 3.0 <= f.high for row in draws])
    assert abs(covered - 0.95) < TOLERANCE


def test_factors_are_covered_by_nineteen_of_twenty_intervals() -> None:
    draws = np.exp(np.random.default_rng(0).normal(1.0, 2.0, (TRIALS, 4)))
    covered = np.mean([(f := factor("x", row)).low <= math.e <= f.high for row in draws])
    assert abs(covered - 0.95) < TOLERANCE


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_shares_are_covered_as_often_as_binomial_sums_say(p: float) -> None:
    n = 40
    weights = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    covered = sum(w for k, w in enumerate(weights) if (f := share("x", k, n)).low <= p <= f.high)
    # Wilson 1927 is not exact: its coverage swings about .95; Brown, Cai and DasGupta 2001 put it above .92 here.
    assert 0.92 < covered < 0.98


def test_one_value_has_no_finite_interval_and_agreement_on_a_grid_keeps_the_grid() -> None:
    assert mean("x", [1.0]).high == math.inf
    assert factor("x", [1.0]).low == 0.0
    assert (f := mean("x", [1.0, 1.0], resolution=0.5)).low == 0.75
    assert f.high == 1.25
    assert factor("x", [10.0, 10.0], resolution=4.0).low == pytest.approx(5.0)


def test_exact_figures_have_no_width() -> None:
    figure = exact("x", 0.25, "case")
    assert (figure.low, figure.high, figure.n, figure.case) == (0.25, 0.25, 0, "case")


@pytest.mark.parametrize(
    "wrong",
    [lambda: mean("x", []), lambda: factor("x", []), lambda: factor("x", [1.0, 0.0]), lambda: share("x", 3, 2)],
)
def test_unusable_values_are_refused_by_name(wrong) -> None:
    with pytest.raises(InputError, match="'x'"):
        wrong()
