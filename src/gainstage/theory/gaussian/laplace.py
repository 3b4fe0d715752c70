"""Lattice sums for softmax moments.

With Z = Σ e^s over independent scores, E e^(-xZ) = φ(x)^n, φ(x) = E e^(-x e^s). Every moment of the softmax outputs a =
e^s / Z follows from 1/Z^k = ∫ x^(k-1) e^(-xZ) dx / Γ(k). In y = log x all integrands are smooth and vanish on both
sides, so lattice sums are exact to rounding.
"""

from __future__ import annotations

import math

import numpy as np

from gainstage.theory.activations import Array, Elementwise

__all__ = ["Lattice", "smoothed"]

_BELOW, _ABOVE = 40.0, 7.0  # bounds beyond which e^u · exp(-e^u) vanishes
_SPREADS = 12.0
_REACH = 9.0
_TERMS = 9
_LARGEST = 1 - 2.0**-53


def smoothed(function: Elementwise, y: Array, step: float, variance: float) -> Array:
    """Return E f(y + √variance · z), z ~ N(0, 1), at points y with spacing ``step``, for f smooth on that scale."""
    spread = math.sqrt(variance)
    with np.errstate(over="ignore", invalid="ignore"):
        if spread < 2 * step:  # too narrow for the lattice: separate quadrature points
            z = np.arange(-_REACH, _REACH + 0.1, 0.5)
            return np.asarray(function(y[:, None] + spread * z) @ _normal(z, 0.5))
        reach = math.ceil(_REACH * spread / step)
        offsets: Array = step * np.arange(-reach, reach + 1, dtype=np.float64)
        places: Array = y[0] + step * np.arange(-reach, y.size + reach, dtype=np.float64)
        return np.asarray(np.convolve(function(places), _normal(offsets / spread, step / spread), mode="valid"))


def _normal(z: Array, step: float) -> Array:
    return step * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


class Lattice:
    """E e^(k u) exp(-e^u) for u = y + √variance · z, on a lattice of y that covers its support; k = 0 gives φ.

    Args:
        variance: variance of the scores.
        count: largest number of scores.
        step: spacing of the lattice; the error of a sum falls as e^(-π²/step).
    """

    def __init__(self, variance: float, count: int, step: float = 0.2) -> None:
        self.variance, self.count, self.step = variance, count, step
        out = _SPREADS * math.sqrt(variance)
        low = -(out + math.log(count) + _BELOW)
        self.y: Array = low + step * np.arange(math.ceil((out + _ABOVE - low) / step), dtype=np.float64)
        # 1 - φ to full relative precision: φ is taken to high powers.
        self.missing: Array = np.minimum(smoothed(lambda u: -np.expm1(-np.exp(u)), self.y, step, variance), 1.0)

    def exponential(self, k: int) -> Array:
        """Return E e^(k u) exp(-e^u)."""
        return smoothed(lambda u: np.exp(k * u - np.exp(u)), self.y, self.step, self.variance)

    def power(self, others: float) -> Array:
        """Return φ to the power of ``others``, the number of other scores."""
        return power(self.missing, others)

    def total(self, values: Array) -> float:
        """Return the integral over y."""
        return float(self.step * values.sum())

    def rows(self) -> tuple[Array, Array]:
        """Return Σ i φ^(i-1) and Σ i (i-1) φ^(i-2) over i = 1 … count, for rows that attend to i scores."""
        n, x = self.count, self.missing
        near = n * x < 0.1
        few, many = np.where(near, x, 0.0), np.where(near, 1.0, x)
        # Around 1 - φ = 0 by its first terms, elsewhere in closed form.
        falling = [math.comb(n + 1, m) for m in range(2, _TERMS + 3)]
        once = sum((m + 1) * falling[m] * (-few) ** m for m in range(_TERMS))
        twice = sum((m + 1) * (m + 2) * falling[m + 1] * (-few) ** m for m in range(_TERMS))
        last, phi = power(many, n - 1), 1 - many
        geometric = (1 - (1 + n * many) * phi * last) / many**2
        bent = (2 - last * (n * (n + 1) - 2 * (n * n - 1) * phi + n * (n - 1) * phi**2)) / many**3
        return np.where(near, once, geometric), np.where(near, twice, bent)


def power(missing: Array, exponent: float) -> Array:
    """Return (1 - missing)^exponent to full relative precision."""
    return np.exp(exponent * np.log1p(-np.minimum(missing, _LARGEST)))
