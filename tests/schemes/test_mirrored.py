"""Mirrored draws: opposite halves of what the scheme draws of half the kernel, in whole and in part."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage import schemes
from gainstage.backends.torch.writing.regions import draw, draw_region
from gainstage.errors import InputError
from gainstage.graph import KernelShape, Mirror, Pairing, Role
from gainstage.records import Assignment
from gainstage.streams import Stream

KERNEL = KernelShape(12, 8, 9)
DRAWN = ("normal", "he_uniform", "orthogonal", "delta_orthogonal")


@pytest.mark.parametrize("name", DRAWN)
def test_the_halves_are_the_bytes_of_half_a_kernel_and_opposite(name):
    scheme, mirror = schemes.get(name), Mirror(Pairing(12), Pairing(8))
    whole = schemes.mirrored(scheme, mirror).draw(KERNEL, 1.3, Stream(5, "w"))
    half = scheme.draw(KernelShape(6, 4, 9), 1.3, Stream(5, "w"))
    assert whole[:6, :4].tobytes() == half.tobytes()
    for rows, columns, sign in ((slice(0, 6), slice(4, 8), -1), (slice(6, 12), slice(0, 4), -1),
                                (slice(6, 12), slice(4, 8), 1)):  # fmt: skip
        assert (whole[rows, columns] == sign * half).all()


@pytest.mark.parametrize("name", DRAWN)
def test_the_spread_is_that_of_all_weights(name):
    kernel, mirror = KernelShape(64, 33, 3), Mirror(Pairing(64), Pairing(33))
    scheme = schemes.mirrored(schemes.get(name), mirror)
    values = scheme.draw(kernel, 0.7, Stream(0, "w"))
    count = mirror.half(kernel).size / (1 if name != "delta_orthogonal" else 3)
    assert values.std() == pytest.approx(scheme.spread(kernel, 0.7), rel=4 / (2 * count) ** 0.5)
    assert (values[:, -1] == 0).all()  # what has no pair is read by zero


def test_an_odd_unit_gets_the_sum_of_its_set():
    rows = schemes.mirrored(schemes.get("orthogonal"), Mirror(Pairing(5))).draw(KernelShape(5, 6), 1.0, Stream(0, "w"))
    np.testing.assert_allclose(rows[4], (rows[0] + rows[1]) / 2**0.5, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows[:, :, 0], axis=1), np.linalg.norm(rows[0]), rtol=1e-5)


def test_groups_and_places_hold_pairs_of_their_own():
    mirror = Mirror(Pairing(3), Pairing(2, places=4))
    weight = schemes.mirrored(schemes.get("normal"), mirror).draw(KernelShape(6, 16, groups=2), 1.0, Stream(0, "w"))
    assert (weight[[0, 3]] == -weight[[1, 4]]).all()
    assert (weight[:, :4] == -weight[:, 4:]).all()


@pytest.mark.parametrize("name", DRAWN)
def test_a_part_is_a_part_of_the_whole(name):
    mirror = Mirror(Pairing(12), Pairing(8))
    line = Assignment("w", Role.HIDDEN, (12, 8, 3, 3), name, kernel=KERNEL, mirror=mirror)
    draw_region(part := np.empty((5, 8, 3, 3), np.float32), line, seed=3, offsets=(4, 0, 0, 0))
    assert part.tobytes() == draw(line, seed=3).reshape(12, 8, 3, 3)[4:9].tobytes()


def test_sets_have_to_fill_the_axis():
    with pytest.raises(InputError, match="cannot be divided into sets"):
        Mirror(Pairing(5)).half(KernelShape(12, 8))
    with pytest.raises(InputError, match="units ≥ 2"):
        Pairing(1)
