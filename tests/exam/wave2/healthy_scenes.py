"""Healthy networks for images, scenes and equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import areas, board, digits, generator, misclassified, picture, ratio_of_variance, sizes_of


@healthy("points as heat", "https://arxiv.org/abs/1904.07850")
def centres_as_peaks_with_a_prior(seed: int) -> Case:
    class CenterNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()
            )
            self.heat, self.size = nn.Conv2d(16, 1, 1), nn.Conv2d(16, 2, 1)
            nn.init.constant_(self.heat.bias, -2.19)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = self.body(x)
            return {"heat": self.heat(h), "size": self.size(h)}

    def loss(output: dict[str, Tensor], box: Tensor) -> Tensor:
        middle = ((box[:, :2] + box[:, 2:]) * 8).long()
        index = torch.arange(len(box))
        heat = torch.zeros(len(box), 16, 16)
        heat[index, middle[:, 0], middle[:, 1]] = 1
        p = output["heat"].squeeze(1).sigmoid().clamp(1e-4, 1 - 1e-4)
        focal = -torch.where(heat == 1, (1 - p) ** 2 * p.log(), p**2 * (1 - p).log()).sum((1, 2)).mean()
        size = output["size"][index, :, middle[:, 0], middle[:, 1]]
        return focal + 0.1 * F.l1_loss(size, box[:, 2:] - box[:, :2], reduction="sum") / len(box)

    x, y = board(seed)
    return Case(CenterNet(), x, y, loss, adam(1e-2), steps=60)


@healthy("soft arg max", "https://arxiv.org/abs/1711.08229")
def coordinates_as_a_mean_of_a_heat_map(seed: int) -> Case:
    class Integral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 4, 5, padding=2))
            self.register_buffer("line", torch.linspace(0, 1, 16))

        def forward(self, x: Tensor) -> Tensor:
            heat = (self.body(x).flatten(2) * 4).softmax(-1).unflatten(2, (16, 16))
            rows, columns = heat.sum(3) @ self.line, heat.sum(2) @ self.line
            return torch.stack([rows[:, 0], columns[:, 1], rows[:, 2], columns[:, 3]], 1)

    x, y = board(seed)
    return Case(Integral(), x, y, F.l1_loss, adam(1e-2), steps=80)


@healthy("learned warps", "https://arxiv.org/abs/1506.02025")
def warp_that_starts_as_the_identity(seed: int) -> Case:
    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 6))
            nn.init.zeros_(self.look[3].weight)
            self.look[3].bias.data.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))
            self.classify = nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(432, 10))

        def forward(self, x: Tensor) -> Tensor:
            grid = F.affine_grid(self.look(x).view(-1, 2, 3), list(x.shape), align_corners=False)
            return self.classify(F.grid_sample(x, grid, align_corners=False))

    x, y = digits(seed)
    return Case(Transformer(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@healthy("hashed tables", "https://arxiv.org/abs/2201.05989")
def tables_of_a_ten_thousandth(seed: int) -> Case:
    class HashGrid(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sizes = (4, 8, 16)
            self.tables = nn.ParameterList(torch.empty((s + 1) ** 2, 2).uniform_(-1e-4, 1e-4) for s in self.sizes)
            self.net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 1))

        def forward(self, xy: Tensor) -> Tensor:
            parts = []
            for size, table in zip(self.sizes, self.tables, strict=True):
                at = (xy * 0.5 + 0.5) * (size - 1e-3)
                low = at.floor().long()
                f = at - low
                value = 0.0
                for i in (0, 1):
                    for j in (0, 1):
                        weight = (f[:, 0] if i else 1 - f[:, 0]) * (f[:, 1] if j else 1 - f[:, 1])
                        value = value + weight[:, None] * table[(low[:, 0] + i) * (size + 1) + low[:, 1] + j]
                parts.append(value)
            return self.net(torch.cat(parts, 1))

    x, y = picture()
    return Case(HashGrid(), x, y, F.mse_loss, adam(1e-2, eps=1e-15), ratio_of_variance, steps=150)


@healthy("energy of a solution", "https://arxiv.org/abs/1710.00211")
def energy_that_is_negative_at_its_minimum(seed: int) -> Case:
    class Ritz(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                x = x.detach().clone().requires_grad_()
                u = x * (1 - x) * self.net(x)
                slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
            return torch.cat([u, slope], 1)

    def loss(output: Tensor, force: Tensor) -> Tensor:
        u, slope = output[:, :1], output[:, 1:]
        return (0.5 * slope.square() - force * u).mean()

    def error(output: Tensor, force: Tensor) -> Tensor:
        return (output[:, :1] - force / math.pi**2).square().mean() / (force / math.pi**2).square().mean()

    x = torch.linspace(0, 1, 64)[:, None]
    return Case(Ritz(), x, math.pi**2 * (math.pi * x).sin(), loss, adam(5e-3), error, steps=120)


@healthy("standardised weights", "https://arxiv.org/abs/1903.10520")
def weights_standardised_before_group_norm(seed: int) -> Case:
    class Standard(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            w = self.weight
            mean, std = w.mean((1, 2, 3), keepdim=True), w.std((1, 2, 3), keepdim=True)
            return self._conv_forward(x, (w - mean) / (std + 1e-5), self.bias)

    blocks = [
        m for i in range(4) for m in (Standard(1 if i == 0 else 16, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU())
    ]
    net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    x, y = digits(seed)
    return Case(net, x, y, F.cross_entropy, sgd(0.1, momentum=0.9), misclassified, steps=60)


@healthy("features modulated by a question", "https://arxiv.org/abs/1709.07871")
def scales_and_shifts_from_a_condition(seed: int) -> Case:
    class Film(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.question, self.conv1 = nn.Embedding(2, 16), nn.Conv2d(1, 8, 3, padding=1)
            self.film, self.conv2, self.out = nn.Linear(16, 16), nn.Conv2d(8, 8, 3), nn.Linear(72, 2)

        def forward(self, image: Tensor, question: Tensor) -> Tensor:
            scale, shift = self.film(self.question(question))[..., None, None].chunk(2, 1)
            h = F.relu((1 + scale) * self.conv1(image) + shift)
            return self.out(F.max_pool2d(F.relu(self.conv2(h)), 2).flatten(1))

    x, y = digits(seed, 192)
    question = torch.randint(0, 2, (192,), generator=generator(seed))
    return Case(
        Film(),
        (x, question),
        torch.where(question == 0, y % 2, (y > 4).long()),
        F.cross_entropy,
        adam(5e-3),
        misclassified,
        steps=120,
    )


@healthy("neighbours in feature space", "https://arxiv.org/abs/1801.07829")
def edges_to_the_nearest_points(seed: int) -> Case:
    class EdgeConv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.edge = nn.Sequential(nn.Linear(6, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32))
            self.out = nn.Linear(32, 3)

        def forward(self, points: Tensor) -> Tensor:
            near = torch.cdist(points, points).topk(6, largest=False).indices[..., 1:]
            batch = torch.arange(len(points))[:, None, None]
            gap = points[batch, near] - points[:, :, None]
            pairs = torch.cat([points[:, :, None].expand_as(gap), gap], -1)
            return self.out(self.edge(pairs).amax(2).amax(1))

    x, y = sizes_of(seed)
    return Case(EdgeConv(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=60)


@healthy("pixels one after the other", "https://arxiv.org/abs/1601.06759")
def convolutions_that_see_the_past_only(seed: int) -> Case:
    class Masked(nn.Conv2d):
        def __init__(self, *args: int, first: bool, **kwargs: int) -> None:
            super().__init__(*args, **kwargs)
            mask = torch.ones_like(self.weight)
            mask[:, :, 1, 1 + (not first) :], mask[:, :, 2:] = 0, 0
            self.register_buffer("mask", mask)

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)

    net = nn.Sequential(
        Masked(1, 16, 3, first=True), nn.ReLU(), Masked(16, 16, 3, first=False), nn.ReLU(), nn.Conv2d(16, 1, 1)
    )
    x, _ = digits(seed)
    x = (x > 0.4).float()
    return Case(net, x, x, F.binary_cross_entropy_with_logits, adam(1e-2), steps=60)


@healthy("overlap with unequal costs", "https://arxiv.org/abs/1706.05721")
def overlap_that_weighs_misses(seed: int) -> Case:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 1, 3, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x).sigmoid()

    def tversky(p: Tensor, y: Tensor) -> Tensor:
        hit, extra, missed = (p * y).sum((1, 2, 3)), (p * (1 - y)).sum((1, 2, 3)), ((1 - p) * y).sum((1, 2, 3))
        return (1 - (hit + 1) / (hit + 0.3 * extra + 0.7 * missed + 1)).mean()

    x, y = areas(seed)
    return Case(Net(), x, y, tversky, adam(1e-2), steps=60)


@healthy("radial bases", "https://proceedings.neurips.cc/paper/1987")
def bumps_around_centres(seed: int) -> Case:
    class Radial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.centres = nn.Parameter(torch.rand(64, 2) * 2 - 1)
            self.log_width, self.out = nn.Parameter(torch.full((64,), math.log(0.25))), nn.Linear(64, 1)

        def forward(self, xy: Tensor) -> Tensor:
            return self.out(torch.exp(-torch.cdist(xy, self.centres).square() / (2 * (2 * self.log_width).exp())))

    x, y = picture(waves=2.0)
    return Case(Radial(), x, y, F.mse_loss, adam(2e-2), ratio_of_variance, steps=150)


@healthy("three weights only", "https://arxiv.org/abs/1605.04711")
def ternary_weights_with_straight_through(seed: int) -> Case:
    class Ternary(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            scale = self.weight.abs().mean()
            hard = (self.weight / scale).round().clamp(-1, 1) * scale
            return F.linear(x, self.weight + (hard - self.weight).detach(), self.bias)

    net = nn.Sequential(
        nn.Flatten(),
        Ternary(64, 64),
        nn.LayerNorm(64),
        nn.ReLU(),
        Ternary(64, 64),
        nn.LayerNorm(64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    x, y = digits(seed)
    return Case(net, x, y, F.cross_entropy, adam(2e-3), misclassified, steps=60)
