"""Sequences: mixtures of experts, state space, encoder–decoder, recurrent, linear attention, tables as tokens."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from second_list.case import Case, ids, vectors
from second_list.vision_tokens import Attention, Feed

__all__ = ["SEQUENCES"]

WORDS, WIDTH = 200, 64


class Stream(nn.Module):
    """Words, residual branches with a layer norm in front, a norm and logits."""

    def __init__(self, *branches: nn.Module, width: int = WIDTH, parallel: bool = False) -> None:
        super().__init__()
        self.words, self.parallel = nn.Embedding(WORDS, width), parallel
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in branches)
        self.branches, self.norm, self.out = nn.ModuleList(branches), nn.LayerNorm(width), nn.Linear(width, WORDS)

    def forward(self, ids):
        x = self.words(ids)
        for norm, branch in zip(self.norms, self.branches, strict=True):
            x = x + branch(norm(x))
        return self.out(self.norm(x))


class Both(nn.Module):
    """Attention and a perceptron of the same input, added up."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.attention, self.feed = Attention(width), Feed(width)

    def forward(self, x):
        return self.attention(x) + self.feed(x)


class Experts(nn.Module):
    """A router chooses two of four experts; all are computed, the others weigh nothing."""

    def __init__(self, width: int = WIDTH, count: int = 4) -> None:
        super().__init__()
        self.router, self.experts = nn.Linear(width, count), nn.ModuleList(Feed(width, 2) for _ in range(count))

    def forward(self, x):
        weights = self.router(x).softmax(-1)
        best = weights.topk(2, -1).values[..., -1:]
        weights = torch.where(weights >= best, weights, torch.zeros_like(weights))
        weights = weights / weights.sum(-1, keepdim=True)
        return sum(weights[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))


class SoftExperts(nn.Module):
    """Slots are mixtures of tokens, and tokens mixtures of the experts' outputs."""

    def __init__(self, width: int = WIDTH, count: int = 4, slots: int = 4) -> None:
        super().__init__()
        self.phi = nn.Parameter(torch.randn(width, count * slots) / math.sqrt(width))
        self.experts, self.count = nn.ModuleList(Feed(width, 2) for _ in range(count)), count

    def forward(self, x):
        scores = x @ self.phi
        slots = scores.softmax(1).transpose(1, 2) @ x
        outputs = torch.cat([e(s) for e, s in zip(self.experts, slots.chunk(self.count, 1), strict=True)], 1)
        return scores.softmax(2) @ outputs


class StateSpace(nn.Module):
    """A diagonal linear recurrence as a long convolution, an activation, and a gate."""

    def __init__(self, width: int = WIDTH, states: int = 8) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.rand(width, states).mul(3).sub(3))
        self.c, self.skip = (
            nn.Parameter(torch.randn(width, states) / math.sqrt(states)),
            nn.Parameter(torch.ones(width)),
        )
        self.out = nn.Linear(width, 2 * width)

    def forward(self, x):
        steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        kernel = (self.c[..., None] * torch.exp(-self.decay.exp()[..., None] * steps)).sum(1)
        y = F.conv1d(F.pad(x.transpose(1, 2), (x.shape[1] - 1, 0)), kernel.flip(-1)[:, None], groups=x.shape[2])
        return F.glu(self.out(F.gelu(y.transpose(1, 2) + x * self.skip)), -1)


class LinearAttention(nn.Module):
    """Attention with the feature map elu + 1 in place of the softmax."""

    def __init__(self, width: int = WIDTH, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        whole = q @ k.sum(2, keepdim=True).transpose(-1, -2)
        return self.out((q @ (k.transpose(-1, -2) @ v) / whole).transpose(1, 2).reshape(n, t, c))


class Conformed(nn.Module):
    """The convolution module of conformers: gate, depthwise convolution, batch norm, silu."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.into, self.near = nn.Conv1d(width, 2 * width, 1), nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm, self.out = nn.BatchNorm1d(width), nn.Conv1d(width, width, 1)

    def forward(self, x):
        y = F.glu(self.into(x.transpose(1, 2)), 1)
        return self.out(F.silu(self.norm(self.near(y)))).transpose(1, 2)


class Half(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return 0.5 * self.branch(x)


class Causal(nn.Module):
    """Weight-normed dilated causal convolutions with a skip (temporal convolutional network)."""

    def __init__(self, inputs: int, width: int, dilation: int) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.weight_norm
        self.a = norm(nn.Conv1d(inputs, width, 3, dilation=dilation))
        self.b = norm(nn.Conv1d(width, width, 3, dilation=dilation))
        self.pad, self.skip = 2 * dilation, nn.Conv1d(inputs, width, 1) if inputs != width else nn.Identity()

    def forward(self, x):
        y = F.relu(self.a(F.pad(x, (self.pad, 0))))
        y = F.relu(self.b(F.pad(y, (self.pad, 0))))
        return F.relu(y + self.skip(x))


class Temporal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.head = (
            nn.Sequential(*(Causal(16 if i == 0 else 48, 48, 2**i) for i in range(3))),
            nn.Linear(48, 10),
        )

    def forward(self, x):
        return self.head(self.net(x.transpose(1, 2))[:, :, -1])


class EncoderDecoder(nn.Module):
    """PyTorch's own transformer, encoder and decoder."""

    def __init__(self, *, norm_first: bool) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
        self.net = nn.Transformer(WIDTH, 4, 2, 2, 160, 0.0, batch_first=True, norm_first=norm_first)

    def forward(self, ids):
        x = self.words(ids)
        mask = torch.triu(x.new_full((ids.shape[1], ids.shape[1]), float("-inf")), 1)
        return self.out(self.net(x, x, tgt_mask=mask))


class Translator(nn.Module):
    """An LSTM encoder, an LSTM decoder, and attention of the second over the first."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.one = nn.Embedding(WORDS, WIDTH), nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.two, self.mix = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.Linear(2 * WIDTH, WIDTH)
        self.out = nn.Linear(WIDTH, WORDS)

    def forward(self, ids):
        x = self.words(ids)
        memory, state = self.one(x)
        y, _ = self.two(x, state)
        read = (y @ memory.transpose(1, 2)).softmax(-1) @ memory
        return self.out(torch.tanh(self.mix(torch.cat([y, read], -1))))


class Tagger(nn.Module):
    """Stacked recurrent layers, both directions or with skips, pooled by attention or tag by tag."""

    def __init__(self, kind: type[nn.RNNBase], *, both: bool, skips: bool, pooled: bool) -> None:
        super().__init__()
        width = WIDTH // 2 if both else WIDTH
        self.words = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList(kind(WIDTH, width, batch_first=True, bidirectional=both) for _ in range(3))
        self.skips, self.score = skips, nn.Linear(WIDTH, 1) if pooled else None
        self.out = nn.Linear(WIDTH, 10)

    def forward(self, ids):
        x = self.words(ids)
        for layer in self.layers:
            y = layer(x)[0]
            x = x + y if self.skips else y
        if self.score is not None:
            x = (self.score(torch.tanh(x)).softmax(1) * x).sum(1)
        return self.out(x)


class TableTokens(nn.Module):
    """Numbers as tokens (a vector and a shift for each column), a class token, blocks, and a head at the token."""

    def __init__(self, columns: int = 12, depth: int = 3) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(torch.empty(columns, WIDTH).uniform_(-1 / 8, 1 / 8)) for _ in range(2))
        self.token = nn.Parameter(torch.empty(1, 1, WIDTH).uniform_(-1 / 8, 1 / 8))
        self.attention = nn.ModuleList(Attention(WIDTH) for _ in range(depth))
        self.feed = nn.ModuleList(Feed(WIDTH, 2) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * depth + 1))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, x):
        x = x[..., None] * self.scale + self.shift
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        for i, (attention, feed) in enumerate(zip(self.attention, self.feed, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            x = x + feed(self.norms[2 * i + 1](x))
        return self.head(F.relu(self.norms[-1](x[:, 0])))


class Latents(nn.Module):
    """Learned latents read a long input by attention, then attend to each other (perceiver)."""

    def __init__(self, latents: int = 8) -> None:
        super().__init__()
        self.latents = nn.Parameter(0.02 * torch.randn(latents, WIDTH))
        self.one, self.two, self.three = nn.LayerNorm(16), nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.kv, self.o = nn.Linear(WIDTH, WIDTH), nn.Linear(16, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.attention, self.feed, self.head = Attention(WIDTH), Feed(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x):
        z = self.latents.expand(len(x), -1, -1)
        k, v = self.kv(self.one(x)).chunk(2, -1)
        z = z + self.o((self.q(self.two(z)) @ k.transpose(1, 2) / 8).softmax(-1) @ v)
        z = z + self.attention(self.three(z))
        return self.head((z + self.feed(self.two(z))).mean(1))


class GatedConvolutions(nn.Module):
    """Gated convolutions over words (gated convolutional language model)."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
        self.convs = nn.ModuleList(nn.Conv1d(WIDTH, 2 * WIDTH, 4) for _ in range(4))

    def forward(self, ids):
        x = self.words(ids).transpose(1, 2)
        for conv in self.convs:
            x = x + F.glu(conv(F.pad(x, (3, 0))), 1)
        return self.out(x.transpose(1, 2))


def layers(mixer, feed=Feed, depth: int = 3) -> nn.Module:
    return Stream(*(one for _ in range(depth) for one in (mixer(WIDTH), feed(WIDTH))))


SEQUENCES = (
    Case("parallel blocks", "parallel branches", lambda: Stream(*(Both() for _ in range(4))), ids()),
    Case("experts, two of four", "mixture of experts", lambda: layers(Attention, Experts), ids()),
    Case("soft experts", "mixture of experts", lambda: layers(Attention, SoftExperts), ids()),
    Case("state space", "state space", lambda: layers(StateSpace), ids()),
    Case("linear attention", "linear attention", lambda: layers(LinearAttention), ids()),
    Case("conformer", "attention and convolution", lambda: Stream(*(b for _ in range(2) for b in (
        Half(Feed(WIDTH)), Attention(WIDTH), Conformed(), Half(Feed(WIDTH))))), ids()),
    Case("temporal convolutions", "weight norm", Temporal, vectors(32, 16)),
    Case("transformer, norm behind", "encoder–decoder", lambda: EncoderDecoder(norm_first=False), ids(16)),
    Case("transformer, norm before", "encoder–decoder", lambda: EncoderDecoder(norm_first=True), ids(16)),
    Case("translator with attention", "encoder–decoder, recurrent", Translator, ids(16)),
    Case("LSTM both ways, pooled", "recurrent", lambda: Tagger(nn.LSTM, both=True, skips=False, pooled=True), ids(16)),
    Case("GRU with skips", "recurrent", lambda: Tagger(nn.GRU, both=False, skips=True, pooled=False), ids(16)),
    Case("RNN, three layers", "recurrent", lambda: Tagger(nn.RNN, both=False, skips=False, pooled=False), ids(16)),
    Case("table as tokens", "class token", TableTokens, vectors(12), class_token=True),
    Case("latents", "cross attention", Latents, vectors(48, 16)),
    Case("gated convolutions", "gates", GatedConvolutions, ids()),
)  # fmt: skip
