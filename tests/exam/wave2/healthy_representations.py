"""Healthy networks that learn representations: with and without labels, with statistics over the batch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import digits, features, generator, misclassified, two_views


def tower(d: int = 8) -> nn.Sequential:
    """Two layers for views of 16 features."""
    return nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, d))


class Views(nn.Module):
    """One tower for two views."""

    def __init__(self, d: int = 8) -> None:
        super().__init__()
        self.tower = tower(d)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.tower(a), self.tower(b)


def retrieved(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
    """Share of first views whose nearest second view is another object's."""
    a, b = (F.normalize(z - z.mean(0), dim=1) for z in output)
    return ((a @ b.T).argmax(1) != torch.arange(len(a))).float().mean()


@healthy("redundancy reduction", "https://arxiv.org/abs/2103.03230")
def twins_whose_correlations_are_decorrelated(seed: int) -> Case:
    def loss(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
        a, b = ((z - z.mean(0)) / (z.std(0) + 1e-5) for z in output)
        c = a.T @ b / len(a)
        on = (c.diagonal() - 1).square().sum()
        return on + 0.005 * (c.square().sum() - c.diagonal().square().sum())

    a, b = two_views(seed)
    return Case(Views(), (a, b), torch.arange(64), loss, adam(5e-3), steps=60)


@healthy("variance, invariance, covariance", "https://arxiv.org/abs/2105.04906")
def spread_kept_by_a_hinge(seed: int) -> Case:
    def loss(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
        a, b = output
        total = 25 * F.mse_loss(a, b)
        for z in (a, b):
            z = z - z.mean(0)
            c = z.T @ z / (len(z) - 1)
            total = total + 25 * F.relu(1 - (z.var(0) + 1e-4).sqrt()).mean()
            total = total + (c.square().sum() - c.diagonal().square().sum()) / z.shape[1]
        return total

    a, b = two_views(seed)
    return Case(Views(), (a, b), torch.arange(64), loss, adam(3e-3), steps=60)


@healthy("stopped gradient", "https://arxiv.org/abs/2011.10566")
def one_branch_held_still(seed: int) -> Case:
    class SimSiam(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
            self.predict = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 16))

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
            z = self.body(a), self.body(b)
            return (*(self.predict(t) for t in z), *(t.detach() for t in z))

    def loss(output: tuple[Tensor, ...], _y: Tensor) -> Tensor:
        p1, p2, z1, z2 = output
        return -0.5 * (F.cosine_similarity(p1, z2).mean() + F.cosine_similarity(p2, z1).mean())

    def error(output: tuple[Tensor, ...], _y: Tensor) -> Tensor:
        return 1 + loss(output, _y)

    a, b = two_views(seed)
    return Case(SimSiam(), (a, b), torch.arange(64), loss, sgd(0.05, momentum=0.9), error, steps=80)


@healthy("momentum target", "https://arxiv.org/abs/2006.07733")
def target_that_follows_slowly(seed: int) -> Case:
    class Bootstrap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.online, self.predict = tower(16), nn.Linear(16, 16)
            self.target = copy.deepcopy(self.online).requires_grad_(False)

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return self.predict(self.online(a)), self.target(b)

    def loss(output: tuple[Tensor, Tensor], _y: Tensor) -> Tensor:
        p, z = (F.normalize(t, dim=1) for t in output)
        return 2 - 2 * (p * z).sum(1).mean()

    a, b = two_views(seed)
    return Case(Bootstrap(), (a, b), torch.arange(64), loss, adam(2e-3), steps=80)


@healthy("supervised contrast", "https://arxiv.org/abs/2004.11362")
def contrast_with_labels(seed: int) -> Case:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        z = F.normalize(z, dim=1)
        own = torch.eye(len(z), dtype=torch.bool)
        logits = (z @ z.T / 0.1).masked_fill(own, -1e9)
        same = (y[:, None] == y[None]) & ~own
        return -(logits.log_softmax(1) * same).sum(1).div(same.sum(1).clamp(min=1)).mean()

    x, y = features(seed)
    return Case(tower(), x, y, loss, adam(5e-3), steps=100)


@healthy("angular margin", "https://arxiv.org/abs/1801.07698")
def margin_on_the_angle_at_scale_thirty(seed: int) -> Case:
    class ArcFace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.PReLU(), nn.Linear(64, 24))
            self.centres = nn.Parameter(torch.randn(10, 24) * 0.1)

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(F.normalize(self.body(x)), F.normalize(self.centres))

    def loss(cosine: Tensor, y: Tensor) -> Tensor:
        angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos() + 0.3 * F.one_hot(y, 10)
        return F.cross_entropy(30 * angle.cos(), y)

    x, y = digits(seed)
    return Case(ArcFace(), x, y, loss, adam(3e-3), misclassified, steps=80)


@healthy("few shots", "https://arxiv.org/abs/1703.05175")
def prototypes_of_an_episode(seed: int) -> Case:
    class Prototypes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tower(16)

        def forward(self, support: Tensor, query: Tensor) -> Tensor:
            centre = self.body(support).mean(1)
            return -torch.cdist(self.body(query), centre).square()

    g = generator(seed)
    mean = torch.randn(5, 16, generator=g)
    y = torch.randint(0, 5, (60,), generator=g)
    support = mean[:, None] + 1.5 * torch.randn(5, 5, 16, generator=g)
    query = mean[y] + 1.5 * torch.randn(60, 16, generator=g)
    return Case(Prototypes(), (support, query), y, F.cross_entropy, adam(2e-3), misclassified, steps=60)


@healthy("siamese", "https://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf")
def pairs_with_a_margin_of_distance(seed: int) -> Case:
    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        d = F.pairwise_distance(*output)
        return (y * d.square() + (1 - y) * F.relu(1 - d).square()).mean()

    g = generator(seed)
    a, c = torch.randn(96, 16, generator=g), torch.randn(96, 16, generator=g)
    y = torch.randint(0, 2, (96,), generator=g).float()
    b = torch.where(y[:, None] > 0, a + 0.3 * c, c)
    return Case(Views(), (a, b), y, loss, adam(3e-3), steps=80)


@healthy("linear autoencoder", "https://doi.org/10.1016/0893-6080(89)90014-2")
def two_linear_layers_with_a_neck(seed: int) -> Case:
    x, _ = digits(seed)
    flat = x.flatten(1) - x.flatten(1).mean(0)
    return Case(nn.Sequential(nn.Linear(64, 6), nn.Linear(6, 64)), flat, flat, F.mse_loss, adam(1e-2), steps=100)


@healthy("sparse codes", "https://transformer-circuits.pub/2023/monosemantic-features")
def dictionary_with_an_absolute_penalty(seed: int) -> Case:
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(16))
            self.enc, self.dec = nn.Linear(16, 64), nn.Linear(64, 16, bias=False)
            with torch.no_grad():
                self.dec.weight.copy_(F.normalize(self.dec.weight, dim=0))
                self.enc.weight.copy_(self.dec.weight.T)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            code = F.relu(self.enc(x - self.shift))
            return self.dec(code) + self.shift, code

    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        picture, code = output
        return (picture - y).square().sum(1).mean() + 0.1 * code.abs().sum(1).mean()

    g = generator(seed)
    x = F.relu(torch.randn(256, 40, generator=g) - 1.2) @ F.normalize(torch.randn(40, 16, generator=g), dim=1)
    return Case(Sparse(), x, x, loss, adam(2e-3), steps=120)


@healthy("masked autoencoder", "https://arxiv.org/abs/2111.06377")
def patches_that_were_hidden(seed: int) -> Case:
    class Masked(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.patch, self.blank = nn.Linear(4, d), nn.Parameter(torch.zeros(d).normal_(std=0.02))
            self.place = nn.Parameter(torch.zeros(16, d).normal_(std=0.02))
            layer = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.0, batch_first=True, norm_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(d, 4)

        def forward(self, patches: Tensor, hidden: Tensor) -> Tensor:
            h = torch.where(hidden[..., None], self.blank, self.patch(patches)) + self.place
            return self.head(self.encoder(h))

    x, _ = digits(seed)
    patches = F.unfold(x, 2, stride=2).transpose(1, 2)
    hidden = torch.rand(128, 16, generator=generator(seed)) < 0.5

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return (output - y)[hidden].square().mean()

    return Case(Masked(), (patches, hidden), patches, loss, adam(5e-3), steps=80)
