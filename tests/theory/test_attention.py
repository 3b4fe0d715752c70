"""Softmax and attention: simulation within its sampling error, closed forms, and PyTorch's own attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gainstage.errors import InputError
from gainstage.theory import (
    attention_concentration,
    attention_moments,
    log_softmax_moments,
    softmax_moments,
)
from gainstage.theory.attention.moments import Tokens

DRAWS = 8_000


def within(found: float, sample: np.ndarray, errors: float = 5.0) -> None:
    """Five standard errors: 1 in 1.7 million by chance."""
    assert abs(sample.mean() - found) <= errors * sample.std() / math.sqrt(sample.size) + 1e-12


def shares(scores: np.ndarray) -> np.ndarray:
    grown = np.exp(scores - scores.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("t", "n"), [(0.0, 1), (0.0, 6), (0.05, 3), (0.15, 40), (0.17, 40), (1.0, 2), (4.0, 64), (20.0, 10), (1000.0, 50)]
)
def test_softmax_agrees_with_monte_carlo(t, n) -> None:
    scores = math.sqrt(t) * np.random.default_rng(0).standard_normal((DRAWS, n))
    a = shares(scores)
    found = softmax_moments(t, n)
    square = (a**2).sum(-1)
    within(found.concentration, square)
    within(found.second_moment, (a[:, 0] ** 2))
    jacobian = np.einsum("bi,ij->bij", a[:4000], np.eye(n)) - np.einsum("bi,bj->bij", a[:4000], a[:4000])
    within(found.jacobian, (jacobian**2).sum((-1, -2)))
    logs = scores[:, 0] - np.logaddexp.reduce(scores, -1)
    log = log_softmax_moments(t, n)
    within(log.mean, logs)
    within(log.second_moment, logs**2)


@pytest.mark.parametrize(("t", "n"), [(0.3, 10), (3.0, 10)])
def test_gradients_through_softmax_are_those_of_pytorch(t, n) -> None:
    rng = np.random.default_rng(1)
    scores = torch.tensor(math.sqrt(t) * rng.standard_normal((DRAWS, n)), requires_grad=True)
    gradient = torch.tensor(rng.standard_normal((DRAWS, n)))
    for function, found in ((F.softmax, softmax_moments(t, n)), (F.log_softmax, log_softmax_moments(t, n))):
        (back,) = torch.autograd.grad(function(scores, -1), scores, gradient)
        within(found.backward, back.numpy()[:, 0] ** 2)


def test_limits() -> None:
    """Equal scores share equally; one of many scores of huge variance takes all; a small variance gives e^t/T."""
    assert attention_concentration(0.0, 7) == pytest.approx(1 / 7, rel=1e-12)
    assert attention_concentration(0.3, 1) == pytest.approx(1.0, rel=1e-12)
    assert attention_concentration(0.5, 10**6) == pytest.approx(math.exp(0.5) / 10**6, rel=1e-5)
    assert attention_concentration(1e4, 3) == pytest.approx(1.0, abs=0.02)
    # Two scores: E (a² + b²) = 1 - E sech²(d/2)/2 with d ~ N(0, 2t), by another quadrature.
    z, weights = np.polynomial.hermite_e.hermegauss(180)
    half = math.sqrt(2 * 2.0) * z / 2
    expected = 1 - (weights / math.sqrt(2 * math.pi)) @ (1 / np.cosh(half) ** 2) / 2
    assert attention_concentration(2.0, 2) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("t", [0.0, 1e-3, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("n", [1, 2, 17, 1000, 10**6])
def test_stable_over_the_whole_range(t, n) -> None:
    for causal in (False, True):
        found = softmax_moments(t, n, causal=causal)
        assert 1 / n * (1 - 1e-9) <= found.concentration <= 1 + 1e-9
        assert 0 <= found.jacobian <= found.concentration
    assert math.isfinite(log_softmax_moments(t, n).second_moment)


@pytest.mark.parametrize(("t", "n"), [(0.0, 5), (0.3, 9), (2.0, 40), (30.0, 120)])
def test_causal_is_the_mean_over_rows(t, n) -> None:
    rows = [softmax_moments(t, i) for i in range(1, n + 1)]
    found = softmax_moments(t, n, causal=True)
    assert found.concentration == pytest.approx(np.mean([row.concentration for row in rows]), rel=1e-12)
    assert found.jacobian == pytest.approx(np.mean([row.jacobian for row in rows]), rel=1e-8, abs=1e-13)


@pytest.mark.parametrize(
    ("t", "n", "c"), [(1.0, 16, 0.5), (1.0, 16, 1.0), (6.0, 16, 0.9), (1.0, 9, -0.5), (50.0, 8, 0.3)]
)
def test_overlap_of_two_rows_agrees_with_monte_carlo(t, n, c) -> None:
    one, two = np.random.default_rng(2).standard_normal((2, DRAWS, n))
    two = c * one + math.sqrt(1 - c * c) * two
    one, two = math.sqrt(t) * one, math.sqrt(t) * two
    within(attention_moments(t, n, correlation=c).overlap, (shares(one) * shares(two)).sum(-1))
    found = attention_moments(t, n, causal=True, correlation=c).overlap
    pairs = [
        (shares(one[:4000, :i]) * shares(two[:4000, :k])[:, :i]).sum(-1) for k in range(2, n + 1) for i in range(1, k)
    ]
    sample = np.mean(pairs, 0)
    # The double integral over lengths stands for a sum: half a percent.
    assert abs(sample.mean() - found) <= 5 * sample.std() / math.sqrt(sample.size) + 0.005 * found


def test_uncorrelated_rows_overlap_evenly() -> None:
    assert attention_moments(2.0, 12).overlap == pytest.approx(1 / 12)
    mean = np.mean([1 / k for k in range(2, 31) for _ in range(1, k)])
    assert attention_moments(2.0, 30, causal=True).overlap == pytest.approx(mean)
    longer = attention_moments(2.0, 1001, causal=True).overlap / attention_moments(2.0, 1000, causal=True).overlap
    assert longer == pytest.approx(1 - 1 / 1000, abs=1e-5)
    assert math.isnan(attention_moments(2.0, 1, queries=1).overlap)


def tokens(rng: np.random.Generator, draws: int, count: int, width: int, level: float, c: float) -> torch.Tensor:
    common, own = rng.standard_normal((draws, 1, width)), rng.standard_normal((draws, count, width))
    return torch.tensor(math.sqrt(level) * (math.sqrt(c) * common + math.sqrt(1 - c) * own), requires_grad=True)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("levels", "correlations"), [((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)), ((2.0, 1.5, 0.7), (0.3, 0.5, 0.4))]
)
def test_attention_of_pytorch(causal, levels, correlations) -> None:
    """Forward and back through ``scaled_dot_product_attention`` of random tokens, with common parts."""
    draws, count, width, r_gradient = 400, 24, 128, 0.25
    rng = np.random.default_rng(3)
    (q_level, k_level, v_level), (q_c, k_c, v_c) = levels, correlations
    q, k, v = (tokens(rng, draws, count, width, level, c) for level, c in zip(levels, correlations, strict=True))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    gradient = tokens(rng, draws, count, width, 0.8, r_gradient).detach()
    backward = torch.autograd.grad(out, (q, k, v), gradient)
    found = attention_moments(q_level * k_level * (1 - k_c), count, causal=causal, correlation=q_c)
    expected = found.gradients(
        Tokens(0.8, r_gradient), query=q_level, key=Tokens(k_level, k_c), value=Tokens(v_level, v_c), width=width,
        scale=width**-0.5,
    )  # fmt: skip
    # Queries and keys of finite width move the variance of scores from row to row: 2/width, in the exponent.
    slack = 0.03
    for predicted, tensor in (
        (found.output(v_level, v_c), out.detach()),
        (expected.value, backward[2]),
        (expected.query, backward[0]),
        (expected.key, backward[1]),
    ):
        sample = (tensor**2).mean((-1, -2)).numpy()
        assert abs(sample.mean() - predicted) <= 5 * sample.std() / math.sqrt(draws) + slack * predicted
    off = out.detach().mean(1)  # the common part of all rows, by its square
    pairs = ((off**2).sum(-1) - (out.detach() ** 2).sum(-1).sum(-1) / count**2) / (1 - 1 / count) / width
    sample = (pairs / (out.detach() ** 2).mean()).numpy()
    shared = v_c + (1 - v_c) * found.overlap
    predicted = shared / (v_c + (1 - v_c) * found.concentration)
    assert abs(sample.mean() - predicted) <= 5 * sample.std() / math.sqrt(draws) + slack * predicted


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: softmax_moments(-1.0, 4), "variance of scores"),
        (lambda: softmax_moments(math.nan, 4), "variance of scores"),
        (lambda: softmax_moments(math.inf, 4), "variance of scores"),
        (lambda: softmax_moments("1", 4), "variance of scores"),
        (lambda: softmax_moments(1.0, 0), "at least 1"),
        (lambda: softmax_moments(1.0, 2.5), "whole number"),
        (lambda: softmax_moments(1.0, True), "whole number"),
        (lambda: log_softmax_moments(1.0, -3), "at least 1"),
        (lambda: attention_concentration(1e9, 4), "from 0 to"),
        (lambda: attention_moments(1.0, 4, queries=3, causal=True), "row for every token"),
        (lambda: attention_moments(1.0, 4, queries=0), "at least 1"),
        (lambda: attention_moments(1.0, 4, correlation=1.5), "between -1 and 1"),
    ],
)
def test_bad_input_is_named(call, words) -> None:
    with pytest.raises(InputError, match=words):
        call()
