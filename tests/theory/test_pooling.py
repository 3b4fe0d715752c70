"""Pooling, padding and resizing against PyTorch's own, and order statistics against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import (
    activation,
    average_pool_factor,
    gaussian_moments,
    max_pool_moments,
    padded_profile,
    padding_factor,
    resampling_factor,
    resampling_matrix,
    shared_maximum_correlation,
)

DRAWS = 100_000


def within(found: float, sample: np.ndarray) -> None:
    assert abs(sample.mean() - found) <= 5 * sample.std() / math.sqrt(sample.size) + 1e-9


@pytest.mark.parametrize(
    ("name", "k", "mean", "variance", "c"),
    [
        ("linear", 4, 0.3, 2.0, 0.4), ("linear", 4, 0.3, 2.0, -0.3), ("relu", 4, 0.0, 1.0, 0.0),
        ("relu", 9, -0.5, 3.0, 0.3), ("gelu", 4, 0.0, 1.0, 0.2), ("gelu", 9, -1.0, 0.3, 0.0), ("sin", 4, 0.2, 5.0, 0.5),
        ("tanh", 2, 0.0, 1.0, 1.0), ("relu", 1, 0.5, 1.0, 0.2), ("hardshrink", 3, 0.0, 1.0, 0.1),
    ],
)  # fmt: skip
def test_maxima_agree_with_monte_carlo(name, k, mean, variance, c) -> None:
    root = np.linalg.cholesky((1 - c) * np.eye(k) + c + 1e-12 * np.eye(k))
    h = mean + math.sqrt(variance) * np.random.default_rng(0).standard_normal((DRAWS, k)) @ root.T
    act = activation(name)
    f = act(h)
    top = f.argmax(-1)
    won = np.take_along_axis(h, top[:, None], -1)[:, 0]
    found = max_pool_moments(k, name, mean=mean, variance=variance, correlation=c)
    within(found.mean, f.max(-1))
    within(found.second_moment, f.max(-1) ** 2)
    if name == "relu":  # where all are zero there is no winner, and no slope either
        won = h.max(-1)
    if name != "hardshrink":  # among equal zeros either kind of place may win
        within(found.derivative_second_moment, act.derivative(won) ** 2)


def test_one_place_is_no_pooling(act) -> None:
    found, known = max_pool_moments(1, act, variance=0.8), gaussian_moments(act, 0.8)
    grid = 1e-3 if act.name in ("hardshrink", "threshold") else 2e-5  # of those that are not monotone
    assert found.second_moment == pytest.approx(known.second_moment, rel=grid, abs=1e-12)
    assert found.mean == pytest.approx(known.mean, rel=grid, abs=1e-6)


def test_known_order_statistics() -> None:
    """Two and three normals: 1/√π and 3/(2√π)."""
    assert max_pool_moments(2).mean == pytest.approx(1 / math.sqrt(math.pi), rel=1e-12)
    assert max_pool_moments(3).mean == pytest.approx(1.5 / math.sqrt(math.pi), rel=1e-12)
    assert max_pool_moments(2).second_moment == pytest.approx(1.0, rel=1e-12)
    assert max_pool_moments(5, mean=2.0, variance=0.0).second_moment == pytest.approx(4.0)
    assert max_pool_moments(5, "relu", mean=2.0, variance=0.0).second_moment == pytest.approx(4.0)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_pooling_layers_of_pytorch(kernel, stride) -> None:
    """Forward, the likeness of overlapping windows, and back: outputs/inputs, times the slope through relu."""
    x = torch.tensor(np.random.default_rng(1).standard_normal((200, 4, 18, 18)), requires_grad=True)
    y = F.max_pool2d(x.relu(), kernel, stride)
    gradient = torch.tensor(np.random.default_rng(2).standard_normal(y.shape))
    (back,) = torch.autograd.grad(y, x, gradient)
    found = max_pool_moments(kernel**2, "relu")
    images = (y.detach() ** 2).mean((1, 2, 3)).numpy()
    within(found.second_moment, images)
    share = y[0].numel() / x[0].numel()
    within(found.derivative_second_moment * share, (back**2).mean((1, 2, 3)).numpy())
    z = F.max_pool2d(x.detach(), kernel, stride).numpy()
    alike = np.corrcoef(z[..., 0].ravel(), z[..., 1].ravel())[0, 1]
    shared = kernel * max(kernel - stride, 0)
    places = z[..., 0].size
    assert alike == pytest.approx(shared_maximum_correlation(kernel**2, shared), abs=5 / math.sqrt(places / kernel**2))
    y = F.avg_pool2d(x, kernel, stride)
    within(average_pool_factor(kernel**2), (y.detach() ** 2).mean((1, 2, 3)).numpy())
    (back,) = torch.autograd.grad(y, x, torch.randn(y.shape, dtype=torch.float64, generator=torch.manual_seed(0)))
    within(share / kernel**2, (back**2).mean((1, 2, 3)).numpy())


def test_averages_of_correlated_places() -> None:
    assert average_pool_factor(9, 1 / math.pi) == pytest.approx(1 / math.pi + (1 - 1 / math.pi) / 9)
    assert average_pool_factor(3, -0.5) == pytest.approx(0.0, abs=1e-12)


# ---- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [
        (8, 3, 1, 1, 1),
        (9, 3, 2, 1, 1),
        (7, 7, 2, 3, 1),
        (10, 3, 1, 2, 2),
        (6, 5, 1, 0, 1),
        (4, 3, 1, 2, 1),
        (5, 2, 3, 1, 1),
    ],
)
def test_padding_is_counted_as_pytorch_pads(size, kernel, stride, padding, dilation) -> None:
    x = torch.rand(1, 1, size, size, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
    rows = torch.rand(size, dtype=torch.float64)
    ones = torch.ones(1, 1, kernel, kernel, dtype=torch.float64) / kernel**2
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    counted = F.conv2d(torch.ones_like(x), ones, **settings)
    factor = padding_factor(size, kernel, **settings)
    assert factor**2 == pytest.approx(float(counted.mean()), rel=1e-12)
    profile = F.conv2d(torch.outer(rows, torch.ones(size)).double()[None, None], ones, **settings)[0, 0].mean(-1)
    along = padded_profile(rows.numpy(), kernel, stride, padding, dilation)
    np.testing.assert_allclose(along * factor, profile.numpy(), rtol=1e-10)
    out = F.conv2d(x, ones, **settings)
    gradient = torch.outer(torch.arange(1.0, out.shape[-1] + 1), torch.ones(out.shape[-1])).double()[None, None]
    (back,) = torch.autograd.grad(out, x, gradient)
    one = padded_profile(np.arange(1.0, out.shape[-1] + 1), kernel, stride, padding, dilation, backward=size)
    other = padded_profile(np.ones(out.shape[-1]), kernel, stride, padding, dilation, backward=size)
    np.testing.assert_allclose(np.outer(one, other), back[0, 0].numpy(), rtol=1e-10)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_deep_padded_nets_lose_by_the_sine(size) -> None:
    profile = np.ones(size)
    for _ in range(400):
        profile = padded_profile(profile, 3, padding=1)
        lost, profile = profile.mean(), profile / profile.mean()
    assert lost == pytest.approx((1 + 2 * math.cos(math.pi / (size + 1))) / 3, rel=1e-6)


def test_same_padding_may_be_uneven() -> None:
    assert padded_profile([1.0, 1.0], 2, padding=(0, 1)).tolist() == [1.0, 0.5]


# ---- resizing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize(("size", "new"), [(5, 10), (6, 9), (10, 4), (4, 1), (3, 3), (1, 4)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic", "area"])
def test_resampling_weights_are_pytorchs(mode, size, new, corners) -> None:
    if corners and mode in ("nearest", "area"):
        return
    settings = {"align_corners": corners} if mode.startswith("bi") else {}
    eye = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1).expand(size, 1, size, 2)
    theirs = F.interpolate(eye, size=(new, 2), mode=mode, **settings)[:, 0, :, 0].T.numpy()
    kind = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
    np.testing.assert_allclose(resampling_matrix(size, new, kind, **settings), theirs, atol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("size", "new"), [(12, 5), (9, 18)])
def test_antialiased_weights_are_pytorchs(mode, size, new) -> None:
    eye = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1).expand(size, 1, size, 2)
    theirs = F.interpolate(eye, size=(new, 2), mode=mode, antialias=True)[:, 0, :, 0].T.numpy()
    kind = {"bilinear": "linear", "bicubic": "cubic"}[mode]
    np.testing.assert_allclose(resampling_matrix(size, new, kind, antialias=True), theirs, atol=1e-6)


def test_resampling_of_noise() -> None:
    x = torch.tensor(np.random.default_rng(3).standard_normal((400, 1, 8, 8)))
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    within(resampling_factor(8, 16) ** 2, (y**2).mean((1, 2, 3)).numpy())
    assert resampling_factor(8, 16, correlation=1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: max_pool_moments(0), InputError, "at least 1"),
        (lambda: max_pool_moments(2.5), InputError, "whole number"),
        (lambda: max_pool_moments(4, "relu", correlation=-0.1), InputError, "correlation from 0"),
        (lambda: max_pool_moments(4, correlation=-0.5), InputError, "correlation from -0.333"),
        (lambda: max_pool_moments(4, variance=-1.0), InputError, "variance of at least 0"),
        (lambda: max_pool_moments(4, mean=math.nan), InputError, "finite mean"),
        (lambda: max_pool_moments(4, "reul"), UnknownNameError, "Did you mean 'relu'"),
        (lambda: shared_maximum_correlation(4, 5), InputError, "from 0 to 4"),
        (lambda: shared_maximum_correlation(4, True), InputError, "from 0 to 4"),
        (lambda: average_pool_factor(4, 1.5), InputError, "correlation"),
        (lambda: average_pool_factor(-4), InputError, "at least 1"),
        (lambda: padding_factor(0, 3), InputError, "size of an axis"),
        (lambda: padding_factor(4, 7), InputError, "does not fit"),
        (lambda: padding_factor(4, 3, stride=0), InputError, "stride of an axis"),
        (lambda: padding_factor(4, 3, padding=-1), InputError, "does not fit"),
        (lambda: padded_profile([], 3), InputError, "row of finite"),
        (lambda: padded_profile([math.nan], 1), InputError, "row of finite"),
        (lambda: padded_profile([1.0, 1.0], 3, padding=1, backward=4), InputError, "has 4 places"),
        (lambda: resampling_factor(4, 8, "lanczos"), UnknownNameError, "Known: area"),
        (lambda: resampling_factor(0, 8), InputError, "size of an axis"),
        (lambda: resampling_factor(4, 8, correlation=2.0), InputError, "between -1 and 1"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
