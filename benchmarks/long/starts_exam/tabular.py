"""Tables, recommendations and forecasts."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, held_out
from starts_exam.sources import generator, halves

__all__ = ["TABULAR"]


def customers(seed: int) -> Data:
    """Four categories and six numbers (of very different scale), and one of two classes."""
    g = generator(seed)
    sizes = torch.tensor([5, 12, 30, 3])
    kinds = (torch.rand(2200, 4, generator=g) * sizes).long()
    values = torch.randn(2200, 6, generator=g)
    effect = [torch.randn(int(size), generator=g) for size in sizes]
    score = sum(e[kinds[:, i]] for i, e in enumerate(effect)) + 2 * values[:, 0] * values[:, 1] + values[:, 2] ** 2
    y = (score + 0.5 * torch.randn(2200, generator=g) > score.median()).long()
    return halves((kinds, values * torch.tensor([1.0, 1.0, 1.0, 3.0, 0.3, 1.0])), y, 400, seed)


class EntityEmbeddings(nn.Module):
    """Tables of truncated normals 0.01, batch norm on the numbers, dropout between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embeds = nn.ModuleList(nn.Embedding(n, min(8, n // 2 + 1)) for n in (5, 12, 30, 3))
        for table in self.embeds:
            nn.init.trunc_normal_(table.weight, std=0.01, a=-0.02, b=0.02)
        width = sum(table.embedding_dim for table in self.embeds) + 6
        self.bn_cont = nn.BatchNorm1d(6)
        self.layers = nn.Sequential(
            nn.Linear(width, 64, bias=False), nn.ReLU(inplace=True), nn.BatchNorm1d(64), nn.Dropout(0.1),
            nn.Linear(64, 32, bias=False), nn.ReLU(inplace=True), nn.BatchNorm1d(32), nn.Dropout(0.1), nn.Linear(32, 2),
        )  # fmt: skip

    def forward(self, kinds, values):
        x = [table(kinds[:, i]) for i, table in enumerate(self.embeds)]
        return self.layers(torch.cat([*x, self.bn_cont(values)], 1))


class FeatureTransformer(nn.Module):
    """Every feature becomes a token, uniform ±1/√d, beside a class token (Gorishniy 2021)."""

    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, 5, 17, 47]))
        self.weight, self.bias = nn.Parameter(torch.empty(7, d)), nn.Parameter(torch.empty(10, d))
        self.categories = nn.Embedding(50, d)
        for p in (self.weight, self.bias, self.categories.weight):
            nn.init.uniform_(p, -(d**-0.5), d**-0.5)
        layer = nn.TransformerEncoderLayer(d, 4, 48, 0.0, "relu", batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 2)

    def forward(self, kinds, values):
        numbers = torch.cat([torch.ones(len(values), 1), values], 1)[..., None] * self.weight
        tokens = torch.cat([numbers, self.categories(kinds + self.offsets)], 1)
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + self.bias], 1)
        return self.head(F.relu(self.norm(self.transformer(tokens)[:, 0])))


def ratings(seed: int) -> Data:
    """60 users rate 80 items: biases and three hidden tastes."""
    g = generator(seed)
    user, item = torch.randint(0, 60, (4000,), generator=g), torch.randint(0, 80, (4000,), generator=g)
    tastes, traits = torch.randn(60, 3, generator=g), torch.randn(80, 3, generator=g)
    y = (tastes[user] * traits[item]).sum(1) / 1.5 + torch.randn(80, generator=g)[item] * 0.7
    y = y + 0.2 * torch.randn(4000, generator=g)
    return halves((user, item), (y - y.mean()) / y.std(), 500, seed)


class Factors(nn.Module):
    """Tables of normals 0.1 whose products are summed, with zero tables of biases."""

    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.user_factors, self.item_factors = nn.Embedding(60, d), nn.Embedding(80, d)
        self.user_bias, self.item_bias = nn.Embedding(60, 1), nn.Embedding(80, 1)
        for table in (self.user_factors, self.item_factors):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_bias, self.item_bias):
            nn.init.zeros_(table.weight)

    def forward(self, user, item):
        product = (self.user_factors(user) * self.item_factors(item)).sum(1)
        return product + self.user_bias(user)[:, 0] + self.item_bias(item)[:, 0]


class DeepFm(nn.Module):
    """First-order terms, pairwise products and a deep part that share one table (Guo 2017); Xavier for the table."""

    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, 60]))
        self.embedding, self.linear = nn.Embedding(140, d), nn.Embedding(140, 1)
        self.bias = nn.Parameter(torch.zeros(1))
        nn.init.xavier_uniform_(self.embedding.weight)
        self.mlp = nn.Sequential(nn.Linear(2 * d, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, user, item):
        ids = torch.stack([user, item], 1) + self.offsets
        e = self.embedding(ids)
        pairs = 0.5 * (e.sum(1) ** 2 - (e**2).sum(1)).sum(1)
        return self.bias + self.linear(ids).sum((1, 2)) + pairs + self.mlp(e.flatten(1))[:, 0]


class SelfNormalising(nn.Module):
    """Eight selu layers by LeCun's rule with alpha dropout (Klambauer 2017)."""

    def __init__(self, width: int = 48, depth: int = 8) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(depth):
            linear = nn.Linear(16 if i == 0 else width, width)
            layers += [linear, nn.SELU(), nn.AlphaDropout(0.02)]
        self.net = nn.Sequential(*layers, nn.Linear(width, 5))
        for m in self.net:
            if isinstance(m, nn.Linear):
                nn.init.kaiming_normal_(m.weight, mode="fan_in", nonlinearity="linear")
                nn.init.zeros_(m.bias)

    def forward(self, x):
        return self.net(x)


def teacher(seed: int) -> Data:
    """Sixteen numbers; the class is the largest of five outputs of a random network."""
    g = generator(seed)
    x, w, v = torch.randn(2000, 16, generator=g), torch.randn(16, 24, generator=g) / 4, torch.randn(24, 5, generator=g)
    return halves(x, (torch.tanh(2 * x @ w) @ v).argmax(1), 400, seed)


class NBeats(nn.Module):
    """Blocks that subtract what they explain and add to the forecast, on polynomial bases (Oreshkin 2020)."""

    def __init__(self, back: int = 24, ahead: int = 8, width: int = 48, degree: int = 6) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(back, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4 * degree)
            )
            for _ in range(3)
        )  # fmt: skip
        t, future = torch.linspace(-1, 0, back), torch.linspace(0, ahead / back, ahead)

        def basis(time):
            k = torch.arange(degree)[:, None]
            return torch.cat([torch.cos(math.pi * k * time), torch.sin(math.pi * (k + 1) * time)])

        self.register_buffer("past", basis(t))
        self.register_buffer("next", basis(future))

    def forward(self, x):
        forecast = 0
        for block in self.blocks:
            theta = block(x)
            back, ahead = theta.chunk(2, 1)
            x, forecast = x - back @ self.past, forecast + ahead @ self.next
        return forecast


def series(seed: int) -> Data:
    g = generator(seed)
    t = torch.arange(32.0)
    a, f, p = torch.rand(3, 1500, 1, generator=g)
    b, h, q = torch.rand(3, 1500, 1, generator=g)
    y = a * torch.sin((0.2 + 0.3 * f) * t + 6.28 * p) + b * torch.sin((0.6 + 0.5 * h) * t + 6.28 * q)
    y = (y + 0.02 * (f - 0.5) * t + 0.05 * torch.randn(1500, 32, generator=g)) / 0.55
    return halves(y[:, :24], y[:, 24:], 300, seed)


class Mixture(nn.Module):
    """Weights, means and log deviations of five Gaussians as a function of one number (Bishop 1994)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh())
        self.pi, self.mu, self.sigma = nn.Linear(48, 5), nn.Linear(48, 5), nn.Linear(48, 5)

    def forward(self, x):
        h = self.hidden(x)
        return torch.stack([self.pi(h).log_softmax(1), self.mu(h), self.sigma(h)], 1)


def mixture_nll(output, y):
    log_pi, mu, log_sigma = output.unbind(1)
    each = -0.5 * ((y - mu) / log_sigma.exp()) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_pi + each, 1).mean()


def inverse_sine(seed: int) -> Data:
    """Several values of y belong to one x: x = y + 0.5 sin(2πy)."""
    g = generator(seed)
    y = torch.rand(1600, 1, generator=g) * 3 - 1.5
    x = y + 0.5 * torch.sin(2 * math.pi * y) + 0.1 * torch.randn(1600, 1, generator=g)
    return halves(x, y, 300, seed)


SQUARES = held_out("mean squared error", F.mse_loss, 1.0)


def table(name: str, build, data, loss, rate: float, steps: int, metric, optimizer=adam, batch: int = 64) -> Case:
    return Case(
        name=name, field="tabular", build=build, data=data, loss=loss, optimizer=optimizer, rate=rate, steps=steps,
        batch=batch, metric=metric,
    )  # fmt: skip


def momentum(parameters, rate):
    return torch.optim.SGD(parameters, lr=rate, momentum=0.9)


MIXTURE_NATS = held_out("nats", mixture_nll, 1.1, "plain")

TABULAR = (
    table("entity-embeddings", EntityEmbeddings, customers, F.cross_entropy, 3e-3, 300, accuracy(2)),
    table("feature-transformer", FeatureTransformer, customers, F.cross_entropy, 1e-3, 250, accuracy(2), batch=32),
    table("matrix-factors", Factors, ratings, F.mse_loss, 2e-2, 400, SQUARES),
    table("deep-factors", DeepFm, ratings, F.mse_loss, 5e-3, 400, SQUARES),
    table("selu-table", SelfNormalising, teacher, F.cross_entropy, 0.01, 300, accuracy(5), momentum),
    table("forecast-blocks", NBeats, series, F.mse_loss, 1e-3, 400, SQUARES),
    table("mixture-density", Mixture, inverse_sine, mixture_nll, 5e-3, 400, MIXTURE_NATS),
)
