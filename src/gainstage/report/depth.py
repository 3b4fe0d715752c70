"""Extracts signal and gradient through depth from a profile, for all charts and texts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.graph import Node
from gainstage.graph.patterns.residual import residuals
from gainstage.records import Histogram, Moments, NodeProfile, Profile

__all__ = ["Depth", "Distribution", "StreamLevel", "distributions", "through_depth"]


@dataclass(frozen=True, slots=True)
class StreamLevel:
    """A residual stream behind one sum.

    Args:
        node: index of the sum in the graph.
        spread: standard deviation over all elements.
        gradient: norm of the gradient of the loss with respect to the sum; None where it was not measured.
    """

    node: int
    spread: float
    gradient: float | None


@dataclass(frozen=True, slots=True)
class Depth:
    """Signal and gradient at the weighted nodes, in order of execution; all fields have one entry per node.

    Args:
        nodes: indices of the nodes in the graph.
        labels: names of the nodes in the model.
        spread: standard deviation over all elements of the node's output.
        gradient: norm of the gradient of the loss with respect to that output; None where it was not measured.
        example_share: share of the variance that lies between examples; None where the axis of examples is unknown.
        spread_band: (lower, upper) bound of the predicted standard deviation; None without a prediction.
        gradient_band: (lower, upper) bound of the predicted norm of the gradient; None without a prediction.
        paths: paths of the nodes' modules, by which repeated blocks are folded.
        stream: the sums of residual branches into their stream, in order of execution.
    """

    nodes: tuple[int, ...]
    labels: tuple[str, ...]
    spread: tuple[float, ...]
    gradient: tuple[float | None, ...]
    example_share: tuple[float | None, ...]
    spread_band: tuple[tuple[float, float] | None, ...] = ()
    gradient_band: tuple[tuple[float, float] | None, ...] = ()
    paths: tuple[str, ...] = ()
    stream: tuple[StreamLevel, ...] = ()

    def __len__(self) -> int:
        return len(self.nodes)


def _weighted(profile: Profile) -> list[tuple[Node, NodeProfile]]:
    at = profile.by_node
    return [(node, at[node.index]) for node in profile.graph.weighted() if node.index in at]


def through_depth(profile: Profile) -> Depth:
    """Collect the measured values at the nodes that mix units by a weight."""
    measured = _weighted(profile)
    return Depth(
        nodes=tuple(node.index for node, _ in measured),
        labels=tuple(node.label for node, _ in measured),
        spread=tuple(at.forward.spread for _, at in measured),
        gradient=tuple(at.backward.norm if at.backward else None for _, at in measured),
        example_share=tuple(at.forward.example_share for _, at in measured),
        spread_band=tuple(_band(at.forward.spread, at.forward) for _, at in measured),
        gradient_band=tuple(_band(at.backward.norm, at.backward) if at.backward else None for _, at in measured),
        paths=tuple(node.path for node, _ in measured),
        stream=tuple(
            StreamLevel(add.add, at.forward.spread, at.backward.norm if at.backward else None)
            for add in residuals(profile.graph)
            if (at := profile.by_node.get(add.add)) is not None
        ),
    )


def _band(value: float, moments: Moments) -> tuple[float, float] | None:
    """Return the band of a standard deviation or norm, from the band of the second moment by its square root."""
    if moments.band is None:
        return None
    low, high = moments.band
    return value * math.sqrt(low), value * math.sqrt(high)


@dataclass(frozen=True, slots=True)
class Distribution:
    """The distribution of the values of one layer's output.

    Args:
        layer: number of the layer among all weighted layers, counted from 1 as in every chart.
        label: name of the layer.
        spread: standard deviation over all elements.
        histogram: histogram of a sample of the values.
    """

    layer: int
    label: str
    spread: float
    histogram: Histogram


def distributions(profile: Profile) -> tuple[Distribution, ...]:
    """Collect the distributions of the weighted layers whose histogram was recorded and is not empty."""
    measured = _weighted(profile)
    return tuple(
        Distribution(place, node.label, at.forward.spread, at.histogram)
        for place, (node, at) in enumerate(measured, start=1)
        if at.histogram is not None and at.histogram.sampled
    )
