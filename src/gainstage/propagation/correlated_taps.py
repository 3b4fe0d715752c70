"""Channel variances behind a convolution whose taps read correlated positions."""

from __future__ import annotations

import math

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.geometry import windows
from gainstage.theory.activations import Array

__all__ = ["inverse_of_sum", "of_alike_taps"]

_FEWEST, _FEW = 3.0, 1e-3


def of_alike_taps(run: ForwardPass, node: Node) -> float:
    """Return the factor on E 1/v of a channel's variance v behind a convolution with correlated taps.

    v is a quadratic form of the channel's weights, Σ λ z², where λ are the eigenvalues of a correlation matrix that
    decays geometrically with distance along every axis. The factor is relative to uncorrelated taps.
    """
    producer = run.graph.nodes[node.inputs[0]]
    source = run.signals.get(producer.inputs[0]) if producer.operation is Operation.CONVOLUTION else None
    along, kernel = windows(producer) if source is not None else (), producer.kernel
    if source is None or kernel is None or not along:
        return 1.0
    k, blocks = source.pairs, 2 ** len(along)
    own = k.level - k.across_both
    neighbour = min(max(k.neighbour - k.across_both, 0.0) / own, 1.0) if own > 0 else 0.0
    a_place = (1 + neighbour * (blocks - 1)) ** (1 / len(along)) - 1  # a block holds every pair of steps along its axes
    inputs = max(kernel.fan_in / math.prod(w.kernel for w in along), 1.0)
    taps = inputs * math.prod(w.kernel for w in along)
    if taps <= _FEWEST or a_place < _FEW:
        return 1.0
    shares = np.ones(1)
    for window in along:
        distance = np.abs(np.subtract.outer(np.arange(window.kernel), np.arange(window.kernel))) * window.dilation
        shares = np.multiply.outer(shares, np.linalg.eigvalsh(a_place**distance)).ravel()
    return inverse_of_sum(shares, inputs) / inverse_of_sum(np.ones(shares.size), inputs)


def inverse_of_sum(shares: Array, times: float) -> float:
    """Return E 1/v for v = Σ λ z² / n with standard normal z, by ∫ Π (1 + 2 s λ / n)^(-1/2) ds.

    Args:
        shares: the eigenvalues λ.
        times: multiplicity of each eigenvalue.
    """
    logs = np.linspace(-16.0, 16.0, 1601)
    s = np.exp(logs)
    decay = np.log1p(2 * s[:, None] * shares / (shares.size * times)).sum(-1)
    return float(np.exp(logs - times / 2 * decay).sum() * (logs[1] - logs[0]))
