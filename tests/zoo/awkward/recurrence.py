"""Recurrent layers and cells."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gainstage.graph import KernelShape, Role
from zoo.case import Case, Expected, normal

__all__ = ["RECURRENCE"]


class Last(nn.Module):
    """A recurrent layer and a head on what it says last."""

    def __init__(self, layer: nn.Module, width: int, *, sequence_first: bool = False) -> None:
        super().__init__()
        self.layer, self.head = layer, nn.Linear(width, 3)
        self.axis = 0 if sequence_first else 1

    def forward(self, x):
        return self.head(self.layer(x)[0].select(self.axis, -1))


class Unrolled(nn.Module):
    """A cell, step by step."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell, self.head = cell, nn.Linear(6, 3)

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class Packed(nn.Module):
    """Sequences of different lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(5, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True)
        return self.head(out.mean(1))


def gates(count: int, *, times: int = 1, hidden: int = 6, features: int = 5) -> dict[str, str | Expected]:
    return {
        "*.weight_ih_l1*": "recurrent.weight " * times,
        "*.weight_ih*": Expected(
            "recurrent.weight " * times, Role.RECURRENT_INPUT, KernelShape(hidden, features), count
        ),
        "*.weight_hh*": Expected("recurrent.state " * times, Role.RECURRENT, KernelShape(hidden, hidden), count),
        "*.bias_*": Expected("recurrent.bias " * times, Role.RECURRENT_BIAS),
        "head.weight": Expected("linear.weight", Role.HEAD),
        "head.bias": "linear.bias",
    }


SEQUENCE = normal(4, 7, 5)

RECURRENCE = (
    Case("lstm", lambda: Last(nn.LSTM(5, 6, batch_first=True), 6), SEQUENCE, expects=gates(4)),
    Case("gru", lambda: Last(nn.GRU(5, 6, batch_first=True), 6), SEQUENCE, expects=gates(3)),
    Case("rnn", lambda: Last(nn.RNN(5, 6, batch_first=True, nonlinearity="relu"), 6), SEQUENCE, expects=gates(1)),
    Case("sequence first", lambda: Last(nn.LSTM(5, 6), 6, sequence_first=True), normal(7, 4, 5), expects=gates(4)),
    Case(
        "bidirectional lstm of two layers",
        lambda: Last(nn.LSTM(5, 6, num_layers=2, bidirectional=True, batch_first=True, dropout=0.2), 12),
        SEQUENCE,
        expects=gates(4),
    ),
    Case(
        "lstm with a projection",
        lambda: Last(nn.LSTM(5, 6, proj_size=2, batch_first=True), 2),
        SEQUENCE,
        expects={
            "layer.weight_hr_l0": Expected("recurrent.state", kernel=KernelShape(2, 6)),
            "layer.weight_hh_l0": Expected("recurrent.state", Role.RECURRENT, KernelShape(6, 2), 4),
            **gates(4),
        },
    ),
    Case("lstm cell", lambda: Unrolled(nn.LSTMCell(5, 6)), normal(4, 3, 5), expects=gates(4, times=3)),
    Case("gru cell", lambda: Unrolled(nn.GRUCell(5, 6)), normal(4, 3, 5), expects=gates(3, times=3)),
    Case("rnn cell", lambda: Unrolled(nn.RNNCell(5, 6)), normal(4, 3, 5), expects=gates(1, times=3)),
    Case(
        "packed sequences",
        Packed,
        lambda: (torch.randn(4, 7, 5), torch.tensor([7, 3, 5, 2])),
        expects=gates(3),
    ),
)
