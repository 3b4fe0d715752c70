"""The signal through depth: what every picture of a profile is drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.graph import Node
from gainstage.records import Histogram, Moments, NodeProfile, Profile

__all__ = ["Depth", "Distribution", "distributions", "through_depth"]


@dataclass(frozen=True, slots=True)
class Depth:
    """Forward and backward figures at the weighted nodes, in order of flow; all fields have one entry a node.

    Args:
        nodes: their indices in the graph.
        labels: their names, as the model has them.
        spread: standard deviation over all elements of the node's output.
        gradient: norm of the loss's gradient by that output; None where none was measured.
        example_share: share of variance across examples; None where examples cannot be told apart.
        spread_band: between which bounds theory expects the spread; None where it says nothing.
        gradient_band: likewise for the gradient.
    """

    nodes: tuple[int, ...]
    labels: tuple[str, ...]
    spread: tuple[float, ...]
    gradient: tuple[float | None, ...]
    example_share: tuple[float | None, ...]
    spread_band: tuple[tuple[float, float] | None, ...] = ()
    gradient_band: tuple[tuple[float, float] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.nodes)


def _weighted(profile: Profile) -> list[tuple[Node, NodeProfile]]:
    at = profile.by_node
    return [(node, at[node.index]) for node in profile.graph.weighted() if node.index in at]


def through_depth(profile: Profile) -> Depth:
    """The measured figures at the nodes that mix units by a weight."""
    measured = _weighted(profile)
    return Depth(
        nodes=tuple(node.index for node, _ in measured),
        labels=tuple(node.label for node, _ in measured),
        spread=tuple(at.forward.spread for _, at in measured),
        gradient=tuple(at.backward.norm if at.backward else None for _, at in measured),
        example_share=tuple(at.forward.example_share for _, at in measured),
        spread_band=tuple(_band(at.forward.spread, at.forward) for _, at in measured),
        gradient_band=tuple(_band(at.backward.norm, at.backward) if at.backward else None for _, at in measured),
    )


def _band(value: float, moments: Moments) -> tuple[float, float] | None:
    """Of a spread or a norm, which go with the root of the second moment that the band speaks of."""
    if moments.band is None:
        return None
    low, high = moments.band
    return value * math.sqrt(low), value * math.sqrt(high)


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the values of one layer's output are distributed.

    Args:
        layer: counted from one among all weighted layers, as every picture counts.
        label: its name.
        spread: standard deviation over all elements.
        histogram: of a sample of them.
    """

    layer: int
    label: str
    spread: float
    histogram: Histogram


def distributions(profile: Profile) -> tuple[Distribution, ...]:
    """Of the weighted layers whose histogram was recorded and holds anything."""
    measured = _weighted(profile)
    return tuple(
        Distribution(place, node.label, at.forward.spread, at.histogram)
        for place, (node, at) in enumerate(measured, start=1)
        if at.histogram is not None and at.histogram.sampled
    )
