"""Small learnable data sets; equal seeds give equal tensors, whatever the global random state is."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "accuracy_error",
    "areas",
    "board",
    "communities",
    "digits",
    "features",
    "generator",
    "logged_actions",
    "markov",
    "misclassified",
    "molecules",
    "picture",
    "prices",
    "ratio_of_variance",
    "recall",
    "scores",
    "series",
    "sizes_of",
    "tags",
    "tones",
    "two_views",
    "votes",
]


def generator(seed: int) -> torch.Generator:
    """A stream of random numbers of its own."""
    return torch.Generator().manual_seed(seed + 1000)


def features(seed: int, n: int = 128, d: int = 16, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Standardised features (n, d) and the class (n,) that a small random network gives them."""
    g = generator(seed)
    x = torch.randn(n, d, generator=g)
    hidden = torch.tanh(x @ torch.randn(d, 12, generator=g) / d**0.5 * 1.5)
    return x, (hidden @ torch.randn(12, classes, generator=g)).argmax(1)


def tags(seed: int, n: int = 128, d: int = 16, labels: int = 5) -> tuple[Tensor, Tensor]:
    """Features (n, d) and several independent labels an example (n, labels) of zeros and ones."""
    g = generator(seed)
    x = torch.randn(n, d, generator=g)
    return x, (x @ torch.randn(d, labels, generator=g) > 0.5).float()


def prices(seed: int, n: int = 128, d: int = 8) -> tuple[Tensor, Tensor]:
    """Standardised features (n, d) and a standardised smooth target (n, 1)."""
    g = generator(seed)
    x = torch.randn(n, d, generator=g)
    y = torch.sin(x @ torch.randn(d, 1, generator=g) * 0.6) + 0.5 * x[:, :1] * x[:, 1:2]
    return x, (y - y.mean()) / y.std()


def scores(seed: int, n: int = 96, d: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of vectors (n, d), (n, d) and how alike they are in a hidden space, from -1 to 1 (n,)."""
    g = generator(seed)
    basis = torch.randn(d, 4, generator=g)
    a, b = torch.randn(n, d, generator=g), torch.randn(n, d, generator=g)
    b = b + a * torch.empty(n, 1).uniform_(-2, 2, generator=g)
    return a, b, F.cosine_similarity(a @ basis, b @ basis)


@cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1), torch.tensor(data.target)


def digits(seed: int, n: int = 128) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 8) of handwritten digits between 0 and 1, and the digit (n,)."""
    x, y = _digits()
    index = torch.randperm(len(y), generator=generator(seed))[:n]
    return x[index] / 16, y[index]


def areas(seed: int, n: int = 32, size: int = 16) -> tuple[Tensor, Tensor]:
    """Images (n, 1, size, size) between 0 and 1, and the mask of their bright discs (n, 1, size, size)."""
    g = generator(seed)
    t = torch.arange(size).float()
    mask = torch.zeros(n, size, size)
    for _ in range(3):
        row, column = torch.rand(2, n, 1, 1, generator=g) * size
        mask = torch.maximum(mask, ((t[None, :, None] - row) ** 2 + (t[None, None] - column) ** 2 < 6).float())
    image = (0.35 + 0.3 * mask + 0.1 * torch.randn(n, size, size, generator=g)).clamp(0, 1)
    return image.unsqueeze(1), mask.unsqueeze(1)


def markov(seed: int, n: int = 64, length: int = 12, vocabulary: int = 20) -> tuple[Tensor, Tensor]:
    """Sequences of tokens (n, length) and the next token at each place (n, length), two successors a token."""
    g = generator(seed)
    after = torch.randint(0, vocabulary, (vocabulary, 2), generator=g)
    tokens = torch.randint(0, vocabulary, (n, 1), generator=g)
    for _ in range(length):
        choice = (torch.rand(n, generator=g) < 0.15).long()
        tokens = torch.cat([tokens, after[tokens[:, -1], choice][:, None]], 1)
    return tokens[:, :-1], tokens[:, 1:]


def votes(seed: int, n: int = 192, length: int = 16, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Noisy tokens (n, length, classes), each of which hints a little at the class (n,) of the whole."""
    g = generator(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    return torch.randn(n, length, classes, generator=g) + 0.8 * F.one_hot(y, classes)[:, None].float(), y


def recall(seed: int, n: int = 96, length: int = 20, d: int = 3) -> tuple[Tensor, Tensor]:
    """Noise (n, length, d) whose first place carries the class (n,), of three."""
    g = generator(seed)
    y = torch.randint(0, d, (n,), generator=g)
    x = 0.3 * torch.randn(n, length, d, generator=g)
    x[:, 0] += 2 * F.one_hot(y, d).float()
    return x, y


def series(seed: int, n: int = 64, length: int = 24) -> tuple[Tensor, Tensor]:
    """Noisy waves (n, length, 1) of unit scale and their next value (n, 1)."""
    g = generator(seed)
    rate = torch.empty(n, 1).uniform_(0.2, 0.9, generator=g)
    phase = torch.empty(n, 1).uniform_(0, 2 * math.pi, generator=g)
    wave = 1.4 * torch.sin(rate * torch.arange(length + 1) + phase)
    wave[:, :-1] += 0.05 * torch.randn(n, length, generator=g)
    return wave[:, :-1, None], wave[:, -1:]


def tones(seed: int, n: int = 64, length: int = 128, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Waveforms (n, 1, length) of unit scale and the class of their pitch (n,)."""
    g = generator(seed)
    y = torch.randint(0, classes, (n,), generator=g)
    phase = torch.empty(n, 1).uniform_(0, 2 * math.pi, generator=g)
    wave = torch.sin(0.2 * (y[:, None] + 1) * torch.arange(length) + phase)
    return (1.2 * wave + 0.4 * torch.randn(n, length, generator=g)).unsqueeze(1), y


def communities(seed: int, nodes: int = 60, d: int = 12, classes: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Features of nodes (nodes, d), adjacency (nodes, nodes) without loops, and the community of each node (nodes,)."""
    g = generator(seed)
    y = torch.arange(nodes) % classes
    same = y[:, None] == y[None]
    upper = torch.rand(nodes, nodes, generator=g) < torch.where(same, 0.25, 0.03)
    adjacency = upper.triu(1).float()
    x = torch.randn(nodes, d, generator=g)
    x[:, :classes] += F.one_hot(y, classes).float()
    return x, adjacency + adjacency.T, y


def molecules(seed: int, n: int = 48, atoms: int = 8, d: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Dense graphs: features (n, atoms, d), adjacency (n, atoms, atoms), and whether it has many edges (n,)."""
    g = generator(seed)
    x = F.one_hot(torch.randint(0, d, (n, atoms), generator=g), d).float()
    upper = (torch.rand(n, atoms, atoms, generator=g) < torch.rand(n, 1, 1, generator=g)).float().triu(1)
    adjacency = upper + upper.transpose(1, 2)
    edges = adjacency.sum((1, 2))
    return x, adjacency, (edges > edges.median()).long()


def picture(size: int = 16, waves: float = 3.0) -> tuple[Tensor, Tensor]:
    """Coordinates (size², 2) from -1 to 1 and a wavy picture at them (size², 1) of unit scale."""
    t = torch.linspace(-1, 1, size)
    xy = torch.stack(torch.meshgrid(t, t, indexing="ij"), -1).reshape(-1, 2)
    value = torch.sin(waves * math.pi * xy[:, :1]) * torch.cos(waves * math.pi * xy[:, 1:]) + 0.5 * xy[:, :1]
    return xy, value / value.std()


def two_views(seed: int, n: int = 64, d: int = 16) -> tuple[Tensor, Tensor]:
    """Two noisy views (n, d) of the same n objects."""
    g = generator(seed)
    base = torch.randn(n, d, generator=g)
    return tuple(base + 0.4 * torch.randn(n, d, generator=g) for _ in range(2))  # type: ignore[return-value]


def logged_actions(seed: int, n: int = 128, d: int = 6, actions: int = 3) -> tuple[Tensor, Tensor]:
    """States (n, d), and what a uniform policy did there: (action, return, best action) as columns (n, 3)."""
    g = generator(seed)
    state = torch.randn(n, d, generator=g)
    best = (state @ torch.randn(d, actions, generator=g)).argmax(1)
    action = torch.randint(0, actions, (n,), generator=g)
    return state, torch.stack([action.float(), (action == best).float(), best.float()], 1)


def board(seed: int, n: int = 64) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 16, 16) with one bright rectangle, and its corners (n, 4) as fractions of the image."""
    g = generator(seed)
    corner, extent = torch.randint(0, 8, (n, 2), generator=g), torch.randint(3, 8, (n, 2), generator=g)
    t = torch.arange(16)
    inside = [(t >= corner[:, i : i + 1]) & (t < corner[:, i : i + 1] + extent[:, i : i + 1]) for i in range(2)]
    image = (inside[0][:, :, None] & inside[1][:, None]).float() + 0.1 * torch.randn(n, 16, 16, generator=g)
    return image.unsqueeze(1), torch.cat([corner, corner + extent], 1).float() / 16


def sizes_of(seed: int, n: int = 64, points: int = 24) -> tuple[Tensor, Tensor]:
    """Clouds of points (n, points, 3) on a sphere, a cube or a line, and which of them (n,)."""
    g = generator(seed)
    y = torch.randint(0, 3, (n,), generator=g)
    p = torch.randn(n, points, 3, generator=g)
    sphere, cube = F.normalize(p, dim=-1), p / p.abs().amax(-1, keepdim=True)
    line = p[..., :1] * F.normalize(torch.randn(n, 1, 3, generator=g), dim=-1)
    return torch.stack([sphere, cube, line])[y, torch.arange(n)], y


def misclassified(output: Tensor, y: Tensor) -> Tensor:
    """Share of the examples whose largest output, along axis 1, is not the target."""
    return (output.argmax(1) != y).float().mean()


def accuracy_error(output: Tensor, y: Tensor) -> Tensor:
    """Share of the outputs on the wrong side of zero, for targets of zeros and ones."""
    return ((output > 0) != (y > 0.5)).float().mean()


def ratio_of_variance(output: Tensor, y: Tensor) -> Tensor:
    """Mean squared error over the variance of the target: one is as good as its mean."""
    return (output.reshape(y.shape) - y).square().mean() / y.var(unbiased=False)
