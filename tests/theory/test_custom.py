"""A user's function as an activation: the same numbers as from the table, and clear words where it cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.errors import InputError
from gainstage.theory import activation, gain, gaussian_moments, operating_point, stability


def test_a_plain_function_gives_the_numbers_of_the_table(act) -> None:
    """Kinks, derivative, bounds and homogeneity found numerically, against those that were written down."""
    mine = activation(lambda x: act.function(x))
    assert mine.unit is None
    assert mine.homogeneous == act.homogeneous
    for one, two in zip(mine.bounds, act.bounds, strict=True):
        assert math.isinf(one) == math.isinf(two)
    for level in (1.0, 0.2):
        found, known = gaussian_moments(mine, level), gaussian_moments(act, level)
        assert found.mean == pytest.approx(known.mean, rel=1e-10, abs=1e-12)
        assert found.second_moment == pytest.approx(known.second_moment, rel=1e-10)
        # Central differences leave about 1e-11; a kink that is found to nine decimals (a jump of f'' to four) the rest.
        assert found.derivative_second_moment == pytest.approx(known.derivative_second_moment, rel=1e-8)
        assert found.slope == pytest.approx(known.slope, rel=1e-8)


def test_a_derivative_that_is_given_is_used() -> None:
    calls = []

    def slope(x: np.ndarray) -> np.ndarray:
        calls.append(x.size)
        return 1 - np.tanh(x) ** 2

    mine = activation(np.tanh, derivative=slope)
    before = len(calls)
    assert gaussian_moments(mine).derivative_second_moment == pytest.approx(0.46440290244826826, rel=1e-11)
    assert len(calls) > before
    assert mine.name == "tanh"


@pytest.mark.parametrize(("function", "kinks"), [
    (lambda x: np.abs(x - 0.3), (0.3,)),
    (lambda x: np.where(x > 1.7, 2.0, 0.0) + x, (1.7,)),
    (lambda x: np.maximum(x, 0) ** 2, (0.0,)),
    (lambda x: np.round(np.clip(x, -1, 1)), (-0.5, 0.5)),
    (lambda x: np.tanh(30 * x), ()),
])  # fmt: skip
def test_kinks_are_found(function, kinks) -> None:
    assert activation(function).kinks == pytest.approx(kinks, abs=1e-8)


def test_kinks_that_are_given_are_kept() -> None:
    assert activation(np.abs, kinks=[2.0, 0.0]).kinks == (0.0, 2.0)


def test_a_steep_step_is_integrated_at_every_level() -> None:
    """sign-like functions: E f² is 1 but for the width of the step, 1/(100 √q)."""
    for level in (0.01, 1.0, 1e4):
        moments = gaussian_moments(activation(lambda x: np.tanh(100 * x)), level)
        # E (1 - tanh²(a z)) = (2/a) density(0) for steep a, to relative order 1/a².
        steep = 100 * math.sqrt(level)
        missing = 2 / steep / math.sqrt(2 * math.pi)
        assert 1 - moments.second_moment == pytest.approx(missing, rel=2 / steep**2)


NOISE = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), "not elementwise"),
        (lambda x: x - x.mean(), "not elementwise"),
        (np.cumsum, "not elementwise"),
        (np.sort, "not elementwise"),
        (lambda x: x[:-1], "became"),
        (lambda x: 3.0, "became"),
        (lambda x: x * (NOISE.random(x.shape) < 0.5), "not deterministic"),
        (np.log, "NaN"),
        (np.sqrt, "NaN"),
        (lambda x: 1 / x, "infinite at x = 0"),
        (lambda x: np.float32(1) * x.astype(np.float32), "float32"),
        (lambda x: x > 0, "bool"),
        (math.tanh, "numpy.vectorize"),
        (lambda x: undefined_name(x), "NameError"),  # noqa: F821
    ],
)
def test_what_is_no_activation_is_refused(function, words) -> None:
    with pytest.raises(InputError, match=words):
        activation(function)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: np.exp(x * x), "infinite moments"),
        (lambda x: np.exp(np.abs(x) ** 2 / 3), "infinite moments"),
        (lambda x: 1 / np.sqrt(np.abs(x - 0.1234)), "infinite moments"),
        (lambda x: np.zeros_like(x), "constant"),
        (lambda x: np.ones_like(x), "constant"),
    ],
)
def test_functions_without_a_gain_say_so(function, words) -> None:
    act = activation(function)
    for ask in (gain, stability, lambda a: operating_point(a, 3)):
        with pytest.raises(InputError, match=words):
            ask(act)


def test_the_tail_counts_where_it_is_heavy() -> None:
    """E exp(a z²) = (1 - 2a)^(-1/2): finite below 1/2, far out in the tail as a comes near."""
    for a in (0.1, 0.2):
        second = gaussian_moments(activation(lambda x, a=a: np.exp(a / 2 * x * x))).second_moment
        assert second == pytest.approx((1 - 2 * a) ** -0.5, rel=1e-10)


@pytest.mark.parametrize(
    ("derivative", "words"),
    [
        (lambda x: np.tanh(x), "own slope"),
        (lambda x: x[:3], "became"),
        (np.log, "NaN"),
    ],
)
def test_a_wrong_derivative_is_refused(derivative, words) -> None:
    with pytest.raises(InputError, match=words):
        activation(np.sin, derivative=derivative)


def test_kinks_have_to_be_numbers() -> None:
    with pytest.raises(InputError, match="finite numbers"):
        activation(np.abs, kinks=[math.nan])
