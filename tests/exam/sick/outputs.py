"""Last activations that do not fit the loss or the range of the targets, and sizes that do not fit each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import (
    accuracy_error,
    areas,
    digits,
    features,
    markov,
    misclassified,
    sizes_of,
    tags,
)

FAMILY = "output against loss"


@sick(
    "softmax-before-logits-loss",
    family=FAMILY,
    cause="the model ends with a softmax and the loss applies a log-softmax to it once more",
    place=("softmax",),
    link="https://github.com/Lightning-Universe/lightning-bolts/issues/654",
)
def softmax_twice(seed: int, cured: bool) -> Case:
    class LogisticRegression(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(64, 10)
            self.softmax = nn.Identity() if cured else nn.Softmax(dim=-1)

        def forward(self, x: Tensor) -> Tensor:
            return self.softmax(self.linear(x.view(x.size(0), -1)))

    x, y = digits(seed)
    loss = lambda out, y: F.nll_loss(F.log_softmax(out, -1), y)  # noqa: E731
    error = lambda out, y: F.nll_loss(out.log_softmax(1) if cured else (out + 1e-9).log(), y)  # noqa: E731
    return Case(LogisticRegression(), x, y, loss, sgd(0.5), error, steps=100)


@sick(
    "sigmoid-before-logits-loss",
    family=FAMILY,
    cause="the existence head ends with a sigmoid and binary cross-entropy with logits applies another",
    place=("exist",),
    link="https://github.com/Turoad/lanedet/issues/32",
)
def sigmoid_twice(seed: int, cured: bool) -> Case:
    class ExistHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.Linear(16, 32)
            self.exist = nn.Linear(32, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.exist(F.relu(self.pool(x)))
            return x if cured else torch.sigmoid(x)

    x, y = tags(seed)
    error = lambda o, y: F.binary_cross_entropy(o.sigmoid() if cured else o, y)  # noqa: E731
    return Case(ExistHead(), x, y, nn.BCEWithLogitsLoss(), adam(5e-3), error, steps=40)


@sick(
    "activation-on-logits",
    family=FAMILY,
    cause="the logits pass a ReLU, which takes their negative half and its gradient",
    place=("l5",),
    link="https://github.com/hunkim/PyTorchZeroToAll/pull/4",
)
def relu_on_the_logits(seed: int, cured: bool) -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l1, self.l2, self.l3 = nn.Linear(64, 52), nn.Linear(52, 32), nn.Linear(32, 24)
            self.l4, self.l5 = nn.Linear(24, 12), nn.Linear(12, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = x.view(-1, 64)
            for layer in (self.l1, self.l2, self.l3, self.l4):
                x = F.relu(layer(x))
            x = self.l5(x)
            return x if cured else F.relu(x)

    x, y = digits(seed)
    return Case(Net(), x, y, F.cross_entropy, sgd(0.05, momentum=0.9), misclassified, steps=150)


@sick(
    "probabilities-for-log-probabilities",
    family=FAMILY,
    cause="the negative log-likelihood loss gets softmax probabilities where it expects their logarithms",
    place=("softmax",),
    link="https://github.com/AnubhavGupta3377/Text-Classification-Models-Pytorch/issues/9",
)
def probabilities_into_nll(seed: int, cured: bool) -> Case:
    class TextClassifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 16)
            self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
            self.fc = nn.Linear(16, 4)
            self.softmax = nn.LogSoftmax(1) if cured else nn.Softmax(1)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.softmax(self.fc(self.encoder(self.embed(tokens)).mean(1)))

    x, _ = markov(seed, n=96)
    y = torch.bucketize((x < 10).sum(1), torch.tensor([4, 6, 8]))
    error = lambda out, y: F.nll_loss(out if cured else (out + 1e-9).log(), y)  # noqa: E731
    return Case(TextClassifier(), x, y, nn.NLLLoss(), adam(3e-3), error, steps=80)


@sick(
    "multilabel-softmax",
    family=FAMILY,
    cause="examples have several labels, and a softmax over the labels shares one unit of probability among them",
    link="https://github.com/mp2893/doctorai/issues/10",
)
def several_diagnoses_through_a_softmax(seed: int, cured: bool) -> Case:
    class Doctor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru, self.out = nn.GRU(16, 24, batch_first=True), nn.Linear(24, 5)

        def forward(self, visits: Tensor) -> Tensor:
            return self.out(self.gru(visits)[0][:, -1])

    x, y = tags(seed)
    y = torch.maximum(y, tags(seed + 7)[1])
    visits = torch.stack([x.roll(1, 0) * 0.1, x * 0.3, x], 1)
    y = torch.where(y.sum(1, keepdim=True) == 0, torch.ones_like(y), y)
    loss = F.binary_cross_entropy_with_logits if cured else lambda o, t: -(t * o.log_softmax(-1)).sum(-1).mean()
    error = lambda o, t: ((o.sigmoid() if cured else o.softmax(-1)) - t).square().mean()  # noqa: E731
    return Case(Doctor(), visits, y, loss, adam(5e-3), error, steps=150)


@sick(
    "logits-for-probabilities",
    family=FAMILY,
    cause="a soft Dice loss takes raw logits for probabilities: its denominator crosses zero and it runs away",
    link="https://github.com/ScrollPrize/villa/pull/1644",
)
def dice_of_raw_logits(seed: int, cured: bool) -> Case:
    def dice(p: Tensor, t: Tensor) -> Tensor:
        p = p.sigmoid() if cured else p
        overlap = (p * t).sum((1, 2, 3))
        return 1 - ((2 * overlap + 1e-5) / (p.sum((1, 2, 3)) + t.sum((1, 2, 3)) + 1e-5)).mean()

    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.GroupNorm(3, 12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 1, 1),
    )
    x, y = areas(seed)

    def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        found = (model(x) > (0 if cured else 0.5)).float()
        return 1 - (found * y).sum() / torch.maximum(found, y).sum()

    return Case(net, x, y, dice, adam(5e-3), evaluate=evaluate, steps=60)


@sick(
    "logits-for-probabilities",
    family=FAMILY,
    cause="a focal loss that is written for probabilities gets logits: clipped into (0, 1), most of them have "
    "no gradient",
    link="https://github.com/mlyg/unified-focal-loss/issues/17",
)
def focal_loss_of_logits(seed: int, cured: bool) -> Case:
    def focal(p: Tensor, t: Tensor, gamma: float = 2.0) -> Tensor:
        p = (p.softmax(-1) if cured else p).clamp(1e-7, 1 - 1e-7)
        return -(t * (1 - p) ** gamma * p.log()).sum(-1).mean()

    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(), nn.Linear(32, 4))
    error = lambda o, t: misclassified(o, t.argmax(-1))  # noqa: E731
    return Case(net, x, F.one_hot(y, 4).float(), focal, adam(5e-3), error, steps=100)


@sick(
    "sigmoid-with-class-loss",
    family=FAMILY,
    cause="the classes exclude each other, yet every class score passes a sigmoid before the loss over classes",
    place=("out",),
    link="https://github.com/keras-team/keras/issues/2711",
)
def sigmoid_scores_for_exclusive_classes(seed: int, cured: bool) -> Case:
    class PointClassifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.point = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 32))
            self.out = nn.Linear(32, 3)

        def forward(self, cloud: Tensor) -> Tensor:
            scores = self.out(self.point(cloud).amax(1))
            return scores if cured else scores.sigmoid()

    x, y = sizes_of(seed)
    return Case(PointClassifier(), x, y, F.cross_entropy, adam(5e-3), lambda o, t: F.cross_entropy(o, t), steps=150)


@sick(
    "softmax-single-unit",
    family=FAMILY,
    cause="a softmax over one unit is one for every input",
    place=("gate",),
    link="https://github.com/keras-team/keras/issues/126",
)
def softmax_over_one_score(seed: int, cured: bool) -> Case:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 1))
            self.gate = nn.Sigmoid() if cured else nn.Softmax(dim=-1)

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(self.body(x))

    x, y = tags(seed, labels=1)
    error = lambda p, t: accuracy_error(p - 0.5, t)  # noqa: E731
    return Case(Detector(), x, y, F.mse_loss, adam(1e-2), error, steps=100)
