"""Linear layers, convolutions and embeddings in the forward pass.

Their outputs are sums of many terms, so they are Gaussian over draws of the weights.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.graph.groups import PAIRWISE
from gainstage.propagation.draw_variance import NO_VARIANCE
from gainstage.propagation.finite_width import INFINITE_WIDTH, Deviation, FiniteWidth
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.function import IDENTITY
from gainstage.propagation.geometry import windows
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.propagation.weights import Mixing, mixing
from gainstage.records import WeightMoments
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Overlap

__all__ = [
    "convolution", "embedding", "linear", "overlaps", "padded", "puts_heads_together", "regrouped", "weighted_sum",
]  # fmt: skip


def embedding(run: ForwardPass, node: Node, _operands: list[Signal]) -> Signal:
    """Predict rows of a table, looked up by token or by position."""
    extent = run.extent(node)
    use = next(iter(node.uses_of("weight")), None)
    found = run.weights.get(run.graph.parameter(use.parameter).path) if use is not None else None
    table, reason = (found, "") if found is not None else _likely_table(run)
    mean, level = table.mean**2, table.second_moment
    terms = 1.0
    if node.function.startswith("bag"):  # over the tokens of an example
        count = _tokens_of(run, node)
        level = mean + (level - mean) / count
        terms = float(count) if node.function == "bag_sum" else 1.0
        if node.function == "bag_max":
            reason = reason or "the largest of several rows is taken for their mean"
    rows = max(node.kernel.in_, 1) if node.kernel is not None else 1
    alike = mean + (level - mean) / rows if node.from_input else mean  # two positions may hold the same token
    if table.table_mean_square is not None and node.from_input:
        alike = table.table_mean_square
    if not node.from_input and len(node.shape) > 1 and rows < node.shape[-2]:
        alike = level  # fewer rows than positions: all positions use the same row
    examples = alike if node.from_input else level
    # Only few rows of the table are read.
    few = 2 / max(extent.units * min(rows, extent.positions * extent.examples), 1)
    noise = NO_VARIANCE.with_cause(run.algebra.cause(), few)
    pairs = SecondMoments(level, mean, alike, examples, across_both=alike).scaled(terms**2)
    # Two positions hold the same token with probability 1/rows.
    same = (1 - mean / level) ** 2 / rows if node.from_input and level > 0 else 0.0
    finite_width = INFINITE_WIDTH.with_deviation(Deviation(node.index, same))
    signal = Signal(extent, pairs, table.mean * terms, noise=noise, inherited=noise, finite_width=finite_width)
    return run.algebra.new_source(replace(signal, doubt=reason and doubtful(node, reason)))


def _likely_table(run: ForwardPass) -> tuple[WeightMoments, str]:
    """Return the moments of another embedding for a table with unknown values, with the reason for doubt."""
    for other in run.graph.nodes:
        for use in other.uses_of("weight") if other.operation is Operation.EMBEDDING else ():
            known = run.weights.get(run.graph.parameter(use.parameter).path)
            if known is not None:
                return (
                    known,
                    f"the values of its table are not known; taken to be as large as those of '{use.parameter}'",
                )
    return WeightMoments(0.0, 1.0), "the values of its table are not known; taken to be N(0, 1)"


def _tokens_of(run: ForwardPass, node: Node) -> int:
    """Return the number of tokens in one example."""
    shape = run.graph.nodes[node.inputs[0]].shape if node.inputs else ()
    return max(math.prod(shape) // max(run.examples, 1), 1)


def linear(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a linear layer."""
    summed = node.kernel.in_ if node.kernel is not None else 0
    read, mixed = _of_pairs(run, operands[0], mixing(run.graph, node, run.weights))
    x = regrouped(run.algebra.without_parts(read), summed, heads=puts_heads_together(run, node))
    return run.algebra.new_source(weighted_sum(run, node, x, mixed))


def convolution(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a convolution; taps outside the image contribute nothing."""
    read, mixed = _of_pairs(run, operands[0], mixing(run.graph, node, run.weights))
    x = run.algebra.without_parts(read)
    share, shared, block, edge_profiles = 1.0, 1.0, 1.0, list[Array | None]()
    for window, profile in zip(windows(node), _profiles(x, node), strict=True):
        if mixed.one_tap and window.stride == 1:
            block *= 2
            edge_profiles.append(profile)
            continue
        terms, border = window.forward(profile)
        expected = window.kernel / window.stride if window.transposed else window.kernel
        share *= terms / expected
        shared *= window.shared(profile)
        block *= window.neighbouring(profile) + terms / expected
        edge_profiles.append(border)
    beside = (block - share) / max(2 ** len(edge_profiles) - 1, 1)  # pairs of different positions in a block two wide
    return run.algebra.new_source(
        _mixed(run, node, x, mixed, (share, min(shared, share), min(beside, share)), tuple(edge_profiles))
    )


def _of_pairs(run: ForwardPass, x: Signal, by: Mixing) -> tuple[Signal, Mixing]:
    """Return what a reader of opposite units receives, as single units with the same weights would bring it.

    A reader weights the two units of a pair by (v, -v): of f(h) and f(-h) the odd part arrives, which has no mean.
    """
    if not by.paired_inputs:
        return x, by
    if x.dependence is None or x.parts or x.dependence.function.key == IDENTITY.key:
        why = "this layer reads pairs of opposite units; their difference is not followed through what stands before"
        return x, replace(by, doubt=by.doubt or why)
    return run.algebra.odd(x), by


def padded(x: Signal, extent: Extent, ends: tuple[tuple[int, int, int], ...]) -> Signal:
    """Return a signal with zeros around the image, as a convolution's own padding would add them.

    Args:
        x: the image.
        extent: layout of the result.
        ends: for every axis its size and the numbers of zeros before and after; empty where unknown.
    """
    share, edge_profiles = 1.0 if ends else min(x.extent.count / max(extent.count, 1), 1.0), list[Array | None]()
    for axis, (size, before, after) in enumerate(ends):
        known = x.edge_profiles[axis] if axis < len(x.edge_profiles) else None
        profile = np.ones(size) if known is None else known
        profile = np.pad(profile[max(-before, 0) : size - max(-after, 0)], (max(before, 0), max(after, 0)))
        mean = float(profile.mean())
        share *= mean
        edge_profiles.append(profile / mean if mean > 0 else None)
    k = x.pairs
    # Both positions of a pair have to lie inside.
    pairs = replace(k.scaled(share), positions=k.positions * share**2, across_both=k.across_both * share**2)
    return replace(x, pairs=pairs, mean=x.mean * share, extent=extent, edge_profiles=tuple(edge_profiles))


def overlaps(node: Node, x: Signal) -> list[Overlap]:
    """Return, axis by axis, the taps that two positions of a convolution's output share."""
    return [window.overlap(profile) for window, profile in zip(windows(node), _profiles(x, node), strict=True)]


def _profiles(x: Signal, node: Node) -> list[Array | None]:
    """Return the edge profile of the input along every axis."""
    axes = len(windows(node))
    return [x.edge_profiles[axis] if axis < len(x.edge_profiles) else None for axis in range(axes)]


def _gathered(node: Node, x: Signal, by: Mixing) -> FiniteWidth:
    """Return the finite-width fluctuations behind a weight; grouped channels read few of the others."""
    along = windows(node) if node.operation is Operation.CONVOLUTION else ()
    kernel, units = node.kernel, x.extent.units
    varies = (x.variance / x.pairs.level) ** 2 if x.pairs.level > 0 else 0.0
    few, heavy = varies / max(kernel.in_ if kernel is not None else units, 1), 2 + max(x.excess, -2.0)
    grouped, summed = (kernel.groups > 1, kernel.fan_in) if kernel is not None else (False, float(units))
    before = x.finite_width if grouped else x.finite_width.with_deviation(Deviation(node.index, few, few * heavy))
    found = before.windowed([w.kernel for w in along], [w.stride for w in along])
    out = max(kernel.out if kernel is not None else units, 1)
    # Weights with lighter tails than Gaussian ones make channel variances more equal.
    lighter = by.scatter - 2 / summed
    single = (1 / summed if grouped else 0.0) + lighter / 2
    restless = (heavy / summed if grouped else 0.0) + lighter * (1 + heavy) / 3
    found = replace(found, new_level_variance=2 / out) if grouped else found.after_mixing(node.index, out)
    return replace(found, grouped_variance=varies * single, grouped_square_variance=varies * restless)


def weighted_sum(run: ForwardPass, node: Node, x: Signal, by: Mixing) -> Signal:
    """Return the moments of Σ w x + b where all terms are present."""
    return _mixed(run, node, x, by, (1.0, 1.0, 1.0), ())


def _mixed(
    run: ForwardPass,
    node: Node,
    x: Signal,
    by: Mixing,
    inside: tuple[float, float, float],
    edge_profiles: tuple[Array | None, ...],
) -> Signal:
    """Return the moments of Σ w x + b.

    Over draws of the weights, E (Σ w x)² = Σ w² (E x² - E x x') + (Σ w)² E x x', where x and x' are two units.
    ``inside`` holds the shares of terms inside the image: for one position, for any two, and for two adjacent ones.
    """
    share, shared, beside = inside
    extent = run.extent(node)
    k, m = x.pairs, x.mean
    both = m * m  # E x·y of two elements that differ in unit and position
    rows = by.row_sum_square
    added = by.bias_square + 2 * m * by.bias_row_sum

    def pair(same: float, other: float, terms: float) -> float:
        return by.square * terms * (same - other) + rows * terms * other + added

    common = by.row_sum**2 * k.units + 2 * m * by.row_sum * by.bias + by.bias**2
    if node.kernel is not None and by.weight_mean:
        common += by.weight_mean**2 * node.kernel.fan_in * share * max(k.level - k.units, 0.0)
    pairs = SecondMoments(
        pair(max(k.level, k.units), k.units, share),
        common,
        pair(k.positions, both, shared),
        pair(k.examples, both, share),
        pair(k.neighbour, both, beside),
        pair(k.across_both, both, shared),
    )
    mean = by.row_sum * m + by.bias
    share_of_signal = 1 - min(max(added, 0.0) / pairs.level, 1.0) if pairs.level > 0 else 0.0
    sequence = None if x.sequence is None else x.sequence.diluted(share_of_signal)
    inherited = x.noise * share_of_signal  # the bias does not vary with the signal
    covariance_noise = (x.covariance_noise * share_of_signal).with_cause(
        run.algebra.cause(), pairs.covariance_variance(extent)
    )
    out = Signal(
        extent,
        pairs,
        mean,
        noise=inherited,
        inherited=inherited,
        covariance_noise=covariance_noise,
        edge_profiles=edge_profiles,
        finite_width=_gathered(node, x, by),
        sequence=sequence,
        doubt=by.doubt and doubtful(node, by.doubt),
    )
    if by.isometric and extent.units >= x.extent.units:
        return out
    return replace(
        out, noise=inherited.with_cause(run.algebra.cause(), 2 * out.mean_squared_correlation / max(extent.units, 1))
    )


def puts_heads_together(run: ForwardPass, node: Node) -> bool:
    """Report whether a layer reads an attention, whose units are those of one head."""
    reads = (run.graph.nodes[i].operation for i in node.inputs)
    return not PAIRWISE.isdisjoint(reads)


def regrouped(x: Signal, summed: int, *, heads: bool = False) -> Signal:
    """Return the signal as read by a weight that sums over ``summed`` units.

    Reshapes have no node of their own. Flattening and concatenating heads turn positions into units; token mixing
    exchanges the two.

    Args:
        x: the output of the operation before.
        summed: number of units that the weight sums over.
        heads: whether ``x`` is an attention's output, whose heads count as positions.
    """
    units, positions = x.extent.units, x.extent.positions
    if summed in (units, 0) or units * positions % max(summed, 1):
        return x
    k, both = x.pairs, x.mean**2
    if summed == positions and not (heads and summed % units == 0):
        extent = Extent(positions, units, x.extent.examples)
        return replace(
            x,
            extent=extent,
            pairs=k.transposed(),
            edge_profiles=(),
            sequence=None,
            finite_width=x.finite_width.transposed(),
        )
    if summed > units and summed % units == 0:
        taken = summed // units
        share = (taken - 1) / (summed - 1)  # share of pairs of new units that come from one old unit
        pairs = replace(k, units=share * k.positions + (1 - share) * _mostly(k.units, both, taken))
        return replace(x, extent=Extent(summed, positions // taken, x.extent.examples), pairs=pairs, edge_profiles=())
    total = units * positions
    return replace(x, extent=Extent(summed, total // summed, x.extent.examples), edge_profiles=())


def _mostly(units: float, both: float, taken: int) -> float:
    """Return E x·y of two new units, at one old position or at two."""
    return units / taken + (1 - 1 / taken) * both
