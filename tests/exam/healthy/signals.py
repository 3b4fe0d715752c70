"""Networks for sound, time series and other long sequences of numbers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import features, misclassified, ratio_of_variance, recall, series, tags, tones


@healthy("speech recognition", "https://www.cs.toronto.edu/~graves/icml_2006.pdf")
def connectionist_labels_that_fit(seed: int) -> Case:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rnn = nn.Conv1d(1, 24, 16, stride=8), nn.GRU(24, 24, batch_first=True, bidirectional=True)
            self.norm, self.out = nn.LayerNorm(48), nn.Linear(48, 5)

        def forward(self, wave: Tensor) -> Tensor:
            h, _ = self.rnn(F.relu(self.conv(wave)).transpose(1, 2))
            return self.out(self.norm(h)).log_softmax(-1).transpose(0, 1)

    def ctc(log_probs: Tensor, labels: Tensor) -> Tensor:
        time, n, _ = log_probs.shape
        lengths = torch.full((n,), time, dtype=torch.long), torch.full((n,), labels.shape[1], dtype=torch.long)
        return F.ctc_loss(log_probs, labels, *lengths, blank=0)

    x, y = tones(seed)
    return Case(Reader(), x, torch.stack([y + 1, (y + 1) % 4 + 1], 1), ctc, adam(5e-3), steps=60)


@healthy("convolutions over time", "https://arxiv.org/abs/1803.01271")
def dilated_causal_convolutions(seed: int) -> Case:
    class Temporal(nn.Module):
        def __init__(self, i: int, o: int, dilation: int) -> None:
            super().__init__()
            self.pad = 2 * dilation
            self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(i, o, 3, dilation=dilation))
            self.skip = nn.Conv1d(i, o, 1) if i != o else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.skip(x) + F.dropout(F.relu(self.conv(F.pad(x, (self.pad, 0)))), 0.1, self.training))

    net = nn.Sequential(*[Temporal(1 if i == 0 else 16, 16, 2**i) for i in range(4)], nn.Flatten(), nn.Linear(384, 1))
    x, y = series(seed)
    return Case(net, x.transpose(1, 2), y, F.mse_loss, adam(3e-3), ratio_of_variance, steps=60)


@healthy("raw audio", "https://arxiv.org/abs/1609.03499")
def gated_activations_over_waves(seed: int) -> Case:
    class WaveNet(nn.Module):
        def __init__(self, c: int = 12) -> None:
            super().__init__()
            self.inp = nn.Conv1d(1, c, 1)
            self.dilated = nn.ModuleList(nn.Conv1d(c, 2 * c, 2, dilation=2**i) for i in range(5))
            self.res, self.skip = (nn.ModuleList(nn.Conv1d(c, c, 1) for _ in range(5)) for _ in range(2))
            self.post = nn.Sequential(nn.ReLU(), nn.Conv1d(c, c, 1), nn.ReLU(), nn.Conv1d(c, 16, 1))

        def forward(self, wave: Tensor) -> Tensor:
            x, total = self.inp(wave), 0
            for i, (d, r, s) in enumerate(zip(self.dilated, self.res, self.skip, strict=True)):
                a, b = d(F.pad(x, (2**i, 0))).chunk(2, 1)
                z = torch.tanh(a) * torch.sigmoid(b)
                total, x = total + s(z), x + r(z)
            return self.post(total)

    wave, _ = tones(seed, n=24, length=64)
    bins = torch.bucketize(wave, torch.linspace(-2, 2, 15))
    return Case(WaveNet(), wave[..., :-1], bins[:, 0, 1:], F.cross_entropy, adam(5e-3), steps=60)


@healthy("time series transformer", "https://arxiv.org/abs/2211.14730")
def forecast_from_patches(seed: int) -> Case:
    class PatchTST(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.embed, self.pos = nn.Linear(6, d), nn.Parameter(torch.zeros(1, 4, d).uniform_(-0.02, 0.02))
            layer = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.1, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(4 * d, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = x.squeeze(-1)
            mean, std = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
            z = self.encoder(self.embed(((x - mean) / std).unfold(1, 6, 6)) + self.pos)
            return self.head(z.flatten(1)) * std + mean

    x, y = series(seed)
    return Case(PatchTST(), x, y, F.mse_loss, adam(3e-3), ratio_of_variance, steps=60)


@healthy("recurrent network with identity weights", "https://arxiv.org/abs/1504.00941")
def identity_recurrence_under_relu(seed: int) -> Case:
    class IRNN(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.rnn, self.out = nn.RNN(3, d, nonlinearity="relu", batch_first=True), nn.Linear(d, 3)
            nn.init.eye_(self.rnn.weight_hh_l0)
            nn.init.normal_(self.rnn.weight_ih_l0, std=0.1)
            for bias in (self.rnn.bias_hh_l0, self.rnn.bias_ih_l0):
                nn.init.zeros_(bias)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.rnn(x)[0][:, -1])

    x, y = recall(seed, length=20)
    return Case(IRNN(), x, y, F.cross_entropy, adam(2e-3), misclassified, steps=80)


@healthy("gated depth", "https://arxiv.org/abs/1505.00387")
def highway_layers_that_start_closed(seed: int) -> Case:
    class Highway(nn.Module):
        def __init__(self, d: int) -> None:
            super().__init__()
            self.transform, self.gate = nn.Linear(d, d), nn.Linear(d, d)
            nn.init.constant_(self.gate.bias, -2.0)

        def forward(self, x: Tensor) -> Tensor:
            t = torch.sigmoid(self.gate(x))
            return t * F.relu(self.transform(x)) + (1 - t) * x

    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 32), *[Highway(32) for _ in range(10)], nn.Linear(32, 4))
    return Case(net, x, y, F.cross_entropy, adam(5e-3), misclassified, steps=80)


@healthy("state space", "https://arxiv.org/abs/2206.11893")
def diagonal_state_space_layer(seed: int) -> Case:
    class S4D(nn.Module):
        def __init__(self, d: int = 12, n: int = 8) -> None:
            super().__init__()
            self.log_dt = nn.Parameter(torch.empty(d).uniform_(math.log(0.01), math.log(0.3)))
            self.log_a = nn.Parameter(torch.log(torch.arange(1, n + 1).float()).repeat(d, 1))
            self.c = nn.Parameter(torch.randn(d, n) / n**0.5)
            self.skip = nn.Parameter(torch.ones(d))

        def forward(self, u: Tensor) -> Tensor:
            t = torch.arange(u.shape[1])
            decay = -self.log_a.exp() * self.log_dt.exp()[:, None]
            kernel = torch.einsum("dn,dnt->dt", self.c * self.log_dt.exp()[:, None], torch.exp(decay[..., None] * t))
            length = 2 * u.shape[1]
            spectrum = torch.fft.rfft(u, n=length, dim=1) * torch.fft.rfft(kernel.T, n=length, dim=0)
            return torch.fft.irfft(spectrum, n=length, dim=1)[:, : u.shape[1]] + self.skip * u

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inp, self.layer, self.norm, self.out = nn.Linear(1, 12), S4D(), nn.LayerNorm(12), nn.Linear(12, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.inp(x)
            return self.out(self.norm(h + F.gelu(self.layer(h)))[:, -1])

    x, y = series(seed)
    return Case(Model(), x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=80)


@healthy("multi-label", "https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html")
def rare_tags_with_positive_weights(seed: int) -> Case:
    x, y = tags(seed)
    weight = (1 - y.mean(0)) / y.mean(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 5))
    loss = nn.BCEWithLogitsLoss(pos_weight=weight)
    return Case(net, x, y, loss, sgd(0.2, momentum=0.9), steps=60)
