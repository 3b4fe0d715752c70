"""The signal through depth: what every picture of a profile is drawn from."""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.records import Profile

__all__ = ["Depth", "through_depth"]


@dataclass(frozen=True, slots=True)
class Depth:
    """Forward and backward figures at the weighted nodes, in order of flow; all fields have one entry a node.

    Args:
        nodes: their indices in the graph.
        labels: their names, as the model has them.
        spread: standard deviation over all elements of the node's output.
        gradient: norm of the loss's gradient by that output; None where none was measured.
        example_share: share of variance across examples; None where examples cannot be told apart.
    """

    nodes: tuple[int, ...]
    labels: tuple[str, ...]
    spread: tuple[float, ...]
    gradient: tuple[float | None, ...]
    example_share: tuple[float | None, ...]

    def __len__(self) -> int:
        return len(self.nodes)


def through_depth(profile: Profile) -> Depth:
    """The measured figures at the nodes that mix units by a weight."""
    measured = [
        (node, profile.by_node[node.index]) for node in profile.graph.weighted() if node.index in profile.by_node
    ]
    return Depth(
        nodes=tuple(node.index for node, _ in measured),
        labels=tuple(node.label for node, _ in measured),
        spread=tuple(at.forward.spread for _, at in measured),
        gradient=tuple(at.backward.norm if at.backward else None for _, at in measured),
        example_share=tuple(at.forward.example_share for _, at in measured),
    )
