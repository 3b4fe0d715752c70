"""Physics-informed networks, coordinates, operators and conserved energies."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, Metric, adam, held_out
from starts_exam.sources import generator, mnist_images

__all__ = ["PHYSICS"]


class Poisson(nn.Module):
    """u(x) and u''(x), the derivatives taken in the forward pass; tanh, Xavier, biases zero."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        for m in self.net:
            if isinstance(m, nn.Linear):
                nn.init.xavier_normal_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_(True)
            u = self.net(x)
            slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
            curvature = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
        return torch.cat([u, curvature], 1)


def interval(_: int) -> Data:
    """u'' = -π² sin(πx) between zeros at -1 and 1, so u = sin(πx)."""
    x = torch.cat([torch.tensor([-1.0, 1.0]), torch.linspace(-0.97, 0.97, 62)])[:, None]
    held = torch.linspace(-0.99, 0.99, 101)[:, None]
    return Data(x, -(math.pi**2) * torch.sin(math.pi * x), held, torch.sin(math.pi * held))


def poisson_loss(output, force):
    return 10 * (output[:2, 0] ** 2).mean() + ((output[2:, 1:] - force[2:]) ** 2).mean()


class Field(nn.Sequential):
    """u(t, x) by five layers of tanh, with the derivatives left to the loss; Xavier."""

    def __init__(self, width: int = 20) -> None:
        layers: list[nn.Module] = [nn.Linear(2, width), nn.Tanh()]
        for _ in range(3):
            layers += [nn.Linear(width, width), nn.Tanh()]
        super().__init__(*layers, nn.Linear(width, 1))
        for m in self:
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)


def heat(model, x, y):
    """u_t = 0.1 u_xx within; at the border (y = 1) u = sin(πx) e^{-0.1 π² t}."""
    points = x.detach().clone().requires_grad_(True)
    u = model(points)
    first = torch.autograd.grad(u.sum(), points, create_graph=True)[0]
    second = torch.autograd.grad(first[:, 1].sum(), points, create_graph=True)[0][:, 1:]
    border = y[:, :1]
    inside = ((first[:, :1] - 0.1 * second) ** 2 * (1 - border)).sum() / (1 - border).sum()
    return inside + ((u - y[:, 1:]) ** 2 * border).sum() / border.sum()


def rod(seed: int) -> Data:
    g = generator(seed)

    def exact(p):
        return torch.sin(math.pi * p[:, 1:]) * torch.exp(-0.1 * math.pi**2 * p[:, :1])

    inside, held = torch.rand(160, 2, generator=g) * 2 - torch.tensor([0.0, 1.0]), torch.rand(300, 2, generator=g)
    start = torch.stack([torch.zeros(40), torch.rand(40, generator=g) * 2 - 1], 1)
    ends = torch.stack([torch.rand(40, generator=g) * 2, torch.randint(0, 2, (40,), generator=g) * 2.0 - 1], 1)
    x = torch.cat([inside, start, ends])
    held = held * 2 - torch.tensor([0.0, 1.0])
    border = torch.cat([torch.zeros(160, 1), torch.ones(80, 1)])
    return Data(x, torch.cat([border, exact(x)], 1), held, exact(held))


def root_mean_square(p, y):
    return ((p[:, :1] - y) ** 2).mean().sqrt()


class Sine(nn.Module):
    def __init__(self, inp: int, out: int, first: bool = False, omega: float = 30.0) -> None:
        super().__init__()
        self.omega, self.linear = omega, nn.Linear(inp, out)
        bound = 1 / inp if first else math.sqrt(6 / inp) / omega
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.omega * self.linear(x))


def siren() -> nn.Module:
    """Sines at a frequency of 30 with Sitzmann's start."""
    head = nn.Linear(48, 1)
    nn.init.uniform_(head.weight, -math.sqrt(6 / 48) / 30, math.sqrt(6 / 48) / 30)
    return nn.Sequential(Sine(2, 48, first=True), Sine(48, 48), Sine(48, 48), head)


class FourierFeatures(nn.Module):
    """Coordinates through fixed random waves, then three relu layers by default (Tancik 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("B", torch.randn(2, 32))
        self.net = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Sigmoid()
        )

    def forward(self, x):
        angle = 2 * math.pi * x @ self.B
        return self.net(torch.cat([angle.sin(), angle.cos()], -1))


def picture(seed: int) -> Data:
    """One image as coordinates and values; a fifth of the pixels is held out."""
    image = mnist_images(seed, standardise=False).x[seed, 0]
    u = torch.linspace(-1, 1, 28)
    where = torch.stack(torch.meshgrid(u, u, indexing="ij"), -1).flatten(0, 1)
    order, value = torch.randperm(784, generator=generator(seed)), image.flatten()[:, None]
    return Data(where[order[:627]], value[order[:627]], where[order[627:]], value[order[627:]])


class DeepONet(nn.Module):
    """A branch for the function and a trunk for the place; their product is the antiderivative there."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width))
        self.trunk = nn.Sequential(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.b = nn.Parameter(torch.zeros(1))
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_normal_(m.weight)
                nn.init.zeros_(m.bias)

    def forward(self, f, x):
        return (self.branch(f) * self.trunk(x)).sum(1, keepdim=True) + self.b


def antiderivatives(seed: int) -> Data:
    """Sums of three sines at 20 places, and their integral from 0 to one place."""
    g = generator(seed)
    amplitude, where = torch.randn(1500, 3, generator=g), torch.rand(1500, 1, generator=g)
    k = torch.arange(1, 4) * math.pi
    sensors = (amplitude[:, :, None] * torch.sin(k[:, None] * torch.linspace(0, 1, 20))).sum(1)
    y = (amplitude * (1 - torch.cos(k * where)) / k).sum(1, keepdim=True) / 0.45
    return Data((sensors[:1200], where[:1200]), y[:1200], (sensors[1200:], where[1200:]), y[1200:])


class Hamiltonian(nn.Module):
    """The motion is the rotated slope of a scalar, taken in the forward pass; orthogonal weights (Greydanus 2019)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(2, width), nn.Linear(width, width)
        self.linear3 = nn.Linear(width, 1, bias=False)
        for layer in (self.linear1, self.linear2, self.linear3):
            nn.init.orthogonal_(layer.weight)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            energy = self.linear3(torch.tanh(self.linear2(torch.tanh(self.linear1(x)))))
            slope = torch.autograd.grad(energy.sum(), x, create_graph=True)[0]
        return torch.stack([slope[:, 1], -slope[:, 0]], 1)


def pendulum(seed: int) -> Data:
    g = generator(seed)
    x = torch.stack([torch.rand(600, generator=g) * 4 - 2, torch.randn(600, generator=g)], 1)
    y = torch.stack([x[:, 1], -3 * torch.sin(x[:, 0])], 1) + 0.05 * torch.randn(600, 2, generator=g)
    return Data(x[:450], y[:450], x[450:], y[450:])


class SpectralLayer(nn.Module):
    """Complex weights on the lowest modes beside a pointwise layer (Li 2021)."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weights = nn.Parameter(torch.rand(width, width, modes, 2) / width**2)
        self.w = nn.Conv1d(width, width, 1)

    def forward(self, x):
        spectrum = torch.fft.rfft(x)
        mixed = torch.zeros_like(spectrum)
        kernel = torch.view_as_complex(self.weights)
        mixed[:, :, : self.modes] = torch.einsum("bix,iox->box", spectrum[:, :, : self.modes], kernel)
        return F.gelu(torch.fft.irfft(mixed, n=x.shape[-1]) + self.w(x))


class FourierOperator(nn.Module):
    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.p, self.layers = nn.Linear(2, width), nn.Sequential(*[SpectralLayer(width, 8) for _ in range(3)])
        self.q = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.q(self.layers(self.p(x).transpose(1, 2)).transpose(1, 2)).squeeze(-1)


def smoothing(seed: int) -> Data:
    """A random wave on 32 places becomes the square of itself, smoothed by ten steps of diffusion."""
    g = generator(seed)
    place = torch.linspace(0, 1, 33)[:-1]
    k = 2 * math.pi * torch.arange(1, 5)[:, None] * place
    a, b = torch.randn(2, 500, 4, generator=g) / 2
    f = a @ k.sin() + b @ k.cos()
    y = f**2
    for _ in range(10):
        y = 0.5 * y + 0.25 * (y.roll(1, 1) + y.roll(-1, 1))
    y = (y - y.mean()) / y.std()
    x = torch.stack([f, place.expand_as(f)], -1)
    return Data(x[:400], y[:400], x[400:], y[400:])


def at_points(model, data):
    with torch.no_grad():
        return float(((model(data.x_held) - data.y_held) ** 2).mean().sqrt())


SQUARES = held_out("mean squared error", F.mse_loss, 1.0)

PHYSICS = (
    Case(
        name="pinn-poisson", field="physics", build=Poisson, data=interval, loss=poisson_loss, optimizer=adam,
        rate=5e-3, steps=400, batch=None, metric=held_out("root mean squared error", root_mean_square, 0.707),
    ),
    Case(
        name="pinn-heat", field="physics", build=Field, data=rod, objective=heat, optimizer=adam, rate=3e-3, steps=400,
        batch=None, metric=Metric("root mean squared error", "positive", 0.35, at_points),
    ),
    Case(
        name="siren", field="physics", build=siren, data=picture, loss=F.mse_loss, optimizer=adam, rate=3e-4, steps=300,
        batch=None, metric=held_out("mean squared error", F.mse_loss, 0.09),
    ),
    Case(
        name="fourier-features", field="physics", build=FourierFeatures, data=picture, loss=F.mse_loss, optimizer=adam,
        rate=1e-3, steps=300, batch=None, metric=held_out("mean squared error", F.mse_loss, 0.09),
    ),
    Case(
        name="deeponet", field="physics", build=DeepONet, data=antiderivatives, loss=F.mse_loss, optimizer=adam,
        rate=3e-3, steps=400, batch=64, metric=SQUARES,
    ),
    Case(
        name="hamiltonian", field="physics", build=Hamiltonian, data=pendulum, loss=F.mse_loss,
        optimizer=lambda p, rate: torch.optim.Adam(p, lr=rate, weight_decay=1e-4), rate=1e-3, steps=400, batch=64,
        metric=held_out("mean squared error", F.mse_loss, 2.6),
    ),
    Case(
        name="fourier-operator", field="physics", build=FourierOperator, data=smoothing, loss=F.mse_loss,
        optimizer=adam, rate=2e-3, steps=200, metric=SQUARES,
    ),
)  # fmt: skip
