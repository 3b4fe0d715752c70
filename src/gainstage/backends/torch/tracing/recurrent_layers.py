"""What PyTorch's recurrent layers say of themselves: kind, gates, directions, and what each of their arrays does."""

from __future__ import annotations

from torch import nn

from gainstage.graph import Slot

__all__ = ["RECURRENT", "blocks_of", "function_of", "settings_of", "slots_of"]

RECURRENT = (nn.RNNBase, nn.RNNCellBase)

_GATES: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str, int], ...] = (
    ((nn.LSTM, nn.LSTMCell), "lstm", 4),
    ((nn.GRU, nn.GRUCell), "gru", 3),
    (RECURRENT, "rnn", 1),
)
_OF_CELLS: tuple[tuple[str, Slot], ...] = (
    ("weight_ih", "weight"), ("weight_hh", "state"), ("bias_ih", "bias"), ("bias_hh", "bias"),
)  # fmt: skip
_BIASED: tuple[Slot, ...] = ("weight", "state", "bias", "bias", "state")
_UNBIASED: tuple[Slot, ...] = ("weight", "state", "state")


def function_of(module: nn.Module) -> str:
    """The kind of its cells: ``lstm``, ``gru``, ``rnn`` (tanh) or ``rnn_relu``.

    >>> function_of(nn.LSTMCell(2, 3)), function_of(nn.RNN(2, 3, nonlinearity="relu"))
    ('lstm', 'rnn_relu')
    """
    kind = next(name for kinds, name, _ in _GATES if isinstance(module, kinds))
    return f"{kind}_relu" if kind == "rnn" and getattr(module, "nonlinearity", "tanh") == "relu" else kind


def settings_of(module: nn.Module) -> tuple[tuple[str, float], ...]:
    """The settings of its node: two directions, where there are two."""
    return (("directions", 2.0),) if getattr(module, "bidirectional", False) else ()


def slots_of(module: nn.Module) -> dict[str, Slot]:
    """What each of its own arrays does, by attribute, in the order of layers and directions.

    ``nn.RNNBase`` lists them so: input weight, hidden weight, their biases, then the projection of the output. Weight
    normalization of the old kind (``torch.nn.utils.weight_norm``) puts two arrays in the place of one and appends to
    its name.

    >>> slots_of(nn.RNN(2, 3, bias=False))
    {'weight_ih_l0': 'weight', 'weight_hh_l0': 'state'}
    """
    listed: list[tuple[str, Slot]] = []
    for names in getattr(module, "_all_weights", ()):
        biased = len(names) >= 4
        kinds: tuple[Slot, ...] = (
            ("weight", "state", "bias", "bias", "state") if biased else ("weight", "state", "state")
        )
        listed += zip(names, kinds, strict=False)
    known = listed or list(_OF_CELLS)

    def slot_of(name: str) -> Slot:
        return next((slot for one, slot in known if name == one or name.startswith(f"{one}_")), "operand")

    exact: dict[str, Slot] = dict(known)
    return {name: exact.get(name, slot_of(name)) for name, _ in module.named_parameters(recurse=False)}


def blocks_of(module: nn.Module, rows: int) -> int:
    """How many gates are stacked in an array of so many rows; an LSTM's projection of its output has none."""
    gates = next(gates for kinds, _, gates in _GATES if isinstance(module, kinds))
    return gates if rows == gates * int(module.hidden_size) else 1  # type: ignore[arg-type]
