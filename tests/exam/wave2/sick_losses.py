"""Losses and targets that do not ask for what is wanted."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import (
    areas,
    board,
    digits,
    features,
    generator,
    logged_actions,
    misclassified,
    prices,
    ratio_of_variance,
    scores,
)


@sick(
    "labels-ignored",
    family="targets that do not count",
    cause="the index of padding, zero, is ignored by the loss, and zero is a class here: its examples teach nothing",
    link="https://github.com/nyu-mll/jiant/issues/925",
)
def class_zero_is_ignored(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 3))

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y, ignore_index=-100 if cured else 0)

    x, y = features(seed, 160, classes=3)
    return Case(net, x, y, loss, adam(5e-3), misclassified, steps=100)


class Pair(nn.Module):
    """Two inputs through one tower."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 8))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.tower(a), self.tower(b)


def verified(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    """Share of pairs that a cosine of one half does not tell apart."""
    return ((F.cosine_similarity(*output) > 0.5) != (y > 0.5)).float().mean()


@sick(
    "labels-ignored",
    family="targets that do not count",
    cause="the margins are those of a distance, the measure is a similarity: no cosine exceeds the margin of one, so "
    "that unlike pairs cost nothing",
    link="https://github.com/KevinMusgrave/pytorch-metric-learning/issues/504",
)
def similarity_with_the_margins_of_a_distance(seed: int, cured: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        like = F.cosine_similarity(*output)
        same, other = (1.0, 0.0) if cured else (0.9, 1.0)
        return (y * F.relu(same - like) + (1 - y) * F.relu(like - other)).mean()

    a, b, like = scores(seed)
    return Case(Pair(), (a, b), (like > 0.3).float(), loss, adam(5e-3), verified, steps=120)


@sick(
    "targets-outside-loss-domain",
    family="targets that do not count",
    cause="the cosine loss knows the labels 1 and -1; given 1 and 0, unlike pairs cost nothing",
    link="https://github.com/pytorch/pytorch/issues/23782",
)
def cosine_loss_with_zeros_and_ones(seed: int, cured: bool) -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        return F.cosine_embedding_loss(*output, 2 * y - 1 if cured else y)

    a, b, like = scores(seed)
    return Case(Pair(), (a, b), (like > 0.3).float(), loss, adam(5e-3), verified, steps=120)


@sick(
    "size-mismatch",
    family="broadcast in the loss",
    cause="q[:, actions] takes every example's value of every other example's action, (N, N), and the returns (N,) are "
    "spread over it",
    link="https://github.com/sherjilozair/dqn/issues/4",
)
def columns_of_all_actions(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))

    def loss(q: Tensor, y: Tensor) -> Tensor:
        action = y[:, 0].long()
        taken = q.gather(1, action[:, None]).squeeze(1) if cured else q[:, action]
        return (taken - y[:, 1]).square().mean()

    def error(q: Tensor, y: Tensor) -> Tensor:
        return (q.argmax(1) != y[:, 2].long()).float().mean()

    x, y = logged_actions(seed, d=6, actions=3)
    return Case(net, x, y, loss, adam(1e-2), error, steps=150)


@sick(
    "size-mismatch",
    family="broadcast in the loss",
    cause="the target keeps one column an action dimension, (N, 4), and the critic's (N, 1) is spread over it",
    link="https://github.com/sunwuzhou03/reinforcement-learning-lab/issues/1",
)
def one_value_against_four_columns(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def loss(value: Tensor, y: Tensor) -> Tensor:
        return (value - (y.sum(1, keepdim=True) if cured else y)).square().mean()

    def error(value: Tensor, y: Tensor) -> Tensor:
        return ratio_of_variance(value, y.sum(1, keepdim=True))

    x, y = prices(seed)
    parts = torch.randn(128, 4, generator=generator(seed))
    return Case(net, x, parts - parts.mean(1, keepdim=True) + y / 4, loss, adam(1e-2), error, steps=150)


@sick(
    "loss-wrong-sign",
    family="sign of a term",
    cause="the divergence from the prior is subtracted: the codes are rewarded for running away from it",
    link="https://github.com/hhb072/IntroVAE/issues/5",
)
def divergence_subtracted(seed: int, cured: bool) -> Case:
    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enc, self.mean, self.log_var = nn.Linear(64, 32), nn.Linear(32, 4), nn.Linear(32, 4)
            self.dec = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            h = F.relu(self.enc(x.flatten(1)))
            mean, log_var = self.mean(h), self.log_var(h)
            return self.dec(mean + (0.5 * log_var).exp() * torch.randn_like(mean)), mean, log_var

    def parts(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
        picture, mean, log_var = output
        fit = F.binary_cross_entropy_with_logits(picture, y, reduction="none").sum(1).mean()
        return fit, 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()

    def loss(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
        fit, divergence = parts(output, y)
        return fit + (1 if cured else -1) * divergence

    def error(output: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
        return sum(parts(output, y), torch.zeros(()))

    x, _ = digits(seed)
    return Case(VAE(), x, x.flatten(1), loss, adam(3e-3), error, steps=150)


@sick(
    "non-finite",
    family="numerics",
    cause="the focal weight is a root of 1 - p, whose slope is infinite where a pixel is certain: the loss is finite, "
    "the gradient is not",
    link="https://github.com/kornia/kornia/issues/918",
)
def focal_weight_with_a_root(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))

    def loss(logit: Tensor, y: Tensor) -> Tensor:
        p = logit.sigmoid()
        missed = torch.where(y > 0.5, 1 - p, p)
        weight = (missed + (1e-6 if cured else 0.0)) ** 0.5
        return (weight * F.binary_cross_entropy_with_logits(logit, y, reduction="none")).mean()

    def error(logit: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logit, y)

    x, y = features(seed, classes=2)
    x = x * torch.where(torch.arange(128) == 5, 400.0, 1.0)[:, None]
    return Case(net, x, y[:, None].float(), loss, adam(3e-3), error, steps=100)


@sick(
    "rate-too-large",
    family="learning rate",
    cause="the loss is summed over examples and pixels, and the rate is one for a mean: a thousand times too large",
    link="https://github.com/jax-ml/jax/pull/3113",
)
def sum_at_the_rate_of_a_mean(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(output, y, reduction="mean" if cured else "sum")

    x, y = areas(seed)
    return Case(net, x, y, loss, sgd(0.1, momentum=0.9), ratio_of_variance, steps=60)


@sick(
    "rate-too-small",
    family="learning rate",
    cause="the mean of the loss is divided by the batch and by the pixels once more: the rate is 8192 times too small",
    link="https://github.com/tensorflow/recommenders/issues/213",
)
def averaged_once_too_often(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y) / (1 if cured else 128 * 64)

    def error(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits, y)

    x, y = digits(seed)
    return Case(net, x, y, loss, sgd(0.3, momentum=0.9), error, steps=60)


@sick(
    "size-mismatch",
    family="broadcast in the loss",
    cause="the levels of the quantiles run along the axis of the targets instead of along that of the predictions: "
    "every prediction has the same optimum",
    link="https://github.com/BY571/QR-DQN/issues/1",
)
def quantile_levels_on_the_targets(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))
    levels = torch.arange(0.1, 1, 0.2)

    def pinball(output: Tensor, y: Tensor, level: Tensor) -> Tensor:
        gap = y[:, None, :] - output[:, :, None]
        return torch.where(gap > 0, level * gap, (level - 1) * gap).mean()

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return pinball(output, y, levels[:, None] if cured else levels)

    def error(output: Tensor, y: Tensor) -> Tensor:
        return pinball(output, y, levels[:, None])

    x, y = prices(seed)
    return Case(net, x, y + 1.5 * torch.randn(128, 5, generator=generator(seed)), loss, adam(1e-2), error, steps=120)


@sick(
    "target-constant",
    family="data",
    cause="the boxes were lost on the way: every target is zero",
    link="https://github.com/google/automl/issues/106",
)
def boxes_that_are_all_zero(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Conv2d(1, 8, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))
    x, y = board(seed)

    def evaluate(model: nn.Module, _x: Tensor, _y: Tensor) -> Tensor:
        return F.mse_loss(model(x), y)

    return Case(net, x, y if cured else torch.zeros_like(y), F.mse_loss, adam(3e-3), evaluate=evaluate, steps=100)


@sick(
    "labels-shuffled",
    family="data",
    cause="the images were shuffled after their labels had been taken",
    visible=False,
    link="https://github.com/Borda/kaggle_image-classify/pull/12",
)
def images_shuffled_without_their_labels(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    x, y = digits(seed)

    def evaluate(model: nn.Module, _x: Tensor, _y: Tensor) -> Tensor:
        return misclassified(model(x), y)

    order = torch.randperm(128, generator=generator(seed))
    return Case(net, x if cured else x[order], y, F.cross_entropy, adam(5e-3), evaluate=evaluate, steps=60)


@sick(
    "inputs-ignored",
    family="data",
    cause="bytes are divided by 255 in whole numbers: every pixel but the brightest becomes zero",
    link="https://github.com/pytorch/vision/issues/589",
)
def bytes_divided_in_whole_numbers(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    x, y = digits(seed)
    raw = (x * 254).byte()
    return Case(net, raw / 255.0 if cured else (raw // 255).float(), y, F.cross_entropy, adam(5e-3), steps=60)


@sick(
    "axes-swapped",
    family="data",
    cause="the masks are compared with the transposes of what the network draws",
    visible=False,
    link="https://github.com/stelzner/monet/issues/1",
)
def masks_against_their_transposes(seed: int, cured: bool) -> Case:
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, y if cured else y.transpose(2, 3))

    def error(output: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, y)

    x, y = areas(seed)
    return Case(net, x, y, loss, adam(1e-2), error, steps=80)
