"""Healthy networks for tables, ranks, graphs and decisions, and unusual but sound ways to train."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import digits, features, generator, logged_actions, misclassified, prices, ratio_of_variance, tags


@healthy("deep and cross", "https://arxiv.org/abs/2008.13535")
def products_with_the_first_layer(seed: int) -> Case:
    class Cross(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tables = nn.ModuleList(nn.Embedding(10, 4) for _ in range(4))
            self.cross = nn.ModuleList(nn.Linear(24, 24) for _ in range(2))
            self.deep, self.out = nn.Sequential(nn.Linear(24, 32), nn.ReLU()), nn.Linear(56, 1)

        def forward(self, numbers: Tensor, kinds: Tensor) -> Tensor:
            first = torch.cat([numbers, *(t(kinds[:, i]) for i, t in enumerate(self.tables))], 1)
            x = first
            for layer in self.cross:
                x = first * layer(x) + x
            return self.out(torch.cat([x, self.deep(first)], 1))

    g = generator(seed)
    numbers, kinds = torch.randn(192, 8, generator=g), torch.randint(0, 10, (192, 4), generator=g)
    y = ((numbers[:, 0] * (kinds[:, 0] - 4.5)) > 0).float()[:, None]
    return Case(Cross(), (numbers, kinds), y, F.binary_cross_entropy_with_logits, adam(1e-2), steps=80)


@healthy("two towers", "https://doi.org/10.1145/3298689.3346996")
def others_of_the_batch_as_negatives(seed: int) -> Case:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
            self.item = nn.Sequential(nn.Embedding(40, 16), nn.Linear(16, 8))

        def forward(self, user: Tensor, item: Tensor) -> Tensor:
            return F.normalize(self.user(user)) @ F.normalize(self.item(item)).T / 0.1

    def loss(scores: Tensor, _y: Tensor) -> Tensor:
        return F.cross_entropy(scores, torch.arange(len(scores)))

    g = generator(seed)
    taste, item = torch.randn(40, 16, generator=g), torch.randperm(40, generator=g)
    user = taste[item] + 0.3 * torch.randn(40, 16, generator=g)
    return Case(Towers(), (user, item), item, loss, adam(1e-2), steps=80)


@healthy("lists in order", "https://doi.org/10.1145/1273496.1273513")
def lists_ranked_by_their_softmax(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 1), nn.Flatten(1))

    def loss(score: Tensor, grade: Tensor) -> Tensor:
        return (
            -(grade.softmax(1) * score.log_softmax(1)).sum(1).mean()
            + (grade.softmax(1) * grade.log_softmax(1)).sum(1).mean()
        )

    g = generator(seed)
    x = torch.randn(64, 6, 8, generator=g)
    return Case(net, x, 2 * x[..., 0] - x[..., 1], loss, adam(1e-2), steps=60)


@healthy("counts with more spread than Poisson", "https://arxiv.org/abs/1704.04110")
def negative_binomial_of_two_heads(seed: int) -> Case:
    class DeepAR(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.shape = nn.Linear(8, 24), nn.Linear(24, 1), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(self.body(x))
            return F.softplus(self.mean(h)), F.softplus(self.shape(h))

    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        mean, shape = output
        r = 1 / (shape + 1e-4)
        like = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
        return -(like + r * (r / (r + mean)).log() + y * (mean / (r + mean + 1e-8) + 1e-8).log()).mean()

    g = generator(seed)
    x = torch.randn(160, 8, generator=g)
    y = torch.poisson((1.5 * x[:, :1] + 1).exp() * torch.rand(160, 1, generator=g) * 2, generator=g)
    return Case(DeepAR(), x, y, loss, adam(1e-2), steps=120)


@healthy("distribution of returns", "https://arxiv.org/abs/1707.06887")
def returns_as_fifty_one_atoms(seed: int) -> Case:
    class Categorical(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3 * 21))

        def forward(self, state: Tensor) -> Tensor:
            return self.body(state).view(-1, 3, 21).log_softmax(2)

    support = torch.linspace(-1, 2, 21)

    def loss(logs: Tensor, y: Tensor) -> Tensor:
        goal = F.relu(1 - (y[:, 1:2] - support).abs() / 0.15)
        return -(goal * logs[torch.arange(len(y)), y[:, 0].long()]).sum(1).mean()

    def error(logs: Tensor, y: Tensor) -> Tensor:
        return ((logs.exp() @ support).argmax(1) != y[:, 2].long()).float().mean()

    x, y = logged_actions(seed, d=6, actions=3)
    return Case(Categorical(), x, y, loss, adam(1e-2), error, steps=120)


@healthy("two critics", "https://arxiv.org/abs/1801.01290")
def smaller_of_two_critics(seed: int) -> Case:
    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean, self.log_std = nn.Linear(6, 32), nn.Linear(32, 2), nn.Linear(32, 2)
            g = torch.Generator().manual_seed(7)
            self.register_buffer("best", torch.randn(6, 2, generator=g) * 0.5)

        def forward(self, state: Tensor) -> Tensor:
            h = F.relu(self.body(state))
            std = self.log_std(h).clamp(-5, 2).exp()
            raw = self.mean(h) + std * torch.randn_like(std)
            action = torch.tanh(raw)
            log_p = (-0.5 * ((raw - self.mean(h)) / std) ** 2 - std.log() - (1 - action**2 + 1e-6).log()).sum(1)
            gap = (action - torch.tanh(state @ self.best)).square().sum(1)
            return torch.stack([log_p, torch.minimum(-5 * gap, -4 * gap - 0.1)], 1)

    def loss(output: Tensor, _y: Tensor) -> Tensor:
        return (0.05 * output[:, 0] - output[:, 1]).mean()

    state = torch.randn(128, 6, generator=generator(seed))
    return Case(Actor(), state, torch.zeros(128), loss, adam(5e-3), steps=100)


@healthy("messages along edges", "https://arxiv.org/abs/1706.02216")
def neighbours_averaged_by_index(seed: int) -> Case:
    class Sage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.near, self.out = nn.Linear(8, 24), nn.Linear(8, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor, edges: Tensor) -> Tensor:
            total = torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])
            count = x.new_zeros(len(x), 1).index_add(0, edges[1], x.new_ones(edges.shape[1], 1))
            return self.out(F.normalize(F.relu(self.own(x) + self.near(total / count.clamp(min=1)))))

    g = generator(seed)
    y = torch.arange(90) % 3
    pairs = torch.randint(0, 90, (2, 1500), generator=g)
    edges = pairs[:, (y[pairs[0]] == y[pairs[1]]) | (torch.rand(1500, generator=g) < 0.15)]
    x = torch.randn(90, 8, generator=g)
    x[:, :3] += F.one_hot(y, 3)
    return Case(Sage(), (x, edges), y, F.cross_entropy, adam(2e-2), misclassified, steps=60)


@healthy("a set as context", "https://arxiv.org/abs/1807.01613")
def function_from_a_few_points(seed: int) -> Case:
    class Process(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enc = nn.Sequential(nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 48))
            self.dec = nn.Sequential(nn.Linear(49, 48), nn.ReLU(), nn.Linear(48, 2))

        def forward(self, context: Tensor, at: Tensor) -> Tensor:
            r = self.enc(context).mean(1, keepdim=True).expand(-1, at.shape[1], -1)
            return self.dec(torch.cat([r, at], -1))

    def loss(output: Tensor, y: Tensor) -> Tensor:
        mean, std = output[..., :1], 0.1 + 0.9 * F.softplus(output[..., 1:])
        return (0.5 * ((y - mean) / std) ** 2 + std.log()).mean()

    g = generator(seed)
    shift, size = 6.28 * torch.rand(64, 1, 1, generator=g), 0.5 + torch.rand(64, 1, 1, generator=g)
    x = 4 * torch.rand(64, 20, 1, generator=g) - 2
    y = size * (2 * x + shift).sin()
    return Case(Process(), (torch.cat([x, y], -1)[:, :10], x), y, loss, adam(3e-3), steps=150)


@healthy("weights from a network", "https://arxiv.org/abs/1609.09106")
def weights_written_by_another_network(seed: int) -> Case:
    class Hyper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.write, self.bias = nn.Linear(3, 8 * 16, bias=False), nn.Linear(3, 16)
            nn.init.normal_(self.write.weight, std=(8 * 3) ** -0.5)
            self.out = nn.Linear(16, 1)

        def forward(self, x: Tensor, task: Tensor) -> Tensor:
            w = self.write(task).view(-1, 16, 8)
            return self.out(torch.tanh((w @ x[..., None]).squeeze(-1) + self.bias(task)))

    g = generator(seed)
    x, task = torch.randn(192, 8, generator=g), F.one_hot(torch.randint(0, 3, (192,), generator=g), 3).float()
    y = (x[:, :3] * task).sum(1, keepdim=True).sin()
    return Case(Hyper(), (x, task), y / y.std(), F.mse_loss, adam(1e-2), ratio_of_variance, steps=150)


@healthy("uncertain weights", "https://arxiv.org/abs/1505.05424")
def weights_drawn_anew_at_every_pass(seed: int) -> Case:
    class Bayes(nn.Module):
        def __init__(self, i: int, o: int) -> None:
            super().__init__()
            self.mean, self.rho = nn.Parameter(torch.randn(o, i) * i**-0.5), nn.Parameter(torch.full((o, i), -4.0))
            self.bias = nn.Parameter(torch.zeros(o))

        def forward(self, x: Tensor) -> Tensor:
            std = F.softplus(self.rho)
            return F.linear(x, self.mean + std * torch.randn_like(std), self.bias)

    x, y = prices(seed)
    net = nn.Sequential(Bayes(8, 48), nn.ReLU(), Bayes(48, 1))
    return Case(net, x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=120)


@healthy("mixed examples", "https://arxiv.org/abs/1710.09412")
def labels_mixed_in_pairs(seed: int) -> Case:
    x, y = digits(seed)
    g = generator(seed)
    other, share = torch.randperm(128, generator=g), torch.rand(128, generator=g)
    hot = F.one_hot(y, 10).float()
    soft = share[:, None] * hot + (1 - share[:, None]) * hot[other]
    mixed = share[:, None, None, None] * x + (1 - share[:, None, None, None]) * x[other]
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def error(logits: Tensor, target: Tensor) -> Tensor:
        return (target * (target.clamp(min=1e-9).log() - logits.log_softmax(1))).sum(1).mean()

    return Case(net, mixed, soft, F.cross_entropy, adam(1e-2), error, steps=60)


@healthy("first step of a warm-up", "https://arxiv.org/abs/1706.02677")
def warm_up_at_a_hundredth(seed: int) -> Case:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def warmed(model: nn.Module) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 50))
        optimizer.register_step_post_hook(lambda *_: schedule.step())
        return optimizer

    x, y = digits(seed)
    return Case(net, x, y, F.cross_entropy, warmed, misclassified, steps=60)


@healthy("rare class", "https://arxiv.org/abs/1901.05555")
def classes_weighted_by_their_number(seed: int) -> Case:
    g = generator(seed)
    x = torch.randn(256, 16, generator=g)
    y = (x[:, 0] + 0.5 * x[:, 1] > 2).long()
    share = y.float().mean()
    weight = torch.stack([0.5 / (1 - share), 0.5 / share])
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, weight=weight)

    return Case(net, x, y, loss, adam(5e-3), steps=60)


@healthy("sparse counts", "https://www.cs.cornell.edu/people/pabo/movie-review-data/")
def thousand_words_of_which_few_occur(seed: int) -> Case:
    g = generator(seed)
    y = torch.randint(0, 2, (200,), generator=g)
    rate = torch.full((2, 1000), 0.01)
    rate[0, :60], rate[1, 60:120] = 0.08, 0.08
    x = torch.poisson(rate[y], generator=g)
    net = nn.Sequential(nn.Linear(1000, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 2))
    return Case(net, x, y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@healthy("random features", "https://people.eecs.berkeley.edu/~brecht/papers/07.rah.rec.nips.pdf")
def cosines_of_frozen_frequencies(seed: int) -> Case:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.out = nn.Linear(8, 256).requires_grad_(False), nn.Linear(256, 1)
            nn.init.normal_(self.first.weight, std=0.5)
            nn.init.uniform_(self.first.bias, 0, 2 * math.pi)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.first(x).cos() * (2 / 256) ** 0.5)

    x, y = prices(seed)
    return Case(Features(), x, y, F.mse_loss, adam(3e-2), ratio_of_variance, steps=100)


@healthy("asymmetric focus", "https://arxiv.org/abs/2009.14119")
def easy_negatives_that_are_dropped(seed: int) -> Case:
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 5))

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        p = logits.sigmoid()
        lower = (p - 0.05).clamp(min=0)
        return -(y * (p + 1e-8).log() + (1 - y) * lower**4 * (1 - lower + 1e-8).log()).sum(1).mean()

    x, y = tags(seed)
    return Case(net, x, y, loss, adam(1e-2), steps=80)


@healthy("sum over the batch", "https://arxiv.org/abs/1312.6114")
def summed_loss_with_an_adaptive_rate(seed: int) -> Case:
    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target, reduction="sum")

    return Case(net, x, y, loss, adam(5e-3), misclassified, steps=80)


@healthy("heads that are almost independent", "https://arxiv.org/abs/2002.06715")
def members_that_share_a_slow_weight(seed: int) -> Case:
    class Ensemble(nn.Module):
        def __init__(self, i: int, o: int) -> None:
            super().__init__()
            self.slow = nn.Linear(i, o)
            self.r = nn.Parameter(torch.randint(0, 2, (4, 1, i)) * 2.0 - 1)
            self.s = nn.Parameter(torch.randint(0, 2, (4, 1, o)) * 2.0 - 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.slow(x * self.r) * self.s

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Ensemble(8, 48), Ensemble(48, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(F.relu(self.first(x[None])))

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output - y[None]).square().mean()

    x, y = prices(seed)
    return Case(Net(), x, y, loss, adam(1e-2), steps=120)


@healthy("large steps", "https://arxiv.org/abs/2103.00065")
def descent_near_the_edge(seed: int) -> Case:
    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4))
    return Case(net, x, y, F.cross_entropy, sgd(1.0), misclassified, steps=80)
