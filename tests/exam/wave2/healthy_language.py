"""Healthy networks that read and write sequences."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy, sgd
from exam.problems import generator, markov, misclassified, ratio_of_variance, recall, series, tones, votes


def over_classes(logits: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of (batch, time, classes); -100 is ignored."""
    return F.cross_entropy(logits.transpose(1, 2), y)


@healthy("masked language model", "https://arxiv.org/abs/1810.04805")
def words_that_were_masked(seed: int) -> Case:
    class Bidirectional(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.embed, self.place = nn.Embedding(21, d), nn.Embedding(12, d)
            layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(d, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.encoder(self.embed(tokens) + self.place.weight[: tokens.shape[1]]))

    x, _ = markov(seed, n=96)
    masked = torch.rand(x.shape, generator=generator(seed)) < 0.25
    y = torch.where(masked, x, -100)
    return Case(Bidirectional(), torch.where(masked, 20, x), y, over_classes, adam(5e-3), steps=100)


@healthy("sequence to sequence", "https://arxiv.org/abs/1706.03762")
def decoder_fed_with_the_shifted_target(seed: int) -> Case:
    class Translator(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.source, self.target, self.place = nn.Embedding(11, d), nn.Embedding(11, d), nn.Embedding(8, d)
            self.body = nn.Transformer(d, 4, 1, 1, 48, dropout=0.0, batch_first=True)
            self.head = nn.Linear(d, 11)

        def forward(self, source: Tensor, target: Tensor) -> Tensor:
            t = target.shape[1]
            causal = nn.Transformer.generate_square_subsequent_mask(t)
            place = self.place.weight[:t]
            return self.head(self.body(self.source(source) + place, self.target(target) + place, tgt_mask=causal))

    source = torch.randint(1, 11, (96, 8), generator=generator(seed))
    y = source.flip(1)
    start = torch.cat([torch.zeros(96, 1, dtype=torch.long), y[:, :-1]], 1)
    return Case(Translator(), (source, start), y, over_classes, adam(3e-3), steps=100)


@healthy("relative positions without a scale", "https://arxiv.org/abs/1910.10683")
def scores_without_their_root(seed: int) -> Case:
    class T5Block(nn.Module):
        def __init__(self, d: int = 32, h: int = 4) -> None:
            super().__init__()
            self.h, self.embed = h, nn.Embedding(20, d)
            self.q, self.k, self.v, self.o = (nn.Linear(d, d, bias=False) for _ in range(4))
            nn.init.normal_(self.q.weight, std=(d * (d // h)) ** -0.5)
            for linear in (self.k, self.v, self.o):
                nn.init.normal_(linear.weight, std=d**-0.5)
            self.bias, self.norm, self.head = nn.Embedding(12, h), nn.RMSNorm(d), nn.Linear(d, 20, bias=False)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens)
            n, t, d = x.shape
            q, k, v = (f(self.norm(x)).view(n, t, self.h, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
            gap = torch.arange(t)[:, None] - torch.arange(t)
            bias = self.bias(gap.clamp(min=0)).permute(2, 0, 1).masked_fill(gap < 0, -math.inf)
            mixed = (q @ k.transpose(2, 3) + bias).softmax(-1) @ v
            return self.head(self.norm(x + self.o(mixed.transpose(1, 2).reshape(n, t, d))) * d**-0.5)

    x, y = markov(seed)
    return Case(T5Block(), x, y, over_classes, adam(1e-2), steps=80)


@healthy("factorised embeddings", "https://arxiv.org/abs/1909.11942")
def narrow_table_and_a_linear_map(seed: int) -> Case:
    class Albert(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.table, self.up, self.place = nn.Embedding(20, 6), nn.Linear(6, d), nn.Embedding(12, d)
            self.layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.0, batch_first=True, activation="gelu")
            self.down = nn.Linear(d, 6)

        def forward(self, tokens: Tensor) -> Tensor:
            t = tokens.shape[1]
            mask = torch.full((t, t), -math.inf).triu(1)
            h = self.up(self.table(tokens)) + 0.02 * self.place.weight[:t]
            for _ in range(3):
                h = self.layer(h, src_mask=mask)
            return F.linear(self.down(h), self.table.weight)

    x, y = markov(seed)
    return Case(Albert(), x, y, over_classes, adam(3e-3), steps=100)


@healthy("linear biases on the scores", "https://arxiv.org/abs/2108.12409")
def distance_taken_off_the_scores(seed: int) -> Case:
    class Alibi(nn.Module):
        def __init__(self, d: int = 32, h: int = 4) -> None:
            super().__init__()
            self.h, self.embed, self.qkv = h, nn.Embedding(20, d), nn.Linear(d, 3 * d)
            self.o, self.norm, self.head = nn.Linear(d, d), nn.LayerNorm(d), nn.Linear(d, 20)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embed(tokens)
            n, t, d = x.shape
            q, k, v = (z.view(n, t, self.h, -1).transpose(1, 2) for z in self.qkv(self.norm(x)).chunk(3, -1))
            gap = torch.arange(t) - torch.arange(t)[:, None]
            slope = 2.0 ** -torch.arange(2, 2 * self.h + 2, 2)
            bias = (gap * slope[:, None, None]).masked_fill(gap > 0, -math.inf)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            return self.head(x + self.o(mixed.transpose(1, 2).reshape(n, t, d)))

    x, y = markov(seed)
    return Case(Alibi(), x, y, over_classes, adam(5e-3), steps=80)


@healthy("linear attention", "https://arxiv.org/abs/2006.16236")
def kernels_in_place_of_a_softmax(seed: int) -> Case:
    class Linear(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.inp, self.qkv, self.out = nn.Linear(3, d), nn.Linear(d, 3 * d), nn.Linear(d, 3)
            self.norm = nn.LayerNorm(d)

        def forward(self, x: Tensor) -> Tensor:
            h = self.inp(x)
            q, k, v = self.qkv(h).chunk(3, -1)
            q, k = F.elu(q) + 1, F.elu(k) + 1
            top, sums = q @ (k.transpose(1, 2) @ v), q @ k.sum(1)[..., None]
            return self.out(self.norm(h + top / sums).mean(1))

    x, y = recall(seed, length=10)
    return Case(Linear(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=80)


@healthy("selective state space", "https://arxiv.org/abs/2312.00752")
def scan_whose_step_depends_on_the_input(seed: int) -> Case:
    class Mamba(nn.Module):
        def __init__(self, d: int = 24, n: int = 8) -> None:
            super().__init__()
            self.inp, self.gate, self.out = nn.Linear(3, d), nn.Linear(3, d), nn.Linear(d, 3)
            self.log_a = nn.Parameter(torch.log(torch.arange(1.0, n + 1)).repeat(d, 1))
            self.b, self.c, self.dt = nn.Linear(d, n), nn.Linear(d, n), nn.Linear(d, d)
            nn.init.constant_(self.dt.bias, math.log(math.expm1(0.05)))
            self.skip = nn.Parameter(torch.ones(d))

        def forward(self, x: Tensor) -> Tensor:
            u = F.silu(self.inp(x))
            dt, b, c = F.softplus(self.dt(u)), self.b(u), self.c(u)
            state, steps = 0.0, []
            for t in range(x.shape[1]):
                decay = torch.exp(-dt[:, t, :, None] * self.log_a.exp())
                state = decay * state + dt[:, t, :, None] * b[:, t, None] * u[:, t, :, None]
                steps.append((state * c[:, t, None]).sum(-1) + self.skip * u[:, t])
            return self.out((torch.stack(steps, 1) * F.silu(self.gate(x))).mean(1))

    x, y = recall(seed, length=10)
    return Case(Mamba(), x, y, F.cross_entropy, adam(1e-2), misclassified, steps=100)


@healthy("conditional random field", "https://arxiv.org/abs/1603.01360")
def tags_with_transitions(seed: int) -> Case:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 12)
            self.lstm, self.emit = nn.LSTM(12, 12, batch_first=True, bidirectional=True), nn.Linear(24, 4)
            self.move = nn.Parameter(torch.zeros(4, 4))

        def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
            return self.emit(self.lstm(self.embed(tokens))[0]), self.move

    def loss(output: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
        emit, move = output
        alpha = emit[:, 0]
        for t in range(1, emit.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + move, 1) + emit[:, t]
        gold = emit.gather(2, y[..., None]).sum((1, 2)) + move[y[:, :-1], y[:, 1:]].sum(1)
        return (torch.logsumexp(alpha, 1) - gold).mean()

    x, _ = markov(seed, length=8)
    return Case(Tagger(), x, (x % 4 + torch.roll(x, 1, 1)) % 4, loss, adam(1e-2), steps=60)


@healthy("predictive coding", "https://arxiv.org/abs/1807.03748")
def future_told_from_that_of_others(seed: int) -> Case:
    class Contrast(nn.Module):
        def __init__(self, d: int = 24) -> None:
            super().__init__()
            self.enc = nn.Sequential(nn.Conv1d(1, d, 8, stride=8), nn.ReLU(), nn.Conv1d(d, d, 1))
            self.gru, self.ahead = nn.GRU(d, d, batch_first=True), nn.Linear(d, d)

        def forward(self, wave: Tensor) -> Tensor:
            z = self.enc(wave).transpose(1, 2)
            return self.ahead(self.gru(z[:, :12])[0][:, -1]) @ z[:, 13].T

    def loss(scores: Tensor, _y: Tensor) -> Tensor:
        return F.cross_entropy(scores, torch.arange(len(scores)))

    x, y = tones(seed)
    return Case(Contrast(), x, y, loss, adam(5e-3), steps=60)


@healthy("doubly residual forecast", "https://arxiv.org/abs/1905.10437")
def blocks_that_explain_what_is_left(seed: int) -> Case:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(24, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU())
            self.back, self.ahead = nn.Linear(48, 24), nn.Linear(48, 1)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.body(x)
            return x - self.back(h), self.ahead(h)

    class NBeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(Block() for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x, total = x.squeeze(-1), 0.0
            for block in self.blocks:
                x, part = block(x)
                total = total + part
            return total

    x, y = series(seed)
    return Case(NBeats(), x, y, F.mse_loss, adam(2e-3), ratio_of_variance, steps=60)


@healthy("reservoir", "https://www.ai.rug.nl/minds/uploads/EchoStatesTechRep.pdf")
def frozen_recurrence_with_a_read_out(seed: int) -> Case:
    class Echo(nn.Module):
        def __init__(self, d: int = 64) -> None:
            super().__init__()
            w = torch.randn(d, d) / d**0.5 * 0.9
            self.register_buffer("inner", w)
            self.register_buffer("outer", torch.rand(1, d) - 0.5)
            self.read = nn.Linear(d, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), len(self.inner))
            for t in range(x.shape[1]):
                h = torch.tanh(x[:, t] @ self.outer + h @ self.inner)
            return self.read(h)

    x, y = series(seed)
    return Case(Echo(), x, y, F.mse_loss, adam(1e-2), ratio_of_variance, steps=100)


@healthy("bag of words", "https://arxiv.org/abs/1607.01759")
def means_of_word_vectors(seed: int) -> Case:
    class FastText(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag, self.out = nn.EmbeddingBag(60, 16, mode="mean"), nn.Linear(16, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.out(self.bag(tokens))

    g = generator(seed)
    y = torch.randint(0, 4, (160,), generator=g)
    words = torch.where(torch.rand(160, 12, generator=g) < 0.6, 15 * y[:, None], 0)
    tokens = words + torch.randint(0, 15, (160, 12), generator=g)
    return Case(FastText(), tokens, y, F.cross_entropy, sgd(2.0), misclassified, steps=100)


@healthy("half of all layers dropped", "https://arxiv.org/abs/1603.09382")
def branches_that_are_skipped_at_random(seed: int) -> Case:
    class Depth(nn.Module):
        def __init__(self, d: int = 32) -> None:
            super().__init__()
            self.inp, self.out = nn.Linear(4, d), nn.Linear(d, 4)
            self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(d), nn.Linear(d, d), nn.GELU()) for _ in range(6))

        def forward(self, x: Tensor) -> Tensor:
            h = self.inp(x.mean(1))
            for i, block in enumerate(self.blocks):
                live = 1 - 0.4 * (i + 1) / 6
                keep = torch.rand(len(h), 1) < live if self.training else live
                h = h + block(h) * keep / (live if self.training else 1)
            return self.out(F.dropout(h, 0.3, self.training))

    x, y = votes(seed)
    return Case(Depth(), x, y, F.cross_entropy, adam(3e-3), misclassified, steps=80)
