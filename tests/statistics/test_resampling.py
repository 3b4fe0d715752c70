"""Intervals by resampling cover what they promise, counted over many made-up experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import trim_mean

from gainstage.errors import InputError
from gainstage.statistics import beats, interquartile_mean, paired_difference, paired_ratio
from gainstage.statistics.resampling import interval

EXPERIMENTS = 200


def covered(draw, truth, statistic=lambda v: v.mean(axis=-1), confidence=0.95, experiments=EXPERIMENTS):
    """How often the interval holds the truth."""
    hits = 0
    for _ in range(experiments):
        low, high = interval(draw(), statistic, confidence=confidence)
        hits += low <= truth <= high
    return hits / experiments


@pytest.mark.parametrize("n", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.95, 0.992])
def test_normal_values(n, confidence):
    rng = np.random.default_rng(n)
    share = covered(lambda: rng.normal(3.0, 2.0, n), 3.0, confidence=confidence)
    # Four standard errors of the share; ends of an interval of five values cannot lie beyond the outermost of them,
    # which hold the mean in 1 − 2 / 2⁵ = .9375 of all cases.
    assert share > confidence - 4 * math.sqrt(confidence * (1 - confidence) / EXPERIMENTS) - (0.0125 if n == 5 else 0)


def test_a_skewed_distribution_costs_a_little():
    rng = np.random.default_rng(0)
    # Exponential, mean 1: Student's own interval covers about .90 of these, plain percentiles .87 (Hesterberg 2015).
    assert covered(lambda: rng.exponential(1.0, 10), 1.0) > 0.90 - 4 * math.sqrt(0.9 * 0.1 / EXPERIMENTS)


def test_plain_percentiles_would_not_do():
    """What the widening is for: at n = 5 the usual bootstrap holds the truth in about .83 of the cases."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(EXPERIMENTS):
        values = rng.normal(0.0, 1.0, 5)
        means = values[rng.integers(0, 5, (2000, 5))].mean(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        hits += low <= 0 <= high
    assert hits / EXPERIMENTS < 0.90


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 40])
def test_the_interquartile_mean_is_the_mean_of_the_middle_half(n):
    values = np.random.default_rng(n).normal(size=n)
    value = interquartile_mean("x", values).value
    if n % 4 == 0:
        assert value == pytest.approx(trim_mean(values, 0.25))
    # A second route: every value four times, so that quarters are whole numbers of values.
    assert value == pytest.approx(trim_mean(np.repeat(values, 4), 0.25))


def test_one_wild_training_does_not_move_it():
    calm = [0.90, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96]
    assert interquartile_mean("x", [*calm, -1e9]).value == pytest.approx(0.92, abs=0.01)
    assert interquartile_mean("x", [0.5]).low == -math.inf


def test_nothing_is_told_apart_more_often_than_promised():
    """Six comparisons of four equal schemes with five seeds: some difference is claimed in one of twenty cases."""
    rng, claims = np.random.default_rng(2), 0
    for _ in range(EXPERIMENTS):
        schemes = rng.normal(size=(4, 5)) + rng.normal(size=5)  # seeds differ, and are shared
        figures = [
            paired_difference("d", schemes[i], schemes[j], comparisons=6) for i in range(4) for j in range(i + 1, 4)
        ]
        claims += any(f.low > 0 or f.high < 0 for f in figures)
    assert claims / EXPERIMENTS < 0.05 + 4 * math.sqrt(0.05 * 0.95 / EXPERIMENTS)


def test_pairing_finds_what_lies_below_the_difference_between_seeds():
    rng = np.random.default_rng(3)
    seeds = rng.normal(size=8)
    figure = paired_difference("d", seeds + 0.1 + 0.01 * rng.normal(size=8), seeds)
    assert figure.low > 0
    assert figure.value == pytest.approx(0.1, abs=0.02)


def test_agreement_on_a_grid_keeps_the_grid():
    figure = paired_difference("d", [0.5, 0.5], [0.4, 0.4], resolution=0.3)
    assert figure.low < 0 < figure.high
    assert paired_difference("d", [1.0], [0.0]).low == -math.inf


def test_ratios_are_differences_of_logarithms():
    figure = paired_ratio("r", [20.0, 22.0, 18.0], [10.0, 10.0, 10.0])
    logs = paired_difference("r", np.log([2.0, 2.2, 1.8]), np.zeros(3))
    assert (figure.value, figure.low, figure.high) == pytest.approx(
        tuple(map(math.exp, (logs.value, logs.low, logs.high)))
    )


def test_who_beats_whom_is_counted_over_all_pairs():
    rng = np.random.default_rng(4)
    ones, others = rng.normal(0.5, 1, 30), rng.normal(0, 1, 30)
    figure = beats("b", ones, others)
    count = sum((a > b) + 0.5 * (a == b) for a in ones for b in others)
    assert figure.value == pytest.approx(count / 900)
    assert figure.low < figure.value < figure.high
    assert beats("b", [1, 2], [3]).value == 0
    assert beats("b", [1], [1]).value == 0.5
    assert beats("b", ones, others).value + beats("b", others, ones).value == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: interquartile_mean("x", []),
        lambda: paired_difference("x", [], []),
        lambda: paired_difference("x", [1.0], [1.0, 2.0]),
        lambda: paired_ratio("x", [0.0], [1.0]),
        lambda: beats("x", [], [1.0]),
    ],
)
def test_unusable_values_are_refused_by_name(wrong):
    with pytest.raises(InputError, match="'x'"):
        wrong()
