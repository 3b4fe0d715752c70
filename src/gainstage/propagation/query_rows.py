"""Attention along its places: what each row makes of the tokens that it looks at, and hands back to them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gainstage.propagation.sequence_profile import SequenceProfile, Windows, segment_lengths
from gainstage.propagation.signal import PendingGradient, Signal
from gainstage.theory.activations import Array
from gainstage.theory.attention.causal import CausalRows, causal_rows

__all__ = ["QueryRows", "by_chance", "rows_of", "gradient_rows", "attended_rows", "response", "shared_part"]


@dataclass(frozen=True, slots=True)
class QueryRows:
    """What is known of every row of one attention.

    Args:
        windows: what each row looks at.
        rows: moments of its shares.
        query, key, value: along the places, as parts of their mean levels.
        scores: variance of each row's scores, were its keys independent.
        steep: the same, as far as its keys differ.
        scatter: variance, over pairs of tokens, of the correlation that keys and values owe to their common source.
        keep: the share of weights that dropout keeps.
    """

    windows: Windows
    rows: CausalRows
    query: SequenceProfile
    key: SequenceProfile
    value: SequenceProfile
    scores: Array
    steep: Array
    scatter: float = 0.0
    keep: float = 1.0

    def own(self, of: SequenceProfile) -> Array:
        """What tokens that a row looks at have of their own: their level, less what they have in common."""
        return np.maximum(self.windows.levels(of.level) - self.windows.within(of.cross), 0.0)


def rows_of(
    operands: tuple[Signal, Signal, Signal],
    places: int,
    variance: float,
    *,
    causal: bool = True,
    width: float = 0.0,
    keep: float = 1.0,
) -> QueryRows:
    """Look at every row.

    Args:
        operands: queries, keys and values.
        places: tokens of the sequence.
        variance: of the scores that independent keys would have.
        causal: whether rows look back alone.
        width: units of the tokens that keys and values were made of; 0 where it is not known. Two tokens that are not
            alike are a little alike by fluctuation, and their keys as much as their values.
        keep: the share of weights that dropout keeps.
    """
    known = [x.sequence for x in operands if x.sequence is not None and x.sequence.places == places]
    counts = known[0].counts if known else segment_lengths(places) if causal else np.array([float(places)])
    q, k, v = (_sequence(x, counts) for x in operands)
    windows = Windows(counts, causal=causal)
    own = np.maximum(windows.levels(k.level) - windows.within(k.cross), 0.0)
    alike = float(np.clip((windows.times * q.correlation).sum() / max(windows.times.sum(), 1.0), -1.0, 1.0))
    scores = np.minimum(variance * q.level, 1e4)
    steep = scores * np.minimum(own, 1.0)
    rows = causal_rows(steep, windows.length, windows.shorter, windows.longer, alike)
    few = operands[2].finite_width.correlation_variance if width else 0.0
    scatter = (1 - min(v.positions**2, 1.0)) ** 2 * min(few, 1.0)
    return QueryRows(windows, rows, q, k, v, scores, steep, scatter, keep)


def _sequence(x: Signal, counts: Array) -> SequenceProfile:
    fits = x.sequence is not None and x.sequence.places == round(float(counts.sum()))
    return x.sequence if fits and x.sequence is not None else SequenceProfile.uniform(counts, x.pairs)


def attended_rows(seen: QueryRows) -> tuple[SequenceProfile, float]:
    """The outputs of all rows along the places, and their mean level as a part of that of the values.

    Args:
        seen: the rows.
    """
    windows, rows, v = seen.windows, seen.rows, seen.value
    one, two = windows.levels(v.level), windows.within(v.cross)
    # Tokens whose keys are alike by fluctuation get alike shares, and their values are alike as well.
    fluctuation = seen.scatter * seen.scores * (1 - rows.concentration) ** 2
    level = rows.concentration * (one / seen.keep - two) + two + fluctuation
    shorter = np.where(windows.length[:, None] <= windows.length[None, :], one[:, None], one[None, :])
    alike = rows.overlap * shorter + (1 - rows.overlap) * windows.across(v.cross)
    alike = alike + np.sqrt(fluctuation[:, None] * fluctuation[None, :]) * seen.query.correlation
    return SequenceProfile.from_moments(v.counts, level, alike)


def response(seen: QueryRows, level: float) -> float:
    """How the mean level of the outputs, which is given, answers to the variance of the scores: d log / d log."""
    windows, rows, v = seen.windows, seen.rows, seen.value
    own = windows.levels(v.level) / seen.keep - windows.within(v.cross)
    fluctuation = seen.scatter * seen.scores * (1 - rows.concentration) ** 2
    return v.mean(rows.steepness * seen.steep * own + fluctuation) / level if level > 0 else 0.0


def by_chance(seen: QueryRows, level: float) -> float:
    """Relative variance of the mean level of the outputs, for one example and a scatter of correlations of one.

    Values of two tokens that are alike by fluctuation, and looked at by the same rows, add up in all of these.
    """
    windows, rows, v = seen.windows, seen.rows, seen.value
    both = _looked_at_together(windows, (1 - rows.concentration)) / v.places
    squares = (windows.times * both**2 * v.level[:, None] * v.level[None, :]).sum()
    return float(2 * squares / level**2) if level > 0 else 0.0


def shared_part(seen: QueryRows, sequence: SequenceProfile, level: float) -> float:
    """Of the mean level of the outputs, which is given, what the values have in common."""
    windows, rows, v = seen.windows, seen.rows, seen.value
    shared = sequence.mean((1 - rows.concentration) * np.maximum(windows.within(v.cross), 0.0))
    return min(shared / level, 1.0) if level > 0 else 0.0


def gradient_rows(seen: QueryRows, flow: PendingGradient, width: float) -> tuple[tuple[SequenceProfile, float], ...]:
    """Gradients at queries, keys and values along the places, with their mean levels.

    Levels are parts of that of the gradient at the output; those at queries and keys want the levels of values and of
    the other factor, and the square of the scale, on top.

    Args:
        seen: the rows.
        flow: the gradient at the output.
        width: of a head's values, over which gradient times value is summed.
    """
    windows, rows = seen.windows, seen.rows
    g = flow.sequence if flow.sequence is not None and flow.sequence.counts.size == windows.counts.size else None
    g = g or SequenceProfile.uniform(windows.counts, flow.base)
    # What dropout takes from the shares and adds to others is every token's own.
    values = replace(seen.value, level=seen.value.level / seen.keep)
    own = seen.own(values) * width
    both = np.sqrt(own[:, None] * own[None, :])
    apart = (1 - rows.concentration) / np.maximum(rows.concentration, 1e-300)
    keys = (windows.centred(values, seen.key) + apart * seen.scatter) * width
    query = (rows.jacobian * g.level * keys, rows.slopes * g.cross * np.sqrt(keys[:, None] * keys[None, :]))
    counts = seen.value.counts
    key = _gathered(
        windows, rows.jacobian * g.level * own * seen.query.level, rows.slopes * g.cross * both * seen.query.cross,
        -rows.jacobian * g.level * own * seen.query.level, -rows.slopes * g.cross * both * seen.query.cross,
    )  # fmt: skip
    value = _gathered(
        windows, rows.concentration * g.level / seen.keep, rows.overlap * g.cross,
        (1 - rows.concentration) * g.level, (1 - rows.overlap) * g.cross,
    )  # fmt: skip
    return (
        SequenceProfile.from_moments(counts, *query),
        SequenceProfile.from_moments(counts, *key),
        SequenceProfile.from_moments(counts, *value),
    )


def _gathered(windows: Windows, single: Array, double: Array, apart: Array, both: Array) -> tuple[Array, Array]:
    """Sums over the rows that look at a token, or at two.

    Args:
        windows: of the rows.
        single: of each row, over all of its tokens: the square of what one of them gets.
        double: of two rows: the product of what one token gets from both.
        apart: of each row, over all pairs of its tokens: the product of what both get.
        both: of two rows, over all pairs of different tokens.
    """
    n, length, m = windows.counts, windows.length, windows.counts.size
    seen_by = windows.seen.T * n[None, :] / n[:, None]  # rows of each stretch that look at a token
    pairs = seen_by[:, :, None] * seen_by[:, None, :]
    place = np.arange(m)
    pairs[:, place, place] = seen_by * (n - 1)
    if windows.causal:
        pairs[place, place, place] = (n + 1) * (n - 1) / 3
    level = seen_by @ (single / length) + np.einsum("cab,ab->c", pairs, double / windows.shorter)
    later = _looked_at_together(windows, apart)
    two = windows.length[:, None] * windows.length[None, :] - np.minimum(length[:, None], length[None, :])
    rows = both / np.maximum(two, 1e-9) * (two > 0)
    alike = later + seen_by @ rows @ seen_by.T - _both_seen(windows) @ np.diag(rows)
    return level, alike


def _both_seen(windows: Windows) -> Array:
    """Rows of each stretch that look at both of two tokens: of those that look at the later one, all."""
    n, place = windows.counts, np.arange(windows.counts.size)
    seen_by = windows.seen.T * n[None, :] / n[:, None]
    later = np.where(place[:, None, None] > place[None, :, None], seen_by[:, None, :], seen_by[None, :, :])
    if windows.causal:
        later[place, place, place] = (n + 1) / 3
    return np.asarray(later)


def _looked_at_together(windows: Windows, apart: Array) -> Array:
    """Sums, over the rows that look at both of two tokens, of one of each row's pairs.

    Args:
        windows: of the rows.
        apart: of each row, over all of its pairs.
    """
    length = windows.length
    row = apart / np.maximum(length * (length - 1), 1e-9) * (length > 1)
    return np.asarray(_both_seen(windows) @ row)
