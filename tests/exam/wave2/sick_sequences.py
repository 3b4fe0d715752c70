"""Faults in networks that read sequences."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, sick
from exam.problems import generator, markov, misclassified, recall

NEXT = "next token"


def padded(seed: int, n: int = 64, length: int = 10) -> tuple[Tensor, Tensor]:
    """Tokens (n, length) of 1 to 8, padded by 0 behind a random end, and the most frequent half of them (n,)."""
    g = generator(seed)
    tokens = torch.randint(1, 9, (n, length), generator=g)
    ends = torch.randint(4, length, (n, 1), generator=g)
    keep = torch.arange(length) < ends
    y = ((tokens > 4) & keep).sum(1) * 2 > keep.sum(1)
    return tokens * keep, y.long()


class Attend(nn.Module):
    """Single-head attention whose scores are masked by a boolean tensor, true where a key may be seen."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        scores = (q @ k.transpose(1, 2) / x.shape[-1] ** 0.5).masked_fill(~seen, -math.inf)
        return self.out(scores.softmax(-1) @ v)


def circle(seed: int, n: int = 64, length: int = 12) -> tuple[Tensor, Tensor]:
    """Sequences (n, length) that walk around a circle of 20 tokens, with a tenth of jumps, and the next tokens."""
    g = generator(seed)
    order = torch.randperm(20, generator=g)
    after = torch.empty_like(order)
    after[order] = order.roll(1)
    tokens = torch.randint(0, 20, (n, 1), generator=g)
    for _ in range(length):
        jump = torch.randint(0, 20, (n,), generator=g)
        step = torch.where(torch.rand(n, generator=g) < 0.1, jump, after[tokens[:, -1]])
        tokens = torch.cat([tokens, step[:, None]], 1)
    return tokens[:, :-1], tokens[:, 1:]


def last_tokens(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of the next token where the model sees no more than the text before it."""
    loss = [F.cross_entropy(model(x[:, : t + 1])[:, -1], y[:, t]) for t in range(2, x.shape[1])]
    return torch.stack(loss).mean()


@sick(
    "non-finite",
    family="masks",
    cause="the padding mask is laid over the queries: a padded query sees no key at all, and its softmax is 0 / 0",
    place=("attend",),
    link="https://github.com/hyunwoongko/transformer/pull/40",
)
def padding_laid_over_the_queries(seed: int, cured: bool) -> Case:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.attend, self.head = nn.Embedding(9, 16), Attend(16), nn.Linear(16, 2)

        def forward(self, tokens: Tensor) -> Tensor:
            keep = tokens != 0
            h = self.attend(self.embed(tokens), keep[:, None] if cured else keep[:, :, None])
            return self.head((h * keep[..., None]).sum(1) / keep.sum(1, keepdim=True))

    x, y = padded(seed)
    return Case(Reader(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=60)


@sick(
    "inputs-ignored",
    family="masks",
    cause="the mask says which tokens to keep and is used as the mask of those to hide: only the padding is read",
    place=("pool",),
    link="https://github.com/InseeFrLab/torchTextClassifiers/pull/92",
)
def labels_attend_to_the_padding(seed: int, cured: bool) -> Case:
    class LabelAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.label = nn.Embedding(10, 16), nn.Parameter(torch.randn(2, 16))
            self.pool, self.head = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(16, 1)

        def forward(self, tokens: Tensor) -> Tensor:
            words = self.embed(tokens)
            hidden = tokens == 0 if cured else tokens != 0
            query = self.label.expand(len(tokens), -1, -1)
            return self.head(self.pool(query, words, words, key_padding_mask=hidden, need_weights=False)[0]).squeeze(-1)

    x, y = padded(seed)
    return Case(LabelAttention(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=80)


@sick(
    "positions-lost",
    family="positions",
    cause="one row of the position table, that of the length, is added to every position: the order is lost",
    visible=False,
    link="https://github.com/DiffPoseTalk/DiffPoseTalk/issues/20",
)
def one_position_for_all_tokens(seed: int, cured: bool) -> Case:
    class Reader(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.inp, self.table = nn.Linear(3, d), nn.Parameter(torch.randn(1, 16, d))
            layer = nn.TransformerEncoderLayer(d, 4, 48, dropout=0.0, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(d, 2)

        def forward(self, x: Tensor) -> Tensor:
            t = x.shape[1]
            h = self.inp(x) + (self.table[:, :t] if cured else self.table[:, t])
            return self.head(self.encoder(h).mean(1))

    g = generator(seed)
    x, new = torch.randn(256, 8, 3, generator=g), torch.randn(256, 8, 3, generator=g)

    def evaluate(model: nn.Module, _x: Tensor, _y: Tensor) -> Tensor:
        return misclassified(model(new), (new[:, 0, 0] > new[:, 4, 0]).long())

    y = (x[:, 0, 0] > x[:, 4, 0]).long()
    return Case(Reader(), x, y, F.cross_entropy, adam(3e-3), evaluate=evaluate, steps=100)


@sick(
    "inputs-ignored",
    family="positions",
    cause="times between 0 and 1 go into waves made for times up to 1000: nine of ten waves stand still, and the time "
    "has no influence beside the state",
    place=("time",),
    link="https://github.com/ArchiMickey/Just-a-DiT/pull/9",
)
def time_that_stands_still(seed: int, cured: bool) -> Case:
    class Velocity(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.time, self.inp = nn.Linear(d, d), nn.Linear(4, d)
            self.out = nn.Sequential(nn.SiLU(), nn.Linear(d, d), nn.SiLU(), nn.Linear(d, 4))
            self.register_buffer("rate", torch.exp(-math.log(1e4) * torch.arange(d // 2) / (d // 2)))

        def forward(self, state: Tensor, time: Tensor) -> Tensor:
            angle = time[:, None] * (self.rate * 1000 if cured else self.rate * 0.1)
            return self.out(self.inp(state) + self.time(torch.cat([angle.sin(), angle.cos()], -1)))

    g = generator(seed)
    state, time = torch.randn(128, 4, generator=g), torch.rand(128, generator=g)
    phase = (time * 60).sin()[:, None]
    return Case(Velocity(), (state, time), phase * state.sign(), F.mse_loss, adam(3e-3), steps=250)


@sick(
    "target-leaks",
    family="target in the input",
    cause="the decoder's attention is not causal: each position sees the next token, which is its label",
    link="https://github.com/huggingface/transformers/issues/48745",
)
def future_within_reach(seed: int, cured: bool) -> Case:
    class Decoder(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.embed, self.place = nn.Embedding(20, d), nn.Embedding(12, d)
            self.norm, self.attend, self.head = nn.LayerNorm(d), Attend(d), nn.Linear(d, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            t = tokens.shape[1]
            seen = torch.ones(t, t, dtype=torch.bool)
            h = self.embed(tokens) + self.place.weight[:t]
            h = h + self.attend(self.norm(h), seen.tril() if cured else seen)
            return self.head(h)

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), y)

    x, y = markov(seed)
    return Case(Decoder(), x, y, loss, adam(1e-2), evaluate=last_tokens, steps=150)


@sick(
    "target-leaks",
    family="target in the input",
    cause="the labels are the input tokens themselves and nothing shifts them: the network learns to copy",
    link="https://github.com/huggingface/transformers/issues/27517",
)
def labels_that_are_the_tokens(seed: int, cured: bool) -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(20, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.gru(self.embed(tokens))[0])

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(logits.transpose(1, 2), y)

    x, y = markov(seed)

    def evaluate(model: nn.Module, _x: Tensor, _y: Tensor) -> Tensor:
        return last_tokens(model, x, y)

    return Case(Recurrent(), x, y if cured else x, loss, adam(1e-2), evaluate=evaluate, steps=80)


@sick(
    "target-shifted",
    family="target in the input",
    cause="both the caller and the model shift the labels: the network is trained for the token after the next",
    visible=False,
    link="https://github.com/huggingface/transformers/issues/47394",
)
def labels_shifted_twice(seed: int, cured: bool) -> Case:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.gru, self.head = nn.Embedding(20, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.gru(self.embed(tokens))[0])

    def loss(logits: Tensor, y: Tensor) -> Tensor:
        if cured:
            return F.cross_entropy(logits.transpose(1, 2), y)
        return F.cross_entropy(logits[:, :-1].transpose(1, 2), y[:, 1:])

    x, y = circle(seed)
    return Case(Recurrent(), x, y, loss, adam(1e-2), evaluate=last_tokens, steps=80)


@sick(
    "inputs-collapse",
    family="residual stream",
    cause="the attended values replace the stream and are then added to themselves: no skip around attention, so that "
    "layer after layer all tokens become one",
    place=("layers",),
    link="https://github.com/kyegomez/BitNet/issues/32",
)
def stream_added_to_itself(seed: int, cured: bool) -> Case:
    class Transformer(nn.Module):
        def __init__(self, d: int = 16) -> None:
            super().__init__()
            self.inp, self.head = nn.Linear(3, d), nn.Linear(d, 3)
            self.layers = nn.ModuleList(Attend(d) for _ in range(16))
            self.feed = nn.ModuleList(nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU()) for _ in range(16))

        def forward(self, x: Tensor) -> Tensor:
            h, seen = self.inp(x), torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
            for attend, feed in zip(self.layers, self.feed, strict=True):
                a = attend(h, seen)
                h = h + a if cured else a + a
                h = feed(h) + h
            return self.head(h[:, 0])

    x, y = recall(seed, length=12)
    return Case(Transformer(), x, y, F.cross_entropy, adam(1e-3), misclassified, steps=30)


@sick(
    "softmax-single-unit",
    family="gates",
    cause="the gate normalises the scores of the one expert that was chosen: the weight is always one, and the gate "
    "has no gradient",
    place=("gate",),
    link="https://github.com/davidmrau/mixture-of-experts/issues/27",
)
def gate_over_the_chosen_expert(seed: int, cured: bool) -> Case:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(12, 4, bias=False)
            self.experts = nn.ModuleList(nn.Linear(12, 2) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            scores = self.gate(x).softmax(1) if cured else self.gate(x)
            top, index = scores.topk(1, 1)
            weight = top if cured else top.softmax(1)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * every.gather(1, index[..., None].expand(-1, -1, 2)).squeeze(1)

    x = torch.randn(256, 12, generator=generator(seed))
    side = torch.where(x[:, 0] > 0, x[:, 1], -x[:, 1])
    return Case(Experts(), x, (side > 0).long(), F.cross_entropy, adam(2e-2), misclassified, steps=200)


@sick(
    "softmax-single-unit",
    family="gates",
    cause="the attention scores are normalised over the score axis of size one instead of over time: every weight is "
    "one",
    place=("score",),
    link="https://github.com/xhuang31/KEQA_WSDM19/issues/2",
)
def every_word_weighs_one(seed: int, cured: bool) -> Case:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
            self.value, self.head = nn.Linear(6, 24), nn.Linear(24, 4)

        def forward(self, x: Tensor) -> Tensor:
            weight = self.score(x).softmax(1 if cured else -1)
            return self.head(torch.tanh((weight * self.value(x)).sum(1)))

    g = generator(seed)
    y = torch.randint(0, 4, (160,), generator=g)
    x = torch.randn(160, 24, 6, generator=g)
    at = torch.randint(0, 24, (160,), generator=g)
    x[torch.arange(160), at] = torch.cat([F.one_hot(y, 4) * 3.0, torch.full((160, 2), 3.0)], 1)
    return Case(Reader(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=120)
