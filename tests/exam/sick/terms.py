"""Losses that are flat where the error is large, squeezed, or drowned by another term."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import (
    areas,
    board,
    digits,
    features,
    misclassified,
    tones,
    two_views,
)

FAMILY = "the loss itself"


@sick(
    "loss-flat-where-wrong",
    family=FAMILY,
    cause="the overlap of predicted and true boxes is zero at the start, and one minus the overlap has no slope there",
    link="https://github.com/AlexeyAB/darknet/issues/5429",
)
def overlap_loss_of_disjoint_boxes(seed: int, cured: bool) -> Case:
    class BoxNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(
                nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 32), nn.ReLU()
            )
            self.box = nn.Linear(32, 4)
            nn.init.normal_(self.box.weight, std=1e-2)
            self.box.bias.data = torch.tensor([2.0, 2.0, 2.3, 2.3])

        def forward(self, image: Tensor) -> Tensor:
            return self.box(self.features(image))

    def overlap(p: Tensor, t: Tensor) -> Tensor:
        low, high = torch.maximum(p[:, :2], t[:, :2]), torch.minimum(p[:, 2:], t[:, 2:])
        inside = (high - low).clamp(min=0).prod(1)
        union = (p[:, 2:] - p[:, :2]).clamp(min=0).prod(1) + (t[:, 2:] - t[:, :2]).prod(1) - inside
        return inside / union.clamp(min=1e-6)

    def loss(p: Tensor, t: Tensor) -> Tensor:
        value = 1 - overlap(p, t).mean()
        if cured:
            value = value + (p - t).abs().mean()
        return value

    x, y = board(seed)
    return Case(BoxNet(), x, y, loss, adam(5e-3), lambda p, t: 1 - overlap(p, t).mean(), steps=150)


@sick(
    "labels-longer-than-time",
    family=FAMILY,
    cause="pooling leaves fewer time steps than the labels need: the connectionist loss is infinite and set to zero",
    place=("cnn",),
    link="https://github.com/open-mmlab/mmocr/issues/149",
)
def fewer_time_steps_than_letters(seed: int, cured: bool) -> Case:
    class Recogniser(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            stride = 8 if cured else 32
            self.cnn = nn.Conv1d(1, 24, stride, stride=stride)
            self.rnn, self.out = nn.GRU(24, 24, batch_first=True, bidirectional=True), nn.Linear(48, 5)

        def forward(self, wave: Tensor) -> Tensor:
            h = torch.tanh(self.cnn(wave)).transpose(1, 2)
            return self.out(self.rnn(h)[0]).log_softmax(-1).transpose(0, 1)

    def ctc(log_probs: Tensor, labels: Tensor) -> Tensor:
        time, n, _ = log_probs.shape
        full = lambda k: torch.full((n,), k, dtype=torch.long)  # noqa: E731
        return F.ctc_loss(log_probs, labels, full(time), full(labels.shape[1]), zero_infinity=True)

    x, y = tones(seed)
    labels = torch.stack([y + 1, (y + 1) % 4 + 1, y + 1, (y + 2) % 4 + 1, y + 1, (y + 1) % 4 + 1], 1)

    def evaluate(model: nn.Module, x: Tensor, labels: Tensor) -> Tensor:
        read = model(x).argmax(-1).T
        text = [torch.unique_consecutive(row) for row in read]
        return 1 - torch.tensor([float(torch.equal(t[t > 0], w)) for t, w in zip(text, labels, strict=True)]).mean()

    return Case(Recogniser(), x, labels, ctc, adam(1e-2), evaluate=evaluate, steps=100)


@sick(
    "scores-squeezed",
    family=FAMILY,
    cause="the contrastive scores are multiplied by the temperature instead of divided: they span 0.14 and fit nothing",
    link="https://github.com/huiserwang/ContrastMask/issues/4",
)
def temperature_on_the_wrong_side(seed: int, cured: bool) -> Case:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 12))

        def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
            return F.normalize(self.project(a), dim=1), F.normalize(self.project(b), dim=1)

    def info_nce(views: tuple[Tensor, Tensor], index: Tensor, tau: float = 0.07) -> Tensor:
        cosine = views[0] @ views[1].T
        return F.cross_entropy(cosine / tau if cured else cosine * tau, index)

    a, b = two_views(seed)
    error = lambda v, index: F.cross_entropy(v[0] @ v[1].T / 0.07, index)  # noqa: E731
    return Case(Encoder(), (a, b), torch.arange(len(a)), info_nce, adam(2e-3), error, steps=100)


@sick(
    "term-drowns-the-loss",
    family=FAMILY,
    cause="the divergence is summed over the batch and the squared error averaged over the pixels: it outweighs "
    "it at once",
    link="https://github.com/zdebruine/MMVAE/pull/19",
)
def summed_divergence_averaged_error(seed: int, cured: bool) -> Case:
    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
            self.decode = nn.Sequential(nn.Linear(8, 48), nn.ReLU(), nn.Linear(48, 64))

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mean, logvar = self.encode(x).chunk(2, 1)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean) if self.training else mean
            return self.decode(z), mean, logvar

    def elbo(output: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        rebuilt, mean, logvar = output
        divergence = -0.5 * torch.sum(1 + logvar - mean**2 - logvar.exp())
        if cured:
            return (rebuilt - x).square().sum(1).mean() + 0.1 * divergence / len(x)
        return F.mse_loss(rebuilt, x) + divergence

    x, _ = digits(seed)
    flat = x.flatten(1)
    error = lambda o, t: (o[0] - t).square().mean() / t.var(0).mean()  # noqa: E731
    return Case(VAE(), x, flat, elbo, adam(5e-3), error, steps=150)


@sick(
    "term-drowns-the-loss",
    family=FAMILY,
    cause="a weight decay of fifty inside the optimizer outweighs the gradient and takes the weights to zero",
    link="https://github.com/tinghuiz/SfMLearner/issues/34",
)
def decay_that_takes_the_weights(seed: int, cured: bool) -> Case:
    x, y = features(seed)
    net = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 4))
    return Case(net, x, y, F.cross_entropy, adam(5e-3, weight_decay=0.0 if cured else 50.0), misclassified, steps=150)


@sick(
    "loss-flat-where-wrong",
    family=FAMILY,
    cause="the loss counts errors through hard thresholds of the outputs, whose gradient is zero almost everywhere",
    link="https://github.com/tensorlayer/TensorLayer/issues/891",
)
def overlap_of_rounded_outputs(seed: int, cured: bool) -> Case:
    def sorensen(logits: Tensor, t: Tensor) -> Tensor:
        p = logits.sigmoid()
        if not cured:
            p = torch.round(p)
        return 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)

    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    x, y = areas(seed)
    return Case(net, x - 0.5, y, sorensen, adam(2e-2), lambda o, t: ((o > 0) != (t > 0)).float().mean(), steps=80)
