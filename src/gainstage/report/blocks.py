"""Folds the repeated blocks of a deep network: one line for each kind of layer, over the number of the block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Folded", "Kind", "fold"]

FEWEST_BLOCKS = 4
FEWEST_LAYERS = 3  # of one kind; rarer layers (a projection where the width changes) stay outside
MOST_KINDS = 7
COVERED = 0.6  # share of the layers that blocks must hold
NUMBERS = 3  # numeric components of a path that may count the blocks


@dataclass(frozen=True, slots=True)
class Kind:
    """The layers that have the same name in every block.

    Args:
        label: their name inside a block.
        blocks: number of the block of each layer, counted from 1.
        places: position of each layer in the whole network, counted from 0.
    """

    label: str
    blocks: tuple[int, ...]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """A network as blocks.

    Args:
        kinds: the layers of the blocks, by their name inside a block, in order of execution.
        starts: position of the first layer of each block.
        outside: number of layers that stand in no block, or whose kind is rare.
    """

    kinds: tuple[Kind, ...]
    starts: tuple[int, ...]
    outside: int


def fold(paths: Sequence[str]) -> Folded | None:
    """Find the blocks of a network by the names of its layers; None where layers do not repeat in blocks.

    A number in a path counts blocks where the part behind the number repeats. Layers that are a block each (a
    perceptron) have one line as they are and are not folded.

    Args:
        paths: names of the layers, in order of execution.

    >>> names = [f"blocks.{block}.{layer}" for block in range(4) for layer in ("qkv", "mlp.0", "mlp.2")]
    >>> [(kind.label, kind.blocks) for kind in fold(["stem", *names, "head"]).kinds][:2]
    [('qkv', (1, 2, 3, 4)), ('mlp.0', (1, 2, 3, 4))]
    >>> fold(["0", "2", "4", "6", "8"]) is None
    True
    """
    found = [folded for number in range(NUMBERS) if (folded := _folded_at(paths, number)) is not None]
    return max(found, key=lambda folded: len(folded.starts), default=None)


def _folded_at(paths: Sequence[str], number: int) -> Folded | None:
    """Fold at the given numeric component of every path."""
    blocks: dict[tuple[str, ...], int] = {}
    starts: list[int] = []
    layers: dict[str, list[tuple[int, int]]] = {}
    for place, path in enumerate(paths):
        parts = path.split(".")
        numeric = [i for i, part in enumerate(parts) if part.isdigit()]
        if number >= len(numeric) or numeric[number] == len(parts) - 1:
            continue
        cut = numeric[number] + 1
        block = tuple(parts[:cut])
        if block not in blocks:
            blocks[block] = len(blocks) + 1
            starts.append(place)
        layers.setdefault(".".join(parts[cut:]), []).append((blocks[block], place))
    usual = {name: at for name, at in layers.items() if len(at) >= FEWEST_LAYERS}
    inside = sum(map(len, usual.values()))
    if len(blocks) < FEWEST_BLOCKS or not 2 <= len(usual) <= MOST_KINDS or inside < COVERED * len(paths):
        return None
    kinds = tuple(Kind(name, *(tuple(v) for v in zip(*at, strict=True))) for name, at in usual.items())
    return Folded(kinds, tuple(starts), len(paths) - inside)
