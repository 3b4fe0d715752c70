"""Attention along its places: what each row makes of the tokens that it looks at, and hands back to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gainstage.theory.activations import Array
from gainstage.theory.causal import CausalRows, causal_rows
from gainstage.theory.propagation.course import Course, Windows
from gainstage.theory.propagation.signal import Flow, Signal

__all__ = ["Glance", "glance", "handed_back", "looked_back"]


@dataclass(frozen=True, slots=True)
class Glance:
    """What is known of every row of one causal attention.

    Args:
        windows: what each row looks at.
        rows: moments of its shares.
        query, key, value: along the places, as parts of their mean levels.
    """

    windows: Windows
    rows: CausalRows
    query: Course
    key: Course
    value: Course

    def own(self, of: Course) -> Array:
        """What tokens that a row looks at have of their own: their level, less what they have in common."""
        return np.maximum(self.windows.levels(of.level) - self.windows.within(of.alike), 0.0)


def glance(query: Signal, key: Signal, value: Signal, places: int, variance: float) -> Glance:
    """Look at every row.

    Args:
        query, key, value: what is read.
        places: tokens of the sequence.
        variance: of the scores that independent keys would have.
    """
    q, k, v = (_course(x, places) for x in (query, key, value))
    windows = Windows(v.counts)
    own = np.maximum(windows.levels(k.level) - windows.within(k.alike), 0.0)
    alike = float(np.clip((windows.times * q.correlation).sum() / max(windows.times.sum(), 1.0), -1.0, 1.0))
    scores = np.minimum(variance * q.level * own, 1e4)
    return Glance(windows, causal_rows(scores, windows.length, windows.shorter, windows.longer, alike), q, k, v)


def _course(x: Signal, places: int) -> Course:
    return x.course if x.course is not None and x.course.places == places else Course.even(places, x.pairs)


def looked_back(seen: Glance, keep: float = 1.0) -> tuple[Course, float]:
    """The outputs of all rows along the places, and their mean level as a part of that of the values.

    Args:
        seen: the rows.
        keep: the share of weights that dropout keeps.
    """
    windows, rows, v = seen.windows, seen.rows, seen.value
    one, two = windows.levels(v.level), windows.within(v.alike)
    level = rows.concentration * (one / keep - two) + two
    shorter = np.where(windows.length[:, None] <= windows.length[None, :], one[:, None], one[None, :])
    alike = rows.overlap * shorter + (1 - rows.overlap) * windows.across(v.alike)
    return Course.of(v.counts, level, alike)


def handed_back(seen: Glance, flow: Flow, width: float) -> tuple[tuple[Course, float], ...]:
    """Gradients at queries, keys and values along the places, with their mean levels.

    Levels are parts of that of the gradient at the output; those at queries and keys want the levels of values and of
    the other factor, and the square of the scale, on top.

    Args:
        seen: the rows.
        flow: the gradient at the output.
        width: of a head's values, over which gradient times value is summed.
    """
    windows, rows = seen.windows, seen.rows
    g = flow.course if flow.course is not None and flow.course.places == seen.value.places else None
    g = g or Course.even(seen.value.places, flow.base)
    own = seen.own(seen.value) * width
    both = np.sqrt(own[:, None] * own[None, :])
    keys = windows.centred(seen.value, seen.key) * width
    query = (rows.jacobian * g.level * keys, rows.slopes * g.alike * np.sqrt(keys[:, None] * keys[None, :]))
    counts = seen.value.counts
    key = _gathered(
        windows, rows.jacobian * g.level * own * seen.query.level, rows.slopes * g.alike * both * seen.query.alike,
        -rows.jacobian * g.level * own * seen.query.level, -rows.slopes * g.alike * both * seen.query.alike,
    )  # fmt: skip
    value = _gathered(
        windows, rows.concentration * g.level, rows.overlap * g.alike,
        (1 - rows.concentration) * g.level, (1 - rows.overlap) * g.alike,
    )  # fmt: skip
    return Course.of(counts, *query), Course.of(counts, *key), Course.of(counts, *value)


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
    for a in range(m):
        pairs[:, a, a] = seen_by[:, a] * (n[a] - 1)
        pairs[a, a, a] = (n[a] + 1) * (n[a] - 1) / 3
    level = seen_by @ (single / length) + np.einsum("cab,ab->c", pairs, double / windows.shorter)
    # Of two tokens, all rows that look at the later one look at both.
    later = np.where(
        np.arange(m)[:, None, None] > np.arange(m)[None, :, None], seen_by[:, None, :], seen_by[None, :, :]
    )
    for a in range(m):
        later[a, a, a] = (n[a] + 1) / 3
    row = apart / np.maximum(length * (length - 1), 1e-9) * (length > 1)
    two = windows.length[:, None] * windows.length[None, :] - np.minimum(length[:, None], length[None, :])
    rows = both / np.maximum(two, 1e-9) * (two > 0)
    alike = later @ row + seen_by @ rows @ seen_by.T - later @ np.diag(rows)
    return level, alike
