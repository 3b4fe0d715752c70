"""Any region, in any memory and number format, equals that region of the whole."""

import math
import random

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided

from gainstage.errors import InputError
from gainstage.streams import Normal, Sign, Stream, Uniform, filling
from gainstage.streams.distributions import values
from gainstage.streams.philox import words_at

SOURCE = Stream(3, "w")
DISTRIBUTIONS = {"normal": Normal(0.1), "truncated": Normal(0.1, bound=2), "uniform": Uniform(-1, 3), "sign": Sign(2.0)}
every_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
pytestmark = pytest.mark.usefixtures("each_engine")


def reference(distribution, shape, start=0):
    """The definition, element by element."""
    indices = np.arange(start, start + math.prod(shape), dtype=np.int64)
    return values(words_at(SOURCE.key, indices), distribution.constants).reshape(shape)


@every_distribution
def test_element_i_depends_on_i_alone(distribution):
    whole = reference(distribution, (50_000,))
    cuts = random.Random(0)
    for _ in range(50):
        start = cuts.randrange(50_000)
        part = np.empty(cuts.randrange(min(20_000, 50_000 - start) + 1), dtype=np.float32)
        SOURCE.fill(part, distribution, start=start)
        np.testing.assert_array_equal(part, whole[start : start + len(part)])


@every_distribution
@pytest.mark.parametrize("start", [2**34 - 6, 2**53 + 1, 2**62 + 5])
def test_far_elements(distribution, start):
    part = np.empty(3000, dtype=np.float32)
    SOURCE.fill(part, distribution, start=start)
    np.testing.assert_array_equal(part, reference(distribution, (3000,), start))


@every_distribution
@pytest.mark.parametrize(
    "slices", [np.s_[:, 3:50], np.s_[100:301:2, ::3], np.s_[7, :, None], np.s_[::-1, 5::-1], np.s_[3:3]]
)
def test_a_slice_of_a_matrix(distribution, slices):
    whole = reference(distribution, (400, 600))
    indices = np.arange(whole.size).reshape(whole.shape)[slices]
    part = np.full(indices.shape, np.nan, dtype=np.float32)
    strides = [step // indices.itemsize for step in indices.strides]
    SOURCE.fill(part, distribution, start=int(indices.flat[0]) if indices.size else 0, strides=strides)
    np.testing.assert_array_equal(part, whole[slices])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("shape", [(120, 50, 9), (3, 200_001, 1), (7, 5, 40_000)])
def test_transposed_memory(shape, order):
    memory = np.empty([shape[axis] for axis in order], dtype=np.float32)
    SOURCE.fill(memory.transpose(np.argsort(order)), Normal())
    np.testing.assert_array_equal(memory.transpose(np.argsort(order)), reference(Normal(), shape))


def test_memory_with_gaps_and_memory_backwards():
    expected = reference(Normal(), (300, 1000))
    roomy = np.zeros((600, 2000), dtype=np.float32)
    SOURCE.fill(roomy[::-2, 1::2], Normal())
    np.testing.assert_array_equal(roomy[::-2, 1::2], expected)
    assert not roomy[:, ::2].any()
    assert not roomy[::2].any()


@every_distribution
@pytest.mark.parametrize("shape", [(300, 1000), (), (0, 5), (200_000,)])
def test_number_formats_hold_the_same_numbers_rounded_once(distribution, shape):
    expected = torch.from_numpy(reference(distribution, shape))
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        memory = torch.empty(shape, dtype=dtype)
        bfloat16 = dtype == torch.bfloat16
        SOURCE.fill(memory.view(torch.uint16).numpy() if bfloat16 else memory.numpy(), distribution, bfloat16=bfloat16)
        assert torch.equal(memory, expected.to(dtype))


@pytest.mark.parametrize("count", ["1", "3"])
def test_threads_and_pieces_change_nothing(count, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", count)
    monkeypatch.setattr(filling, "_PIECE", 5000)
    part = np.empty((40, 3000), dtype=np.float64)
    SOURCE.fill(part, Normal(), start=2)
    np.testing.assert_array_equal(part, reference(Normal(), part.shape, 2))


READ_ONLY = np.broadcast_to(np.float32(0), (3, 3))
FLOATS = np.zeros(9, dtype=np.float32)


@pytest.mark.parametrize(
    ("memory", "options", "message"),
    [
        (np.zeros(3, dtype=np.int64), {}, "float16, float32 or float64 array; received int64"),
        (np.zeros(3, dtype=np.uint16), {}, "received uint16"),
        (np.zeros(3, dtype=">f4"), {}, "received >f4"),
        (np.zeros(3, dtype=np.float32), {"bfloat16": True}, "16-bit words for bfloat16; received float32"),
        ([0.0], {}, "received list"),
        (READ_ONLY, {}, r"shape \(3, 3\) to draw into is read-only"),
        (as_strided(FLOATS, (3, 3), (4, 4)), {}, "overlaps itself"),
        (as_strided(FLOATS, (3, 3), (0, 4)), {}, "overlaps itself"),
        (as_strided(FLOATS, (4, 3), (8, 4)), {}, "overlaps itself"),
        (np.zeros((2, 2)), {"strides": (1,)}, r"one stride for each axis; received \(1,\)"),
        (np.zeros((2, 2)), {"strides": (-2, 1)}, "this region runs from -2 to 1"),
        (np.zeros(2), {"start": 2**63 - 1}, "below 2\\*\\*63; this region"),
        (np.zeros(2), {"start": -1}, "The start is a whole number"),
    ],
)
def test_bad_regions_leave_the_memory_alone(memory, options, message):
    before = np.array(memory)
    with pytest.raises(InputError, match=message):
        SOURCE.fill(memory, Normal(), **options)
    np.testing.assert_array_equal(np.array(memory), before)
