"""The change that the optimizer's first update of a weight makes to the output of its layer, predicted.

With gradients g_o at the output and inputs x_o of the layer at N observations (examples and positions), the gradient
of a weight is G = Σ_o g_o x_oᵀ. The updated weight changes the output at an observation by Δh = ΔW x, whose root mean
square follows from the second moment q of x, the level γ of g, and the mean squared cosine similarity m of two
observations of x: 1/N where all are independent, 1 where all are one.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Literal

from gainstage.graph import Node, Operation
from gainstage.graph.groups import MIXING
from gainstage.propagation.back.backward_pass import BackwardPass

__all__ = ["UpdateRule", "first_updates"]

UpdateRule = Literal["adam", "sgd", "muon"]


def first_updates(
    back: BackwardPass, rule: UpdateRule, rates: Mapping[str, float], orthogonal: Container[str] = ()
) -> dict[int, float]:
    """Return the root mean square of Δh at every weighted operation, by node.

    Args:
        back: a backward pass from the loss, or from random signs at the output.
        rule: how the update follows from the gradient: its sign (Adam's first step), the gradient, or the nearest
            orthogonal matrix.
        rates: factors on a rate of one by parameter; 1 where missing.
        orthogonal: the parameters that Muon updates; Adam updates the others.
    """
    found = {}
    for node in back.run.graph.nodes:
        use = next(iter(node.uses_of("weight")), None)
        gradient = back.gradients.get(node.index)
        if use is None or gradient is None or not gradient.pairs.level > 0:
            continue
        rate = rates.get(use.parameter, 1.0)
        own: UpdateRule = "adam" if rule == "muon" and use.parameter not in orthogonal else rule
        if node.operation is Operation.EMBEDDING:
            change = 1.0 if rule != "sgd" else math.sqrt(gradient.pairs.level)
        elif node.operation in MIXING and node.kernel is not None and node.inputs:
            change = _changed(back, node, own)
        else:
            continue
        found[node.index] = rate * change
    return found


def _changed(back: BackwardPass, node: Node, rule: UpdateRule) -> float:
    """Return the root mean square of Δh at a rate of one.

    The sign of G_ij has covariance √(2/π) (Σ_o' g_io' C_oo') / σ(G) with x_jo, C the similarity of observations, and
    its own fluctuations add n q (1 - 2m/π). The gradient itself gives n Σ_o' g_io' C_oo'. The nearest orthogonal matrix
    keeps the length of x, as far as its rank reaches.
    """
    x, gradient = back.run.signals[node.inputs[0]], back.gradients[node.index]
    assert node.kernel is not None
    n, out, q = node.kernel.fan_in, node.kernel.out, x.pairs.level
    alone = 1 / max(x.extent.examples * x.extent.positions, 1)
    # Two independent observations of few units are similar by chance.
    alike = max(x.mean_squared_correlation, alone + (1 - alone) / max(x.extent.units, 1))
    if rule == "adam":
        return math.sqrt(max(n**2 * 2 / math.pi * q * alike + n * q * (1 - 2 / math.pi * alike), 0.0))
    extent = gradient.extent
    observations = extent.examples * extent.positions
    if rule == "sgd":
        return n * q * math.sqrt(max(gradient.pairs.level * observations * alike, 0.0))
    rank = min(n, out, 1 / alike if alike > 0 else n)
    return math.sqrt(n * q / out * (rank / n if 1 / max(alike, 1e-300) > rank else 1.0))
