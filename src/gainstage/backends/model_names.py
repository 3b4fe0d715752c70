"""Models that a short name describes, read without importing a framework."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gainstage.errors import InputError, LoadError, UnknownNameError

__all__ = ["ACTIVATION_NAMES", "Norm", "Perceptron", "parse_mlp", "refuse_unknown", "resized_mlp"]

Norm = Literal["none", "batch", "layer"]

ACTIVATION_NAMES = tuple(
    """
    celu elu gelu gelu_tanh hardshrink hardsigmoid hardswish hardtanh identity leaky_relu linear log_sigmoid mish prelu
    relu relu6 rrelu selu sigmoid silu softplus softshrink softsign swish tanh tanhshrink
    """.split()
)
"""Elementwise activations that a perceptron can be built with."""

_WIDEST = 10**9
"""Units of one layer; two such layers have as many weights as an address space has bytes."""

_BYTES = 4  # of a weight


@dataclass(frozen=True, slots=True)
class Perceptron:
    """The settings of a multi-layer perceptron.

    Args:
        sizes: widths from the input to the output.
        activation: after every layer but the last.
        norm: between a layer and its activation.
        bias: whether layers have biases.
    """

    sizes: tuple[int, ...]
    activation: str = "relu"
    norm: Norm = "none"
    bias: bool = True


def parse_mlp(text: str) -> Perceptron:
    """Read ``784x128x10,act=relu,norm=batch,bias=false``.

    Raises:
        InputError: a size, an option or its value cannot be read.
        UnknownNameError: an option that does not exist.

    >>> parse_mlp("64x32x10,act=tanh,bias=false")
    Perceptron(sizes=(64, 32, 10), activation='tanh', norm='none', bias=False)
    """
    widths, *options = text.split(",")
    sizes = _sizes(widths, text)
    settings = {"act": "relu", "norm": "none", "bias": "true"}
    for option in options:
        key, given, value = option.partition("=")
        if not given:
            raise InputError(f"Cannot read '{option}' in 'mlp:{text}'; options are written like act=relu.")
        if key not in settings:
            raise UnknownNameError("option", key, settings, where=f"'mlp:{text}'")
        settings[key] = value
    if settings["act"] not in ACTIVATION_NAMES:
        raise UnknownNameError("activation", settings["act"], ACTIVATION_NAMES, where=f"'mlp:{text}'")
    norm = next((n for n in get_args(Norm) if n == settings["norm"]), None)
    if norm is None:
        raise UnknownNameError("normalisation", settings["norm"], get_args(Norm), where=f"'mlp:{text}'")
    if settings["bias"] not in ("true", "false"):
        raise InputError(f"bias in 'mlp:{text}' is true or false; received '{settings['bias']}'.")
    return Perceptron(sizes, settings["act"], norm, settings["bias"] == "true")


def resized_mlp(text: str, sizes: Mapping[str, int]) -> str:
    """Return ``784x128x10`` with other hidden widths, or another number of hidden layers.

    >>> resized_mlp("64x32x32x10,act=tanh", {"width": 256}), resized_mlp("64x32x10", {"depth": 3})
    ('64x256x256x10,act=tanh', '64x32x32x32x10')
    """
    widths, *options = text.split(",")
    first, *hidden, last = _sizes(widths, text)
    if not hidden:
        raise InputError(f"'mlp:{text:.60}' has no hidden layer whose width or number could change.")
    hidden = [sizes.get("width", hidden[0])] * sizes.get("depth", len(hidden)) if sizes else hidden
    return ",".join(["x".join(map(str, (first, *hidden, last))), *options])


def _sizes(widths: str, text: str) -> tuple[int, ...]:
    parts = widths.lower().split("x")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"Cannot read the sizes '{widths:.60}' of 'mlp:{text:.60}'; write them like 784x128x10.")
    if any(len(part.lstrip("0")) > 10 or int(part) > _WIDEST for part in parts):
        raise InputError(f"A layer of 'mlp:{text:.60}' has more than {_WIDEST:,} units. Make it narrower.")
    sizes = tuple(int(part) for part in parts)
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"A perceptron needs at least two positive sizes, e.g. 784x128x10; received {sizes}.")
    return sizes


def refuse_unknown(name: str, *, memoryless: bool = False) -> None:
    """Refuse a name of a PyTorch model that is wrong to the eye, before PyTorch is imported for it.

    Args:
        name: ``source:rest``.
        memoryless: whether the weights get no memory.

    Raises:
        InputError, UnknownNameError, LoadError: the name is wrong, or the weights do not fit the machine's memory.
    """
    source, _, rest = name.partition(":")
    if source == "mlp":
        _refuse_too_large(parse_mlp(rest), name, memoryless)
    elif source == "hf":
        _refuse_unknown_type(rest, name)


def _refuse_too_large(spec: Perceptron, name: str, memoryless: bool) -> None:
    """Weights and their gradients have to fit."""
    needed = 2 * _BYTES * sum(a * b for a, b in zip(spec.sizes, spec.sizes[1:], strict=False))
    memory = _memory()
    if not memoryless and memory is not None and needed > memory:
        raise LoadError(
            f"'{name:.60}' needs {needed / 2**30:,.0f} GiB for its weights and gradients; this machine has "
            f"{memory / 2**30:,.0f} GiB. Make it smaller, or predict it without memory: --device meta."
        )


def _memory() -> int | None:
    """Physical memory in bytes, where the system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _refuse_unknown_type(text: str, name: str) -> None:
    """Look a type of model up in the text of Hugging Face's tables; what cannot be found out there is left."""
    kind = text.split(",")[0]
    if "/" in kind or "\\" in kind or kind.endswith(".json") or Path(kind).is_dir():
        return
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        return
    tables = Path(spec.origin).parent / "models" / "auto"
    known: set[str] = set()
    for file in ("auto_mappings.py", "configuration_auto.py"):
        try:
            known |= set(re.findall(r"\(\s*\"([\w.-]+)\",\s*\"\w+Config\"", (tables / file).read_text("utf-8")))
        except OSError:
            continue
    if known and kind not in known:
        raise UnknownNameError("model type", kind, known, where=f"'{name}'")
