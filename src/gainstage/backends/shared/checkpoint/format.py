"""The safetensors format: a header of JSON with the place of every tensor, then their bytes, one behind the other.

A file begins with the header's length (8 bytes, little-endian), then the header, then the data. The header is known
before any value is, so a file can be written from front to back without holding it.

Reference:
    https://huggingface.co/docs/safetensors, "Format"; for the index of several files, the convention of Hugging Face's
    ``from_pretrained``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["File", "Stored", "files_of", "index_text"]

_ALIGNMENT = 8  # bytes: the data begin at a multiple, as those of the reference implementation do


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a checkpoint.

    Args:
        name: its key.
        dtype: the format's word for its number format: F32, BF16, I64, ….
        shape: its axes.
        item: bytes of one number.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    item: int

    @property
    def size(self) -> int:
        """Bytes of all its numbers."""
        size = self.item
        for axis in self.shape:
            size *= axis
        return size


@dataclass(frozen=True, slots=True)
class File:
    """One file of a checkpoint.

    Args:
        name: of the file.
        tensors: in the order of their bytes.

    >>> file = File("model.safetensors", (Stored("weight", "F32", (2, 3), 4),))
    >>> file.header[8:].decode().strip()
    '{"__metadata__":{"format":"pt"},"weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    >>> file.size - len(file.header)
    24
    """

    name: str
    tensors: tuple[Stored, ...]

    @property
    def header(self) -> bytes:
        """Length and JSON, padded by spaces."""
        table: dict[str, object] = {"__metadata__": {"format": "pt"}}
        start = 0
        for tensor in self.tensors:
            end = start + tensor.size
            table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
            start = end
        text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        text += b" " * (-len(text) % _ALIGNMENT)
        return len(text).to_bytes(8, "little") + text

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header) + sum(tensor.size for tensor in self.tensors)


def files_of(tensors: Iterable[Stored], stem: str, limit: int) -> tuple[File, ...]:
    """Spreads tensors over files, in order, each as full as its limit allows.

    Inside a file wide number formats come first, so that every tensor begins at a multiple of its item's size.

    Args:
        tensors: in the order of the model.
        stem: of the names: ``stem.safetensors``, or ``stem-00001-of-00003.safetensors`` where there are several.
        limit: bytes of data in one file; a tensor that is larger has a file of its own.

    >>> tensors = [Stored(name, "F32", (100,), 4) for name in "abc"]
    >>> [(file.name, len(file.tensors)) for file in files_of(tensors, "model", 800)]
    [('model-00001-of-00002.safetensors', 2), ('model-00002-of-00002.safetensors', 1)]
    """
    parts: list[list[Stored]] = [[]]
    held = 0
    for tensor in tensors:
        if parts[-1] and held + tensor.size > limit:
            parts.append([])
            held = 0
        parts[-1].append(tensor)
        held += tensor.size
    ordered = [tuple(sorted(part, key=lambda tensor: -tensor.item)) for part in parts]
    if len(ordered) == 1:
        return (File(f"{stem}.safetensors", ordered[0]),)
    return tuple(
        File(f"{stem}-{number:05}-of-{len(ordered):05}.safetensors", part)
        for number, part in enumerate(ordered, start=1)
    )


def index_text(files: Sequence[File]) -> str:
    """The JSON that says in which of several files a tensor stands."""
    placed = {tensor.name: file.name for file in files for tensor in file.tensors}
    total = sum(tensor.size for file in files for tensor in file.tensors)
    return json.dumps({"metadata": {"total_size": total}, "weight_map": placed}, indent=2, ensure_ascii=False) + "\n"
