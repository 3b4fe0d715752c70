"""Steps that are too long, and numbers that the arithmetic does not hold."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import digits, features, markov, misclassified, prices, ratio_of_variance, tags, two_views

FAMILY = "optimisation"


@sick(
    "rate-too-large",
    family=FAMILY,
    cause="the rate of gradient descent is far above what the curvature allows: the loss diverges within a few steps",
    link="https://github.com/rslim087a/PyTorch-for-Deep-Learning-and-Computer-Vision-Course-All-Codes-/issues/1",
)
def linear_regression_that_diverges(seed: int, cured: bool) -> Case:
    x, _ = prices(seed)
    y = x @ torch.arange(1.0, 9.0)[:, None] / 5
    y = (y - y.mean()) / y.std()
    return Case(nn.Linear(8, 1), x, y, nn.MSELoss(), sgd(0.1 if cured else 2.0), ratio_of_variance, steps=50)


@sick(
    "rate-too-large",
    family=FAMILY,
    cause="a rate of one with Adam moves every weight by one a step, some ten times its size",
    link="https://github.com/facebookresearch/detr/issues/285",
)
def adam_with_a_rate_of_one(seed: int, cured: bool) -> Case:
    x, y = digits(seed)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 64), nn.ReLU(), nn.Linear(64, 10))
    return Case(net, x, y, F.cross_entropy, adam(1e-3 if cured else 1.0), misclassified, steps=60)


@sick(
    "rate-too-small",
    family=FAMILY,
    cause="the rate of gradient descent is a millionth: nothing moves in any training of ordinary length",
    link="https://github.com/keras-team/keras/issues/2711",
)
def rate_of_a_millionth(seed: int, cured: bool) -> Case:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.elu(self.a(x)))

    x, y = features(seed)
    return Case(Classifier(), x, y, nn.CrossEntropyLoss(), sgd(0.3 if cured else 1e-6), misclassified, steps=150)


@sick(
    "non-finite",
    family="numerics",
    cause="the distance of two equal embeddings is a root at zero, whose gradient is infinite",
    link="https://github.com/tensorflow/tensorflow/issues/30199",
)
def root_at_zero_in_a_triplet_loss(seed: int, cured: bool) -> Case:
    class Embedding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(16, 24), nn.ReLU(), nn.Linear(24, 8))

        def forward(self, anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
            return self.net(anchor), self.net(positive)

    def triplet(views: tuple[Tensor, Tensor], margin: Tensor) -> Tensor:
        a, p = views
        distance = lambda u, v: ((u - v) ** 2).sum(1).add(1e-8 if cured else 0.0).sqrt()  # noqa: E731
        return F.relu(distance(a, p) - distance(a, p.roll(1, 0)) + margin).mean()

    a, b = two_views(seed)
    b[:4] = a[:4]
    return Case(Embedding(), (a, b), torch.full((len(a),), 0.5), triplet, adam(3e-3), steps=60)


@sick(
    "non-finite",
    family="numerics",
    cause="one sequence of the batch is all padding: a softmax over minus infinities is not a number",
    place=("attention",),
    link="https://github.com/pytorch/pytorch/issues/103749",
)
def sequence_of_padding_only(seed: int, cured: bool) -> Case:
    class SelfAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attention = nn.Embedding(20, 16), nn.Linear(16, 48)
            self.out = nn.Linear(16, 20)

        def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
            h = self.embed(tokens)
            padded = torch.arange(tokens.shape[1]) >= lengths[:, None]
            q, k, v = self.attention(h).chunk(3, -1)
            scores = (q @ k.mT / 4).masked_fill(padded[:, None], float("-inf"))
            h = h + scores.softmax(-1) @ v
            return self.out(h).transpose(1, 2)

    x, y = markov(seed)
    lengths = torch.full((len(x),), 12)
    lengths[3] = 12 if cured else 0
    return Case(SelfAttention(), (x, lengths), y, F.cross_entropy, adam(3e-3), misclassified, steps=60)


@sick(
    "half-precision",
    family="numerics",
    cause="the constant that guards a root is 1e-15, which is zero in half precision: a constant row divides by zero",
    place=("norm",),
    link="https://github.com/pyg-team/pytorch_geometric/pull/2106",
)
def guard_that_half_precision_loses(seed: int, cured: bool) -> Case:
    class Norm(nn.Module):
        def __init__(self, eps: float) -> None:
            super().__init__()
            self.eps = eps

        def forward(self, x: Tensor) -> Tensor:
            x = x - x.mean(-1, keepdim=True)
            return x / torch.sqrt(x.square().mean(-1, keepdim=True) + self.eps)

    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lin, self.norm, self.out = (
                nn.Linear(16, 24, bias=False),
                Norm(1e-3 if cured else 1e-15),
                nn.Linear(24, 5),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.norm(F.relu(self.lin(x))))

    x, y = tags(seed)
    x[:3] = 0
    loss = lambda o, t: F.binary_cross_entropy_with_logits(o.float(), t)  # noqa: E731
    return Case(Graph().half(), x.half(), y, loss, sgd(0.5), steps=60)
