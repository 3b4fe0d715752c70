"""Tokens of different kinds in one tensor: a class token beside patches, and the parts that slices take out.

A class token starts at another second moment than the patches beside it, and often it alone is read. A normalization
divides it by its own root mean square, so that the mean over all tokens describes neither its signal nor its gradient.
Each kind of token becomes a segment of a ``SequenceProfile``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.second_moments import Extent
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.propagation.signal import PendingGradient, Signal
from gainstage.theory.activations import Array

__all__ = ["part_of_gradient", "received_by_part", "selected", "side_by_side", "taken"]


def side_by_side(run: ForwardPass, node: Node, operands: Sequence[Signal]) -> tuple[SequenceProfile, float] | None:
    """Return the profile of tensors concatenated along their positions, and its mean second moment.

    None where the concatenated axis is not the only axis of positions.
    """
    axis = int(node.setting("axis", -1.0))
    extent = run.extent(node)
    whole = node.shape[axis] if 0 <= axis < len(node.shape) else 0
    alike = all(x.extent.units == extent.units for x in operands)
    if len(operands) < 2 or not alike or not whole == extent.positions == sum(x.extent.positions for x in operands):
        return None
    parts = [_of_signal(x) for x in operands]
    counts = np.concatenate([part.counts for part in parts])
    level = np.concatenate([part.level * x.pairs.level for part, x in zip(parts, operands, strict=True)])
    cross = np.zeros((counts.size, counts.size))
    start = 0
    for part, x in zip(parts, operands, strict=True):
        stop = start + part.counts.size
        cross[start:stop, start:stop] = part.cross * x.pairs.level
        start = stop
    return SequenceProfile.from_moments(counts, level, cross)


def _of_signal(x: Signal) -> SequenceProfile:
    return x.sequence or SequenceProfile.uniform(np.array([float(x.extent.positions)]), x.pairs)


def selected(node: Node, extent: Extent, profile: SequenceProfile | None) -> Array | None:
    """Return the number of tokens that a slice takes of every segment; None where it takes no part of the tokens.

    Args:
        node: the slice.
        extent: layout of what it slices.
        profile: segments of what it slices.
    """
    start, stop, size = (int(node.setting(name, -1.0)) for name in ("start", "stop", "size"))
    if profile is None or size != extent.positions or profile.places != size or not 0 <= start < stop <= size:
        return None
    if stop - start == size:
        return None
    ends = np.cumsum(profile.counts)
    taken = np.minimum(ends, stop) - np.maximum(ends - profile.counts, start)
    return np.asarray(np.maximum(taken, 0.0))


def taken(x: Signal, part: Array) -> Signal:
    """Return the tokens that a slice takes.

    Args:
        x: the signal.
        part: number of tokens taken of every segment, from ``selected``.
    """
    assert x.sequence is not None
    kept = part > 0
    profile, share = SequenceProfile.from_moments(
        part[kept], x.sequence.level[kept], x.sequence.cross[np.ix_(kept, kept)]
    )
    pairs = profile.imposed_on(x.pairs.scaled(share))
    several = profile.counts.size > 1
    return replace(x, pairs=pairs, mean=x.mean, sequence=profile if several else None)


def part_of_gradient(flow: PendingGradient, of: SequenceProfile, part: Array) -> PendingGradient:
    """Return the gradient of a sliced tensor: that of the slice at the tokens it took, zero at all others.

    Args:
        flow: the gradient at the slice, evaluated; its base is returned as the mean over all tokens.
        of: segments of the sliced tensor.
        part: number of tokens taken of every segment, from ``selected``.
    """
    kept = part > 0
    own = flow.sequence
    if own is None or own.counts.size != int(kept.sum()):
        own = SequenceProfile.uniform(part[kept], flow.base)
    share = np.zeros(of.counts.size)
    share[kept] = part[kept] / of.counts[kept]
    level, cross = np.zeros(of.counts.size), np.zeros((of.counts.size, of.counts.size))
    level[kept] = own.level
    cross[np.ix_(kept, kept)] = own.cross
    level *= share
    cross *= share[:, None] * share[None, :]
    profile, mean = SequenceProfile.from_moments(of.counts, level, cross)
    return replace(flow, base=profile.imposed_on(flow.base.scaled(mean)), sequence=profile)


def received_by_part(flow: PendingGradient, start: int, part: Signal) -> PendingGradient:
    """Return the gradient at one of the tensors that were concatenated along their positions.

    Args:
        flow: the gradient behind the concatenation, evaluated.
        start: first segment of the part.
        part: the tensor.
    """
    assert flow.sequence is not None
    stop = start + (1 if part.sequence is None else part.sequence.counts.size)
    profile, share = SequenceProfile.from_moments(
        flow.sequence.counts[start:stop], flow.sequence.level[start:stop], flow.sequence.cross[start:stop, start:stop]
    )
    base = profile.imposed_on(flow.base.scaled(share))
    return replace(flow, base=base, sequence=profile if part.sequence is not None else None)
