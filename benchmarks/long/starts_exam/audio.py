"""Sound: raw waveforms, gated dilated convolutions, transcription, separation."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, cross_entropy, held_out
from starts_exam.sources import generator, halves

__all__ = ["AUDIO"]


def chirps(seed: int) -> Data:
    """Tones that rise, fall, tremble or stay, at random pitch and phase; 400 samples of noise with them."""
    g = generator(seed)
    y = torch.randint(0, 4, (900,), generator=g)
    t = torch.linspace(0, 1, 400)
    base, phase = torch.rand(900, 1, generator=g) * 30 + 30, torch.rand(900, 1, generator=g) * 6.28
    slope = torch.tensor([20.0, -20.0, 0.0, 0.0])[y][:, None] * t**2
    tremble = (y == 2)[:, None] * 1.5 * torch.sin(2 * math.pi * 5 * t)
    x = torch.sin(2 * math.pi * (base * t + slope / 2 + tremble / 2) + phase)
    return halves((0.1 * (x + torch.randn(900, 400, generator=g)))[:, None], y, 200, seed)


def m5() -> nn.Module:
    """Convolutions on the waveform with batch norm, of the speech tutorial; defaults."""
    return nn.Sequential(
        nn.Conv1d(1, 16, 24, stride=4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(16, 24, 3), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(24, 32, 3), nn.BatchNorm1d(32), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(32, 4), nn.LogSoftmax(1),
    )  # fmt: skip


class WaveNet(nn.Module):
    """Gated, dilated, causal convolutions with skips; predicts one of 32 levels of the next sample."""

    def __init__(self, width: int = 16, levels: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(levels, width)
        self.filters = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(5))
        self.residuals = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(5))
        self.skips = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(5))
        self.end1, self.end2 = nn.Conv1d(width, width, 1), nn.Conv1d(width, levels, 1)

    def forward(self, x):
        x, total = self.embed(x).transpose(1, 2), 0
        for i, (gate, residual, skip) in enumerate(zip(self.filters, self.residuals, self.skips, strict=True)):
            a, b = gate(F.pad(x, (2**i, 0))).chunk(2, 1)
            h = torch.tanh(a) * torch.sigmoid(b)
            x, total = x + residual(h), total + skip(h)
        return self.end2(F.relu(self.end1(F.relu(total))))


def two_tones(seed: int) -> Data:
    g = generator(seed)
    t = torch.arange(65.0)
    frequency, phase = torch.rand(2, 600, 1, generator=g) * 0.5 + 0.1, torch.rand(2, 600, 1, generator=g) * 6.28
    wave = torch.sin(frequency * t + phase).sum(0) / 2
    levels = ((wave + 1) * 16).long().clamp(0, 31)
    return halves(levels[:, :-1], levels[:, 1:], 120, seed)


class Transcriber(nn.Module):
    """A convolution and a recurrent layer in both directions, for connectionist temporal classification."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(12, width, 3, padding=1), nn.BatchNorm1d(width)
        self.rnn, self.fc = nn.GRU(width, width, bidirectional=True, batch_first=True), nn.Linear(2 * width, 7)

    def forward(self, x):
        h = F.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.fc(self.rnn(h)[0]).log_softmax(-1)


def spoken(seed: int) -> Data:
    """Three of six sounds in a row, each as 3 to 5 frames of its own spectrum; labels 1 to 6."""
    g = generator(seed)
    sounds = torch.randn(7, 12, generator=g)
    y = torch.randint(1, 7, (500, 3), generator=g)
    frames = torch.zeros(500, 18, dtype=torch.long)
    for i in range(500):
        at = 0
        for symbol in y[i].tolist():
            at += int(torch.randint(0, 2, (), generator=g))
            length = int(torch.randint(3, 6, (), generator=g))
            frames[i, at : at + length] = symbol
            at += length
    sounds[0] = 0
    return halves(sounds[frames] + 0.5 * torch.randn(500, 18, 12, generator=g), y, 100, seed)


def ctc(log_p, y):
    lengths = torch.full((len(y),), log_p.shape[1])
    return F.ctc_loss(log_p.transpose(0, 1), y, lengths, torch.full((len(y),), 3), blank=0)


class Separator(nn.Module):
    """A learned filter bank, masks from dilated depthwise convolutions with PReLU, and back (Luo 2019)."""

    def __init__(self, bank: int = 32, width: int = 16) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv1d(1, bank, 8, 4, bias=False), nn.ConvTranspose1d(bank, 1, 8, 4, bias=False)
        self.norm, self.bottleneck = nn.GroupNorm(1, bank), nn.Conv1d(bank, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(width, 32, 1), nn.PReLU(), nn.GroupNorm(1, 32),
                nn.Conv1d(32, 32, 3, padding=2**i, dilation=2**i, groups=32), nn.PReLU(), nn.GroupNorm(1, 32),
                nn.Conv1d(32, width, 1),
            )
            for i in range(3)
        )  # fmt: skip
        self.mask = nn.Sequential(nn.PReLU(), nn.Conv1d(width, 2 * bank, 1), nn.Sigmoid())

    def forward(self, x):
        w = self.encoder(x[:, None])
        h = self.bottleneck(self.norm(w))
        for block in self.blocks:
            h = h + block(h)
        masks = self.mask(h).unflatten(1, (2, -1))
        return torch.cat([self.decoder(w * masks[:, 0]), self.decoder(w * masks[:, 1])], 1)


def mixtures(seed: int) -> Data:
    """A slow wave and a fast one, added."""
    g = generator(seed)
    t = torch.arange(128.0)

    def tone(low, high):
        f, p = torch.rand(500, 1, generator=g) * (high - low) + low, torch.rand(500, 1, generator=g) * 6.28
        return torch.sin(f * t + p) * (torch.rand(500, 1, generator=g) + 0.5)

    y = torch.stack([tone(0.1, 0.3), tone(0.6, 1.5)], 1)
    return halves(y.sum(1), y, 100, seed)


def unlike(p, y):
    """The negative scale-invariant signal-to-distortion ratio, in decibels."""
    scale = (p * y).sum(-1, keepdim=True) / (y**2).sum(-1, keepdim=True)
    signal, rest = ((scale * y) ** 2).sum(-1), ((p - scale * y) ** 2).sum(-1)
    return -10 * torch.log10(signal / (rest + 1e-8) + 1e-8).mean()


def decibels(p, y):
    return unlike(p, y) / 10  # bels, so that the scale resembles that of other losses


AUDIO = (
    Case(
        name="waveform-convolutions", field="audio", build=m5, data=chirps, loss=F.nll_loss, optimizer=adam, rate=1e-2,
        steps=200, metric=accuracy(4),
    ),
    Case(
        name="wavenet", field="audio", build=WaveNet, data=two_tones, loss=F.cross_entropy, optimizer=adam, rate=3e-3,
        steps=150, batch=16, metric=cross_entropy(32),
    ),
    Case(
        name="transcription", field="audio", build=Transcriber, data=spoken, loss=ctc, optimizer=adam, rate=3e-3,
        steps=150, metric=held_out("loss", ctc, 4.0),
    ),
    Case(
        name="separation", field="audio", build=Separator, data=mixtures, loss=unlike, optimizer=adam, rate=1e-3,
        steps=150, metric=held_out("distortion in bels", decibels, 0.0, "plain"), clip=5.0,
    ),
)  # fmt: skip
