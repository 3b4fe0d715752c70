"""Inputs, targets and coordinates of the wrong scale, sums that drown a part, noise that drowns the signal."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sgd, sick
from exam.problems import (
    areas,
    digits,
    features,
    generator,
    misclassified,
    picture,
    ratio_of_variance,
    series,
)

FAMILY = "input and target"


@sick(
    "inputs-unscaled",
    family=FAMILY,
    cause="raw sensor readings in the thousands go into a recurrent network and saturate its gates",
    place=("lstm",),
    link="https://github.com/austineaero/Remaining-Useful-Life-RUL-Estimation/issues/19",
)
def raw_sensor_readings_into_lstm(seed: int, cured: bool) -> Case:
    class Remaining(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.fc = nn.LSTM(1, 24, batch_first=True), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.lstm(x)[0][:, -1])

    x, y = series(seed)
    return Case(Remaining(), x if cured else 2500 + 900 * x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=80)


@sick(
    "feature-scales-differ",
    family=FAMILY,
    cause="salary in thousands beside age in decades and shares below one: the largest column is all that the "
    "network sees",
    place=("0",),
    link="https://github.com/keras-team/keras/issues/2975",
)
def salary_beside_shares(seed: int, cured: bool) -> Case:
    x, y = features(seed, d=6)
    unit = torch.tensor([20000.0, 12.0, 0.2, 1.0, 0.05, 3.0])
    raw = x * unit + torch.tensor([55000.0, 40.0, 0.5, 0.0, 0.2, 5.0])
    net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 4))
    return Case(net, x if cured else raw, y, F.cross_entropy, adam(3e-3), misclassified, steps=150)


@sick(
    "inputs-unscaled",
    family=FAMILY,
    cause="pixels from 0 to 255 go into sigmoid units, which saturate at once",
    place=("fc1",),
    link="https://github.com/rasbt/python-machine-learning-book-2nd-edition/issues/68",
)
def pixels_into_sigmoid_units(seed: int, cured: bool) -> Case:
    class Perceptron(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc2(torch.sigmoid(self.fc1(x.flatten(1))))

    x, y = digits(seed)
    return Case(Perceptron(), x if cured else x * 255, y, F.cross_entropy, sgd(0.5), steps=150)


@sick(
    "target-scale",
    family=FAMILY,
    cause="irradiance in hundreds of watts is the target as it is, while the network's outputs start near zero",
    link="https://github.com/gitbooo/CrossViVit/issues/5",
)
def irradiance_in_watts(seed: int, cured: bool) -> Case:
    class Mixer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time, self.head = nn.Linear(24, 32), nn.Linear(32, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.gelu(self.time(x.squeeze(-1))))

    x, y = series(seed)
    return Case(Mixer(), x, y if cured else 420 + 260 * y, F.mse_loss, adam(3e-3), ratio_of_variance, steps=150)


@sick(
    "coordinates-out-of-range",
    family="coordinates",
    cause="a sine network gets pixel indices instead of coordinates from -1 to 1: thirty times too many periods",
    place=("0",),
    link="https://github.com/vsitzmann/siren/issues/19",
)
def sine_network_on_pixel_indices(seed: int, cured: bool) -> Case:
    class Sine(nn.Module):
        def __init__(self, i: int, o: int, first: bool = False) -> None:
            super().__init__()
            self.linear = nn.Linear(i, o)
            bound = 1 / i if first else math.sqrt(6 / i) / 30
            nn.init.uniform_(self.linear.weight, -bound, bound)

        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(30 * self.linear(x))

    size = 16
    xy, value = picture(size, waves=1.5)
    index = (xy + 1) / 2 * 511
    held = torch.arange(len(xy)) % 2 == 0
    net = nn.Sequential(Sine(2, 48, first=True), Sine(48, 48), nn.Linear(48, 1))
    inputs = 0.3 * xy if cured else index

    def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return ratio_of_variance(model(inputs[~held]), value[~held])

    return Case(net, inputs[held], value[held], F.mse_loss, adam(5e-4), evaluate=evaluate, steps=150)


@sick(
    "coordinates-too-coarse",
    family="coordinates",
    cause="plain coordinates into a ReLU network: it cannot follow detail much finer than its first layer bends",
    place=("0",),
    link="https://arxiv.org/abs/2006.10739",
)
def fine_detail_from_plain_coordinates(seed: int, cured: bool) -> Case:
    xy, value = picture(24, waves=6.0)
    if cured:
        frequency = math.pi * 2.0 ** torch.arange(4)
        phase = (xy[..., None] * frequency).flatten(1)
        xy = torch.cat([xy, phase.sin(), phase.cos()], 1)
    net = nn.Sequential(nn.Linear(xy.shape[1], 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    return Case(net, xy, value, F.mse_loss, adam(3e-3), ratio_of_variance, steps=120)


@sick(
    "coordinates-out-of-range",
    family="coordinates",
    cause="physical coordinates in hundreds go into a tanh network, whose units are saturated over the whole domain",
    place=("net.0",),
    link="https://github.com/pierremtb/PINNs-TF2.0/issues/1",
)
def physics_in_hundreds_of_metres(seed: int, cured: bool) -> Case:
    class Surrogate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 2))

        def forward(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
            u, v = self.net(torch.cat([x, t], 1)).chunk(2, 1)
            return {"u": u, "v": v}

    g = generator(seed)
    x, t = torch.rand(128, 1, generator=g) * 2 - 1, torch.rand(128, 1, generator=g) * 2 - 1
    y = torch.cat([torch.sin(3 * x) * torch.cos(2 * t), torch.cos(3 * x + t)], 1)
    scale = 1.0 if cured else 400.0
    loss = lambda o, y: F.mse_loss(o["u"], y[:, :1]) + F.mse_loss(o["v"], y[:, 1:])  # noqa: E731
    return Case(Surrogate(), (x * scale, t * scale), y, loss, adam(5e-3), steps=200)


@sick(
    "inputs-ignored",
    family=FAMILY,
    cause="images that are scaled to 0..1 are divided by 255 once more, so that only the biases speak",
    link="https://github.com/experiencor/keras-yolo2/issues/21",
)
def pixels_divided_twice(seed: int, cured: bool) -> Case:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1)
    )
    x, y = areas(seed)
    loss = F.binary_cross_entropy_with_logits
    return Case(net, x - 0.5 if cured else x / 255, y, loss, sgd(0.2, momentum=0.9), steps=60)
