"""Moments and unit statistics against straightforward NumPy in double precision."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from gainstage.backends.torch.measuring.moments import look_at, moments_of, token_correlation, unit_stats

EPS = float(np.finfo(np.float32).eps)


def array(*shape, seed=0, mean=0.0, spread=1.0):
    return np.random.default_rng(seed).normal(mean, spread, shape).astype(np.float32)


def tensor(values):
    return torch.from_numpy(np.ascontiguousarray(values))


def share(values):
    """By definition: examples along the first axis."""
    values = values.astype(np.float64)
    return min(values.var(0, ddof=1).mean() / values.var(), 1.0)


LEVELS = [(0, 1), (5, 1), (0, 1e-25), (0, 1e30), (1e-25, 1e-27), (1e30, 1e26), (3, 1e-3)]


@pytest.mark.parametrize(("mean", "spread"), LEVELS)
def test_moments_at_every_level(mean, spread):
    values = array(16, 7, 5, mean=mean, spread=spread)
    exact = values.astype(np.float64)
    found = look_at(tensor(values), 16, 35).moments
    size = math.sqrt((exact**2).mean())
    # Rounding of each element moves a mean by at most eps of the largest, a variance by twice that times the size.
    assert found.mean == pytest.approx(exact.mean(), abs=8 * EPS * size)
    assert found.second_moment == pytest.approx((exact**2).mean(), rel=1e-5)
    assert found.variance == pytest.approx(exact.var(), rel=1e-3, abs=8 * EPS**2 * size**2)
    assert (found.minimum, found.maximum) == (float(values.min()), float(values.max()))
    assert found.example_share == pytest.approx(share(values), rel=1e-2)
    assert found.count == values.size
    assert found.finite


@settings(deadline=None, derandomize=True, max_examples=200)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6),
                  elements=st.floats(-(2**20), 2**20, width=32)))  # fmt: skip
def test_moments_of_anything(values):
    found = moments_of(tensor(values), extremes=True)
    exact = values.astype(np.float64)
    scale = float((exact**2).mean())
    assert found.second_moment == pytest.approx(scale, rel=1e-5)
    assert found.mean == pytest.approx(exact.mean(), abs=8 * EPS * max(scale, 0) ** 0.5)
    assert found.variance == pytest.approx(exact.var(), rel=1e-2, abs=64 * EPS * scale)
    assert found.variance >= 0


def test_collapsed_examples_have_no_share_and_independent_ones_all():
    one = array(1, 64)
    assert look_at(tensor(np.repeat(one, 16, 0)), 16, 64).moments.example_share == pytest.approx(0, abs=1e-9)
    noise = 1e-4 * array(16, 64, seed=1)
    values = np.repeat(one, 16, 0) + noise
    assert look_at(tensor(values), 16, 64).moments.example_share == pytest.approx(share(values), rel=1e-2)
    assert look_at(tensor(array(16, 64)), 16, 64).moments.example_share == pytest.approx(share(array(16, 64)), rel=1e-4)


def test_constants_nothing_and_single_examples():
    constant = look_at(torch.full((4, 3), 2.0), 4, 3).moments
    assert (constant.variance, constant.example_share, constant.mean) == (0, 0, 2)
    assert look_at(torch.ones(1, 3), 1, 3).moments.example_share is None
    assert look_at(torch.ones(4, 3), 4, None).moments.example_share is None
    assert moments_of(torch.zeros(0)).count == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_elements_are_counted(bad):
    values = array(8, 5)
    values[2, 3] = values[4, 1] = bad
    look = look_at(tensor(values), 8, 5)
    assert look.moments.nonfinite == 2
    assert not look.moments.finite
    assert look.moments.example_share is None
    unit_stats(look, (8, 5), 1, rectified=True, bounds=(-1.0, 1.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    values = tensor(array(64, 32)).to(dtype)
    found = moments_of(values)
    assert found.second_moment == pytest.approx(float(values.double().square().mean()), rel=1e-5)


def test_half_precision_does_not_overflow_in_the_sum():
    values = torch.full((512, 512), 200.0, dtype=torch.float16)  # 200² alone is near the largest half
    assert moments_of(values).second_moment == pytest.approx(40000, rel=1e-6)


def test_complex_numbers_count_both_parts():
    values = torch.complex(tensor(array(8, 4)), tensor(array(8, 4, seed=1)))
    found = moments_of(values)
    assert found.count == 64
    assert found.second_moment == pytest.approx(float(values.abs().double().square().mean()) / 2, rel=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_examples_anywhere(axis):
    values = array(4, 5, 6)
    examples = values.shape[axis]
    stride = int(np.prod(values.shape[axis + 1 :]))
    found = look_at(tensor(values), examples, stride).moments.example_share
    assert found == pytest.approx(share(np.moveaxis(values, axis, 0)), rel=1e-4)


# -- units -------------------------------------------------------------------------------------------------------------

LAYOUTS = {
    "matrix": ((12, 7), 1),
    "image": ((12, 7, 3, 3), 1),
    "tokens": ((12, 5, 7), 2),
}


def units_last(values, axis):
    """``(observations, units)``."""
    return np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])


@pytest.mark.parametrize("name", LAYOUTS)
def test_dead_and_saturated_units(name):
    shape, axis = LAYOUTS[name]
    values = np.moveaxis(np.maximum(array(*shape), 0), axis, -1)
    values[..., 2] = values[..., 5] = 0
    values[(slice(None), *[0] * (len(shape) - 2), 6)] = 0  # dead at one position only, where there are several
    values = np.ascontiguousarray(np.moveaxis(values, -1, axis))
    stride = int(np.prod(shape[1:]))
    stats = unit_stats(look_at(tensor(values), 12, stride), shape, axis, rectified=True, bounds=None)
    rows = units_last(values, axis)
    assert stats.units == 7
    assert stats.observations == len(rows)
    assert stats.examples == 12
    assert stats.zero == int((rows == 0).all(0).sum()) == 2 + (len(shape) == 2)
    assert stats.zero_share == pytest.approx((values == 0).mean())

    bounded = np.tanh(3 * array(*shape, seed=1)).astype(np.float32)
    bounded = np.moveaxis(bounded, axis, -1)
    bounded[..., 4] = np.sign(bounded[..., 4])
    bounded = np.ascontiguousarray(np.moveaxis(bounded, -1, axis))
    stats = unit_stats(look_at(tensor(bounded), 12, stride), shape, axis, rectified=False, bounds=(-1.0, 1.0))
    outside = np.abs(bounded) > 0.98
    assert stats.saturated_share == pytest.approx(outside.mean())
    assert stats.stuck == int(units_last(outside, axis).all(0).sum()) >= 1


@pytest.mark.parametrize("name", ["image", "tokens"])
def test_units_first_in_time(name):
    """The same with the examples on the second axis."""
    shape, axis = LAYOUTS[name]
    values = np.maximum(array(*shape), 0)
    values[(slice(None),) * axis + (3,)] = 0
    turned = np.ascontiguousarray(values.transpose(1, 0, *range(2, len(shape))))
    unit = 2 if axis == 2 else 0
    stride = int(np.prod(turned.shape[2:]))
    stats = unit_stats(look_at(tensor(turned), 12, stride), turned.shape, unit, rectified=True, bounds=None)
    assert stats.zero == int((units_last(values, axis) == 0).all(0).sum())


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_correlation_of_examples_and_of_tokens(correlation):
    common, own = array(1, 512), array(20, 512, seed=1)
    values = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
    values = values.astype(np.float32)
    exact = values.astype(np.float64)
    products = exact @ exact.T
    pairs = products[~np.eye(20, dtype=bool)].mean() / np.diag(products).mean()
    stats = unit_stats(look_at(tensor(values), 20, 512), (20, 512), 1, rectified=False, bounds=None)
    assert stats.example_correlation == pytest.approx(pairs, abs=1e-5)
    tokens = tensor(values[None])
    assert token_correlation(tokens, moments_of(tokens).second_moment) == pytest.approx(pairs, abs=1e-5)


def test_correlation_of_tokens_needs_two():
    assert token_correlation(torch.ones(3, 1, 4), 1.0) is None
    assert token_correlation(torch.zeros(3, 2, 4), 0.0) is None
