"""Build the plain networks that a short name describes."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import get_args

from torch import Tensor, nn

from gainstage.backends.model_names import Perceptron, parse_mlp
from gainstage.backends.protocol import Norm
from gainstage.backends.torch.models.random_states import random_state
from gainstage.errors import InputError, UnknownNameError

__all__ = ["ACTIVATIONS", "Perceptron", "Residual", "mlp", "parse_mlp"]

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU, "elu": nn.ELU, "gelu": nn.GELU, "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "hardshrink": nn.Hardshrink, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish, "hardtanh": nn.Hardtanh,
    "identity": nn.Identity, "leaky_relu": nn.LeakyReLU, "linear": nn.Identity, "log_sigmoid": nn.LogSigmoid,
    "mish": nn.Mish, "prelu": nn.PReLU, "relu": nn.ReLU, "relu6": nn.ReLU6, "rrelu": nn.RReLU, "selu": nn.SELU,
    "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "softplus": nn.Softplus, "softshrink": nn.Softshrink,
    "softsign": nn.Softsign, "swish": nn.SiLU, "tanh": nn.Tanh, "tanhshrink": nn.Tanhshrink,
}  # fmt: skip
"""PyTorch's elementwise activations, with PyTorch's own default settings."""

_NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class Residual(nn.Module):
    """Adds what its body makes of the input to the input itself."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Return x + body(x), of the shape of x."""
        made: Tensor = self.body(x)
        return x + made


def mlp(
    sizes: Sequence[int],
    *,
    activation: str = "relu",
    norm: Norm = "none",
    bias: bool = True,
    seed: int | None = None,
    residual: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """A multi-layer perceptron at PyTorch's default initialization.

    Its paths are ``hidden.0.linear``, ``hidden.0.norm``, ``hidden.0.act``, ``hidden.1.linear``, … and ``head``; a
    layer with a skip stands in ``hidden.1.body``.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: after every layer but the head; a key of ``ACTIVATIONS``.
        norm: a normalisation between each hidden layer and its activation.
        bias: whether layers have biases.
        seed: of the weights; None takes them from PyTorch's global random state.
        residual: whether a skip bypasses every hidden layer that keeps the width.
        dropout: share of the hidden units that a training step drops, 0 ≤ dropout < 1.

    Returns:
        A module from ``(batch, sizes[0])`` to ``(batch, sizes[-1])``.

    Raises:
        InputError: fewer than two sizes, or one that is not positive.
        UnknownNameError: no such activation or normalisation.

    >>> mlp([784, 128, 10]).hidden[0].linear
    Linear(in_features=784, out_features=128, bias=True)
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"A perceptron needs at least two positive sizes, e.g. 784x128x10; received {tuple(sizes)}.")
    if activation not in ACTIVATIONS:
        raise UnknownNameError("activation", activation, ACTIVATIONS)
    if norm not in get_args(Norm):
        raise UnknownNameError("normalisation", norm, get_args(Norm))
    with random_state(seed) if seed is not None else contextlib.nullcontext():
        layers = [_layer(a, b, activation, norm, bias) for a, b in pairwise(sizes[:-1])]
        head = nn.Linear(sizes[-2], sizes[-1], bias=bias)
    for layer in layers if dropout else ():
        layer.add_module("drop", nn.Dropout(dropout))
    skipped = [residual and a == b for a, b in pairwise(sizes[:-1])]
    hidden = [Residual(layer) if skip else layer for layer, skip in zip(layers, skipped, strict=True)]
    if not hidden:
        return nn.Sequential(OrderedDict(head=head))
    return nn.Sequential(OrderedDict(hidden=nn.Sequential(*hidden), head=head))


def _layer(fan_in: int, fan_out: int, activation: str, norm: Norm, bias: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(linear=nn.Linear(fan_in, fan_out, bias=bias))
    if norm != "none":
        parts["norm"] = _NORMS[norm](fan_out)
    parts["act"] = ACTIVATIONS[activation]()
    return nn.Sequential(parts)
