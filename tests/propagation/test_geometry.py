"""Windows along an axis against PyTorch's own convolutions of ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gainstage.theory.images.windows import Window

CASES = [
    (8, 3, 1, 1, 1), (8, 3, 2, 1, 1), (9, 3, 2, 1, 1), (7, 5, 1, 2, 1), (12, 3, 1, 2, 2), (10, 1, 2, 0, 1),
    (6, 4, 4, 0, 1), (16, 7, 2, 3, 1),
]  # fmt: skip


def ones(size: int, kernel: int, stride: int, padding: int, dilation: int):
    x = torch.ones(1, 1, size)
    return functional.conv1d(x, torch.ones(1, 1, kernel), None, stride, padding, dilation)


@pytest.mark.parametrize("case", CASES)
def test_terms_of_an_output_are_counted(case):
    size, *rest = case
    counted = ones(*case)[0, 0].numpy()
    terms, profile = Window(size, counted.size, *rest).forward(None)
    assert terms == pytest.approx(counted.mean())
    np.testing.assert_allclose(np.ones(counted.size) if profile is None else profile, counted / counted.mean())


@pytest.mark.parametrize("case", CASES)
def test_outputs_of_an_input_are_counted(case):
    x = torch.ones(1, 1, case[0], requires_grad=True)
    out = functional.conv1d(x, torch.ones(1, 1, case[1]), None, *case[2:])
    (counted,) = torch.autograd.grad(out.sum(), x)
    terms, profile = Window(case[0], out.shape[-1], *case[1:]).backward(None)
    assert terms == pytest.approx(counted.mean().item())
    expected = (counted / counted.mean())[0, 0].numpy()
    np.testing.assert_allclose(np.ones(case[0]) if profile is None else profile, expected, rtol=1e-6)


@pytest.mark.parametrize("case", [(5, 4, 2, 1), (5, 2, 2, 0), (6, 3, 1, 1)])
def test_a_transposed_window_spreads(case):
    size, kernel, stride, padding = case
    counted = functional.conv_transpose1d(torch.ones(1, 1, size), torch.ones(1, 1, kernel), None, stride, padding)
    terms, _ = Window(size, counted.shape[-1], kernel, stride, padding, transposed=True).forward(None)
    assert terms == pytest.approx(counted.mean().item())


@pytest.mark.parametrize("case", CASES[:5])
def test_shared_terms_are_counted_over_all_pairs_and_over_neighbours(case):
    size, kernel, stride, padding, dilation = case
    out = ones(*case).shape[-1]
    inside = torch.zeros(kernel, out)
    for tap in range(kernel):
        for place in range(out):
            inside[tap, place] = float(0 <= place * stride + tap * dilation - padding < size)
    window = Window(size, out, kernel, stride, padding, dilation)
    assert window.shared(None) == pytest.approx((inside.mean(1) ** 2).mean().item(), rel=1e-6)
    beside = (inside[:, 1::2] * inside[:, : inside.shape[1] // 2 * 2 : 2]).mean().item()
    assert window.neighbouring(None) == pytest.approx(beside, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_overlaps_are_those_of_all_pairs(case):
    size, kernel, stride, padding, dilation = case
    out = ones(*case).shape[-1]
    taps = [{place * stride + tap * dilation - padding for tap in range(kernel)} for place in range(out)]
    inside = [{t for t in place if 0 <= t < size} for place in taps]
    kept = [{t - place * stride for t in inside[place]} for place in range(out)]
    shared = np.array([[len(a & b) / kernel for b in kept] for a in kept])
    found = Window(size, out, kernel, stride, padding, dilation).overlap(None)
    np.testing.assert_allclose(found.own, np.diag(shared))
    np.testing.assert_allclose(found.cross, shared.mean(1))
    assert found.square == pytest.approx((shared**2).mean())
    assert found.mean == pytest.approx(shared.mean())
