"""Labels that can be read off the input, on real networks of three kinds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch.measuring.record import record

TOKENS = torch.randint(0, 12, (16, 9), generator=torch.Generator().manual_seed(0))


class Recurrent(nn.Module):
    def __init__(self, both: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(13, 8)
        self.gru, self.head = nn.GRU(8, 8, batch_first=True, bidirectional=both), nn.Linear(16 if both else 8, 12)

    def forward(self, tokens):
        return self.head(self.gru(self.embed(tokens))[0])


class Convolution(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.pad, self.embed = (2, 0) if causal else (1, 1), nn.Embedding(13, 8)
        self.conv, self.head = nn.Conv1d(8, 8, 3), nn.Conv1d(8, 12, 1)

    def forward(self, tokens):
        return self.head(self.conv(F.pad(self.embed(tokens).transpose(1, 2), self.pad)).relu()).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal, self.embed, self.head = causal, nn.Embedding(13, 8), nn.Linear(8, 12)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, tokens):
        t = tokens.shape[1]
        mask = torch.full((t, t), float("-inf")).triu(1) if self.causal else None
        return self.head(self.layer(self.embed(tokens), src_mask=mask))


class Code(nn.Module):
    """The whole sequence is written from one code of it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.code = nn.Embedding(13, 8), nn.GRU(8, 8, batch_first=True)
        self.write, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 12)

    def forward(self, tokens):
        code = self.code(self.embed(tokens))[0][:, -1:]
        return self.head(self.write(code.expand(-1, tokens.shape[1], -1).contiguous())[0])


def plain(logits, labels):
    return F.cross_entropy(logits.transpose(1, 2), labels)


def shifting(logits, labels):
    return plain(logits[:, :-1], labels[:, 1:])


NEXT = (TOKENS[:, :-1], TOKENS[:, 1:])
HIDDEN = torch.rand(TOKENS.shape, generator=torch.Generator().manual_seed(1)) < 0.6
MASKED = (TOKENS.masked_fill(HIDDEN, 12), TOKENS.masked_fill(~HIDDEN, -100))


@pytest.mark.parametrize(
    ("model", "x", "y", "loss", "leaks"),
    [
        (lambda: Recurrent(both=True), *NEXT, plain, True),
        (lambda: Convolution(causal=False), *NEXT, plain, True),
        (lambda: Attention(causal=False), *NEXT, plain, True),
        (Recurrent, TOKENS, TOKENS, plain, True),
        (lambda: Attention(causal=True), TOKENS, TOKENS, plain, True),
        (Recurrent, *NEXT, plain, False),
        (lambda: Convolution(causal=True), *NEXT, plain, False),
        (lambda: Attention(causal=True), *NEXT, plain, False),
        (Recurrent, TOKENS, TOKENS, shifting, False),
        (Code, TOKENS, TOKENS, plain, False),
        (Recurrent, TOKENS, TOKENS.roll(1, 1), plain, None),
        (lambda: Attention(causal=False), *MASKED, plain, None),
    ],
)
def test_labels_that_the_output_sees_in_the_input(model, x, y, loss, leaks):
    torch.manual_seed(0)
    found = record(model(), x, y, loss=loss).reactions
    assert found is not None
    assert found.copies == (None if leaks is None else 1.0 if leaks else 0.0)
