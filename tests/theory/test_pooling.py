"""Pooling, padding and resizing against PyTorch's own, and order statistics against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import resampling_matrix, shared_maximum_correlation
from gainstage.theory.images.windows import Window


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_overlapping_maxima_correlate_as_pytorchs(kernel, stride) -> None:
    x = torch.tensor(np.random.default_rng(1).standard_normal((200, 4, 18, 18)))
    z = F.max_pool2d(x, kernel, stride).numpy()
    alike = np.corrcoef(z[..., 0].ravel(), z[..., 1].ravel())[0, 1]
    shared = kernel * max(kernel - stride, 0)
    places = z[..., 0].size
    assert alike == pytest.approx(shared_maximum_correlation(kernel**2, shared), abs=5 / math.sqrt(places / kernel**2))


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
    out = F.conv2d(x, ones, **settings)
    window = Window(size, out.shape[-1], kernel, stride, padding, dilation)
    counted = F.conv2d(torch.ones_like(x), ones, **settings)
    factor = float(window.counts().mean()) / kernel
    assert factor**2 == pytest.approx(float(counted.mean()), rel=1e-12)
    profile = F.conv2d(torch.outer(rows, torch.ones(size)).double()[None, None], ones, **settings)[0, 0].mean(-1)
    along = window.gathered(rows.numpy()) / kernel
    np.testing.assert_allclose(along * factor, profile.numpy(), rtol=1e-10)
    gradient = torch.outer(torch.arange(1.0, out.shape[-1] + 1), torch.ones(out.shape[-1])).double()[None, None]
    (back,) = torch.autograd.grad(out, x, gradient)
    one = window.returned(np.arange(1.0, out.shape[-1] + 1)) / kernel
    other = window.returned(np.ones(out.shape[-1])) / kernel
    np.testing.assert_allclose(np.outer(one, other), back[0, 0].numpy(), rtol=1e-10)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_deep_padded_nets_lose_by_the_sine(size) -> None:
    profile = np.ones(size)
    for _ in range(400):
        profile = Window(size, size, 3, padding=1).gathered(profile) / 3
        lost, profile = profile.mean(), profile / profile.mean()
    assert lost == pytest.approx((1 + 2 * math.cos(math.pi / (size + 1))) / 3, rel=1e-6)


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


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: shared_maximum_correlation(0, 0), InputError, "at least 1"),
        (lambda: shared_maximum_correlation(2.5, 1), InputError, "whole number"),
        (lambda: shared_maximum_correlation(4, 5), InputError, "from 0 to 4"),
        (lambda: shared_maximum_correlation(4, True), InputError, "from 0 to 4"),
        (lambda: resampling_matrix(4, 8, "lanczos"), UnknownNameError, "Known: area"),
        (lambda: resampling_matrix(0, 8), InputError, "size of an axis"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
