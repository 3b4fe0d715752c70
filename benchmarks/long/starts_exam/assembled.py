"""Weights that are assembled from several parameters, drawn in every pass, or reduced to signs."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import sgd
from starts_exam.masked_shared import digits
from starts_exam.sources import digit_images

__all__ = ["ASSEMBLED"]


class QuaternionLayer(nn.Module):
    """Four real matrices make one, by Hamilton's product; their modulus has the spread 1/√(2 (in + out))."""

    def __init__(self, inp: int, out: int) -> None:
        super().__init__()
        modulus = torch.randn(inp // 4, out // 4, 4).norm(dim=2) / math.sqrt(2 * (inp + out) / 4)
        parts = F.normalize(torch.randn(4, inp // 4, out // 4), dim=0) * modulus
        self.r, self.i, self.j, self.k = (nn.Parameter(part) for part in parts)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x):
        r, i, j, k = self.r, self.i, self.j, self.k
        rows = ([r, -i, -j, -k], [i, r, -k, j], [j, k, r, -i], [k, -j, i, r])
        return x @ torch.cat([torch.cat(row, 1) for row in rows], 0) + self.bias


def quaternions() -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(5):
        layers += [QuaternionLayer(64 if i == 0 else 96, 96), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(96, 10))


class Circulant(nn.Module):
    """A circulant matrix by Fourier transforms, behind random signs (Cheng 2015)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.row, self.bias = nn.Parameter(torch.randn(d) * math.sqrt(2 / d)), nn.Parameter(torch.zeros(d))
        self.register_buffer("signs", torch.randint(0, 2, (d,)) * 2.0 - 1)

    def forward(self, x):
        spectrum = torch.fft.rfft(x * self.signs) * torch.fft.rfft(self.row)
        return torch.fft.irfft(spectrum, n=x.shape[-1]) + self.bias


def circulants() -> nn.Module:
    return nn.Sequential(
        Circulant(64), nn.ReLU(), Circulant(64), nn.ReLU(), Circulant(64), nn.ReLU(), nn.Linear(64, 10)
    )


class LowRankLayer(nn.Module):
    """U Vᵀ from the singular vectors of a matrix by He's rule (spectral initialization)."""

    def __init__(self, inp: int, out: int, rank: int) -> None:
        super().__init__()
        u, s, v = torch.linalg.svd(torch.randn(out, inp) * math.sqrt(2 / inp), full_matrices=False)
        root = s[:rank].sqrt()
        self.U, self.V = nn.Parameter(u[:, :rank] * root), nn.Parameter(v[:rank].T * root)
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x):
        return x @ self.V @ self.U.T + self.bias


def low_rank() -> nn.Module:
    return nn.Sequential(
        LowRankLayer(64, 128, 12), nn.ReLU(), LowRankLayer(128, 128, 12), nn.ReLU(), LowRankLayer(128, 128, 12),
        nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class HyperNetwork(nn.Module):
    """Two layers make the kernels of two convolutions from learned codes of unit normals (Ha 2017)."""

    def __init__(self, width: int = 12, code: int = 16) -> None:
        super().__init__()
        self.width = width
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.codes = nn.Parameter(torch.randn(2, code))
        self.w1, self.b1 = nn.Parameter(torch.randn(code, 32) * 0.1), nn.Parameter(torch.zeros(32))
        self.w2 = nn.Parameter(torch.randn(32, width * width * 9) * 0.25)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.fc = nn.Linear(width * 4, 10)

    def forward(self, x):
        kernels = (F.relu(self.codes @ self.w1 + self.b1) @ self.w2).view(2, self.width, self.width, 3, 3)
        x = F.relu(self.stem(x))
        x = F.max_pool2d(F.relu(self.bn1(F.conv2d(x, kernels[0], padding=1))), 2)
        x = F.max_pool2d(F.relu(self.bn2(F.conv2d(x, kernels[1], padding=1))), 2)
        return self.fc(x.flatten(1))


class BayesianLayer(nn.Module):
    """Weights are drawn in every pass: means uniform ±0.2, deviations softplus(-4) (Blundell 2015)."""

    def __init__(self, inp: int, out: int) -> None:
        super().__init__()
        self.weight_mu = nn.Parameter(torch.empty(out, inp).uniform_(-0.2, 0.2))
        self.weight_rho = nn.Parameter(torch.empty(out, inp).uniform_(-5, -4))
        self.bias_mu, self.bias_rho = nn.Parameter(torch.zeros(out)), nn.Parameter(torch.full((out,), -4.5))

    def forward(self, x):
        weight = self.weight_mu + F.softplus(self.weight_rho) * torch.randn_like(self.weight_mu)
        return F.linear(x, weight, self.bias_mu + F.softplus(self.bias_rho) * torch.randn_like(self.bias_mu))


def bayesian() -> nn.Module:
    return nn.Sequential(BayesianLayer(64, 48), nn.ReLU(), BayesianLayer(48, 48), nn.ReLU(), BayesianLayer(48, 10))


class Sign(torch.autograd.Function):
    """The sign forward; the gradient passes where the input is within ±1 (Courbariaux 2016)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() <= 1)


class BinaryLinear(nn.Linear):
    def __init__(self, inp: int, out: int) -> None:
        super().__init__(inp, out, bias=False)
        nn.init.uniform_(self.weight, -1, 1)

    def forward(self, x):
        return F.linear(x, Sign.apply(self.weight))


class Binary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = BinaryLinear(64, 128), BinaryLinear(128, 128), nn.Linear(128, 10)
        self.bn1, self.bn2 = nn.BatchNorm1d(128), nn.BatchNorm1d(128)

    def forward(self, x):
        x = Sign.apply(self.bn1(self.fc1(x)))
        return self.fc3(Sign.apply(self.bn2(self.fc2(x))))


class RotatedConv(nn.Module):
    """One filter in four orientations: the kernel is rotated and stacked (Cohen and Welling 2016)."""

    def __init__(self, inp: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inp, 3, 3) * math.sqrt(2 / (inp * 9)))
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x):
        kernel = torch.cat([torch.rot90(self.weight, k, (2, 3)) for k in range(4)])
        return F.conv2d(x, kernel, self.bias.repeat(4), padding=1)


def rotated() -> nn.Module:
    return nn.Sequential(
        RotatedConv(1, 6), nn.ReLU(), nn.MaxPool2d(2), RotatedConv(24, 8), nn.ReLU(), nn.MaxPool2d(2),
        RotatedConv(32, 8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


ASSEMBLED = (
    digits("quaternions", "assembled", quaternions, 1e-3, 250),
    digits("circulants", "assembled", circulants, 3e-3, 250),
    digits("low-rank", "assembled", low_rank, 1e-3, 250),
    digits("hyper-network", "assembled", HyperNetwork, 2e-3, 200, digit_images),
    digits("bayesian", "assembled", bayesian, 2e-3, 300),
    digits("binary", "assembled", Binary, 3e-3, 250),
    digits("rotated-filters", "assembled", rotated, 0.02, 200, digit_images, sgd),
)  # fmt: skip
