"""Orthogonality, norms and identities."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from gainstage import schemes
from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.streams import Stream

FLOAT32 = 1e-6


def groups_of(weights, kernel):
    """The matrix of each group: (groups, out per group, inputs per group · receptive)."""
    return weights.astype(np.float64).reshape(kernel.groups, kernel.out // kernel.groups, -1)


def draw(name, kernel, gain=1.0, path="weight"):
    return schemes.get(name).draw(kernel, gain, Stream(0, path))


@pytest.mark.parametrize(
    "kernel",
    [
        KernelShape(1, 1),
        KernelShape(64, 64),
        KernelShape(64, 200),
        KernelShape(200, 64),
        KernelShape(32, 16, 9),
        KernelShape(256, 8, 9),
        KernelShape(32, 24, 9, groups=4),
        KernelShape(96, 48, 9, groups=48),
        KernelShape(24, 32, 16, overlap=4),
    ],
    ids=str,
)
def test_the_shorter_side_of_every_group_is_orthonormal(kernel):
    rows, columns = kernel.out // kernel.groups, kernel.in_ // kernel.groups * kernel.receptive
    factor = max(rows, columns) / kernel.fan_in
    for matrix in groups_of(draw("orthogonal", kernel), kernel):
        gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
        np.testing.assert_allclose(gram, factor * np.eye(min(rows, columns)), atol=FLOAT32 * factor)


def test_square_orthogonal_keeps_every_norm():
    weight = draw("orthogonal", KernelShape(128, 128))[:, :, 0].astype(np.float64)
    assert np.linalg.svd(weight, compute_uv=False) == pytest.approx(np.ones(128), abs=FLOAT32)


def test_groups_are_different_matrices():
    kernel = KernelShape(32, 32, groups=4)
    matrices = groups_of(draw("orthogonal", kernel), kernel)
    assert all(np.abs(matrices[i] - matrices[j]).max() > 0.1 for i in range(4) for j in range(i))


def test_orthogonal_matrices_are_uniform_on_the_group():
    """The first column of a uniform 2 × 2 orthogonal matrix points anywhere; without the sign fix, only to one side."""
    kernel = KernelShape(10_000, 10_000, groups=5_000)
    matrices = groups_of(draw("orthogonal", kernel), kernel)
    angles = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0])
    assert scipy.stats.kstest(angles, scipy.stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-4
    positive = int((np.linalg.det(matrices) > 0).sum())
    assert scipy.stats.binomtest(positive, 5_000).pvalue > 1e-4


@pytest.mark.parametrize("groups", [1, 4])
def test_delta_orthogonal_is_a_convolution_that_keeps_norms(groups):
    kernel = KernelShape(16, 16, 9, groups=groups)
    layer = nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular", groups=groups, bias=False).double()
    weights = draw("delta_orthogonal", kernel).astype(np.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.reshape(layer.weight.shape)))
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 16, 7, 7)))
        norms = layer(x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
    np.testing.assert_allclose(norms, 1, atol=FLOAT32)
    assert np.count_nonzero(np.abs(weights).sum(axis=(0, 1))) == 1


def test_orthogonal_is_not_an_orthogonal_convolution():
    """On a signal that is constant in space all taps act as one matrix, their sum, and that is not orthogonal."""
    weights = draw("orthogonal", KernelShape(16, 16, 9)).astype(np.float64)
    singular_values = np.linalg.svd(weights.sum(axis=2), compute_uv=False)
    assert singular_values.max() / singular_values.min() > 2


@pytest.mark.parametrize("kernel", [KernelShape(8, 16), KernelShape(8, 9, 9), KernelShape(8, 16, 9, groups=8)], ids=str)
def test_delta_orthogonal_needs_as_many_outputs_as_inputs(kernel):
    with pytest.raises(InputError, match=r"at least as many outputs as inputs; received KernelShape.*Use 'orthogonal'"):
        draw("delta_orthogonal", kernel)


@pytest.mark.parametrize("groups", [1, 2, 12])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_identity_convolution_returns_its_input(side, groups):
    layer = nn.Conv2d(12, 12, side, padding=side // 2, groups=groups, bias=False)
    weights = draw("identity", KernelShape(12, 12, side * side, groups=groups))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.reshape(layer.weight.shape)))
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 12, 6, 6)).astype(np.float32))
        assert torch.equal(layer(x), x)


@pytest.mark.parametrize(("out", "in_", "groups"), [(8, 8, 1), (8, 4, 1), (4, 8, 1), (8, 4, 2), (8, 8, 4)])
def test_identity_agrees_with_pytorch(out, in_, groups):
    expected = nn.init.dirac_(torch.empty(out, in_ // groups, 3, 3), groups)
    weights = draw("identity", KernelShape(out, in_, 9, groups))
    np.testing.assert_array_equal(weights.reshape(expected.shape), expected.numpy())
    if groups == 1:
        matrix = draw("identity", KernelShape(out, in_))[:, :, 0]
        np.testing.assert_array_equal(matrix, nn.init.eye_(torch.empty(out, in_)).numpy())


@pytest.mark.parametrize(
    ("name", "gain", "value"), [("zeros", 2.0, 0.0), ("ones", 1.0, 1.0), ("constant", -0.25, -0.25)]
)
def test_constants(name, gain, value):
    assert (draw(name, KernelShape(4, 3, 2), gain) == value).all()
