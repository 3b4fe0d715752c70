"""Channels that a convolution makes of places that are alike: few numbers decide how they vary."""

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
    """How much more E 1 / v of a channel is right behind a convolution whose taps see places that are alike.

    Its variance is a quadratic form of its weights, Σ λ z², with the λ of a matrix of correlations that fall by a
    factor a place along every axis. That of weights over places that are not alike is followed elsewhere.
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
    """E 1 / v of v = Σ λ z² / n, every λ so many times: ∫ Π (1 + 2 s λ / n)^(-1/2) ds."""
    logs = np.linspace(-16.0, 16.0, 1601)
    s = np.exp(logs)
    decay = np.log1p(2 * s[:, None] * shares / (shares.size * times)).sum(-1)
    return float(np.exp(logs - times / 2 * decay).sum() * (logs[1] - logs[0]))
