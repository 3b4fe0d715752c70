"""What a model ends with: the last activation on the way to the loss, and where its values lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from gainstage.graph import Node, Operation, nearest_before
from gainstage.graph.groups import COPYING, LEVEL_KEEPING, NONLINEAR
from gainstage.records import LossFacts, OutputFacts, Profile, TargetFacts

__all__ = [
    "FOLLOWED",
    "PROBABILITIES",
    "RANGES",
    "REGRESSION",
    "is_direct",
    "is_regression",
    "is_plain",
    "last_function",
    "where",
]

RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "sigmoid": (0.0, 1.0),
        "hardsigmoid": (0.0, 1.0),
        "softmax": (0.0, 1.0),
        "tanh": (-1.0, 1.0),
        "hardtanh": (-1.0, 1.0),
        "erf": (-1.0, 1.0),
        "softsign": (-1.0, 1.0),
        "relu": (0.0, math.inf),
        "relu6": (0.0, 6.0),
        "softplus": (0.0, math.inf),
        "exp": (0.0, math.inf),
        "square": (0.0, math.inf),
        "log_softmax": (-math.inf, 0.0),
        "logsigmoid": (-math.inf, 0.0),
    }
)
"""Where the values of an output activation lie."""
PROBABILITIES = frozenset({"softmax", "sigmoid", "hardsigmoid"})
CLOSE = 0.05  # of the way from the start to the lowest loss
FOLLOWED = 0.9  # correlation from which on outputs follow their targets
REGRESSION = frozenset({"mse", "l1", "huber"})


def last_function(profile: Profile, output: OutputFacts) -> Node | None:
    """The last activation or softmax on the way out."""
    found = nearest_before(profile.graph, output.node, _shapes, through=LEVEL_KEEPING)
    return profile.graph.nodes[found[0]] if len(found) == 1 else None


def _shapes(node: Node) -> bool:
    return node.operation in NONLINEAR


def is_direct(profile: Profile, output: OutputFacts, *also: Operation) -> bool:
    """Whether nothing but shaping (and what is named) lies behind the last activation."""
    through = COPYING.union(also)
    return bool(nearest_before(profile.graph, output.node, _shapes, through=through))


def is_regression(profile: Profile, loss: LossFacts, target: TargetFacts) -> bool:
    """Report whether the loss pulls outputs to their targets: by its kind, or because its minimum is there."""
    if loss.kind in REGRESSION:
        return True
    shape = profile.task.loss_shape
    if shape is None or shape.unbounded or loss.kind != "other" or target.kind != "values" or shape.at_target is None:
        return False
    at_the_target = shape.at_target <= shape.lowest + CLOSE * (shape.start - shape.lowest)
    return shape.reads_target and (shape.correlation or 0.0) >= FOLLOWED and at_the_target


def is_plain(profile: Profile, output: OutputFacts) -> bool:
    """Whether the output is that of a weighted layer, up to shape."""
    graph = profile.graph
    found = nearest_before(graph, output.node, lambda n: n.operation not in LEVEL_KEEPING, through=LEVEL_KEEPING)
    return bool(found) and all(graph.nodes[i].operation.weighted for i in found)


def where(profile: Profile, output: OutputFacts) -> tuple[str, int]:
    """Path and node of the last activation; of the output, where there is none."""
    node = last_function(profile, output)
    return (node.path, node.index) if node is not None else ("", output.node)
