"""Networks for tables, and small plain networks."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import digits, features, generator, misclassified, prices, ratio_of_variance, series


@healthy("logistic regression", "https://github.com/jthickstun/pytorch_musicnet/issues/4")
def logistic_regression_from_zero(seed: int) -> Case:
    net = nn.Linear(64, 10)
    nn.init.zeros_(net.weight)
    nn.init.zeros_(net.bias)
    x, y = digits(seed)
    return Case(net, x.flatten(1), y, F.cross_entropy, sgd(0.3), misclassified, steps=80)


@healthy("perceptron", "https://arxiv.org/abs/1502.01852")
def rectifiers_drawn_for_rectifiers(seed: int) -> Case:
    sizes = [64, 64, 64, 64, 64, 64]
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(sizes):
        layers += [nn.Linear(i, o), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
        nn.init.zeros_(layers[-2].bias)
    x, y = digits(seed)
    return Case(
        nn.Sequential(*layers, nn.Linear(64, 10)), x.flatten(1), y, F.cross_entropy, adam(1e-3), misclassified, steps=60
    )


@healthy("perceptron", "https://arxiv.org/abs/1706.02515")
def self_normalising_layers(seed: int) -> Case:
    class SNN(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16 if i == 0 else 40, 40) for i in range(6))
            self.drop, self.out = nn.AlphaDropout(0.05), nn.Linear(40, 4)
            for layer in [*self.layers, self.out]:
                nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                nn.init.zeros_(layer.bias)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = self.drop(F.selu(layer(x)))
            return self.out(x)

    x, y = features(seed)
    return Case(SNN(), x, y, F.cross_entropy, adam(2e-3), misclassified, steps=60)


@healthy("perceptron, small weights", "https://www.deeplearningbook.org/")
def small_weights_with_a_brisk_adam(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    for layer in net[::2]:
        nn.init.normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
    x, y = prices(seed)
    return Case(net, x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=80)


@healthy("table with categories", "https://arxiv.org/abs/2106.11959")
def transformer_over_columns(seed: int) -> Case:
    class FTTransformer(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(6, d)), nn.Parameter(torch.empty(6, d))
            for p in (self.weight, self.bias):
                nn.init.uniform_(p, -(d**-0.5), d**-0.5)
            self.region, self.cls = nn.Embedding(5, d), nn.Parameter(torch.randn(1, 1, d) * d**-0.5)
            nn.init.uniform_(self.region.weight, -(d**-0.5), d**-0.5)
            layer = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Sequential(nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, 1))

        def forward(self, numbers: Tensor, region: Tensor) -> Tensor:
            t = numbers.unsqueeze(-1) * self.weight + self.bias
            t = torch.cat([self.cls.expand(len(t), -1, -1), t, self.region(region).unsqueeze(1)], 1)
            return self.head(self.encoder(t)[:, 0])

    x, y = prices(seed)
    region = torch.randint(0, 5, (len(x),), generator=generator(seed))
    y = y + 0.8 * (region.float()[:, None] - 2)
    x = {"numbers": x[:, :6], "region": region}
    return Case(FTTransformer(), x, (y - y.mean()) / y.std(), F.mse_loss, adam(3e-3), ratio_of_variance, steps=80)


@healthy("recommender", "https://ieeexplore.ieee.org/document/5197422")
def factors_of_users_and_items(seed: int) -> Case:
    class Factors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = nn.Embedding(30, 8), nn.Embedding(40, 8)
            self.user_bias, self.item_bias = nn.Embedding(30, 1), nn.Embedding(40, 1)
            for table in (self.user, self.item):
                nn.init.normal_(table.weight, std=0.1)
            for table in (self.user_bias, self.item_bias):
                nn.init.zeros_(table.weight)
            self.mean = nn.Parameter(torch.tensor(3.5))

        def forward(self, u: Tensor, i: Tensor) -> Tensor:
            dot = (self.user(u) * self.item(i)).sum(1)
            return self.mean + dot + self.user_bias(u).squeeze(1) + self.item_bias(i).squeeze(1)

    g = generator(seed)
    u, i = torch.randint(0, 30, (256,), generator=g), torch.randint(0, 40, (256,), generator=g)
    taste, kind = torch.randn(30, 2, generator=g), torch.randn(40, 2, generator=g)
    stars = (3.5 + (taste[u] * kind[i]).sum(1)).clamp(1, 5)
    return Case(Factors(), (u, i), stars, F.mse_loss, adam(2e-2), ratio_of_variance, steps=80)


@healthy("quantiles", "https://www.jstor.org/stable/1913643")
def three_quantiles(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    q = torch.tensor([0.1, 0.5, 0.9])

    def pinball(out: Tensor, y: Tensor) -> Tensor:
        gap = y - out
        return torch.maximum(q * gap, (q - 1) * gap).mean()

    x, y = prices(seed)
    return Case(net, x, y, pinball, adam(1e-2), steps=80)


@healthy("counts", "https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html")
def counts_through_a_log_rate(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1))
    x, y = prices(seed)
    counts = torch.poisson(torch.exp(0.7 * y + 0.5), generator=generator(seed))
    start = F.poisson_nll_loss(counts.mean().log().expand_as(counts), counts)
    error = lambda o, t: F.poisson_nll_loss(o, t) - start + 1  # noqa: E731
    return Case(net, x, counts, nn.PoissonNLLLoss(), adam(1e-2), error, steps=80)


@healthy("ordered classes", "https://arxiv.org/abs/1901.07884")
def ordered_classes_with_shared_weights(seed: int) -> Case:
    class Coral(nn.Module):
        def __init__(self, k: int = 4) -> None:
            super().__init__()
            self.body, self.score = nn.Sequential(nn.Linear(8, 32), nn.ReLU()), nn.Linear(32, 1, bias=False)
            self.bias = nn.Parameter(torch.linspace(1, -1, k - 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.score(self.body(x)) + self.bias

    x, y = prices(seed)
    levels = (y > torch.tensor([-0.7, 0.0, 0.7])).float()
    return Case(Coral(), x, levels, F.binary_cross_entropy_with_logits, adam(5e-3), steps=80)


@healthy("survival", "https://arxiv.org/abs/1606.00931")
def partial_likelihood_of_survival(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 32), nn.SELU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def cox(risk: Tensor, y: Tensor) -> Tensor:
        order = y[:, 0].argsort(descending=True)
        r, event = risk.squeeze(1)[order], y[order, 1]
        return -((r - r.logcumsumexp(0)) * event).sum() / event.sum()

    def discordant(risk: Tensor, y: Tensor) -> Tensor:
        earlier = (y[:, 0][:, None] < y[:, 0][None]) & (y[:, 1][:, None] > 0)
        return (risk <= risk.T)[earlier].float().mean()

    x, y = prices(seed)
    g = generator(seed)
    time = torch.exp(-y.squeeze(1)) * torch.empty(len(x)).exponential_(generator=g)
    seen = (torch.rand(len(x), generator=g) < 0.8).float()
    return Case(net, x, torch.stack([time, seen], 1), cox, adam(5e-3), discordant, steps=80)


@healthy("binary weights", "https://arxiv.org/abs/1602.02830")
def signs_with_straight_through(seed: int) -> Case:
    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return torch.where(x >= 0, 1.0, -1.0)

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            (x,) = ctx.saved_tensors
            return grad * (x.abs() <= 1)

    class BinaryLinear(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, Sign.apply(self.weight), None)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.na = BinaryLinear(64, 64, bias=False), nn.BatchNorm1d(64)
            self.b, self.nb = BinaryLinear(64, 10, bias=False), nn.BatchNorm1d(10)

        def forward(self, x: Tensor) -> Tensor:
            h = Sign.apply(self.na(self.a(x.flatten(1))))
            return self.nb(self.b(h))

    x, y = digits(seed)
    return Case(Net(), 2 * x - 1, y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@healthy("spiking", "https://arxiv.org/abs/1901.09948")
def leaky_neurons_with_a_surrogate(seed: int) -> Case:
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):  # type: ignore[no-untyped-def]
            ctx.save_for_backward(v)
            return (v > 0).float()

        @staticmethod
        def backward(ctx, grad):  # type: ignore[no-untyped-def]
            (v,) = ctx.saved_tensors
            return grad / (1 + 5 * v.abs()) ** 2

    class LIF(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(64, 48), nn.Linear(48, 10)

        def forward(self, x: Tensor) -> Tensor:
            current = 3 * self.fc1(x.flatten(1))
            v, total = torch.zeros_like(current), 0
            for _ in range(8):
                v = 0.9 * v + current
                s = Spike.apply(v - 1)
                v = v - s
                total = total + self.fc2(s)
            return total / 8

    x, y = digits(seed)
    return Case(LIF(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=40)


@healthy("odd but right loss", "https://arxiv.org/abs/1701.03077")
def robust_loss_of_a_wide_range(seed: int) -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(8, 48), nn.Mish(), nn.Linear(48, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    def general(out: Tensor, y: Tensor, c: float = 1.0) -> Tensor:
        return torch.log1p(0.5 * ((out - y) / c) ** 2).mean()

    x, y = prices(seed)
    return Case(Net(), x, y, general, adam(5e-3), ratio_of_variance, steps=80)


@healthy("sum and scale in the loss", "https://pytorch.org/docs/stable/notes/amp_examples.html")
def scaled_sum_of_losses_with_a_penalty(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 4))

    def objective(out: Tensor, y: Tensor) -> Tensor:
        penalty = sum(p.square().sum() for p in net.parameters())
        return 1024 * (F.cross_entropy(out, y, reduction="sum") / len(y) + 1e-4 * penalty)

    x, y = features(seed)
    return Case(net, x, y, objective, adam(3e-3), misclassified, steps=80)


@healthy("continuous depth", "https://arxiv.org/abs/1806.07366")
def steps_of_an_ordinary_equation(seed: int) -> Case:
    class ODE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.f = nn.Sequential(nn.Linear(17, 32), nn.Tanh(), nn.Linear(32, 16))
            self.out = nn.Linear(16, 4)

        def forward(self, z: Tensor) -> Tensor:
            for k in range(10):
                t = z.new_full((len(z), 1), k / 10)
                z = z + 0.1 * self.f(torch.cat([z, t], 1))
            return self.out(z)

    x, y = features(seed)
    return Case(ODE(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=60)


@healthy("autoencoder of a table", "https://dl.acm.org/doi/10.1145/1390156.1390294")
def denoising_autoencoder_with_tied_weights(seed: int) -> Case:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(16, 24))
            nn.init.xavier_uniform_(self.w)
            self.b, self.c = nn.Parameter(torch.zeros(16)), nn.Parameter(torch.zeros(24))

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                x = x * (torch.rand_like(x) > 0.2)
            return torch.tanh(x @ self.w.T + self.b) @ self.w + self.c

    wave, _ = series(seed)
    x = wave.squeeze(-1)
    return Case(Tied(), x, x, F.mse_loss, adam(5e-3), ratio_of_variance, steps=80)
