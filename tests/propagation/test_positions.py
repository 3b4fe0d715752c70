"""Tokens of different kinds in one tensor: class tokens, slices of tokens, and what a causal mask is known by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.graph import Node, Operation
from gainstage.propagation import positions
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.propagation.signal import PendingGradient

WIDTH, TOKENS, SEEDS = 48, 17, 16


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(self.one(x)).chunk(3, -1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v))
        return x + self.down(F.gelu(self.up(self.two(x))))


class ClassToken(nn.Module):
    """A class token at a hundredth of the patches' level, which alone is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Linear(12, WIDTH), nn.Parameter(0.03 * torch.randn(1, 1, WIDTH))
        self.blocks, self.head = nn.Sequential(Block(), Block()), nn.Linear(WIDTH, 5)

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), self.patch(x)], 1)
        return self.head(self.blocks(x)[:, 0])


def test_signal_and_gradient_beside_a_class_token():
    measured = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        profile = record(ClassToken(), torch.randn(8, TOKENS - 1, 12), seed=seed)
        weighted = [n for n in profile.nodes if profile.node(n).operation is Operation.LINEAR]
        measured.append([[n.forward.second_moment, n.backward.second_moment] for n in weighted])
    torch.manual_seed(0)
    predicted = gs.predict(ClassToken(), input_shape=(8, TOKENS - 1, 12))
    assert not [note for note in predicted.notes if "levels stand side by side" in note.message]
    expected = np.array([
        [n.forward.second_moment, n.backward.second_moment]
        for n in predicted.nodes if predicted.node(n).operation is Operation.LINEAR
    ])  # fmt: skip
    draws = np.array(measured)
    error = draws.std(0, ddof=1) / SEEDS**0.5
    off = np.abs(expected - draws.mean(0))
    assert (off <= np.maximum(3 * error, 0.2 * draws.mean(0))).all(), (expected / draws.mean(0)).round(2)


def slice_of(start: int, stop: int, size: int) -> Node:
    settings = (("axis", 1.0), ("start", float(start)), ("stop", float(stop)), ("size", float(size)))
    return Node(1, Operation.RESHAPE, "slice", (0,), (8, stop - start, 4), function="slice", settings=settings)


def test_the_gradient_of_a_slice_is_zero_elsewhere():
    profile = SequenceProfile(np.array([1.0, 16.0]), np.array([1.0, 1.0]), np.zeros((2, 2)))
    part = positions.selected(slice_of(0, 1, 17), Extent(4, 17, 8), profile)
    assert part is not None
    assert part.tolist() == [1.0, 0.0]
    flow = PendingGradient(Extent(4, 1, 8), SecondMoments(34.0), 1)
    sent = positions.part_of_gradient(flow, profile, part)
    assert sent.base.level == pytest.approx(2.0)  # the mean over 17 tokens
    assert sent.sequence is not None
    assert sent.sequence.level.tolist() == pytest.approx([17.0, 0.0])


def test_a_slice_of_all_tokens_or_of_another_axis_is_no_part():
    profile = SequenceProfile(np.array([1.0, 16.0]), np.ones(2), np.zeros((2, 2)))
    assert positions.selected(slice_of(0, 17, 17), Extent(4, 17, 8), profile) is None
    assert positions.selected(slice_of(0, 2, 4), Extent(4, 17, 8), profile) is None


class Masked(nn.Module):
    def __init__(self, mask) -> None:
        super().__init__()
        self.linear, self.out, self.mask = nn.Linear(8, 24), nn.Linear(8, 4), mask

    def forward(self, x):
        q, k, v = self.linear(x).chunk(3, -1)
        mask = self.mask(x.shape[1])
        if mask.dtype is torch.bool:
            return self.out(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        return self.out((q @ k.transpose(1, 2) / 8**0.5 + mask).softmax(-1) @ v)


def lower(size: int) -> torch.Tensor:
    return torch.arange(size)[:, None] >= torch.arange(size)[None, :]


def window(size: int) -> torch.Tensor:
    place = torch.arange(size)
    return lower(size) & (place[:, None] - place[None, :] < 3)


@pytest.mark.parametrize(
    ("mask", "doubted"),
    [
        (lower, False),
        (lambda size: torch.ones(size, size, dtype=torch.bool).tril(), False),
        (lambda size: torch.full((size, size), float("-inf")).triu(1), False),
        (window, True),
        (lambda size: torch.zeros(size, size), True),
    ],
    ids=["compared", "tril", "added", "window", "unknown"],
)
def test_a_mask_made_by_one_comparison_of_places_is_causal(mask, doubted):
    profile = gs.predict(Masked(mask), input_shape=(4, 12, 8))
    assert any("mask" in note.message for note in profile.notes) is doubted
