"""Attention over tokens: second moments of outputs and gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Array, Elementwise
from gainstage.theory.attention.softmax import SoftmaxMoments, checked, softmax_moments
from gainstage.theory.gaussian.laplace import Lattice, power, smoothed

__all__ = [
    "AttentionGradients",
    "AttentionMoments",
    "Tokens",
    "TwoRows",
    "attention_concentration",
    "attention_moments",
]

_STEP = 0.4  # of the lattice of two rows
_REACH = 8.5
_PAIRS, _PAIR_WEIGHTS = np.polynomial.legendre.leggauss(8)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Vectors of a sequence.

    Args:
        level: second moment, per element.
        similarity: cosine similarity of two different tokens, E v v' / E v².
    """

    level: float
    similarity: float = 0.0


@dataclass(frozen=True, slots=True)
class AttentionGradients:
    """Second moments of gradients, per element.

    Args:
        scores: at the scores in front of the softmax.
        query: at the queries.
        key: at the keys.
        value: at the values.
    """

    scores: float
    query: float
    key: float
    value: float


@dataclass(frozen=True, slots=True)
class AttentionMoments:
    """Moments of softmax attention, means over rows.

    Args:
        softmax: moments of one row.
        queries: number of rows.
        correlation: correlation of the queries of two rows.
        overlap: E Σ_j a_ij a_kj over pairs of different rows i and k; nan with one row.
    """

    softmax: SoftmaxMoments
    queries: int
    correlation: float
    overlap: float

    @property
    def concentration(self) -> float:
        """E Σ a² of a row, mean over rows."""
        return self.softmax.concentration

    @property
    def tokens(self) -> int:
        """The number of values that are averaged."""
        return self.softmax.count

    def output(self, value: float, correlation: float = 0.0) -> float:
        """Return the second moment of the output: value · (r + (1 - r) E Σ a²).

        Args:
            value: second moment of the values.
            correlation: r, cosine similarity of the values of two tokens, E v v' / E v².
        """
        return value * (correlation + (1 - correlation) * self.concentration)

    def gradients(
        self,
        gradient: Tokens,
        *,
        query: float,
        key: Tokens,
        value: Tokens,
        width: int,
        scale: float,
        value_width: int | None = None,
    ) -> AttentionGradients:
        """Return second moments of the gradients at queries, keys and values, from that at the output.

        The part that keys, or values, share between tokens does not change attention weights, and receives no gradient
        through the scores. Similar queries and similar gradients make the rows' contributions to one key add up.

        Args:
            gradient: the gradient at the output.
            query: second moment of the queries, per element.
            key: the keys.
            value: the values.
            width: width of a head's queries and keys.
            scale: factor on q·k, usually 1/√width.
            value_width: width of a head's values; by default ``width``.
        """
        rows = self.queries / self.tokens
        at_shares = (value_width or width) * value.level * (1 - value.similarity) * gradient.level
        along = scale**2 * at_shares * self.softmax.jacobian
        others = gradient.similarity * (self.queries - 1) * self.overlap if self.queries > 1 else 0.0
        return AttentionGradients(
            scores=at_shares * self.softmax.backward,
            query=along * key.level * (1 - key.similarity),
            # The Jacobians of two rows overlap as their weights do; exact for uniform weights.
            key=along * query * rows * (1 + self.correlation * others / self.concentration),
            value=gradient.level * rows * (self.concentration + others),
        )


def attention_concentration(variance: float, tokens: int, *, causal: bool = False) -> float:
    """Return E Σ a² of a softmax over ``tokens`` independent Gaussian scores, by an exact integral.

    e^t/T, the usual estimate, holds for t <= 1 and large T only: at t = 4, T = 64 it is 5.3 times too large.

    Args:
        variance: of the scores within one row, t, from 0 to 10⁴.
        tokens: how many tokens are looked at, T.
        causal: the mean over rows that look back on 1, 2, … T tokens.

    Raises:
        InputError: a variance or number of tokens out of range.

    >>> from gainstage.theory import attention_concentration
    >>> [round(attention_concentration(1.0, 1024, causal=causal), 5) for causal in (False, True)]
    [0.00264, 0.01503]
    """
    return softmax_moments(variance, tokens, causal=causal).concentration


def attention_moments(
    variance: float, tokens: int, *, queries: int | None = None, causal: bool = False, correlation: float = 0.0
) -> AttentionMoments:
    """Return the moments of softmax attention with Gaussian scores.

    Args:
        variance: of the scores within one row: scale² · width · E q² · E k² · (1 - correlation of the keys).
        tokens: how many keys and values there are.
        queries: how many rows; as many as tokens by default.
        causal: whether row i looks at tokens 1 … i.
        correlation: of the scores that two rows give to one token: the correlation of the queries.

    Raises:
        InputError: an argument out of range, or causal rows of another number than tokens.

    Sources: for the concentration the identity in ``gainstage.theory.attention.softmax``; Noci et al. 2022, for the
    limit of uniform attention.

    >>> from gainstage.theory import attention_moments
    >>> attention = attention_moments(0.0, 16)
    >>> round(attention.output(1.0), 12), round(attention.output(1.0, correlation=0.5), 12)
    (0.0625, 0.53125)
    """
    t, n = checked(variance, tokens)
    rows = n if queries is None else checked(0.0, queries)[1]
    if causal and rows != n:
        raise InputError(f"Causal attention has a row for every token; received {rows} queries for {n} tokens.")
    if not -1 <= correlation <= 1:
        raise InputError(f"A correlation lies between -1 and 1; received {correlation!r} for the queries.")
    own = softmax_moments(t, n, causal=causal)
    overlap = _overlap(t, n, correlation, causal) if rows > 1 else math.nan
    return AttentionMoments(own, rows, float(correlation), overlap)


def _overlap(t: float, n: int, correlation: float, causal: bool) -> float:
    """Return E Σ_j a_ij a_kj of two rows; with a causal mask, the mean over all pairs of rows."""
    if t * abs(correlation) < 1e-9:
        if not causal:
            return 1 / n
        harmonic = float((1 / np.arange(2, n + 1)).sum()) if n <= 1000 else math.log(n) + np.euler_gamma - 1 + 0.5 / n
        return 2 * (n - 1 - harmonic) / (n * (n - 1))  # 1/k, k the longer row
    rows = TwoRows(t, n, correlation)
    if not causal:
        return rows.overlap(n, n)
    # The sum over pairs as a double integral over the logarithms of their lengths.
    total = pairs = 0.0
    for longer, weight in _lengths(1.5, n + 0.5):
        for shorter, share in _lengths(0.5, longer - 0.5):
            total += weight * share * rows.overlap(shorter, longer)
            pairs += weight * share
    return total / pairs


def _lengths(low: float, high: float) -> list[tuple[float, float]]:
    middle, half = math.log(low * high) / 2, math.log(high / low) / 2
    lengths = np.exp(middle + half * _PAIRS)
    return list(zip(lengths.tolist(), (half * _PAIR_WEIGHTS * lengths).tolist(), strict=True))


class TwoRows:
    """Integral over two Laplace variables for two rows whose scores of one key are correlated."""

    def __init__(self, t: float, n: int, correlation: float) -> None:
        lattice = Lattice(t, n, _STEP)
        self._step, self._missing = lattice.step, lattice.missing
        common, own = t * abs(correlation), t * (1 - abs(correlation))
        step = min(0.5, _STEP / math.sqrt(common))
        z = np.arange(-_REACH, _REACH + step / 2, step)
        weight = step * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        first, second = math.sqrt(common) * z, math.copysign(math.sqrt(common), correlation) * z

        def products(function: Elementwise) -> tuple[Array, Array]:
            one, two = (
                np.stack([smoothed(function, lattice.y + shift, _STEP, own) for shift in shifts.tolist()], -1)
                for shifts in (first, second)
            )
            return (one * weight) @ two.T, one @ weight

        both, single = products(lambda u: -np.expm1(-np.exp(u)))
        self._joint = np.clip(single[:, None] + single[None, :] - both, 0.0, 1.0)  # 1 - E exp(-e^u - e^v)
        self._shares = products(lambda u: np.exp(u - np.exp(u)))[0]

    def overlap(self, shorter: float, longer: float) -> float:
        """Return E Σ a b over the keys of the shorter row."""
        rest = power(self._joint, shorter - 1) * power(self._missing, longer - shorter)[None, :]
        return float(shorter * self._step**2 * (self._shares * rest).sum())
