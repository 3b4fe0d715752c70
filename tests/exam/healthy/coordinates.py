"""Networks of coordinates: pictures, fields, equations, operators."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import generator, picture, ratio_of_variance


@healthy("sine network", "https://arxiv.org/abs/2006.09661")
def sine_network_on_a_unit_square(seed: int) -> Case:
    class Siren(nn.Module):
        def __init__(self, hidden: int = 48, omega: float = 30.0) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)])
            self.out, self.omega = nn.Linear(hidden, 1), omega
            with torch.no_grad():
                self.layers[0].weight.uniform_(-1 / 2, 1 / 2)
                for layer in [*self.layers[1:], self.out]:
                    bound = math.sqrt(6 / hidden) / omega
                    layer.weight.uniform_(-bound, bound)

        def forward(self, xy: Tensor) -> Tensor:
            for layer in self.layers:
                xy = torch.sin(self.omega * layer(xy))
            return self.out(xy)

    xy, value = picture(24, waves=4.0)
    return Case(Siren(), xy, value, F.mse_loss, adam(1e-3), ratio_of_variance, steps=50)


@healthy("radiance field", "https://arxiv.org/abs/2003.08934")
def encoded_coordinates_with_a_skip(seed: int) -> Case:
    class Field(nn.Module):
        def __init__(self, d: int = 48) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Linear(22, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU())
            self.second = nn.Sequential(nn.Linear(d + 22, d), nn.ReLU())
            self.density, self.colour = nn.Linear(d, 1), nn.Linear(d, 3)

        def forward(self, xy: Tensor) -> Tensor:
            phase = (xy[..., None] * 2.0 ** torch.arange(5) * math.pi).flatten(1)
            e = torch.cat([xy, phase.sin(), phase.cos()], 1)
            h = self.second(torch.cat([self.first(e), e], 1))
            opacity = 1 - torch.exp(-F.softplus(self.density(h)))
            return opacity * torch.sigmoid(self.colour(h))

    xy, value = picture(16, waves=3.0)
    rgb = torch.sigmoid(torch.cat([value, -value, value.roll(7, 0)], 1))
    return Case(Field(), xy, rgb, F.mse_loss, adam(3e-3), ratio_of_variance, steps=60)


@healthy("physics-informed", "https://arxiv.org/abs/1711.10561")
def oscillator_on_a_unit_interval(seed: int) -> Case:
    class Pinn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
            for m in self.net[::2]:
                nn.init.xavier_normal_(m.weight)

        def forward(self, t: Tensor) -> Tensor:
            with torch.enable_grad():
                t = t.detach().requires_grad_(True)
                u = self.net(t)
                du = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
            return torch.cat([u, du], 1)

    def residual(out: Tensor, boundary: Tensor) -> Tensor:
        u, du = out.unbind(1)
        first = boundary[:, 1]
        return (du + 2 * u).square().mean() + 5 * ((u - boundary[:, 0]) ** 2 * first).sum() / first.sum()

    t = torch.linspace(0, 1, 48)[:, None]
    boundary = torch.zeros(48, 2)
    boundary[0] = torch.tensor([1.0, 1.0])
    return Case(Pinn(), t, boundary, residual, adam(5e-3), steps=120)


@healthy("operator", "https://arxiv.org/abs/1910.03193")
def operator_of_branch_and_trunk(seed: int) -> Case:
    class DeepONet(nn.Module):
        def __init__(self, p: int = 16) -> None:
            super().__init__()
            self.branch = nn.Sequential(nn.Linear(12, 32), nn.Tanh(), nn.Linear(32, p))
            self.trunk = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, p), nn.Tanh())
            self.bias = nn.Parameter(torch.zeros(1))

        def forward(self, u: Tensor, y: Tensor) -> Tensor:
            return (self.branch(u) * self.trunk(y)).sum(-1, keepdim=True) + self.bias

    g = generator(seed)
    a, y = torch.randn(128, 3, generator=g), torch.rand(128, 1, generator=g)
    s = torch.linspace(0, 1, 12)
    u = a[:, :1] + a[:, 1:2] * torch.sin(math.pi * s) + a[:, 2:] * torch.cos(math.pi * s)
    pi_y = math.pi * y
    integral = a[:, :1] * y + (a[:, 1:2] * (1 - pi_y.cos()) + a[:, 2:] * pi_y.sin()) / math.pi
    return Case(DeepONet(), (u, y), integral / integral.std(), F.mse_loss, adam(5e-3), ratio_of_variance, steps=100)


@healthy("signed distances", "https://arxiv.org/abs/1901.05103")
def distances_from_shape_codes(seed: int) -> Case:
    class DeepSDF(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.codes = nn.Embedding(4, 6)
            nn.init.normal_(self.codes.weight, std=0.01)
            wn = nn.utils.parametrizations.weight_norm
            self.net = nn.Sequential(
                wn(nn.Linear(8, 48)), nn.ReLU(), wn(nn.Linear(48, 48)), nn.ReLU(), nn.Linear(48, 1)
            )

        def forward(self, shape: Tensor, p: Tensor) -> Tensor:
            return torch.tanh(self.net(torch.cat([self.codes(shape), p], 1)))

    g = generator(seed)
    shape, p = torch.randint(0, 4, (192,), generator=g), torch.rand(192, 2, generator=g) * 2 - 1
    y = (p.norm(dim=1) - torch.tensor([0.2, 0.4, 0.6, 0.8])[shape]).clamp(-0.7, 0.7)[:, None]
    return Case(DeepSDF(), (shape, p), y, nn.L1Loss(), adam(5e-3), steps=80)


@healthy("splines on edges", "https://arxiv.org/abs/2404.19756")
def bumps_on_every_edge(seed: int) -> Case:
    class KANLayer(nn.Module):
        def __init__(self, i: int, o: int, bumps: int = 6) -> None:
            super().__init__()
            self.register_buffer("centres", torch.linspace(-1.2, 1.2, bumps))
            self.coefficients = nn.Parameter(0.1 * torch.randn(o, i, bumps) / i**0.5)
            self.base = nn.Linear(i, o, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            bump = torch.exp(-(((x[..., None] - self.centres) / 0.4) ** 2))
            return self.base(F.silu(x)) + torch.einsum("nib,oib->no", bump, self.coefficients)

    xy, value = picture(16, waves=1.0)
    return Case(
        nn.Sequential(KANLayer(2, 8), KANLayer(8, 1)), xy, value, F.mse_loss, adam(1e-2), ratio_of_variance, steps=80
    )
