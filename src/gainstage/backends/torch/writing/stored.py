"""The tensors of a model's checkpoint: each parameter and persistent buffer once, by the name loaders expect."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gainstage.backends.shared.checkpoint import Stored
from gainstage.backends.torch.writing.memory import is_distributed
from gainstage.errors import InputError, ModelError, UnknownNameError

__all__ = ["Dtype", "Kept", "configuration", "kept_tensors"]

Dtype = str | torch.dtype

_WORDS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8",
    "bool": "BOOL",
}  # fmt: skip
"""The format's words for number formats."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A parameter or buffer as a checkpoint holds it.

    Args:
        names: all names under which the model holds it; the first is the one that is stored.
        tensor: of the model; it may be on the meta device.
        dtype: in which it is stored.
    """

    names: tuple[str, ...]
    tensor: Tensor
    dtype: torch.dtype

    @property
    def stored(self) -> Stored:
        """Its entry in the header."""
        return Stored(self.names[0], _WORDS[_word(self.dtype)], tuple(self.tensor.shape), self.dtype.itemsize)


def kept_tensors(model: nn.Module, dtype: Dtype | Mapping[str, Dtype] | None) -> tuple[Kept, ...]:
    """All that a model's ``state_dict`` holds, tied weights once.

    Args:
        model: also on the meta device.
        dtype: of the parameters that hold floating-point numbers: of all, or by pattern of their names (the last that
            fits counts); where None or no pattern fits, as in the model.

    Raises:
        InputError: a number format that the format does not know or that cannot hold weights; a pattern that fits
            nothing; parameters spread over processes.
        ModelError: a lazy layer, or a state that does not consist of tensors.

    >>> tied = nn.ModuleDict({"table": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    >>> tied.head.weight = tied.table.weight
    >>> [(kept.names, str(kept.dtype)) for kept in kept_tensors(tied, "bfloat16")]
    [(('table.weight', 'head.weight'), 'torch.bfloat16')]
    """
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        _require_storable(name, tensor)
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    chosen = _chosen(dtype, [n for i, tied in names.items() if _is_drawn(tensors[i]) for n in tied])
    found = []
    for identity, tied in names.items():
        tensor, ordered = tensors[identity], _stored_first(tied, model)
        formats = [chosen[name] for name in ordered if name in chosen]
        kind = formats[0] if formats and _is_drawn(tensor) else tensor.dtype
        if _word(kind) not in _WORDS:
            raise InputError(f"'{ordered[0]}' holds {kind} numbers, which safetensors has no word for. Pass dtype=.")
        found.append(Kept(ordered, tensor, kind))
    return tuple(found)


def configuration(model: nn.Module, kept: tuple[Kept, ...]) -> dict[str, str]:
    """The text of ``config.json`` for a model that holds its configuration in ``config``; empty for others.

    Args:
        model: of Hugging Face, whose configuration then names the model's class and number format; or another whose
            ``config`` is a dataclass or a mapping.
        kept: what is stored.
    """
    config: Any = getattr(model, "config", None)
    if hasattr(config, "to_json_string"):
        config = copy.deepcopy(config)
        config.architectures = [type(model).__name__]
        formats = [k.dtype for k in kept if _is_drawn(k.tensor)]
        if formats:
            setattr(config, "dtype" if hasattr(config, "dtype") else "torch_dtype", _word(formats[0]))
        return {"config.json": config.to_json_string()}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        return {}
    try:
        return {"config.json": json.dumps(dict(config), indent=2) + "\n"}
    except TypeError as error:
        raise InputError(f"The model's config cannot be written as config.json: {error}.") from error


def _require_storable(name: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise ModelError(f"'{name}' of the model's state is a {type(tensor).__name__}, which no checkpoint holds.")
    if is_lazy(tensor):
        raise ModelError(f"'{name}' has no shape yet. Run one batch through the model first, then plan again.")
    if is_distributed(tensor):
        raise InputError(
            f"'{name}' is spread over a mesh of processes, and a checkpoint holds whole weights. Pass the model as it "
            "is before it is sharded (on the meta device it takes no memory)."
        )


def _is_drawn(tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) and tensor.is_floating_point()


def _stored_first(names: list[str], model: nn.Module) -> tuple[str, ...]:
    """The names of a tied weight, those last that the model's library leaves out of its files."""
    ties: Any = getattr(model, "all_tied_weights_keys", None) or getattr(model, "_tied_weights_keys", None) or ()
    left_out = tuple(map(str, ties))
    return tuple(sorted(names, key=lambda name: any(re.search(pattern, name) for pattern in left_out)))


def _chosen(dtype: Dtype | Mapping[str, Dtype] | None, names: list[str]) -> dict[str, torch.dtype]:
    """The number format that the user wants, by name."""
    if dtype is None:
        return {}
    found: dict[str, torch.dtype] = {}
    for pattern, word in dtype.items() if isinstance(dtype, Mapping) else (("*", dtype),):
        kind = _floating(word)
        fitting = list(_fitting(pattern, names))
        if not fitting and names:
            raise UnknownNameError("pattern of parameters", pattern, names, "dtype")
        found |= dict.fromkeys(fitting, kind)
    return found


def _fitting(pattern: str, names: list[str]) -> Iterator[str]:
    return (name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*"))


def _floating(word: Dtype) -> torch.dtype:
    kind = getattr(torch, str(word).removeprefix("torch."), None)
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point or _word(kind) not in _WORDS:
        known = ", ".join(name for name, letter in _WORDS.items() if "F" in letter)
        raise InputError(f"Weights are stored as one of {known}; received dtype={word!r}.")
    return kind


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
