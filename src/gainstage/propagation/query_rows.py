"""Attention row by row: its outputs as averages over keys, and the gradients that queries, keys and values receive."""

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
    """The rows of one attention, one row per query.

    Args:
        windows: keys that each row averages over.
        rows: moments of the attention weights.
        query, key, value: second moments by token position, relative to their means.
        scores: variance of each row's scores for independent keys, shape (segments,).
        steep: the same, reduced by the covariance of the keys.
        scatter: variance, over pairs of tokens, of the correlation that keys and values inherit from the same tokens.
        keep: keep probability of dropout on the attention weights.
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
        """Return the second moment of a row's keys minus their covariance, shape (segments,)."""
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
    """Compute the rows of an attention.

    Args:
        operands: queries, keys and values.
        places: number of tokens.
        variance: variance of the scores for independent keys.
        causal: whether a causal mask is applied.
        width: number of units of the tokens that keys and values are projected from; 0 where unknown. At finite width,
            different tokens have a small random similarity, which their keys and values share.
        keep: keep probability of dropout on the attention weights.
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
    fits = x.sequence is not None and np.array_equal(x.sequence.counts, counts)
    return x.sequence if fits and x.sequence is not None else SequenceProfile.uniform(counts, x.pairs)


def attended_rows(seen: QueryRows) -> tuple[SequenceProfile, float]:
    """Return the outputs by position, and their mean second moment divided by that of the values.

    Args:
        seen: the rows.
    """
    windows, rows, v = seen.windows, seen.rows, seen.value
    one, two = windows.levels(v.level), windows.within(v.cross)
    # Tokens with similar keys get similar attention weights, and their values are similar as well.
    fluctuation = seen.scatter * seen.scores * (1 - rows.concentration) ** 2
    level = rows.concentration * (one / seen.keep - two) + two + fluctuation
    shorter = np.where(windows.length[:, None] <= windows.length[None, :], one[:, None], one[None, :])
    alike = rows.overlap * shorter + (1 - rows.overlap) * windows.across(v.cross)
    alike = alike + np.sqrt(fluctuation[:, None] * fluctuation[None, :]) * seen.query.correlation
    return SequenceProfile.from_moments(v.counts, level, alike)


def response(seen: QueryRows, level: float) -> float:
    """Return d log E out² / d log Var scores, for outputs with mean second moment ``level``."""
    windows, rows, v = seen.windows, seen.rows, seen.value
    own = windows.levels(v.level) / seen.keep - windows.within(v.cross)
    fluctuation = seen.scatter * seen.scores * (1 - rows.concentration) ** 2
    return v.mean(rows.steepness * seen.steep * own + fluctuation) / level if level > 0 else 0.0


def by_chance(seen: QueryRows, level: float) -> float:
    """Return the relative draw-to-draw variance of the outputs' mean second moment, for one example and ``scatter`` =
    1.

    Values of two similar tokens that several rows attend to add up in all of these rows.
    """
    windows, rows, v = seen.windows, seen.rows, seen.value
    both = _looked_at_together(windows, (1 - rows.concentration)) / v.places
    squares = (windows.times * both**2 * v.level[:, None] * v.level[None, :]).sum()
    return float(2 * squares / level**2) if level > 0 else 0.0


def shared_part(seen: QueryRows, sequence: SequenceProfile, level: float) -> float:
    """Return the share of the outputs' mean second moment ``level`` that comes from the covariance of the values."""
    windows, rows, v = seen.windows, seen.rows, seen.value
    shared = sequence.mean((1 - rows.concentration) * np.maximum(windows.within(v.cross), 0.0))
    return min(shared / level, 1.0) if level > 0 else 0.0


def gradient_rows(seen: QueryRows, flow: PendingGradient, width: float) -> tuple[tuple[SequenceProfile, float], ...]:
    """Return gradients at queries, keys and values by position, each with its mean second moment.

    Second moments are relative to that of the output's gradient. Those of queries and keys are still to be multiplied
    by the second moments of values and of the other factor, and by the squared scale.

    Args:
        seen: the rows.
        flow: the gradient at the output.
        width: number of units of a head's values, over which gradient times value is summed.
    """
    windows, rows = seen.windows, seen.rows
    g = flow.sequence if flow.sequence is not None and flow.sequence.counts.size == windows.counts.size else None
    g = g or SequenceProfile.uniform(windows.counts, flow.base)
    # Dropout acts on each attention weight independently.
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
    """Sum over the rows that attend to a token, and over those that attend to two tokens.

    Args:
        windows: keys of each row.
        single: for each row, summed over its keys: the square of what one key receives.
        double: for two rows: the product of what one key receives from both.
        apart: for each row, summed over pairs of its keys: the product of what both receive.
        both: for two rows, summed over pairs of different keys.
    """
    n, length, m = windows.counts, windows.length, windows.counts.size
    seen_by = windows.seen.T * n[None, :] / n[:, None]  # rows of each segment that attend to a token
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
    """Return the number of rows in each segment that attend to both of two tokens."""
    n, place = windows.counts, np.arange(windows.counts.size)
    seen_by = windows.seen.T * n[None, :] / n[:, None]
    later = np.where(place[:, None, None] > place[None, :, None], seen_by[:, None, :], seen_by[None, :, :])
    if windows.causal:
        later[place, place, place] = (n + 1) / 3
    return np.asarray(later)


def _looked_at_together(windows: Windows, apart: Array) -> Array:
    """Sum one pair of each row over the rows that attend to both of two tokens.

    Args:
        windows: keys of each row.
        apart: for each row, summed over all of its pairs.
    """
    length = windows.length
    row = apart / np.maximum(length * (length - 1), 1e-9) * (length > 1)
    return np.asarray(_both_seen(windows) @ row)
