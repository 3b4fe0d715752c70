"""Fits the constants of ``gainstage.streams.quantile``, and measures how exact the float32 quantile is.

Two approximations make the normal quantile: log2 of a mantissa as a polynomial, and z / x as a rational function of
-log2(1 - x²), where x = P(|Z| < |z|). Both are minimax fits (least squares, reweighted by the error until it is level)
against mpmath; the coefficients are then rounded to float32 and moved by single ulps while the largest error shrinks.

    python benchmarks/long/quantile_fit.py              # prints the constants
    python benchmarks/long/quantile_fit.py --measure    # the error of the constants in the package, by probability
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import mpmath
import numpy as np
from numpy.polynomial import Polynomial, chebyshev
from numpy.typing import NDArray
from scipy.special import erfcinv, erfinv

Floats = NDArray[np.float64]

# -log2(1 - x²) at the outermost word is 31: there 1 - |x| is 2**-32.
LARGEST = 31.2
DEGREES = (6, 5)
LOG_DEGREE = 7


def exact_quantile(beyond: mpmath.mpf) -> mpmath.mpf:
    """z with P(|Z| > z) = beyond, by Newton's method."""
    if beyond > 0.1:
        return mpmath.sqrt(2) * mpmath.erfinv(1 - beyond)
    z, step = mpmath.sqrt(-2 * mpmath.log(beyond)), mpmath.mpf(1)
    while abs(step) > mpmath.mpf(10) ** -25:
        step = (mpmath.erfc(z / mpmath.sqrt(2)) - beyond) / (2 * mpmath.npdf(z))
        z += step
    return z


def quantile_over_x(exponent: float) -> float:
    """z / x at 1 - x² = 2**-exponent."""
    rest = mpmath.mpf(2) ** -mpmath.mpf(exponent)
    x = mpmath.sqrt(1 - rest)
    return float(exact_quantile(rest / (1 + x)) / x)


def nodes(low: float, high: float, count: int) -> Floats:
    """Chebyshev's points on an interval."""
    angles = (np.arange(count) + 0.5) * np.pi / count
    return (low + high) / 2 - (high - low) / 2 * np.cos(angles)


def rational_minimax(at: Floats, values: Floats, rounds: int = 400) -> tuple[Floats, Floats]:
    """Coefficients of P and Q, constant terms first, Q(0) = 1, with a level relative error of P / Q."""
    top, bottom = DEGREES
    terms = chebyshev.chebvander(2 * at / LARGEST - 1, max(DEGREES))
    weights, denominator = np.ones_like(at), np.ones_like(at)
    best, lowest = np.zeros(top + bottom + 1), np.inf
    for attempt in range(rounds):
        scale = np.sqrt(weights) / denominator
        matrix = np.hstack([terms[:, : top + 1] / values[:, None], -terms[:, 1 : bottom + 1]])
        found = np.linalg.lstsq(matrix * scale[:, None], scale, rcond=None)[0]
        denominator = 1 + terms[:, 1 : bottom + 1] @ found[top + 1 :]
        error = abs(terms[:, : top + 1] @ found[: top + 1] / denominator / values - 1)
        if denominator.min() > 0 and error.max() < lowest:
            best, lowest = found, error.max()
        if attempt > 8:
            weights *= error / error.max() + 3e-3
            weights /= weights.mean()
    numerator, denominator = _in_powers(best[: top + 1]), _in_powers(np.r_[1, best[top + 1 :]])
    return numerator / denominator[0], denominator / denominator[0]


def _in_powers(series: Floats) -> Floats:
    coefficients: Floats = Polynomial(chebyshev.cheb2poly(series))(Polynomial([-1, 2 / LARGEST])).coef
    return coefficients


def log_minimax(rounds: int = 300) -> Floats:
    """Coefficients of p, constant term first, where r · p(r) is log2(1 + r) on [√½ - 1, √2 - 1] with a level error."""
    r = nodes(0.5**0.5 - 1, 2**0.5 - 1, 2000)
    values, weights = np.log2(1 + r), np.ones_like(r)
    matrix = np.vander(r, LOG_DEGREE + 1, increasing=True) * r[:, None]
    best, lowest = np.zeros(LOG_DEGREE + 1), np.inf
    for _ in range(rounds):
        found = np.linalg.lstsq(matrix * np.sqrt(weights)[:, None], values * np.sqrt(weights), rcond=None)[0]
        error = abs(matrix @ found - values)
        if error.max() < lowest:
            best, lowest = found, error.max()
        weights *= error / error.max() + 1e-3
        weights /= weights.mean()
    return best


def rounded(coefficients: Floats, error: Callable[[Floats], float]) -> NDArray[np.float32]:
    """The coefficients in float32, each moved by single ulps as long as the largest error shrinks."""
    current = coefficients.astype(np.float32)
    lowest, moved = error(current.astype(float)), True
    while moved:
        moved = False
        for place in range(len(current)):
            for direction in (-np.inf, np.inf):
                trial = current.copy()
                trial[place] = np.nextafter(trial[place], np.float32(direction))
                if trial[place] != 1 and (size := error(trial.astype(float))) < lowest * (1 - 1e-6):
                    current, lowest, moved = trial, size, True
    print(f"# largest error {lowest:.2e}")
    return current


def fit() -> None:
    at = nodes(1e-9, LARGEST, 1500)
    values = np.array([quantile_over_x(float(point)) for point in at])
    numerator, denominator = rational_minimax(at, values)

    def relative(both: Floats) -> float:
        top = Polynomial(both[: len(numerator)])(at)
        return float(abs(top / Polynomial(np.r_[1, both[len(numerator) :]])(at) / values - 1).max())

    both = rounded(np.r_[numerator, denominator[1:]], relative)
    r = nodes(0.5**0.5 - 1, 2**0.5 - 1, 2000)
    logarithm = rounded(log_minimax(), lambda c: float(abs(r * Polynomial(c)(r) - np.log2(1 + r)).max()))
    for name, found in (("NUMERATOR", both[:7]), ("DENOMINATOR, after 1", both[7:]), ("LOG2", logarithm)):
        print(name, "=", ", ".join(f"{coefficient:.9g}" for coefficient in found))


def measure(count: int = 1 << 22) -> None:
    """Prints the largest and the root mean square error in float32 ulps, octave by octave of P(|Z| > z)."""
    from gainstage.streams.quantile import normal_from_words

    generator = np.random.default_rng(0)
    for octave in range(32):
        high = 2 ** (31 - octave)
        low = high // 2
        rest = generator.integers(low, high, count) if high - low > count else np.arange(low, high)
        beyond = (rest + 0.5) / 2**31
        exact = 2**0.5 * np.where(beyond > 0.5, erfinv(1 - beyond), erfcinv(beyond))
        drawn = normal_from_words((2**31 - 1 - rest).astype(np.uint32)).astype(float)
        error = (drawn - exact) / np.spacing(exact.astype(np.float32))
        print(f"2^-{octave:<3d} largest {abs(error).max():5.2f} ulp, root mean square {np.sqrt((error**2).mean()):.2f}")


if __name__ == "__main__":
    mpmath.mp.dps = 40
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="how exact the constants in the package are")
    measure() if parser.parse_args().measure else fit()
