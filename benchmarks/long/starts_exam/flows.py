"""Normalizing flows, flow matching and energies: densities of points and digits."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, adam, held_out, held_out_objective
from starts_exam.sources import digit_rows, generator

__all__ = ["FLOWS"]


def moons(seed: int) -> Data:
    """Two half circles, about zero, with second moments of about one."""
    g = generator(seed)
    angle, upper = torch.rand(2400, generator=g) * math.pi, torch.rand(2400, generator=g) < 0.5
    x = torch.where(upper, angle.cos(), 1 - angle.cos())
    y = torch.where(upper, angle.sin(), 0.5 - angle.sin())
    points = (torch.stack([x, y], 1) + 0.06 * torch.randn(2400, 2, generator=g) - torch.tensor([0.5, 0.25])) * 1.4
    return Data(points[:2000], torch.zeros(2000), points[2000:], torch.zeros(400))


def negative_log_likelihood(output, _) -> torch.Tensor:
    """Nats per example for a standard normal base."""
    z, log_det = output
    return (0.5 * z.pow(2).sum(1) + 0.5 * z.shape[1] * math.log(2 * math.pi) - log_det).mean()


class Coupling(nn.Module):
    """An affine coupling whose last layer starts at zero, so that the flow starts as the identity."""

    def __init__(self, d: int, hidden: int, flip: bool) -> None:
        super().__init__()
        self.flip = flip
        half = d // 2
        self.net = nn.Sequential(
            nn.Linear(half, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2 * (d - half))
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        a, b = (b, a) if self.flip else (a, b)
        log_scale, shift = self.net(a).chunk(2, 1)
        log_scale = torch.tanh(log_scale)
        b = b * log_scale.exp() + shift
        return torch.cat([b, a] if self.flip else [a, b], 1), log_scale.sum(1)


class RealNvp(nn.Module):
    def __init__(self, d: int = 2, hidden: int = 32, layers: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Coupling(d, hidden, bool(i % 2)) for i in range(layers))

    def forward(self, x):
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return x, total


class MaskedLinear(nn.Linear):
    def __init__(self, inp: torch.Tensor, out: torch.Tensor, *, strict: bool) -> None:
        super().__init__(len(inp), len(out))
        self.register_buffer("mask", (out[:, None] > inp if strict else out[:, None] >= inp).float())

    def forward(self, x):
        return F.linear(x, self.weight * self.mask, self.bias)


class MaskedFlow(nn.Module):
    """Three autoregressive networks with masked weights and reversed order between them (Papamakarios 2017)."""

    def __init__(self, d: int = 8, hidden: int = 48) -> None:
        super().__init__()
        order, units = torch.arange(1, d + 1), torch.arange(hidden) % (d - 1) + 1
        self.made = nn.ModuleList(
            nn.Sequential(
                MaskedLinear(order, units, strict=False), nn.ReLU(),
                MaskedLinear(units, units, strict=False), nn.ReLU(),
                MaskedLinear(units, order.repeat(2), strict=True),
            )
            for _ in range(3)
        )  # fmt: skip

    def forward(self, x):
        total = x.new_zeros(len(x))
        for made in self.made:
            mean, log_scale = made(x).chunk(2, 1)
            x = ((x - mean) * torch.exp(-log_scale)).flip(1)
            total = total - log_scale.sum(1)
        return x, total


def tangled(seed: int) -> Data:
    """Eight values: each depends on the one before through a sine or a square."""
    g = generator(seed)
    e = torch.randn(2400, 8, generator=g)
    values = [e[:, 0]]
    for i in range(1, 8):
        last = values[-1]
        values.append((torch.sin(3 * last) if i % 2 else last**2 - 0.5) + 0.3 * e[:, i])
    x = torch.stack(values, 1).clamp(-4, 4)
    return Data(x[:2000], torch.zeros(2000), x[2000:], torch.zeros(400))


class Velocity(nn.Module):
    """Flow matching with a table of classes (unit normals) beside the time."""

    def __init__(self, d: int = 64) -> None:
        super().__init__()
        self.label = nn.Embedding(10, d)
        self.time = nn.Sequential(nn.Linear(1, d), nn.SiLU(), nn.Linear(d, d))
        self.inp = nn.Linear(64, 2 * d)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(2 * d, elementwise_affine=False), "ada": nn.Linear(d, 6 * d),
                           "fc": nn.Linear(2 * d, 2 * d)})
            for _ in range(2)
        )  # fmt: skip
        self.out = nn.Linear(2 * d, 64)
        for block in self.blocks:  # adaptive norms start as the identity (Peebles 2023)
            nn.init.zeros_(block["ada"].weight)
            nn.init.zeros_(block["ada"].bias)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x, t, label):
        c = F.silu(self.time(t[:, None]) + self.label(label))
        h = self.inp(x)
        for block in self.blocks:
            shift, scale, gate = block["ada"](c).chunk(3, 1)
            h = h + gate * F.gelu(block["fc"](block["norm"](h) * (1 + scale) + shift))
        return self.out(h)


def labelled_digits(seed: int) -> Data:
    rows = digit_rows(seed)
    return Data((rows.x, rows.y), rows.y, (rows.x_held, rows.y_held), rows.y_held)


def flow_matching(model, x, _):
    rows, label = x
    t, noise = torch.rand(len(rows)), torch.randn_like(rows)
    between = t[:, None] * rows + (1 - t[:, None]) * noise
    return F.mse_loss(model(between, t, label), rows - noise)


def between_parts(model, x):
    g, (rows, label) = generator(3), x
    t = torch.rand(len(rows), generator=g)
    noise = torch.randn(rows.shape, generator=g)
    return [(model, (t[:, None] * rows + (1 - t[:, None]) * noise, t, label))]


class Energy(nn.Module):
    """The score is the slope of an energy, taken in the forward pass; softplus, Xavier."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.energy = nn.Sequential(
            nn.Linear(2, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus(), nn.Linear(width, 1)
        )
        for m in self.energy:
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            return -torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


def score_matching(model, x, _):
    """Denoising score matching at noise 0.3 (Vincent 2011); a score of zero has 1."""
    noise = torch.randn_like(x)
    return ((0.3 * model(x + 0.3 * noise) + noise) ** 2).mean()


class NeuralOde(nn.Module):
    """A vector field of two layers, followed by ten steps of Runge and Kutta; normal 0.1, biases zero (Chen 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, y):
        path = []
        for _ in range(10):
            k1 = self.net(y**3)
            k2 = self.net((y + 0.05 * k1) ** 3)
            k3 = self.net((y + 0.05 * k2) ** 3)
            k4 = self.net((y + 0.1 * k3) ** 3)
            y = y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            path.append(y)
        return torch.stack(path, 1)


def spirals(seed: int) -> Data:
    """Paths of y' = A y³ from random starts, ten times of 0.1 apart."""
    matrix, g = torch.tensor([[-0.1, 2.0], [-2.0, -0.1]]), generator(seed)
    y = start = torch.rand(400, 2, generator=g) * 2.4 - 1.2
    path = []
    for i in range(1, 101):
        y = y + 0.01 * (y**3) @ matrix
        path += [y] if i % 10 == 0 else []
    target = torch.stack(path, 1)
    return Data(start[:320], target[:320], start[320:], target[320:])


def flow(name: str, build, data, rate: float, steps: int, chance: float, batch: int = 128) -> Case:
    return Case(
        name=name, field="flows", build=build, data=data, loss=negative_log_likelihood, optimizer=adam, rate=rate,
        steps=steps, batch=batch, metric=held_out("nats", negative_log_likelihood, chance, "plain"), clip=5.0,
    )  # fmt: skip


FLOWS = (
    flow("realnvp", RealNvp, moons, 2e-3, 300, 2.84),
    flow("masked-flow", MaskedFlow, tangled, 2e-3, 300, 10.5),
    Case(
        name="flow-matching", field="flows", build=Velocity, data=labelled_digits, objective=flow_matching,
        optimizer=adam, rate=2e-3, steps=300, batch=64, metric=held_out_objective(flow_matching, 2.0),
        parts=between_parts,
    ),
    Case(
        name="energy-score", field="generative", build=Energy, data=moons, objective=score_matching, optimizer=adam,
        rate=1e-2, steps=500, batch=128, metric=held_out_objective(score_matching, 1.0),
    ),
    Case(
        name="neural-ode", field="physics", build=NeuralOde, data=spirals,
        loss=lambda p, y: (p - y).abs().mean(), optimizer=lambda p, rate: torch.optim.RMSprop(p, lr=rate), rate=3e-3,
        steps=200, batch=32, metric=held_out("mean absolute error", lambda p, y: (p - y).abs().mean(), 0.45),
    ),
)  # fmt: skip
