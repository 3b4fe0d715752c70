"""Language models: decoders and recurrent ones."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, adamw, cross_entropy
from starts_exam.sources import markov_text, mirrored_text

__all__ = ["LANGUAGE"]


def next_token(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, labels)


def warm_up(step: int, steps: int) -> float:
    """Warm up over a tenth, then follow half a cosine down to a tenth."""
    first = max(steps // 10, 1)
    if step < first:
        return (step + 1) / first
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - first) / (steps - first)))


class CausalSelfAttention(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = (s.view(n, t, self.heads, d // self.heads).transpose(1, 2) for s in self.c_attn(x).split(d, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(n, t, d))


class GptBlock(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.ln_1, self.attn, self.ln_2 = nn.LayerNorm(d), CausalSelfAttention(d, 4), nn.LayerNorm(d)
        self.c_fc, self.c_proj = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class NanoGpt(nn.Module):
    """Tables and weights of 0.02, projections onto the stream of 0.02/√(2N), the head tied to the table."""

    def __init__(self, symbols: int = 48, d: int = 32, blocks: int = 2, length: int = 16) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(symbols, d), nn.Embedding(length, d)
        self.h = nn.ModuleList(GptBlock(d) for _ in range(blocks))
        self.ln_f, self.lm_head = nn.LayerNorm(d), nn.Linear(d, symbols, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * blocks))

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, idx):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x)).transpose(1, 2)


class RmsNorm(nn.Module):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return self.weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions on (batch, heads, time, size)."""
    t, size = x.shape[-2:]
    angle = torch.arange(t)[:, None] * 100.0 ** (-torch.arange(0, size, 2) / size)
    cos, sin = torch.cat([angle, angle], 1).cos(), torch.cat([angle, angle], 1).sin()
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class LlamaBlock(nn.Module):
    def __init__(self, d: int, hidden: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(d, d, bias=False) for _ in range(4))
        self.w1, self.w3, self.w2 = (
            nn.Linear(d, hidden, bias=False), nn.Linear(d, hidden, bias=False), nn.Linear(hidden, d, bias=False)
        )  # fmt: skip
        self.attention_norm, self.ffn_norm = RmsNorm(d), RmsNorm(d)

    def forward(self, x):
        n, t, d = x.shape
        h = self.attention_norm(x)
        q, k, v = (w(h).view(n, t, self.heads, -1).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + self.wo(y.transpose(1, 2).reshape(n, t, d))
        h = self.ffn_norm(x)
        return x + self.w2(F.silu(self.w1(h)) * self.w3(h))


class Llama(nn.Module):
    def __init__(self, symbols: int = 12, d: int = 32, blocks: int = 2) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(symbols, d)
        self.layers = nn.ModuleList(LlamaBlock(d, 88) for _ in range(blocks))
        self.norm, self.output = RmsNorm(d), nn.Linear(d, symbols, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens):
        h = self.tok_embeddings(tokens)
        for layer in self.layers:
            h = layer(h)
        return self.output(self.norm(h)).transpose(1, 2)


class LectureGpt(nn.Module):
    """PyTorch's defaults throughout, tables of unit normals included."""

    def __init__(self, symbols: int = 48, d: int = 32, length: int = 16) -> None:
        super().__init__()
        self.token_embedding_table = nn.Embedding(symbols, d)
        self.position_embedding_table = nn.Embedding(length, d)
        layer = nn.TransformerEncoderLayer(d, 4, 4 * d, dropout=0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.ln_f, self.lm_head = nn.LayerNorm(d), nn.Linear(d, symbols)

    def forward(self, idx):
        t = idx.shape[1]
        x = self.token_embedding_table(idx) + self.position_embedding_table(torch.arange(t))
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        return self.lm_head(self.ln_f(self.blocks(x, mask=mask))).transpose(1, 2)


class WordLstm(nn.Module):
    """The word language model of PyTorch's examples: uniform ±0.1 for table and decoder, LSTM by default."""

    def __init__(self, symbols: int = 48, d: int = 48) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)
        self.encoder, self.rnn, self.decoder = nn.Embedding(symbols, d), nn.LSTM(d, d, 2), nn.Linear(d, symbols)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens):
        output, _ = self.rnn(self.drop(self.encoder(tokens)).transpose(0, 1))
        return self.decoder(self.drop(output)).permute(1, 2, 0)


def palindromes(seed: int):
    return mirrored_text(seed, symbols=12, half=5)


def plain_sgd(parameters, rate):
    return torch.optim.SGD(parameters, lr=rate)


LANGUAGE = (
    Case(
        name="gpt-nano", field="language", build=NanoGpt, data=markov_text, loss=next_token, optimizer=adamw,
        rate=3e-3, steps=250, batch=16, metric=cross_entropy(48), clip=1.0, schedule=warm_up,
    ),
    Case(
        name="llama", field="language", build=Llama, data=palindromes, loss=next_token, optimizer=adamw, rate=3e-3,
        steps=300, batch=16, metric=cross_entropy(12), clip=1.0, schedule=warm_up,
    ),
    Case(
        name="gpt-lecture", field="language", build=LectureGpt, data=markov_text, loss=next_token,
        optimizer=lambda p, rate: torch.optim.AdamW(p, lr=rate), rate=1e-3, steps=300, batch=16,
        metric=cross_entropy(48),
    ),
    Case(
        name="lstm-words", field="language", build=WordLstm, data=markov_text, loss=next_token, optimizer=plain_sgd,
        rate=20.0, steps=300, metric=cross_entropy(48), clip=0.25,
    ),
)  # fmt: skip
