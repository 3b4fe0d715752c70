"""Weights: linear layers, convolutions, tables. Their outputs are sums of many terms, so Gaussian over the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.graph.groups import PAIRWISE
from gainstage.propagation.draw_variance import CALM
from gainstage.propagation.finite_width import CERTAIN, Chance, Deviation
from gainstage.propagation.function import IDENTITY
from gainstage.propagation.geometry import windows
from gainstage.propagation.pairs import Extent, Pairs
from gainstage.propagation.run import Run, doubtful
from gainstage.propagation.signal import Signal
from gainstage.propagation.weights import Mixing, mixing
from gainstage.records import WeightMoments
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Overlap

__all__ = ["arranged", "convolution", "embedding", "linear", "overlaps", "padded"]


def embedding(run: Run, node: Node, _operands: list[Signal]) -> Signal:
    """Rows of a table, picked at random (tokens) or one after the other (positions)."""
    extent = run.extent(node)
    use = next(iter(node.uses_of("weight")), None)
    found = run.weights.get(run.graph.parameter(use.parameter).path) if use is not None else None
    table, told = (found, "") if found is not None else _likely_table(run)
    mean, level = table.mean**2, table.second_moment
    terms = 1.0
    if node.function.startswith("bag"):  # over the tokens of an example
        count = _tokens_of(run, node)
        level = mean + (level - mean) / count
        terms = float(count) if node.function == "bag_sum" else 1.0
        if node.function == "bag_max":
            told = told or "the largest of several rows is taken for their mean"
    rows = max(node.kernel.in_, 1) if node.kernel is not None else 1
    alike = mean + (level - mean) / rows if node.from_input else mean  # two tokens may be the same
    if table.table_mean_square is not None and node.from_input:
        alike = table.table_mean_square
    if not node.from_input and len(node.shape) > 1 and rows < node.shape[-2]:
        alike = level  # too few rows to tell places apart: the same one for all
    examples = alike if node.from_input else level
    # Few of its rows are read.
    few = 2 / max(extent.units * min(rows, extent.positions * extent.examples), 1)
    noise = CALM.caused(run.ledger.cause(), few)
    pairs = Pairs(level, mean, alike, examples, apart=alike).scaled(terms**2)
    # Two tokens are the same one now and then, and wholly alike.
    same = (1 - mean / level) ** 2 / rows if node.from_input and level > 0 else 0.0
    chance = CERTAIN.and_also(Deviation(node.index, same))
    signal = Signal(extent, pairs, table.mean * terms, noise=noise, carried=noise, chance=chance)
    return run.ledger.fresh(replace(signal, doubt=told and doubtful(node, told)))


def _likely_table(run: Run) -> tuple[WeightMoments, str]:
    """A table whose values are not known is most likely drawn as the others are; how that is to be told."""
    for other in run.graph.nodes:
        for use in other.uses_of("weight") if other.operation is Operation.EMBEDDING else ():
            known = run.weights.get(run.graph.parameter(use.parameter).path)
            if known is not None:
                return (
                    known,
                    f"the values of its table are not known; taken to be as large as those of '{use.parameter}'",
                )
    return WeightMoments(0.0, 1.0), "the values of its table are not known; taken to be N(0, 1)"


def _tokens_of(run: Run, node: Node) -> int:
    """How many tokens one example holds."""
    shape = run.graph.nodes[node.inputs[0]].shape if node.inputs else ()
    return max(math.prod(shape) // max(run.examples, 1), 1)


def linear(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """Signal × weight."""
    summed = node.kernel.in_ if node.kernel is not None else 0
    mixed = mixing(run.graph, node, run.weights)
    read, mixed = _of_pairs(run, operands[0], mixed)
    x = arranged(run.ledger.merged(read), summed, heads=puts_heads_together(run, node))
    return run.ledger.fresh(_mixed(run, node, x, mixed, (1.0, 1.0, 1.0), ()))


def convolution(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """Each output gathers the taps that lie inside of the image."""
    read, mixed = _of_pairs(run, operands[0], mixing(run.graph, node, run.weights))
    x = run.ledger.merged(read)
    share, shared, block, borders = 1.0, 1.0, 1.0, list[Array | None]()
    for window, profile in zip(windows(node), _profiles(x, node), strict=True):
        if mixed.one_tap and window.stride == 1:
            block *= 2
            borders.append(profile)
            continue
        terms, border = window.forward(profile)
        expected = window.kernel / window.stride if window.transposed else window.kernel
        share *= terms / expected
        shared *= window.shared(profile)
        block *= window.neighbouring(profile) + terms / expected
        borders.append(border)
    beside = (block - share) / max(2 ** len(borders) - 1, 1)  # of a block two wide, all pairs of different places
    return run.ledger.fresh(
        _mixed(run, node, x, mixed, (share, min(shared, share), min(beside, share)), tuple(borders))
    )


def _of_pairs(run: Run, x: Signal, by: Mixing) -> tuple[Signal, Mixing]:
    """What arrives of pairs of opposite units, as single units of the same weights would bring it.

    A reader weights the two of a pair by (v, -v): of f(h) and f(-h) the odd part arrives, which has no mean.
    """
    if not by.paired_inputs:
        return x, by
    if x.law is None or x.parts or x.law.function.key == IDENTITY.key:
        told = "it reads pairs of opposite units, whose difference is not followed through what stands before"
        return x, replace(by, doubt=by.doubt or told)
    return run.ledger.odd(x), by


def padded(x: Signal, extent: Extent, ends: tuple[tuple[int, int, int], ...]) -> Signal:
    """Zeros around an image: borders that are no signal, as a convolution's own padding makes them.

    Args:
        x: what is padded.
        extent: of the result.
        ends: of every axis its places and how many zeros stand before and after them; empty where that is not known.
    """
    share, borders = 1.0 if ends else min(x.extent.count / max(extent.count, 1), 1.0), list[Array | None]()
    for axis, (size, before, after) in enumerate(ends):
        known = x.borders[axis] if axis < len(x.borders) else None
        profile = np.ones(size) if known is None else known
        profile = np.pad(profile[max(-before, 0) : size - max(-after, 0)], (max(before, 0), max(after, 0)))
        mean = float(profile.mean())
        share *= mean
        borders.append(profile / mean if mean > 0 else None)
    k = x.pairs
    # Of two places of one pair both have to lie inside.
    pairs = replace(k.scaled(share), positions=k.positions * share**2, apart=k.apart * share**2)
    return replace(x, pairs=pairs, mean=x.mean * share, extent=extent, borders=tuple(borders))


def overlaps(node: Node, x: Signal) -> list[Overlap]:
    """The taps that two places of a convolution's output have in common, axis by axis."""
    return [window.overlap(profile) for window, profile in zip(windows(node), _profiles(x, node), strict=True)]


def _profiles(x: Signal, node: Node) -> list[Array | None]:
    """How the level of what is read varies along every axis."""
    axes = len(windows(node))
    return [x.borders[axis] if axis < len(x.borders) else None for axis in range(axes)]


def _gathered(node: Node, x: Signal, by: Mixing) -> Chance:
    """What correlations have by chance behind a weight: grouped channels see few of the others."""
    along = windows(node) if node.operation is Operation.CONVOLUTION else ()
    kernel, units = node.kernel, x.extent.units
    varies = (x.variance / x.pairs.level) ** 2 if x.pairs.level > 0 else 0.0
    few, heavy = varies / max(kernel.in_ if kernel is not None else units, 1), 2 + max(x.excess, -2.0)
    grouped, summed = (kernel.groups > 1, kernel.fan_in) if kernel is not None else (False, float(units))
    before = x.chance if grouped else x.chance.and_also(Deviation(node.index, few, few * heavy))
    found = before.gathered([w.kernel for w in along], [w.stride for w in along])
    out = max(kernel.out if kernel is not None else units, 1)
    # Weights whose squares scatter less than those of a Gaussian leave channels more alike, and have lighter tails.
    lighter = by.scatter - 2 / summed
    single = (1 / summed if grouped else 0.0) + lighter / 2
    restless = (heavy / summed if grouped else 0.0) + lighter * (1 + heavy) / 3
    found = replace(found, fresh=2 / out) if grouped else found.mixed(node.index, out)
    return replace(found, single=varies * single, restless=varies * restless)


def _mixed(
    run: Run, node: Node, x: Signal, by: Mixing, inside: tuple[float, float, float], borders: tuple[Array | None, ...]
) -> Signal:
    """Moments of Σ w x + b.

    Units of x are alike but for what they have in common, so that over weights
    E (Σ w x)² = Σ w² (E x² - E x x') + (Σ w)² E x x', with x and x' two units. Of the terms, a share lies inside of the
    image, and a smaller one inside for both of two places.
    """
    share, shared, beside = inside
    extent = run.extent(node)
    k, m = x.pairs, x.mean
    both = m * m  # of two elements that differ in more than one respect
    rows = by.row_sum_square
    added = by.bias_square + 2 * m * by.bias_row_sum

    def pair(same: float, other: float, terms: float) -> float:
        return by.square * terms * (same - other) + rows * terms * other + added

    common = by.row_sum**2 * k.units + 2 * m * by.row_sum * by.bias + by.bias**2
    if node.kernel is not None and by.weight_mean:
        common += by.weight_mean**2 * node.kernel.fan_in * share * max(k.level - k.units, 0.0)
    pairs = Pairs(
        pair(max(k.level, k.units), k.units, share),
        common,
        pair(k.positions, both, shared),
        pair(k.examples, both, share),
        pair(k.near, both, beside),
        pair(k.apart, both, shared),
    )
    mean = by.row_sum * m + by.bias
    share_of_signal = 1 - min(max(added, 0.0) / pairs.level, 1.0) if pairs.level > 0 else 0.0
    course = None if x.course is None else x.course.offset(share_of_signal)
    carried = x.noise * share_of_signal  # what a bias adds does not scatter with the signal
    bond = (x.bond * share_of_signal).caused(run.ledger.cause(), pairs.bond(extent))
    out = Signal(
        extent, pairs, mean, noise=carried, carried=carried, bond=bond, borders=borders,
        chance=_gathered(node, x, by),
        course=course,
        doubt=by.doubt and doubtful(node, by.doubt),
    )  # fmt: skip
    if by.isometric and extent.units >= x.extent.units:
        return out
    return replace(out, noise=carried.caused(run.ledger.cause(), 2 * out.likeness / max(extent.units, 1)))


def puts_heads_together(run: Run, node: Node) -> bool:
    """Whether a layer reads attention, whose units are those of one head."""
    reads = (run.graph.nodes[i].operation for i in node.inputs)
    return not PAIRWISE.isdisjoint(reads)


def arranged(x: Signal, summed: int, *, heads: bool = False) -> Signal:
    """The signal as a weight reads it that sums over so many units: reshapes have no node of their own.

    Flattening and putting heads together make units of positions; mixing tokens exchanges the two.

    Args:
        x: as it was left by the operation before.
        summed: units that the weight sums over.
        heads: whether ``x`` is an attention's output, whose heads count as positions.
    """
    units, positions = x.extent.units, x.extent.positions
    if summed in (units, 0) or units * positions % max(summed, 1):
        return x
    k, both = x.pairs, x.mean**2
    if summed == positions and not (heads and summed % units == 0):
        extent = Extent(positions, units, x.extent.examples)
        return replace(x, extent=extent, pairs=k.turned(), borders=(), course=None, chance=x.chance.turned())
    if summed > units and summed % units == 0:
        taken = summed // units
        share = (taken - 1) / (summed - 1)  # of all pairs of the new units, those of one old unit
        pairs = replace(k, units=share * k.positions + (1 - share) * _mostly(k.units, both, taken))
        return replace(x, extent=Extent(summed, positions // taken, x.extent.examples), pairs=pairs, borders=())
    total = units * positions
    return replace(x, extent=Extent(summed, total // summed, x.extent.examples), borders=())


def _mostly(units: float, both: float, taken: int) -> float:
    """Pairs of different units: at one position, or (more of them) at two."""
    return units / taken + (1 - 1 / taken) * both
