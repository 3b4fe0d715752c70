"""Recurrent networks and their relatives: gates, identities, state spaces, dilated convolutions."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, cross_entropy, held_out
from starts_exam.sources import digit_images, generator, markov_text

__all__ = ["RECURRENT"]


def adding(seed: int, length: int = 30) -> Data:
    """The sum of two marked numbers among thirty, centred and scaled."""
    g = generator(seed)
    value, marks = torch.rand(1600, length, generator=g), torch.zeros(1600, length)
    places = torch.rand(1600, length, generator=g).argsort(1)[:, :2]
    marks.scatter_(1, places, 1.0)
    y = ((value * marks).sum(1, keepdim=True) - 1) / 0.41
    x = torch.stack([value, marks], 2)
    return Data(x[:1300], y[:1300], x[1300:], y[1300:])


def short_adding(seed: int) -> Data:
    return adding(seed, 10)


class ForgetfulLstm(nn.Module):
    """Orthogonal recurrent weights by gate, Xavier for the input, forget biases of one."""

    def __init__(self, hidden: int = 40) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(2, hidden, batch_first=True), nn.Linear(hidden, 1)
        for name, p in self.lstm.named_parameters():
            if "weight_ih" in name:
                nn.init.xavier_uniform_(p)
            elif "weight_hh" in name:
                for gate in p.data.chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(p)
        self.lstm.bias_ih_l0.data[hidden : 2 * hidden] = 1.0

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


class IdentityRnn(nn.Module):
    """A relu recurrence that starts as the identity (Le 2015)."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.w_in = nn.Parameter(torch.randn(hidden, 4) * 0.001)
        self.w_rec, self.b = nn.Parameter(torch.eye(hidden)), nn.Parameter(torch.zeros(hidden))
        self.out = nn.Linear(hidden, 10)

    def forward(self, x):
        h = x.new_zeros(len(x), self.w_rec.shape[0])
        for part in x.flatten(1).view(-1, 16, 4).unbind(1):
            h = F.relu(part @ self.w_in.T + h @ self.w_rec.T + self.b)
        return self.out(h)


class RowGru(nn.Module):
    def __init__(self, hidden: int = 48) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(8, hidden, num_layers=2, batch_first=True), nn.Linear(hidden, 10)

    def forward(self, x):
        return self.fc(self.gru(x.squeeze(1))[1][-1])


class CharacterRnn(nn.Module):
    """One tanh layer with one-hot characters, normal 0.01: the shortest character model."""

    def __init__(self, symbols: int = 48, hidden: int = 64) -> None:
        super().__init__()
        self.Wxh = nn.Parameter(torch.randn(hidden, symbols) * 0.01)
        self.Whh, self.Why = (
            nn.Parameter(torch.randn(hidden, hidden) * 0.01),
            nn.Parameter(torch.randn(symbols, hidden) * 0.01),
        )
        self.bh, self.by = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(symbols))
        self.symbols = symbols

    def forward(self, tokens):
        x, h, out = F.one_hot(tokens, self.symbols).float(), 0, []
        for t in range(tokens.shape[1]):
            mixed = x[:, t] @ self.Wxh.T + self.bh
            h = torch.tanh(mixed + h @ self.Whh.T if t else mixed)
            out.append(h @ self.Why.T + self.by)
        return torch.stack(out, 2)


class TemporalBlock(nn.Module):
    """Two weight-normalised dilated convolutions, normal 0.01 (Bai 2018)."""

    def __init__(self, inp: int, out: int, dilation: int) -> None:
        super().__init__()
        self.pad = 2 * dilation
        convs = [nn.Conv1d(inp, out, 3, dilation=dilation), nn.Conv1d(out, out, 3, dilation=dilation)]
        for conv in convs:
            conv.weight.data.normal_(0, 0.01)
        self.conv1, self.conv2 = (nn.utils.parametrizations.weight_norm(conv) for conv in convs)
        self.downsample = nn.Conv1d(inp, out, 1) if inp != out else None
        if self.downsample is not None:
            self.downsample.weight.data.normal_(0, 0.01)

    def forward(self, x):
        y = F.relu(self.conv1(F.pad(x, (self.pad, 0))))
        y = F.relu(self.conv2(F.pad(y, (self.pad, 0))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class TemporalNet(nn.Module):
    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.tcn = nn.Sequential(*(TemporalBlock(width if i else 2, width, 2**i) for i in range(3)))
        self.linear = nn.Linear(width, 1)
        self.linear.weight.data.normal_(0, 0.01)

    def forward(self, x):
        return self.linear(self.tcn(x.transpose(1, 2))[:, :, -1])


class DiagonalStateSpace(nn.Module):
    """Complex diagonal state spaces as long convolutions; steps log-uniform, frequencies πn (Gu 2022)."""

    def __init__(self, d: int, n: int = 8) -> None:
        super().__init__()
        self.log_dt = nn.Parameter(torch.rand(d) * (math.log(0.1) - math.log(0.01)) + math.log(0.01))
        self.C = nn.Parameter(torch.randn(d, n, 2) * 0.5**0.5)
        self.log_A_real = nn.Parameter(torch.log(0.5 * torch.ones(d, n)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(n).repeat(d, 1).float())
        self.D = nn.Parameter(torch.randn(d))

    def forward(self, u):
        length = u.shape[-1]
        dt = self.log_dt.exp()[:, None]
        a = torch.complex(-self.log_A_real.exp(), self.A_imag)
        c = torch.view_as_complex(self.C) * ((dt * a).exp() - 1) / a
        kernel = 2 * (c[..., None] * torch.exp((dt * a)[..., None] * torch.arange(length))).sum(1).real
        size = 2 * length
        y = torch.fft.irfft(torch.fft.rfft(u, n=size) * torch.fft.rfft(kernel, n=size), n=size)[..., :length]
        return y + u * self.D[:, None]


class S4d(nn.Module):
    def __init__(self, d: int = 24) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(1, d), nn.Linear(d, 10)
        self.layers = nn.ModuleList(DiagonalStateSpace(d) for _ in range(2))
        self.mix = nn.ModuleList(nn.Conv1d(d, 2 * d, 1) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(2))

    def forward(self, x):
        x = self.encoder(x.flatten(1)[..., None]).transpose(1, 2)
        for layer, mix, norm in zip(self.layers, self.mix, self.norms, strict=True):
            z = norm(x.transpose(1, 2)).transpose(1, 2)
            x = x + F.glu(mix(F.gelu(layer(z))), 1)
        return self.decoder(x.mean(2))


class Selective(nn.Module):
    """A selective state space: A = -n, steps through a softplus whose bias draws them log-uniform (Gu and Dao 2023)."""

    def __init__(self, d: int = 24, n: int = 6) -> None:
        super().__init__()
        self.n = n
        self.in_proj, self.out_proj = nn.Linear(d, 2 * d, bias=False), nn.Linear(d, d, bias=False)
        self.conv1d = nn.Conv1d(d, d, 3, groups=d, padding=2)
        self.x_proj, self.dt_proj = nn.Linear(d, 2 + 2 * n, bias=False), nn.Linear(2, d)
        nn.init.uniform_(self.dt_proj.weight, -(2**-0.5), 2**-0.5)
        dt = torch.exp(torch.rand(d) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))
        self.dt_proj.bias.data.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.A_log, self.D = nn.Parameter(torch.arange(1.0, n + 1).repeat(d, 1).log()), nn.Parameter(torch.ones(d))

    def forward(self, x):
        u, gate = self.in_proj(x).chunk(2, -1)
        u = F.silu(self.conv1d(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        low, b, c = self.x_proj(u).split([2, self.n, self.n], -1)
        dt = F.softplus(self.dt_proj(low))
        decay = torch.exp(dt[..., None] * -self.A_log.exp())
        drive = dt[..., None] * b[:, :, None] * u[..., None]
        h, out = torch.zeros_like(drive[:, 0]), []
        for t in range(x.shape[1]):
            h = decay[:, t] * h + drive[:, t]
            out.append((h * c[:, t, None]).sum(-1))
        return self.out_proj((torch.stack(out, 1) + u * self.D) * F.silu(gate))


class MambaLm(nn.Module):
    def __init__(self, symbols: int = 48, d: int = 24) -> None:
        super().__init__()
        self.embedding, self.mixers = nn.Embedding(symbols, d), nn.ModuleList(Selective(d) for _ in range(2))
        self.norms, self.lm_head = nn.ModuleList(nn.LayerNorm(d) for _ in range(3)), nn.Linear(d, symbols, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.lm_head.weight = self.embedding.weight
        for mixer in self.mixers:
            with torch.no_grad():
                mixer.out_proj.weight /= math.sqrt(2)

    def forward(self, tokens):
        x = self.embedding(tokens)
        for norm, mixer in zip(self.norms, self.mixers, strict=False):
            x = x + mixer(norm(x))
        return self.lm_head(self.norms[-1](x)).transpose(1, 2)


class ConvLstm(nn.Module):
    """Convolutional gates on a ball that bounces; predicts the next frame."""

    def __init__(self, width: int = 10) -> None:
        super().__init__()
        self.width, self.gates, self.out = width, nn.Conv2d(1 + width, 4 * width, 3, padding=1), nn.Conv2d(width, 1, 1)

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.width, *x.shape[-2:])
        for frame in x.unbind(1):
            i, f, o, g = self.gates(torch.cat([frame[:, None], h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return self.out(h)[:, 0]


def bouncing(seed: int) -> Data:
    g = generator(seed)
    place, speed = torch.rand(500, 2, generator=g) * 8 + 1, torch.rand(500, 2, generator=g) * 2.4 - 1.2
    u, frames = torch.arange(10.0), []
    for _ in range(6):
        near = (u[None, :, None] - place[:, :1, None]) ** 2 + (u[None, None] - place[:, 1:, None]) ** 2
        frames.append(torch.exp(-near / 2) * 3)
        place = place + speed
        speed = torch.where((place < 0) | (place > 9), -speed, speed)
    x = torch.stack(frames, 1)
    return Data(x[:400, :5], x[:400, 5], x[400:, :5], x[400:, 5])


SQUARES = held_out("mean squared error", F.mse_loss, 1.0)


def numbers(name: str, build, rate: float, steps: int, metric=SQUARES, data=adding) -> Case:
    return Case(
        name=name, field="recurrent", build=build, data=data, loss=F.mse_loss, optimizer=adam, rate=rate, steps=steps,
        metric=metric, clip=1.0,
    )  # fmt: skip


def classes(name: str, build, rate: float, steps: int, metric=None, data=digit_images) -> Case:
    return Case(
        name=name, field="recurrent", build=build, data=data, loss=F.cross_entropy, optimizer=adam, rate=rate,
        steps=steps, metric=metric or accuracy(10), clip=1.0,
    )  # fmt: skip


RECURRENT = (
    numbers("lstm-adding", ForgetfulLstm, 5e-3, 400),
    numbers("temporal-convolutions", TemporalNet, 4e-3, 300, data=short_adding),
    numbers("conv-lstm", ConvLstm, 5e-3, 100, held_out("mean squared error", F.mse_loss, 0.24), bouncing),
    classes("identity-rnn", IdentityRnn, 1e-3, 350),
    classes("row-gru", RowGru, 3e-3, 200),
    classes("s4d", S4d, 5e-3, 200),
    classes("character-rnn", CharacterRnn, 5e-3, 300, cross_entropy(48), markov_text),
    classes("mamba", MambaLm, 5e-3, 120, cross_entropy(48), markov_text),
)
