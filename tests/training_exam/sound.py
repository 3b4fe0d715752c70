"""Trainings as they should be, of different kinds."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training_exam.case import Training, batches, digits, healthy, plain
from training_exam.networks import Classifier, Decoder, Recurrent, conv_net, copying, mlp, residual_net

ce = F.cross_entropy


@healthy("a perceptron under momentum")
def perceptron_under_momentum() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.SGD(model.parameters(), 0.02, momentum=0.9), batches(*digits()), ce)


@healthy("a perceptron under Adam, in batches of four")
def perceptron_in_small_batches() -> Training:
    model = mlp((64, 64, 64, 10))
    return plain(model, torch.optim.Adam(model.parameters(), 5e-4), batches(*digits(), 4), ce, steps=300)


@healthy("batch-normalised convolutions and a cosine schedule")
def convolutions_under_a_cosine() -> Training:
    model = conv_net()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    return plain(model, optimizer, batches(*digits()), ce, schedule=lambda i: 0.5 + 0.5 * math.cos(math.pi * i / 200))


@healthy("residual branches that start at zero (Goyal et al. 2017)")
def branches_that_start_at_zero() -> Training:
    model = residual_net(zero=True)
    return plain(model, torch.optim.AdamW(model.parameters(), 1e-3), batches(*digits()), ce)


@healthy("a decoder with norms before its sums, warm-up and clipping (GPT-2)")
def decoder_with_warm_up() -> Training:
    model = Decoder(12)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    return plain(model, optimizer, copying(), ce, clip=1.0, schedule=lambda i: min(1.0, (i + 1) / 30), steps=160)


@healthy("an LSTM whose gradient is clipped now and then")
def lstm_clipped_now_and_then() -> Training:
    x = torch.randn(512, 20, 1)
    model = Recurrent("lstm")
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    return plain(model, optimizer, batches(x, x.mean(1) * 4), F.mse_loss, clip=1.0, steps=300)


@healthy("an autoencoder")
def autoencoder() -> Training:
    model, (x, _) = mlp((64, 32, 8, 32, 64), nn.GELU), digits()
    return plain(model, torch.optim.Adam(model.parameters(), 2e-3), batches(x, x), F.mse_loss)


@healthy("a variational autoencoder (Kingma and Welling 2014)")
def variational_autoencoder() -> Training:
    there, back, (x, _) = mlp((64, 64, 16)), mlp((8, 64, 64)), digits()

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.there, self.back = there, back

        def forward(self, x: Tensor) -> Tensor:
            mean, log = self.there(x).chunk(2, -1)
            z = mean + torch.randn_like(mean) * (0.5 * log).exp()
            divergence = 0.5 * (mean.square() + log.exp() - log - 1).sum(-1).mean()
            return (self.back(z) - x).square().sum(-1).mean() + divergence

    model = Whole()
    return plain(model, torch.optim.Adam(model.parameters(), 1e-3), batches(x, x), lambda out, _y: out, steps=250)


@healthy("a generator and a discriminator in balance (Goodfellow et al. 2014)")
def generator_in_balance() -> Training:
    made, judge = mlp((16, 64, 64)), mlp((64, 64, 1))
    one = torch.optim.Adam(made.parameters(), 1e-3, betas=(0.5, 0.99))
    two = torch.optim.Adam(judge.parameters(), 3e-4, betas=(0.5, 0.99))
    data, real, fake = batches(*digits()), torch.ones(32, 1), torch.zeros(32, 1)
    bce = F.binary_cross_entropy_with_logits

    def step(_number: int) -> float:
        two.zero_grad()
        drawn = made(torch.randn(32, 16)).detach()
        (bce(judge(next(data)[0]), real) + bce(judge(drawn), fake)).backward()
        two.step()
        one.zero_grad()
        value = bce(judge(made(torch.randn(32, 16))), real)
        value.backward()
        one.step()
        return float(value.detach())

    return Training(made, one, step, steps=200)


@healthy("word vectors of a large vocabulary, most rows untouched by a batch")
def rarely_used_words() -> Training:
    words = 2000
    generator = torch.Generator().manual_seed(0)
    tokens = (torch.rand(4000, 4, generator=generator).pow(3) * words).long()
    y = (tokens[:, :2] < 250).sum(1)
    model = nn.Sequential(nn.Embedding(words, 16), nn.Flatten(), mlp((64, 32, 3)))
    return plain(model, torch.optim.Adam(model.parameters(), 3e-3), batches(tokens, y), ce)


@healthy("fine-tuning of a head on a frozen body")
def frozen_body() -> Training:
    model = Classifier(mlp((64, 64, 64, 32)), 32)
    model.body.requires_grad_(False)
    return plain(model, torch.optim.Adam(model.head.parameters(), 3e-3), batches(*digits()), ce)


class Adapted(nn.Module):
    def __init__(self, layer: nn.Linear, rank: int = 4) -> None:
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.down, self.up = nn.Linear(layer.in_features, rank, False), nn.Linear(rank, layer.out_features, False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + 2 * self.up(self.down(x))


@healthy("low-rank adapters whose second factor starts at zero (Hu et al. 2022)")
def low_rank_adapters() -> Training:
    body = mlp((64, 64, 64, 10))
    model = nn.Sequential(*(Adapted(m) if isinstance(m, nn.Linear) else m for m in body))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    return plain(model, optimizer, batches(*digits()), ce)


@healthy("gradients of four batches added up before a step")
def accumulated_over_four() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits(), 16)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)

    def step(_number: int) -> float:
        optimizer.zero_grad()
        total = 0.0
        for _ in range(4):
            x, y = next(data)
            value = ce(model(x), y) / 4
            value.backward()
            total += float(value.detach())
        optimizer.step()
        return total

    return Training(model, optimizer, step, ce)


@healthy("bfloat16 under autocast")
def bfloat16_under_autocast() -> Training:
    model, data = residual_net(), batches(*digits())
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    def step(_number: int) -> float:
        x, y = next(data)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = ce(model(x), y)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@healthy("float16 with a loss scale that finds its level in the first steps")
def loss_scale_that_settles() -> Training:
    model, data = mlp((64, 64, 64, 10)), batches(*digits())
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**21, growth_interval=60)

    def step(_number: int) -> float:
        x, y = next(data)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            value = ce(model(x), y)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        return float(value.detach())

    return Training(model, optimizer, step, ce)


@healthy("half of the units dropped")
def dropout_of_a_half() -> Training:
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(128, 10),
    )  # fmt: skip
    return plain(model, torch.optim.Adam(model.parameters(), 1e-3), batches(*digits()), ce)


@healthy("a regression with outliers under Huber's loss")
def regression_with_outliers() -> Training:
    x, _ = digits()
    y = x[:, 20:24].sum(1, keepdim=True) + 20.0 * (torch.rand(len(x), 1) < 0.03)
    model = mlp((64, 64, 1))
    return plain(model, torch.optim.Adam(model.parameters(), 1e-3), batches(x, y), F.huber_loss)


@healthy("two views against all others of the batch (Chen et al. 2020)")
def contrastive_views() -> Training:
    model, (x, _), generator = mlp((64, 64, 32)), digits(), torch.Generator().manual_seed(0)
    data, optimizer = batches(x, x, 64), torch.optim.Adam(model.parameters(), 1e-3)

    def step(_number: int) -> float:
        one, two = (part + 0.3 * torch.randn(part.shape, generator=generator) for part in next(data))
        optimizer.zero_grad()
        a, b = F.normalize(model(one), dim=-1), F.normalize(model(two), dim=-1)
        value = ce(a @ b.T / 0.2, torch.arange(64))
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step)


@healthy("full-batch descent at the edge of stability (Cohen et al. 2021)")
def edge_of_stability() -> Training:
    x, y = digits()
    model = mlp((64, 64, 64, 10), nn.Tanh)
    return plain(model, torch.optim.SGD(model.parameters(), 0.4), batches(x[:512], y[:512], 512), ce, steps=250)


@healthy("warm restarts (Loshchilov and Hutter 2017)")
def warm_restarts() -> Training:
    model = mlp((64, 64, 64, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return plain(model, optimizer, batches(*digits()), ce, clip=5.0,
                 schedule=lambda i: 0.5 + 0.5 * math.cos(math.pi * (i % 60) / 60), steps=240)  # fmt: skip


@healthy("values learnt from a target network (Mnih et al. 2015)")
def values_of_a_target_network() -> Training:
    x, y = digits()
    model = mlp((64, 64, 64, 1))
    slow, data = copy.deepcopy(model), batches(torch.stack([x, x.roll(1, 0)], 1), (y > 4).float())
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(number: int) -> float:
        two, reward = next(data)
        if number % 20 == 0:
            slow.load_state_dict(model.state_dict())
        with torch.no_grad():
            target = reward[:, None] + 0.8 * slow(two[:, 1])
        optimizer.zero_grad()
        value = F.huber_loss(model(two[:, 0]), target)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, F.huber_loss, steps=300)


@healthy("a network of sines fitted to a function and its derivative (Sitzmann et al. 2020)")
def function_and_its_derivative() -> Training:
    class Sine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sin()

    model = nn.Sequential(nn.Linear(1, 64), Sine(), nn.Linear(64, 64), Sine(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    generator = torch.Generator().manual_seed(0)

    def step(_number: int) -> float:
        x = (torch.rand(64, 1, generator=generator) * 6 - 3).requires_grad_()
        optimizer.zero_grad()
        y = model(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        value = F.mse_loss(y, (2 * x).sin()) + 0.1 * F.mse_loss(slope, 2 * (2 * x).cos())
        value.backward()
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step)


@healthy("memorising: a training that ends at a loss of zero")
def memorised_to_the_end() -> Training:
    x, y = digits()
    model = mlp((64, 128, 128, 10))
    return plain(model, torch.optim.Adam(model.parameters(), 3e-3), batches(x[:128], y[:128]), ce, steps=300)
