"""Real and realistic batches for healthy and sick networks."""

from __future__ import annotations

from functools import cache

import torch

from gainstage.data import load

__all__ = [
    "BATCH",
    "digits",
    "images",
    "labels",
    "pairs",
    "parity",
    "rows",
    "scores",
    "sequences",
    "wide_images",
    "words",
]

BATCH = 128


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    data = load("digits")
    return torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)


def digits() -> torch.Tensor:
    """Scikit-learn's digits, standardised: ``(batch, 64)``."""
    return _digits()[0][:BATCH].clone()


def labels() -> torch.Tensor:
    """Which digit it is."""
    return _digits()[1][:BATCH].clone()


def images() -> torch.Tensor:
    """The digits as images: ``(batch, 1, 8, 8)``."""
    return digits().reshape(-1, 1, 8, 8)


def wide_images() -> torch.Tensor:
    """The digits at twice the size, in three channels: ``(batch, 3, 16, 16)``."""
    return images().repeat_interleave(2, 2).repeat_interleave(2, 3).repeat(1, 3, 1, 1)


def rows() -> torch.Tensor:
    """The digits as sequences of eight rows: ``(batch, 8, 8)``."""
    return digits().reshape(-1, 8, 8)


def parity() -> torch.Tensor:
    """Whether the digit is odd, as 0.0 or 1.0: ``(batch, 1)``."""
    return (labels() % 2).float().unsqueeze(1)


def scores() -> torch.Tensor:
    """A standardised target for a regression: how much ink there is beside the mean digit, ``(batch, 1)``."""
    ink = digits()[:, ::3].sum(1, keepdim=True)
    return (ink - ink.mean()) / ink.std()


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Every digit beside the next one."""
    return digits(), digits().roll(1, 0)


def sequences(vocabulary: int = 32, length: int = 16, examples: int = 32):
    """Tokens at random: ``(examples, length)``."""
    return lambda: torch.randint(0, vocabulary, (examples, length))


def words(vocabulary: int = 32, length: int = 16):
    """Tokens at random for every digit of the batch, so that its labels can be used."""
    return sequences(vocabulary, length, BATCH)
