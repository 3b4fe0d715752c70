"""The layers of a model on a probe batch, from a lean profile."""

from __future__ import annotations

from typing import Any

import keras

from gainstage.backends.shared.layer_readings import layer_reading
from gainstage.records import LayerReading, Profile

__all__ = ["layers_of", "some_examples"]


def some_examples(x: Any, y: Any, most: int) -> tuple[Any, Any]:
    """The first examples of a batch and their labels, at most so many.

    >>> import numpy as np
    >>> [part.shape for part in some_examples(np.zeros((8, 3)), np.zeros(8), 4)]
    [(4, 3), (4,)]
    """

    def first(part: Any) -> Any:
        return None if part is None else keras.tree.map_structure(lambda array: array[:most], part)

    return first(x), first(y)


def layers_of(profile: Profile) -> tuple[tuple[LayerReading, ...], int]:
    """The layers' readings in order of execution, and the number of examples; parts of fused operations left out."""
    nodes = profile.graph.nodes
    readings = tuple(
        layer_reading(nodes[n.node], n, n.backward) for n in profile.nodes if nodes[n.node].part_of is None
    )
    return readings, profile.source.batch[0] if profile.source.batch else 0
