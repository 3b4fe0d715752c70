"""Smooth images, brighter in the middle: what is told of an input, and what theory makes of it behind real layers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.errors import InputError
from gainstage.propagation.correlated_taps import inverse_of_sum
from gainstage.propagation.second_moments import SecondMoments
from gainstage.records import InputMoments

SIZE, SMOOTH, DRAWS = 16, 0.7, 24
BRIGHT = 0.3 + np.sin(np.pi * (np.arange(SIZE) + 0.5) / SIZE)


def images(count: int, seed: int, *, bright: bool = True) -> torch.Tensor:
    """Neighbours are alike by a factor a place, along both axes; the level falls towards the borders."""
    distance = np.abs(np.subtract.outer(np.arange(SIZE), np.arange(SIZE)))
    root = np.linalg.cholesky(SMOOTH**distance)
    noise = np.random.default_rng(seed).standard_normal((count, 1, SIZE, SIZE))
    drawn = root @ noise @ root.T
    drawn = drawn * BRIGHT[:, None] * BRIGHT if bright else drawn
    return torch.as_tensor(drawn, dtype=torch.float32)


def test_moments_of_images_are_those_they_were_drawn_with():
    told = InputMoments.of(images(4000, 0).numpy())
    expected = BRIGHT**2 / (BRIGHT**2).mean()
    for along in told.profiles:
        np.testing.assert_allclose(along, expected, rtol=0.05)
    flat = InputMoments.of(images(4000, 1, bright=False).numpy())
    assert flat.neighbour == pytest.approx((2 * SMOOTH + SMOOTH**2) / 3, abs=0.02)
    for along in flat.profiles:
        np.testing.assert_allclose(along, 1.0, atol=0.03)


def test_few_examples_tell_no_profile():
    for along in InputMoments.of(np.random.default_rng(0).standard_normal((8, 3, 16, 16))).profiles:
        np.testing.assert_allclose(along, 1.0, atol=0.12)
    assert InputMoments.of(np.ones((1, 3, 4, 4))).profiles == ((1.0,) * 4,) * 2


@pytest.mark.parametrize("along", [(), (math.nan, 1.0), (-1.0, 3.0), (0.0, 0.0)])
def test_a_profile_is_a_row_of_parts(along):
    with pytest.raises(InputError, match="profile"):
        InputMoments(profiles=(along,))


def test_neighbours_further_apart_share_less():
    smooth = SecondMoments(1.0, positions=0.0, examples=0.0, neighbour=0.8)
    assert [smooth.at_stride(stride).neighbour for stride in (1, 2, 3)] == pytest.approx([0.8, 0.64, 0.512])
    field = SecondMoments(1.0, positions=0.1, examples=0.5, neighbour=0.5, across_both=0.1)  # the same for all examples
    assert field.at_stride(2) == field


def pooling() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 96, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(96, 96, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(96, 96, 1),
    )  # fmt: skip


@pytest.mark.parametrize("smooth", [0.3, 0.6, 0.8])
def test_channels_of_alike_pixels_have_spreads_of_few_numbers(smooth):
    """The gradient behind batch norm is divided by each channel's own variance; against as many draws of weights."""
    distance = np.abs(np.subtract.outer(np.arange(3), np.arange(3)))
    one = smooth**distance
    weights = np.random.default_rng(3).standard_normal((200_000, 9))
    variances = np.einsum("ni,ij,nj->n", weights, np.kron(one, one), weights) / 9
    shares = np.multiply.outer(np.linalg.eigvalsh(one), np.linalg.eigvalsh(one)).ravel()
    assert inverse_of_sum(shares, 1.0) == pytest.approx((1 / variances).mean(), rel=0.02)


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 96, 3, padding=1, bias=False), nn.BatchNorm2d(96), nn.Tanh(), nn.Conv2d(96, 96, 1)
    )


@pytest.mark.parametrize("build", [pooling, normalised])
def test_theory_that_is_told_of_images_agrees_with_real_layers(build):
    told = InputMoments.of(images(1000, 7).numpy())
    found: dict[tuple[int, str], list[float]] = {}
    ours: dict[tuple[int, str], list[float]] = {}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model, x = build(), images(8, 100 + seed)
        predicted = gs.predict(model, x, input_moments=told)
        for node in record(model, x, seed=seed).nodes:
            if predicted.graph.nodes[node.node].operation.weighted:
                for way in ("forward", "backward"):
                    found.setdefault((node.node, way), []).append(getattr(node, way).second_moment)
                    ours.setdefault((node.node, way), []).append(
                        getattr(predicted.by_node[node.node], way).second_moment
                    )
    for key, measured in found.items():
        error = np.std(np.array(measured) - ours[key], ddof=1) / math.sqrt(DRAWS)
        assert abs(np.mean(measured) - np.mean(ours[key])) <= 4 * error + (
            0.15 if key[1] == "backward" else 0.05
        ) * np.mean(measured), key
