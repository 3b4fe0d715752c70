"""Windows, paddings and image axes of a node, read off its settings."""

from __future__ import annotations

from collections.abc import Mapping

from gainstage.graph import Node
from gainstage.theory.images.windows import Window

__all__ = ["paddings", "spatial", "windows"]


def windows(node: Node) -> tuple[Window, ...]:
    """Return the windows of a node, one per axis; empty where the backend recorded none.

    A node records them in its settings: ``size_0``, ``kernel_0``, ``stride_0``, ``padding_0``, ``dilation_0``, and so
    on.
    """
    settings: Mapping[str, float] = dict(node.settings)
    found = []
    axis = 0
    outs = spatial(node)
    while f"size_{axis}" in settings and axis < len(outs):
        read = (int(settings.get(f"{name}_{axis}", default)) for name, default in _FIELDS)
        size, kernel, stride, padding, dilation = read
        found.append(Window(size, outs[axis], kernel, stride, padding, dilation, node.function == "transposed"))
        axis += 1
    return tuple(found)


def paddings(node: Node) -> tuple[tuple[int, int, int], ...]:
    """Return (size, padding before, padding after) of every axis; negative padding crops."""
    settings: Mapping[str, float] = dict(node.settings)
    found: list[tuple[int, int, int]] = []
    while f"before_{len(found)}" in settings:
        size, before, after = (int(settings[f"{name}_{len(found)}"]) for name in ("size", "before", "after"))
        found.append((size, before, after))
    return tuple(found)


_FIELDS = (("size", 1), ("kernel", 1), ("stride", 1), ("padding", 0), ("dilation", 1))


def spatial(node: Node) -> tuple[int, ...]:
    """Return the sizes of the axes that are neither examples nor units."""
    gone = {node.example_axis, node.unit_axis}
    return tuple(size for axis, size in enumerate(node.shape) if axis not in gone)
