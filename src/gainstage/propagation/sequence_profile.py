"""Second moment and cosine similarity as functions of token position.

With causal attention, early rows average few values and late rows average many. Rows then differ in second moment, and
later rows are more similar to each other. Normalization divides every row by its own root mean square. Positions are
grouped into segments whose length grows with their distance from the start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gainstage.propagation.second_moments import SecondMoments
from gainstage.theory.activations import Array

__all__ = ["SequenceProfile", "Windows", "blended", "segment_lengths", "times"]

_GROWTH = 4  # a segment has at most 1/_GROWTH of the positions before it


def segment_lengths(places: int) -> Array:
    """Return the number of positions in each segment: 1 at the start, at most a quarter of the positions before it
    later.

    >>> segment_lengths(12).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    """
    counts, start = list[float](), 0
    while start < places:
        counts.append(float(min(max(start // _GROWTH, 1), places - start)))
        start += int(counts[-1])
    return np.array(counts)


@dataclass(frozen=True, slots=True)
class SequenceProfile:
    """Second moments of a tensor by token position, divided by the mean second moment.

    Args:
        counts: number of positions in each segment, shape (segments,).
        level: E x² in each segment, shape (segments,); its mean over positions is 1.
        cross: E x·y of two different positions by their segments, shape (segments, segments).
    """

    counts: Array
    level: Array
    cross: Array

    @classmethod
    def uniform(cls, counts: Array, pairs: SecondMoments) -> SequenceProfile:
        """Return the profile of a tensor whose positions are alike."""
        share = pairs.positions / pairs.level if pairs.level > 0 else 0.0
        return cls(counts, np.ones(counts.size), np.full((counts.size, counts.size), share))

    @classmethod
    def from_moments(cls, counts: Array, level: Array, alike: Array) -> tuple[SequenceProfile, float]:
        """Normalize absolute moments to a mean of 1; also return that mean."""
        mean = float(counts @ level) / float(counts.sum())
        scale = 1 / mean if mean > 0 else 0.0
        return cls(counts, level * scale if mean > 0 else np.ones_like(level), alike * scale), mean

    @property
    def places(self) -> int:
        """The number of positions of the sequence."""
        return round(float(self.counts.sum()))

    def aligned_with(self, other: SequenceProfile) -> bool:
        """Report whether both profiles have the same segments."""
        return np.array_equal(self.counts, other.counts)

    @property
    def positions(self) -> float:
        """The mean of E x·y over all pairs of different positions, divided by the mean second moment."""
        n = self.counts
        pairs = float(n @ self.cross @ n - n @ np.diag(self.cross))
        return pairs / max(float(n.sum() * (n.sum() - 1)), 1.0)

    @property
    def mean_squared_correlation(self) -> float:
        """The mean of (E x·y)² over all pairs of positions, divided by the squared mean second moment.

        Its inverse is the effective number of independent positions.
        """
        n = self.counts
        pairs = n @ self.cross**2 @ n - n @ np.diag(self.cross) ** 2
        return float(n @ self.level**2 + pairs) / float(n.sum()) ** 2

    @property
    def correlation(self) -> Array:
        """The cosine similarity of two positions by their segments, shape (segments, segments)."""
        root = np.sqrt(np.maximum(self.level, 1e-300))
        return np.asarray(self.cross / root[:, None] / root[None, :])

    def mean(self, values: Array) -> float:
        """Average values given by segment over all positions."""
        return float(self.counts @ values) / float(self.counts.sum())

    def scaled(self, level: Array, alike: Array) -> tuple[SequenceProfile, float]:
        """Multiply second moments and cross moments by factors; also return the mean second moment's factor."""
        return SequenceProfile.from_moments(self.counts, self.level * level, self.cross * alike)

    def normalized(self) -> SequenceProfile:
        """Return the profile behind a normalization that divides each position by its own root mean square."""
        return SequenceProfile(self.counts, np.ones_like(self.level), self.correlation)

    def diluted(self, share: float) -> SequenceProfile:
        """Return the profile of a sum with a term that is the same at all positions.

        Args:
            share: share of this tensor in the sum's second moment.
        """
        rest = 1 - share
        return replace(self, level=share * self.level + rest, cross=share * self.cross + rest)

    def imposed_on(self, pairs: SecondMoments) -> SecondMoments:
        """Return ``pairs`` with the covariance of positions set to the profile's mean."""
        positions = self.positions * pairs.level
        neighbour = positions if pairs.neighbour == pairs.positions else pairs.neighbour
        return replace(pairs, positions=positions, neighbour=neighbour)


def blended(
    first: SequenceProfile | None,
    second: SequenceProfile | None,
    share: float,
    pairs: tuple[SecondMoments, SecondMoments],
) -> SequenceProfile | None:
    """Return the profile of a sum of two independent tensors; None where neither has one.

    Args:
        first, second: profiles of the terms.
        share: share of the first term in the sum's second moment.
        pairs: second moments of both terms, used where a term has no profile.
    """
    if first is None and second is None:
        return None
    counts = (first or second).counts  # type: ignore[union-attr]
    a, b = (c or SequenceProfile.uniform(counts, p) for c, p in zip((first, second), pairs, strict=True))
    if not a.aligned_with(b):
        return None
    rest = 1 - share
    return SequenceProfile(a.counts, share * a.level + rest * b.level, share * a.cross + rest * b.cross)


def times(
    first: SequenceProfile | None, one: SecondMoments, second: SequenceProfile | None, other: SecondMoments
) -> tuple[SecondMoments, SequenceProfile | None]:
    """Return the second moments and the profile of a product of two independent tensors; no profile where neither has
    one.
    """
    pairs = one * other
    if first is None and second is None:
        return pairs, None
    counts = (first or second).counts  # type: ignore[union-attr]
    a, b = first or SequenceProfile.uniform(counts, one), second or SequenceProfile.uniform(counts, other)
    if not a.aligned_with(b):
        return pairs, None
    sequence, share = a.scaled(b.level, b.cross)
    return sequence.imposed_on(replace(pairs, level=share * pairs.level)), sequence


class Windows:
    """The keys that each row of an attention averages over: all positions, or with a causal mask those up to its own.

    Args:
        counts: number of positions in each segment.
        causal: whether a causal mask is applied.
    """

    def __init__(self, counts: Array, *, causal: bool = True) -> None:
        m = counts.size
        start, whole = np.cumsum(counts) - counts, float(counts.sum())
        self.counts, self.causal = counts, causal
        # Ordered pairs of different rows.
        self.times: Array = np.outer(counts, counts)
        np.fill_diagonal(self.times, counts * (counts - 1))
        if not causal:
            self.seen: Array = np.broadcast_to(counts, (m, m)).copy()
            self.length: Array = np.full(m, whole)
            self.shorter = self.longer = np.full((m, m), whole)
            return
        self.seen = np.tril(np.broadcast_to(counts, (m, m)), -1) + np.diag((counts + 1) / 2)
        self.length = start + (counts + 1) / 2
        # Lengths of the shorter and the longer row; within one segment, the expected minimum and maximum.
        self.shorter = np.minimum(self.length[:, None], self.length[None, :])
        self.longer = np.maximum(self.length[:, None], self.length[None, :])
        np.fill_diagonal(self.shorter, start + (counts + 1) / 3)
        np.fill_diagonal(self.longer, start + 2 * (counts + 1) / 3)

    def levels(self, level: Array) -> Array:
        """Average second moments given by segment over the keys of each row, shape (segments,)."""
        return np.asarray(self.seen @ level / self.length)

    def within(self, alike: Array) -> Array:
        """Average cross moments over pairs of different keys of one row, shape (segments,)."""
        whole = np.einsum("ab,bc,ac->a", self.seen, alike, self.seen) - self.seen @ np.diag(alike)
        return np.asarray(whole / np.maximum(self.length * (self.length - 1), 1e-9) * (self.length > 1))

    def centred(self, first: SequenceProfile, second: SequenceProfile) -> Array:
        """Return the covariance of two tensors within each row: Σ of products of both centred Gram matrices, over their
        rank.

        Where positions are exchangeable, this is the product of the parts that positions do not share.
        """
        length, seen = self.length, self.seen

        def sums(x: SequenceProfile) -> Array:  # sum over the keys of a row, for each of its keys
            return np.asarray(seen @ x.cross - np.diag(x.cross) + x.level)

        one, two = sums(first), sums(second)
        own = first.level * second.level - np.diag(first.cross) * np.diag(second.cross)
        whole = np.einsum("ab,bc,ac->a", seen, first.cross * second.cross, seen) + seen @ own
        whole = whole - 2 * (seen * one * two).sum(-1) / length
        whole = whole + (seen * one).sum(-1) * (seen * two).sum(-1) / length**2
        return np.asarray(np.maximum(whole / np.maximum(length - 1, 1e-9), 0.0) * (length > 1))

    def across(self, alike: Array) -> Array:
        """Average cross moments over pairs of different keys, one from each of two rows, shape (segments, segments)."""
        own = np.diag(alike)
        both = np.minimum(self.seen[:, None, :], self.seen[None, :, :]) @ own
        pairs = self.length[:, None] * self.length[None, :] - np.minimum(self.length[:, None], self.length[None, :])
        return np.asarray((self.seen @ alike @ self.seen.T - both) / np.maximum(pairs, 1e-9) * (pairs > 0))
