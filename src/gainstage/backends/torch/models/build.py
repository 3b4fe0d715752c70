"""Build the plain networks that a short name describes."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import get_args

from torch import nn

from gainstage.backends.model_names import Perceptron, parse_mlp
from gainstage.backends.protocol import Norm
from gainstage.backends.torch.models.random_states import random_state
from gainstage.errors import InputError, UnknownNameError

__all__ = ["ACTIVATIONS", "Perceptron", "mlp", "parse_mlp"]

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


def mlp(
    sizes: Sequence[int], *, activation: str = "relu", norm: Norm = "none", bias: bool = True, seed: int | None = None
) -> nn.Sequential:
    """A multi-layer perceptron at PyTorch's default initialization.

    Its paths are ``hidden.0.linear``, ``hidden.0.norm``, ``hidden.0.act``, ``hidden.1.linear``, … and ``head``.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: after every layer but the head; a key of ``ACTIVATIONS``.
        norm: a normalisation between each hidden layer and its activation.
        bias: whether layers have biases.
        seed: of the weights; None takes them from PyTorch's global random state.

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
        return _assembled(sizes, activation, norm, bias)


def _assembled(sizes: Sequence[int], activation: str, norm: Norm, bias: bool) -> nn.Sequential:
    hidden = [_layer(a, b, activation, norm, bias) for a, b in pairwise(sizes[:-1])]
    head = nn.Linear(sizes[-2], sizes[-1], bias=bias)
    if not hidden:
        return nn.Sequential(OrderedDict(head=head))
    return nn.Sequential(OrderedDict(hidden=nn.Sequential(*hidden), head=head))


def _layer(fan_in: int, fan_out: int, activation: str, norm: Norm, bias: bool) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict(linear=nn.Linear(fan_in, fan_out, bias=bias))
    if norm != "none":
        parts["norm"] = _NORMS[norm](fan_out)
    parts["act"] = ACTIVATIONS[activation]()
    return nn.Sequential(parts)
