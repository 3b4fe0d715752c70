"""Softmax of independent Gaussian scores: exact moments of its outputs, of their logarithm, and of gradients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.gaussian.laplace import Lattice

__all__ = ["LogSoftmaxMoments", "SoftmaxMoments", "log_softmax_moments", "softmax_moments"]

_MOST = 1e4


@dataclass(frozen=True, slots=True)
class SoftmaxMoments:
    """Moments of the outputs a of a softmax over ``count`` independent Gaussian scores s.

    Args:
        variance: variance of the scores.
        count: number of scores; of the last row when ``causal``.
        causal: whether these are means over rows of 1, 2, … ``count`` scores.
        concentration: E Σ a², between 1/count (uniform) and 1 (one-hot).
        jacobian: E Σ (∂a_i/∂s_j)² over all pairs: the squared norm of the gradient at the scores for independent
            unit-variance gradients at the outputs.
    """

    variance: float
    count: int
    causal: bool
    concentration: float
    jacobian: float

    @property
    def second_moment(self) -> float:
        """E a² of one output; with a causal mask, zeros above the diagonal included."""
        return self.concentration / self.count

    @property
    def backward(self) -> float:
        """The factor on the gradient's second moment from outputs to scores, for independent gradients."""
        return self.jacobian / self.count


@dataclass(frozen=True, slots=True)
class LogSoftmaxMoments:
    """Moments of log a, the log softmax of ``count`` independent Gaussian scores.

    Args:
        variance: variance of the scores.
        count: number of scores.
        mean: E log a.
        second_moment: E (log a)².
        backward: factor on the gradient's second moment from outputs to scores, for independent gradients.
    """

    variance: float
    count: int
    mean: float
    second_moment: float
    backward: float


def softmax_moments(variance: float, count: int, *, causal: bool = False) -> SoftmaxMoments:
    """Return moments of a softmax over independent N(0, variance) scores, exact for every variance and count.

    A common part of the scores (mean or correlation between them) does not change a softmax: ``variance`` is the
    variance within one softmax. E Σ a^k = n ∫ E[e^(ks) e^(-x e^s)] φ(x)^(n-1) x^(k-1) dx / Γ(k).

    Args:
        variance: of the scores within one softmax, from 0 to 10⁴.
        count: the number of scores, at least 1.
        causal: the mean over rows of 1, 2, … ``count`` scores instead.

    Raises:
        InputError: a variance or count out of range.

    >>> from gainstage.theory import softmax_moments
    >>> moments = softmax_moments(4.0, 64)             # e^t/T would say 0.853
    >>> round(moments.concentration, 4), round(softmax_moments(0.0, 64).concentration * 64, 12)
    (0.1607, 1.0)
    """
    t, n = checked(variance, count)
    lattice = Lattice(t, n)
    # Multiplicity of φ to the power of the other scores: one per output, and one per pair of outputs.
    if causal:
        single, double = (rows / n for rows in lattice.rows())
    else:
        single, double = n * lattice.power(n - 1), n * (n - 1) * lattice.power(max(n - 2, 0))
    second = lattice.exponential(2)
    square = lattice.total(second * single)
    cube, fourth = (
        lattice.total(lattice.exponential(3) * single) / 2,
        lattice.total(lattice.exponential(4) * single) / 6,
    )
    pairs = lattice.total(second * second * double) / 6
    # Σ (∂a/∂s)² = Σ a² - 2 Σ a³ + (Σ a²)²
    return SoftmaxMoments(t, n, causal, square, max(square - 2 * cube + fourth + pairs, 0.0))


def log_softmax_moments(variance: float, count: int) -> LogSoftmaxMoments:
    """Return moments of a log softmax over independent N(0, variance) scores.

    φ^n is the probability that log E - log Z exceeds y, where E is a unit exponential; log E has mean -γ and variance
    π²/6.

    Args:
        variance: of the scores within one softmax, from 0 to 10⁴.
        count: the number of scores, at least 1.

    Raises:
        InputError: a variance or count out of range.

    >>> from gainstage.theory import log_softmax_moments
    >>> moments = log_softmax_moments(0.0, 10)
    >>> round(moments.mean, 9), round(moments.backward, 9)
    (-2.302585093, 0.9)
    """
    t, n = checked(variance, count)
    lattice = Lattice(t, n)
    others = n * lattice.power(n - 1)
    density = lattice.exponential(1) * others
    first = lattice.total(density * lattice.y)
    log_z = -np.euler_gamma - first
    spread = lattice.total(density * (lattice.y - first) ** 2) - math.pi**2 / 6
    # E s log Z = t E a, by Stein's lemma.
    second = log_z**2 + t - 2 * t / n + max(spread, 0.0)
    square = lattice.total(lattice.exponential(2) * others)
    return LogSoftmaxMoments(t, n, float(-log_z), float(second), 1 - 2 / n + square)


def checked(variance: float, count: int) -> tuple[float, int]:
    """Return variance and count after checking their ranges."""
    if not (isinstance(variance, (int, float, np.integer, np.floating)) and 0 <= variance <= _MOST):
        raise InputError(f"The variance of scores is a number from 0 to {_MOST:g}; received {variance!r}.")
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise InputError(f"A softmax is over a whole number of scores, at least 1; received {count!r}.")
    return float(variance), int(count)
