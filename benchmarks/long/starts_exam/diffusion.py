"""Diffusion: networks that predict the noise in points and images at a random time."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, adam, held_out_objective
from starts_exam.generative import own_images, ring
from starts_exam.sources import generator

__all__ = ["DIFFUSION"]


class Denoiser(nn.Module):
    """Sinusoidal times through two layers, added in every block; the output starts at zero."""

    def __init__(self, d: int = 64) -> None:
        super().__init__()
        self.inp, self.out = nn.Linear(2, d), nn.Linear(d, 2)
        self.time = nn.Sequential(nn.Linear(32, d), nn.SiLU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, d)) for _ in range(3))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x, t):
        angle = t[:, None] * 1000 * torch.exp(-math.log(1e4) * torch.arange(16) / 16)
        e = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        h = self.inp(x)
        for block in self.blocks:
            h = h + block(h + e)
        return self.out(F.silu(h))


def noised(x, t, noise):
    keep = torch.cos(t * math.pi / 2).view(-1, *[1] * (x.ndim - 1))
    return keep * x + (1 - keep**2).sqrt() * noise


def diffusion(model, x, _):
    t, noise = torch.rand(len(x)) * 0.98 + 0.01, torch.randn_like(x)
    return F.mse_loss(model(noised(x, t, noise), t), noise)


def noised_parts(model, x):
    g = generator(3)
    t = torch.rand(len(x), generator=g) * 0.98 + 0.01
    return [(model, (noised(x, t, torch.randn(x.shape, generator=g)), t))]


class DiffusionUnet(nn.Module):
    """Group norms, times added as channel biases, the last convolution of each block and the output zero (Ho 2020)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 32))
        self.first, self.down, self.up = (
            nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, width, 3, 2, 1),
            nn.Conv2d(2 * width, width, 3, padding=1),
        )  # fmt: skip
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for _ in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.shifts = nn.ModuleList(nn.Linear(32, width) for _ in range(2))
        self.out = nn.Conv2d(width, 1, 3, padding=1)
        for layer in (self.convs[1], self.convs[3], self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def block(self, i, x, e):
        h = self.convs[2 * i](F.silu(self.norms[2 * i](x))) + self.shifts[i](e)[:, :, None, None]
        return x + self.convs[2 * i + 1](F.silu(self.norms[2 * i + 1](h)))

    def forward(self, x, t):
        angle = t[:, None] * 100 * torch.exp(-math.log(1e2) * torch.arange(8) / 8)
        e = F.silu(self.time(torch.cat([angle.sin(), angle.cos()], 1)))
        a = self.block(0, self.first(x), e)
        b = F.interpolate(self.block(1, self.down(a), e), scale_factor=2.0)
        return self.out(F.silu(self.norms[4](self.up(torch.cat([a, b], 1)))))


DIFFUSION = (
    Case(
        name="diffusion-points", field="generative", build=Denoiser, data=ring, objective=diffusion, optimizer=adam,
        rate=1e-3, steps=400, batch=128, metric=held_out_objective(diffusion, 1.0), parts=noised_parts,
    ),
    Case(
        name="diffusion-unet", field="generative", build=DiffusionUnet, data=own_images, objective=diffusion,
        optimizer=adam, rate=2e-3, steps=150, batch=24, metric=held_out_objective(diffusion, 1.0), parts=noised_parts,
    ),
)  # fmt: skip
