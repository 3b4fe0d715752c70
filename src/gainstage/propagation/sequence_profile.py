"""How level and likeness run along the places of a sequence, where these are not alike.

A token of a causal sequence looks back on those before it. The first rows average few values and the last ones many,
so that rows differ in level, and later ones have more in common. A norm divides every row by its own level.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gainstage.propagation.second_moments import SecondMoments
from gainstage.theory.activations import Array

__all__ = ["SequenceProfile", "Windows", "blended", "segment_lengths", "times"]

_GROWTH = 4  # a stretch is at most this part of the places before it


def segment_lengths(places: int) -> Array:
    """How many places each stretch holds: one at first, more where the places before them are many.

    >>> stretches(12).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]
    """
    counts, start = list[float](), 0
    while start < places:
        counts.append(float(min(max(start // _GROWTH, 1), places - start)))
        start += int(counts[-1])
    return np.array(counts)


@dataclass(frozen=True, slots=True)
class SequenceProfile:
    """A tensor's second moments along its places, as parts of its mean level.

    Args:
        counts: places of each stretch, in their order.
        level: E x² in each stretch; its mean over all places is one.
        cross: E x·y of two places, by their stretches; on the diagonal, of two places of one stretch.
    """

    counts: Array
    level: Array
    cross: Array

    @classmethod
    def uniform(cls, counts: Array, pairs: SecondMoments) -> SequenceProfile:
        """Of a tensor whose places are alike."""
        share = pairs.positions / pairs.level if pairs.level > 0 else 0.0
        return cls(counts, np.ones(counts.size), np.full((counts.size, counts.size), share))

    @classmethod
    def from_moments(cls, counts: Array, level: Array, alike: Array) -> tuple[SequenceProfile, float]:
        """From moments that are not relative; their mean level as well."""
        mean = float(counts @ level) / float(counts.sum())
        scale = 1 / mean if mean > 0 else 0.0
        return cls(counts, level * scale if mean > 0 else np.ones_like(level), alike * scale), mean

    @property
    def places(self) -> int:
        """Of the whole sequence."""
        return round(float(self.counts.sum()))

    @property
    def positions(self) -> float:
        """E x·y of two places, mean over all pairs, as a part of the mean level."""
        n = self.counts
        pairs = float(n @ self.cross @ n - n @ np.diag(self.cross))
        return pairs / max(float(n.sum() * (n.sum() - 1)), 1.0)

    @property
    def mean_squared_correlation(self) -> float:
        """Mean squared product of two places, as a part of the squared mean level: one over their effective number."""
        n = self.counts
        pairs = n @ self.cross**2 @ n - n @ np.diag(self.cross) ** 2
        return float(n @ self.level**2 + pairs) / float(n.sum()) ** 2

    @property
    def correlation(self) -> Array:
        """Of two places."""
        root = np.sqrt(np.maximum(self.level, 1e-300))
        return np.asarray(self.cross / root[:, None] / root[None, :])

    def mean(self, values: Array) -> float:
        """Over all places."""
        return float(self.counts @ values) / float(self.counts.sum())

    def scaled(self, level: Array, alike: Array) -> tuple[SequenceProfile, float]:
        """Every level and every pair times a factor of its own; the factor on the mean level as well."""
        return SequenceProfile.from_moments(self.counts, self.level * level, self.cross * alike)

    def normalized(self) -> SequenceProfile:
        """Behind a norm: every place divided by its own level."""
        return SequenceProfile(self.counts, np.ones_like(self.level), self.correlation)

    def diluted(self, share: float) -> SequenceProfile:
        """Of a sum with something that all places have in common, when this has that share of it."""
        rest = 1 - share
        return replace(self, level=share * self.level + rest, cross=share * self.cross + rest)

    def imposed_on(self, pairs: SecondMoments) -> SecondMoments:
        """Pairs whose means over two places are those of the course."""
        positions = self.positions * pairs.level
        neighbour = positions if pairs.neighbour == pairs.positions else pairs.neighbour
        return replace(pairs, positions=positions, neighbour=neighbour)


def blended(
    first: SequenceProfile | None,
    second: SequenceProfile | None,
    share: float,
    pairs: tuple[SecondMoments, SecondMoments],
) -> SequenceProfile | None:
    """The course of a sum, of whose level the first term has that share; None where neither has one.

    Args:
        first, second: of the terms.
        share: of the first one.
        pairs: of both terms, for one that has no course.
    """
    if first is None and second is None:
        return None
    counts = (first or second).counts  # type: ignore[union-attr]
    a, b = (c or SequenceProfile.uniform(counts, p) for c, p in zip((first, second), pairs, strict=True))
    if a.places != b.places:
        return None
    rest = 1 - share
    return SequenceProfile(a.counts, share * a.level + rest * b.level, share * a.cross + rest * b.cross)


def times(
    first: SequenceProfile | None, one: SecondMoments, second: SequenceProfile | None, other: SecondMoments
) -> tuple[SecondMoments, SequenceProfile | None]:
    """The pairs and the course of a product of two independent tensors; no course where neither has one."""
    pairs = one * other
    if first is None and second is None:
        return pairs, None
    counts = (first or second).counts  # type: ignore[union-attr]
    a, b = first or SequenceProfile.uniform(counts, one), second or SequenceProfile.uniform(counts, other)
    if a.places != b.places:
        return pairs, None
    sequence, share = a.scaled(b.level, b.cross)
    return sequence.imposed_on(replace(pairs, level=share * pairs.level)), sequence


class Windows:
    """What the rows of attention look at: all places, or all stretches before and half of their own.

    Args:
        counts: places of each stretch.
        causal: whether a row looks back alone.
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
        # Of two rows, the shorter and the longer; of two in one stretch, the means of smaller and larger.
        self.shorter = np.minimum(self.length[:, None], self.length[None, :])
        self.longer = np.maximum(self.length[:, None], self.length[None, :])
        np.fill_diagonal(self.shorter, start + (counts + 1) / 3)
        np.fill_diagonal(self.longer, start + 2 * (counts + 1) / 3)

    def levels(self, level: Array) -> Array:
        """Means over what each row looks at."""
        return np.asarray(self.seen @ level / self.length)

    def within(self, alike: Array) -> Array:
        """Means over pairs of different places that one row looks at."""
        whole = np.einsum("ab,bc,ac->a", self.seen, alike, self.seen) - self.seen @ np.diag(alike)
        return np.asarray(whole / np.maximum(self.length * (self.length - 1), 1e-9) * (self.length > 1))

    def centred(self, first: SequenceProfile, second: SequenceProfile) -> Array:
        """What two tensors vary together within each row: Σ of products of both centred Gram matrices, over rank.

        Where places are alike but for what each has of its own, it is the product of what they have of their own.
        """
        length, seen = self.length, self.seen

        def sums(x: SequenceProfile) -> Array:  # over what a row looks at, for each token there
            return np.asarray(seen @ x.cross - np.diag(x.cross) + x.level)

        one, two = sums(first), sums(second)
        own = first.level * second.level - np.diag(first.cross) * np.diag(second.cross)
        whole = np.einsum("ab,bc,ac->a", seen, first.cross * second.cross, seen) + seen @ own
        whole = whole - 2 * (seen * one * two).sum(-1) / length
        whole = whole + (seen * one).sum(-1) * (seen * two).sum(-1) / length**2
        return np.asarray(np.maximum(whole / np.maximum(length - 1, 1e-9), 0.0) * (length > 1))

    def across(self, alike: Array) -> Array:
        """Means over pairs of different places, of which two rows look at one each."""
        own = np.diag(alike)
        both = np.minimum(self.seen[:, None, :], self.seen[None, :, :]) @ own
        pairs = self.length[:, None] * self.length[None, :] - np.minimum(self.length[:, None], self.length[None, :])
        return np.asarray((self.seen @ alike @ self.seen.T - both) / np.maximum(pairs, 1e-9) * (pairs > 0))
