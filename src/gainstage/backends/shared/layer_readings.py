"""From the profile of one node to the reading of a layer in a training."""

from __future__ import annotations

import math

from gainstage.backends.shared.selection import is_rectified
from gainstage.graph import Node
from gainstage.records import LayerReading, Moments, NodeProfile, UnitStats

__all__ = ["layer_reading", "place_of"]


def layer_reading(
    node: Node,
    profile: NodeProfile,
    backward: Moments | None,
    sharpness: float | None = None,
    keys: int = 0,
    *,
    scale: float = 1.0,
) -> LayerReading:
    """The reading of a weighted layer, an activation or a softmax.

    Args:
        node: of the graph.
        profile: what was measured of its output.
        backward: moments of the gradient by its output; None where there is none.
        sharpness: sum of the squared attention weights of a query, averaged, where the node is attention.
        keys: number of keys, of attention.
        scale: of the loss; gradients are divided by it.
    """
    forward, units = profile.forward, profile.units
    share, rectified = forward.example_share, is_rectified(node)
    return LayerReading(
        place_of(node),
        node.function,
        forward.rms,
        math.sqrt(max(share, 0.0) * forward.variance) if share is not None and forward.variance >= 0 else None,
        backward.norm / scale if backward is not None else None,
        units.units if units is not None else 0,
        _share(units, units.zero if units is not None and rectified else None),
        _share(units, units.stuck if units is not None else None),
        units.saturated_share if units is not None else None,
        sharpness,
        keys,
    )


def _share(units: UnitStats | None, number: int | None) -> float | None:
    return None if units is None or number is None or not units.units else number / units.units


def place_of(node: Node) -> str:
    """Return the name of a node: the path of its module, else of its weight, else its operation."""
    weights = node.uses_of("weight")
    return node.path or (weights[0].parameter if weights else node.function or node.name)
