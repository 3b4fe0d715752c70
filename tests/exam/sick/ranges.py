"""Outputs whose range or size does not fit the targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import (
    digits,
    prices,
    ratio_of_variance,
    scores,
    series,
)

FAMILY = "output against loss"


@sick(
    "size-mismatch",
    family=FAMILY,
    cause="predictions of shape (N, 1) and targets of shape (N,) broadcast to (N, N), so that only the mean is learned",
    link="https://github.com/jsboige/CoursIA/pull/926",
)
def a_column_against_a_row(seed: int, cured: bool) -> Case:
    class Forecaster(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(1, 16, batch_first=True), nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        return ((prediction - (target.unsqueeze(1) if cured else target)) ** 2).mean()

    x, y = series(seed)
    return Case(Forecaster(), x, y.squeeze(1), loss, adam(1e-2), ratio_of_variance, steps=80)


@sick(
    "output-range-misses-targets",
    family=FAMILY,
    cause="the decoder ends with a sigmoid, and the images it should rebuild are standardised, half of them below zero",
    place=("decoder",),
    link="https://github.com/mikesj-public/convolutional_autoencoder/pull/9",
)
def sigmoid_decoder_of_standardised_images(seed: int, cured: bool) -> Case:
    class AutoEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten())
            end: list[nn.Module] = [] if cured else [nn.Sigmoid()]
            self.decoder = nn.Sequential(nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 64), *end)

        def forward(self, x: Tensor) -> Tensor:
            return self.decoder(self.encoder(x)).view_as(x)

    x, _ = digits(seed)
    x = (x - x.mean()) / x.std()
    return Case(AutoEncoder(), x, x, F.mse_loss, adam(5e-3), ratio_of_variance, steps=120)


@sick(
    "output-range-misses-targets",
    family=FAMILY,
    cause="a regression ends with a ReLU, and half of its standardised targets are negative",
    place=("regressor",),
    link="https://github.com/ProteomicsML/ProteomicsML/pull/203",
)
def relu_at_the_end_of_a_regression(seed: int, cured: bool) -> Case:
    class Peptide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 16, batch_first=True, bidirectional=True)
            self.regressor = nn.Sequential(nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

        def forward(self, x: Tensor) -> Tensor:
            y = self.regressor(self.lstm(x)[0].mean(1))
            return y if cured else torch.relu(y)

    x, y = series(seed)
    return Case(Peptide(), x, y, nn.MSELoss(), adam(1e-2), ratio_of_variance, steps=80)


@sick(
    "output-range-misses-targets",
    family=FAMILY,
    cause="the cosine of two embeddings, at most one, is compared with human scores from zero to five",
    link="https://github.com/huggingface/sentence-transformers/issues/665",
)
def cosine_against_scores_up_to_five(seed: int, cured: bool) -> Case:
    class Tower(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 8))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return F.cosine_similarity(self.encoder(a), self.encoder(b))

    a, b, alike = scores(seed)
    score = alike if cured else (alike + 1) * 2.5
    return Case(Tower(), (a, b), score, F.mse_loss, adam(3e-3), ratio_of_variance, steps=120)


@sick(
    "output-clipped",
    family=FAMILY,
    cause="the prediction is clamped to the range of the targets, and where it starts outside it gets no gradient",
    place=("value",),
    link="https://github.com/DLR-RM/stable-baselines3/issues/159",
)
def predictions_clamped_to_their_range(seed: int, cured: bool) -> Case:
    class Critic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.value = nn.Linear(8, 32), nn.Linear(32, 1)
            nn.init.constant_(self.value.bias, 5.0)

        def forward(self, state: Tensor) -> Tensor:
            v = self.value(torch.tanh(self.body(state)))
            return v if cured else v.clamp(-2.5, 2.5)

    x, y = prices(seed)
    return Case(Critic(), x, y.clamp(-2.5, 2.5), F.mse_loss, adam(1e-2), ratio_of_variance, steps=150)
