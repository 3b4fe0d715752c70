"""Text: encoders, pairs of sequences, classifiers and word vectors."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from starts_exam.case import Case, Data, accuracy, adam, adamw, cross_entropy, held_out_objective
from starts_exam.sources import generator, halves, markov_text

__all__ = ["TEXT"]


# A masked language model: post-norm blocks, three tables that are added and normalised, a tied decoder.
class Bert(nn.Module):
    def __init__(self, symbols: int = 32, d: int = 32, length: int = 16) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(symbols + 1, d, padding_idx=None)
        self.position_embeddings, self.token_type_embeddings = nn.Embedding(length, d), nn.Embedding(2, d)
        self.norm, self.dropout = nn.LayerNorm(d, eps=1e-12), nn.Dropout(0.1)
        layer = nn.TransformerEncoderLayer(d, 4, 4 * d, dropout=0.1, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.transform, self.transform_norm = nn.Linear(d, d), nn.LayerNorm(d, eps=1e-12)
        self.bias = nn.Parameter(torch.zeros(symbols + 1))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.data.normal_(mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.data.zero_()
            if isinstance(module, nn.MultiheadAttention):
                module.in_proj_weight.data.normal_(mean=0.0, std=0.02)

    def forward(self, tokens, segments):
        positions = self.position_embeddings(torch.arange(tokens.shape[1]))
        x = self.word_embeddings(tokens) + positions + self.token_type_embeddings(segments)
        x = self.encoder(self.dropout(self.norm(x)))
        x = self.transform_norm(F.gelu(self.transform(x)))
        return (x @ self.word_embeddings.weight.T + self.bias).transpose(1, 2)


def masked_text(seed: int) -> Data:
    """A third of the symbols of cyclic texts (each symbol follows its predecessor by 1 or 5) is hidden."""
    g = generator(seed)
    start, step = torch.randint(0, 32, (1152, 1), generator=g), torch.randint(0, 2, (1152, 1), generator=g) * 4 + 1
    text = (start + step * torch.arange(16)) % 32
    hidden = torch.rand(text.shape, generator=g) < 0.3
    hidden[:, 0] = True
    segments = (torch.arange(16) >= 8).long().expand_as(text)
    return halves((text.masked_fill(hidden, 32), segments), text.masked_fill(~hidden, -100), 128, seed)


# Translation with torch.nn.Transformer: tables scaled by √d, sinusoidal positions, Xavier for every matrix.
class Translator(nn.Module):
    def __init__(self, symbols: int = 20, d: int = 32) -> None:
        super().__init__()
        self.d = d
        self.source, self.target = nn.Embedding(symbols, d), nn.Embedding(symbols, d)
        self.transformer = nn.Transformer(d, 4, 1, 1, 64, dropout=0.0, batch_first=True)
        self.generator = nn.Linear(d, symbols)
        position = torch.arange(16)[:, None] * torch.exp(-torch.arange(0, d, 2) * math.log(1e4) / d)
        self.register_buffer("pe", torch.stack([position.sin(), position.cos()], -1).flatten(1))
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.xavier_uniform_(p)

    def embedded(self, table, tokens):
        return table(tokens) * math.sqrt(self.d) + self.pe[: tokens.shape[1]]

    def forward(self, src, tgt):
        t = tgt.shape[1]
        mask = torch.ones(t, t, dtype=torch.bool).triu(1)
        out = self.transformer(self.embedded(self.source, src), self.embedded(self.target, tgt), tgt_mask=mask)
        return self.generator(out).transpose(1, 2)


def reversal(seed: int) -> Data:
    """Write seven symbols backwards, each moved up by one; symbol 0 begins the answer."""
    g = generator(seed)
    source = torch.randint(1, 20, (1664, 7), generator=g)
    answer = source.flip(1) % 19 + 1
    begun = torch.cat([torch.zeros(1664, 1, dtype=torch.long), answer[:, :-1]], 1)
    return halves((source, begun), answer, 128, seed)


# Attention over a recurrent encoder (Bahdanau 2015), as tutorials write it.
class AttentionSeq2Seq(nn.Module):
    def __init__(self, symbols: int = 20, d: int = 32) -> None:
        super().__init__()
        self.embedding, self.encoder = nn.Embedding(symbols, d), nn.GRU(d, d, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * d, d)
        self.W_enc, self.W_dec, self.v = nn.Linear(2 * d, d), nn.Linear(d, d), nn.Linear(d, 1, bias=False)
        self.decoder, self.out = nn.GRUCell(3 * d, d), nn.Linear(3 * d, symbols)

    def forward(self, src, tgt):
        memory, last = self.encoder(self.embedding(src))
        state = torch.tanh(self.bridge(torch.cat([last[0], last[1]], 1)))
        logits = []
        for symbol in self.embedding(tgt).unbind(1):
            scores = self.v(torch.tanh(self.W_enc(memory) + self.W_dec(state)[:, None])).squeeze(-1)
            context = (scores.softmax(1)[..., None] * memory).sum(1)
            state = self.decoder(torch.cat([symbol, context], 1), state)
            logits.append(self.out(torch.cat([state, context], 1)))
        return torch.stack(logits, 2)


# Topics: texts of unordered words, one of six topics each with words of its own.
def topics(seed: int) -> Data:
    g = generator(seed)
    y = torch.randint(0, 6, (1200,), generator=g)
    own = torch.randint(0, 200, (6, 12), generator=g)
    common = torch.randint(0, 200, (1200, 20), generator=g)
    chosen = own[y].gather(1, torch.randint(0, 12, (1200, 20), generator=g))
    return halves(torch.where(torch.rand(1200, 20, generator=g) < 0.25, chosen, common), y, 300, seed)


class FastText(nn.Module):
    """The text classifier of PyTorch's tutorials: a mean of embeddings and a linear layer, uniform ±0.5."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.fc = nn.EmbeddingBag(200, 32), nn.Linear(32, 6)
        self.embedding.weight.data.uniform_(-0.5, 0.5)
        self.fc.weight.data.uniform_(-0.5, 0.5)
        self.fc.bias.data.zero_()

    def forward(self, words):
        return self.fc(self.embedding(words))


class TextCnn(nn.Module):
    """Convolutions of three widths with the largest value over time (Kim 2014); the head by Xavier."""

    def __init__(self, symbols: int = 48, d: int = 24) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, d)
        nn.init.uniform_(self.embed.weight, -0.25, 0.25)
        self.convs = nn.ModuleList(nn.Conv1d(d, 16, width) for width in (3, 4, 5))
        self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(48, 4)
        nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, tokens):
        x = self.embed(tokens).transpose(1, 2)
        return self.fc(self.dropout(torch.cat([F.relu(conv(x)).amax(2) for conv in self.convs], 1)))


def phrases(seed: int) -> Data:
    """One of four phrases of three symbols stands somewhere in twenty random symbols."""
    g = generator(seed)
    x, y = torch.randint(0, 48, (1500, 20), generator=g), torch.randint(0, 4, (1500,), generator=g)
    phrase, place = torch.randint(0, 48, (4, 3), generator=g), torch.randint(0, 18, (1500, 1), generator=g)
    return halves(x.scatter(1, place + torch.arange(3), phrase[y]), y, 300, seed)


# Word vectors: skip-gram with negative samples; the outer table starts at zero, as in the original program.
class SkipGram(nn.Module):
    def __init__(self, symbols: int = 48, d: int = 24) -> None:
        super().__init__()
        self.inner, self.outer = nn.Embedding(symbols, d), nn.Embedding(symbols, d)
        nn.init.uniform_(self.inner.weight, -0.5 / d, 0.5 / d)
        nn.init.zeros_(self.outer.weight)

    def forward(self, centre, others):
        return (self.outer(others) * self.inner(centre)[:, None]).sum(-1)


def word_pairs(seed: int) -> Data:
    """Neighbours in a text against four words at random: the first column is the true one."""
    text = markov_text(seed)
    g = generator(seed)

    def samples(tokens, labels):
        centre, true = tokens.flatten(), labels.flatten()
        return centre, torch.cat([true[:, None], torch.randint(0, 48, (len(true), 4), generator=g)], 1)

    held = samples(text.x_held, text.y_held)
    x = samples(text.x, text.y)
    return Data(x, torch.zeros(len(x[0])), held, torch.zeros(len(held[0])))


def negative_sampling(model, x, _):
    scores = model(*x)
    return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(1)).mean()


TEXT = (
    Case(
        name="bert-masked", field="language", build=Bert, data=masked_text, loss=F.cross_entropy, optimizer=adamw,
        rate=3e-3, steps=300, batch=24, metric=cross_entropy(32), clip=1.0,
    ),
    Case(
        name="translator", field="language", build=Translator, data=reversal, loss=F.cross_entropy,
        optimizer=lambda p, rate: torch.optim.Adam(p, lr=rate, betas=(0.9, 0.98), eps=1e-9), rate=3e-3, steps=200,
        batch=24, metric=cross_entropy(19),
    ),
    Case(
        name="seq2seq-attention", field="language", build=AttentionSeq2Seq, data=reversal, loss=F.cross_entropy,
        optimizer=adam, rate=5e-3, steps=150, clip=1.0, metric=cross_entropy(19),
    ),
    Case(
        name="fasttext", field="language", build=FastText, data=topics, loss=F.cross_entropy,
        optimizer=lambda p, rate: torch.optim.SGD(p, lr=rate), rate=5.0, steps=300, metric=accuracy(6), batch=64,
        clip=0.1,
    ),
    Case(
        name="textcnn", field="language", build=TextCnn, data=phrases, loss=F.cross_entropy, optimizer=adam, rate=3e-3,
        steps=300, metric=accuracy(4),
    ),
    Case(
        name="skip-gram", field="language", build=SkipGram, data=word_pairs, objective=negative_sampling,
        optimizer=adam, rate=1e-2, steps=400, batch=256, metric=held_out_objective(negative_sampling, 5 * math.log(2)),
    ),
)  # fmt: skip
