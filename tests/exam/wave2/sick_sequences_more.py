"""More faults in networks that read sequences, and in what their losses are taken over."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import generator, markov, misclassified, recall, tones


@sick(
    "class-axis",
    family="axes of the loss",
    cause="a cross-entropy of one's own normalises (batch, time, classes) over axis 1, which is time",
    link="https://github.com/stanford-cs336/spring2024-assignment2-systems/pull/4",
)
def entropy_over_time(seed: int, cured: bool) -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(20, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.gru(self.embed(tokens))[0])

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        shifted = logits - logits.amax(-1 if cured else 1, keepdim=True)
        logs = shifted - shifted.exp().sum(-1 if cured else 1, keepdim=True).log()
        return -logs.gather(-1, y[..., None]).mean()

    def error(logits: Tensor, y: Tensor) -> Tensor:
        return (logits.argmax(-1) != y).float().mean()

    x, y = markov(seed)
    return Case(Recurrent(), x, y, loss, adam(1e-2), error, steps=60)


@sick(
    "padding-dominates",
    family="masks",
    cause="nine labels of ten are padding and count in the loss like the others: the first steps learn nothing else",
    visible=False,
    link="https://github.com/suriyadeepan/practical_seq2seq/issues/5",
)
def padding_in_the_loss(seed: int, cured: bool) -> Case:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(9, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 9)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.gru(self.embed(tokens))[0])

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), y, ignore_index=0 if cured else -100)

    def error(logits: Tensor, y: Tensor) -> Tensor:
        return (logits.argmax(-1) != y)[y > 0].float().mean()

    g = generator(seed)
    tokens = torch.randint(1, 9, (48, 60), generator=g) * (torch.arange(60) < 4)
    after = torch.randperm(8, generator=g) + 1
    y = torch.where(tokens > 0, after[tokens.clamp(min=1) - 1], 0)
    return Case(Tagger(), tokens, y, loss, adam(5e-3), error, steps=25)


@sick(
    "gradient-cut",
    family="gradient cut",
    cause="position codes were made a constant, together with all that they are added to: nothing in front of them "
    "has a gradient",
    place=("conv", "embed"),
    link="https://github.com/espnet/espnet/pull/465",
)
def front_end_inside_no_grad(seed: int, cured: bool) -> Case:
    class Recognizer(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.conv, self.embed = nn.Conv1d(1, 1, 8, stride=4), nn.Linear(1, d)
            self.register_buffer("codes", 0.1 * torch.randn(31, d))
            layer = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(d, 8)

        def forward(self, wave: Tensor) -> Tensor:
            with torch.set_grad_enabled(cured and torch.is_grad_enabled()):
                h = self.embed(F.relu(self.conv(wave)).transpose(1, 2)) + self.codes
            return self.head(self.encoder(h).mean(1))

    x, y = tones(seed, n=128, classes=8)
    return Case(Recognizer(), x, y, F.cross_entropy, adam(5e-3), misclassified, steps=100)


@sick(
    "sum-drowns-part",
    family="positions",
    cause="position codes are multiplied by the wavelength where they should be divided by it: up to 1e4 times as "
    "large as the tokens that they are added to",
    place=("embed",),
    link="https://github.com/goodfire-ai/spd/pull/88",
)
def positions_multiplied(seed: int, cured: bool) -> Case:
    class Induction(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(20, d), nn.Linear(d, 20)
            wave = 10.0 ** torch.linspace(0, 2, d)
            place = torch.arange(12)[:, None].float()
            self.register_buffer("codes", (place / wave) / 12 if cured else place * wave)
            layer = nn.TransformerEncoderLayer(d, 2, 32, dropout=0.0, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 1)

        def forward(self, tokens: Tensor) -> Tensor:
            mask = torch.full((12, 12), float("-inf")).triu(1)
            return self.out(self.encoder(self.embed(tokens) + self.codes, mask=mask))

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), y)

    x, y = markov(seed)
    return Case(Induction(), x, y, loss, adam(5e-3), steps=80)


@sick(
    "no-gradient-anywhere",
    family="gradient cut",
    cause="the outputs of all steps are stacked and read through .data, which has no history",
    link="https://github.com/facebookresearch/inversecooking/issues/8",
)
def outputs_through_data(seed: int, cured: bool) -> Case:
    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(3, 24), nn.Linear(24, 3)

        def forward(self, x: Tensor) -> Tensor:
            h, steps = x.new_zeros(len(x), 24), []
            for t in range(x.shape[1]):
                h = self.cell(x[:, t], h)
                steps.append(self.head(h))
            logits = torch.stack(steps, 1)
            return (logits if cured else logits.data).mean(1)

    x, y = recall(seed, length=8)
    return Case(Decoder(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=60)
