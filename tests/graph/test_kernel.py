"""Fans against what a layer really sums."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gainstage.errors import InputError
from gainstage.graph import KernelShape

SIZES = list(itertools.product((1, 2, 6), (2, 4), (1, 3), (1, 2)))


@pytest.mark.parametrize(("out", "in_", "receptive", "groups"), SIZES)
def test_fans_count_the_terms_of_a_grouped_convolution(out, in_, receptive, groups):
    if out % groups:
        with pytest.raises(InputError, match="do not divide"):
            KernelShape(out, in_, receptive, groups)
        return
    kernel = KernelShape(out, in_, receptive, groups)
    reaches = np.zeros((out, in_), dtype=int)  # by how many weights an input channel reaches an output channel
    for o, i in itertools.product(range(out), range(in_)):
        reaches[o, i] = receptive * (o // (out // groups) == i // (in_ // groups))
    assert (reaches.sum(1) == kernel.fan_in).all()
    assert (reaches.sum(0) == kernel.fan_out).all()
    assert kernel.size == reaches.sum() == np.prod(kernel.shape)
    assert kernel.fan_avg == (kernel.fan_in + kernel.fan_out) / 2


@pytest.mark.parametrize(("taps", "stride"), [(4, 2), (3, 1), (2, 2), (5, 2), (3, 2)])
def test_a_transposed_convolution_overlaps(taps, stride):
    """Counted on a long row: outputs in the middle receive taps / stride terms on average."""
    received = np.zeros(400)
    for position in range(100):
        received[position * stride : position * stride + taps] += 1
    middle = received[stride * 20 : stride * 80]
    assert KernelShape(1, 1, taps, overlap=taps / stride).fan_in == pytest.approx(middle.mean())


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (1, 1, 0), (1, 1, 1, 0), (-1, 2)])
def test_sizes_are_positive(sizes):
    with pytest.raises(InputError, match="positive sizes; received KernelShape"):
        KernelShape(*sizes)
