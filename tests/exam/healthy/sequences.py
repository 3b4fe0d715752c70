"""Networks for text, sound and time series."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exam.case import Case, adam, healthy
from exam.problems import generator, markov, misclassified, recall


@healthy("language model", "https://github.com/karpathy/nanoGPT")
def small_gpt_with_tied_tables(seed: int) -> Case:
    class Block(nn.Module):
        def __init__(self, d: int, layers: int) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.c_attn, self.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
            self.residual = [self.c_proj, self.mlp[2]]

        def forward(self, x: Tensor) -> Tensor:
            n, t, d = x.shape
            q, k, v = (z.view(n, t, 2, d // 2).transpose(1, 2) for z in self.c_attn(self.ln_1(x)).split(d, -1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, d)
            x = x + self.c_proj(y)
            return x + self.mlp(self.ln_2(x))

    class GPT(nn.Module):
        def __init__(self, v: int = 20, t: int = 12, d: int = 32, layers: int = 2) -> None:
            super().__init__()
            self.wte, self.wpe = nn.Embedding(v, d), nn.Embedding(t, d)
            self.h = nn.ModuleList(Block(d, layers) for _ in range(layers))
            self.ln_f, self.lm_head = nn.LayerNorm(d), nn.Linear(d, v, bias=False)
            self.lm_head.weight = self.wte.weight
            for m in self.modules():
                if isinstance(m, nn.Linear | nn.Embedding):
                    nn.init.normal_(m.weight, std=0.02)
                if isinstance(m, nn.Linear) and m.bias is not None:
                    nn.init.zeros_(m.bias)
            for block in self.h:
                for layer in block.residual:
                    nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers))

        def forward(self, idx: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
            for block in self.h:
                x = block(x)
            logits = self.lm_head(self.ln_f(x))
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    x, y = markov(seed)
    optimizer = lambda m: torch.optim.AdamW(m.parameters(), lr=3e-3, betas=(0.9, 0.95))  # noqa: E731
    return Case(GPT(), (x, y), y, lambda out, _: out[1], optimizer, steps=60)


@healthy("recurrent classifier", "https://proceedings.mlr.press/v37/jozefowicz15.html")
def lstm_with_a_forget_bias_of_one(seed: int) -> Case:
    class Sentiment(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(20, 16, padding_idx=0)
            self.lstm = nn.LSTM(16, 24, batch_first=True)
            self.fc = nn.Linear(24, 2)
            with torch.no_grad():
                self.lstm.bias_ih_l0[24:48].fill_(1.0)

        def forward(self, ids: Tensor) -> Tensor:
            _, (h, _) = self.lstm(self.embed(ids))
            return self.fc(h[-1])

    x, _ = markov(seed, n=96)
    return Case(Sentiment(), x, (x.float().mean(1) > 9.5).long(), F.cross_entropy, adam(1e-2), misclassified, steps=60)


@healthy("recurrent tagger, time first", "https://pytorch.org/docs/stable/generated/torch.nn.GRU.html")
def gated_units_with_time_on_axis_zero(seed: int) -> Case:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.tag = nn.GRU(3, 16, num_layers=2, bidirectional=True), nn.Linear(32, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.tag(self.rnn(x)[0])

    x, _ = recall(seed, n=48, length=12)
    x = (x * 2).transpose(0, 1).contiguous()
    y = (x.cumsum(0)[..., 0] > 0).long()
    loss = lambda o, y: F.cross_entropy(o.flatten(0, 1), y.flatten())  # noqa: E731
    return Case(Tagger(), x, y, loss, adam(1e-2), steps=60)


@healthy("translation", "https://arxiv.org/abs/1409.0473")
def sequence_to_sequence_with_attention(seed: int) -> Case:
    class Translator(nn.Module):
        def __init__(self, v: int = 20, d: int = 24) -> None:
            super().__init__()
            self.src, self.tgt = nn.Embedding(v, d), nn.Embedding(v + 1, d)
            self.enc, self.dec = nn.GRU(d, d, batch_first=True), nn.GRUCell(2 * d, d)
            self.score = nn.Sequential(nn.Linear(2 * d, d), nn.Tanh(), nn.Linear(d, 1))
            self.out = nn.Linear(2 * d, v)

        def forward(self, source: Tensor, previous: Tensor) -> Tensor:
            memory, h = self.enc(self.src(source))
            h, outputs = h[0], []
            for t in range(previous.shape[1]):
                query = h.unsqueeze(1).expand_as(memory)
                weight = self.score(torch.cat([query, memory], -1)).softmax(1)
                context = (weight * memory).sum(1)
                h = self.dec(torch.cat([self.tgt(previous[:, t]), context], -1), h)
                outputs.append(self.out(torch.cat([h, context], -1)))
            return torch.stack(outputs, 1).transpose(1, 2)

    x, _ = markov(seed, n=48, length=5)
    y = x.flip(1)
    previous = torch.cat([torch.full((len(y), 1), 20), y[:, :-1]], 1)
    return Case(Translator(), (x, previous), y, F.cross_entropy, adam(1e-2), misclassified, steps=50)


@healthy("text, word vectors", "https://arxiv.org/abs/1310.4546")
def skip_grams_with_negative_samples(seed: int) -> Case:
    class SkipGram(nn.Module):
        def __init__(self, v: int = 20, d: int = 16) -> None:
            super().__init__()
            self.centre, self.context = nn.Embedding(v, d), nn.Embedding(v, d)
            nn.init.uniform_(self.centre.weight, -0.5 / d, 0.5 / d)
            nn.init.zeros_(self.context.weight)

        def forward(self, word: Tensor, others: Tensor) -> Tensor:
            return (self.context(others) @ self.centre(word).unsqueeze(-1)).squeeze(-1)

    x, y = markov(seed)
    word, after = x.flatten(), y.flatten()
    negative = torch.randint(0, 20, (len(word), 4), generator=generator(seed))
    others = torch.cat([after[:, None], negative], 1)
    target = torch.zeros_like(others, dtype=torch.float32)
    target[:, 0] = 1
    return Case(SkipGram(), (word, others), target, F.binary_cross_entropy_with_logits, adam(5e-2), steps=80)


@healthy("masked language model", "https://arxiv.org/abs/1810.04805")
def tokens_behind_a_mask(seed: int) -> Case:
    class Encoder(nn.Module):
        def __init__(self, v: int = 21, d: int = 32) -> None:
            super().__init__()
            self.tok, self.pos = nn.Embedding(v, d), nn.Embedding(12, d)
            nn.init.normal_(self.tok.weight, std=0.02)
            nn.init.normal_(self.pos.weight, std=0.02)
            self.norm = nn.LayerNorm(d)
            layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.1, activation="gelu", batch_first=True)
            self.encoder, self.bias = nn.TransformerEncoder(layer, 2), nn.Parameter(torch.zeros(v))

        def forward(self, ids: Tensor) -> Tensor:
            h = self.norm(self.tok(ids) + self.pos.weight)
            return F.linear(self.encoder(h), self.tok.weight, self.bias).transpose(1, 2)

    x, _ = markov(seed)
    hidden = torch.rand(x.shape, generator=generator(seed)) < 0.2
    y = torch.where(hidden, x, torch.full_like(x, -100))
    loss = nn.CrossEntropyLoss(ignore_index=-100)
    return Case(Encoder(), torch.where(hidden, torch.full_like(x, 20), x), y, loss, adam(5e-3), steps=80)
