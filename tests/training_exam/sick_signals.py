"""Trainings that go wrong because of their data, their activations or their objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training_exam.case import Training, batches, digits, plain, sick
from training_exam.networks import Decoder, Recurrent, copying, mlp

ce = F.cross_entropy


@sick("not a number", why="one example of the data is infinite", source="a slip of the data")
def infinite_example() -> Training:
    x, y = digits()
    x = x.clone()
    x[700, 3] = torch.inf
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.Adam(model.parameters(), 1e-3), batches(x, y), ce)


class Ratio(nn.Module):
    """A logarithm of a difference that reaches zero while training."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp((64, 32, 2))
        with torch.no_grad():
            self.body[2].weight.mul_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return torch.log(h[:, 0].square() - h[:, 1].square() + 1.0)


@sick("not a number", why="the logarithm of what falls below zero", source="a slip of the loop")
def logarithm_below_zero() -> Training:
    model, (x, _) = Ratio(), digits()
    target = -4 * torch.ones(len(x))
    return plain(model, torch.optim.Adam(model.parameters(), 3e-3), batches(x, target), F.mse_loss)


@sick("not a number", why="the gradient of a root at exactly zero", source="a slip of the loop")
def root_of_zero() -> Training:
    x, y = digits()
    pairs = torch.stack([x, x.roll(1, 0)], 1)
    pairs[600] = pairs[600, :1]  # an example beside itself
    model = mlp((64, 32, 8))

    class Distance(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, two: Tensor) -> Tensor:
            return (self.model(two[:, 0]) - self.model(two[:, 1])).square().sum(-1).sqrt()

    whole = Distance()
    target = (y != y.roll(1, 0)).float()
    return plain(whole, torch.optim.Adam(whole.parameters(), 1e-3), batches(pairs, target), F.mse_loss)


@sick("gradient explodes", why="an orthogonal tanh network over 60 steps whose gradient is not clipped",
      source="Pascanu, Mikolov and Bengio 2013")  # fmt: skip
def recurrence_without_clipping() -> Training:
    x = torch.randn(512, 60, 1)
    y = x[:, :5].sum(1)
    model = Recurrent("rnn", gain=1.0)
    return plain(model, torch.optim.SGD(model.parameters(), 0.08), batches(x, y), F.mse_loss, steps=150)


@sick("units die", "rate too large", why="inputs from 0 to 255 at a rate of 0.05 kill relu units in the first steps",
      source="Lu et al. 2019, Dying ReLU")  # fmt: skip
def units_killed_by_large_inputs() -> Training:
    x, y = digits()
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 0.05), batches(x * 96 + 78, y), ce)


@sick("units die", why="a penalty on the mean of the activations drives every unit below zero",
      source="Lu et al. 2019, Dying ReLU")  # fmt: skip
def units_starved_by_a_penalty() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits())
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)

    def step(_number: int) -> float:
        x, y = next(data)
        optimizer.zero_grad()
        h = model[1](model[0](x))
        value = ce(model(x), y) + 30 * h.mean()
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@sick("units saturate", "rate too large", why="tanh units pushed to their bounds by Adam at 0.1",
      source="Glorot and Bengio 2010, section 3")  # fmt: skip
def tanh_pushed_to_its_bounds() -> Training:
    model = mlp((64, 64, 64, 64, 10), nn.Tanh)
    return plain(model, torch.optim.Adam(model.parameters(), 0.1), batches(*digits()), ce)


@sick("attention sharpens", "rate too large", why="scores that are not divided by the root of their length, and grow",
      source="Dehghani et al. 2023, section 3.1")  # fmt: skip
def scores_that_grow() -> Training:
    model = Decoder(12, width=64, blocks=2, scale=4.0)
    return plain(model, torch.optim.Adam(model.parameters(), 2e-2), copying(), ce, steps=150)


@sick("examples collapse", why="two views are pulled together and nothing holds them apart",
      source="Chen and He 2021, SimSiam without its stop-gradient")  # fmt: skip
def views_that_collapse() -> Training:
    model = mlp((64, 64, 64, 16), nn.Tanh)
    (x, _), generator = digits(), torch.Generator().manual_seed(0)
    data = batches(x, x, 64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(_number: int) -> float:
        (one, two) = (part + 0.5 * torch.randn(part.shape, generator=generator) for part in next(data))
        optimizer.zero_grad()
        value = F.mse_loss(model(one), model(two))
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step)


@sick("bad batch", why="ten batches in a row hold labels of another numbering and inputs eight times as large",
      source="Chowdhery et al. 2022, section 5.1: spikes")  # fmt: skip
def batches_of_another_scale() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits())
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    spoiled = ((8 * x, 9 - y) if number in (120, 121) else (x, y) for number, (x, y) in enumerate(data))
    return plain(model, optimizer, spoiled, ce)


@sick("bad batch", why="one corrupt shard: a target of 1e3 in a regression", source="a slip of the data")
def target_of_a_thousand() -> Training:
    x, _ = digits()
    y = x[:, 20:24].sum(1, keepdim=True).tanh()
    model, data = mlp((64, 64, 64, 1)), batches(x, y)
    spoiled = ((a, b + 1000.0 * (number == 130)) for number, (a, b) in enumerate(data))
    return plain(model, torch.optim.Adam(model.parameters(), 1e-3), spoiled, F.mse_loss)


@sick("values run away", "gradient explodes", why="targets are the network's own next values, times 1.1",
      source="van Hasselt et al. 2018, the deadly triad")  # fmt: skip
def targets_that_run_away() -> Training:
    x, _ = digits()
    model, data = mlp((64, 64, 64, 1)), batches(x, x.roll(1, 0))
    optimizer = torch.optim.SGD(model.parameters(), 5e-4)

    def step(_number: int) -> float:
        here, there = next(data)
        with torch.no_grad():
            target = 1.0 + 1.1 * model(there)
        optimizer.zero_grad()
        value = F.mse_loss(model(here), target)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, F.mse_loss, steps=300)


@sick("gradient vanishes", "units saturate", why="a generator against a discriminator trained much faster",
      source="Arjovsky and Bottou 2017, section 2")  # fmt: skip
def generator_that_gets_no_gradient() -> Training:
    made, judge = mlp((16, 64, 64)), mlp((64, 64, 1))
    one, two = torch.optim.Adam(made.parameters(), 3e-4), torch.optim.Adam(judge.parameters(), 1e-2)
    data = batches(*digits())
    real, fake = torch.ones(32, 1), torch.zeros(32, 1)
    bce = F.binary_cross_entropy_with_logits

    def step(_number: int) -> float:
        for _ in range(3):
            two.zero_grad()
            drawn = made(torch.randn(32, 16)).detach()
            (bce(judge(next(data)[0]), real) + bce(judge(drawn), fake)).backward()
            two.step()
        one.zero_grad()
        value = -bce(judge(made(torch.randn(32, 16))), fake)  # the saturating objective of the first paper
        value.backward()
        one.step()
        return float(value.detach())

    return Training(made, one, step, steps=200)


@sick("gradient vanishes", "weights shrink", why="ten tanh layers whose weights decay until no gradient comes through",
      source="Glorot and Bengio 2010; Saxe et al. 2014")  # fmt: skip
def gradient_that_fades_as_weights_decay() -> Training:
    model = mlp((64, *[48] * 10, 10), nn.Tanh)
    return plain(model, torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1), batches(*digits()), ce, steps=250)
