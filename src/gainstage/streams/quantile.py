"""The normal quantile in arithmetic that every machine rounds alike.

IEEE 754 fixes the result of + - × ÷ √ to the last bit, but not of log, exp or erf, which differ between C libraries and
between processors. Weights must not, so nothing here but those five and ``frexp``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["normal_quantile"]

Floats = NDArray[np.float64]

# Wichura's coefficients, constant term first. Central: |p - 1/2| <= 0.425, in 0.425² - (p - 1/2)².
_CENTRE = 0.425
_CENTRAL_NUMERATOR = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
_CENTRAL_DENOMINATOR = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
)  # fmt: skip
# Tails, in √(-log p) - 1.6.
_TAIL_SHIFT = 1.6
_TAIL_NUMERATOR = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
    1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
_TAIL_DENOMINATOR = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
)  # fmt: skip

_LOG_2 = 0.6931471805599453
_ROOT_HALF = 0.7071067811865476
# log m = 2 artanh s = 2 s (1 + s²/3 + s⁴/5 + ...), s = (m - 1)/(m + 1); for m in [√½, √2] the next term is below 2e-17.
_ARTANH = tuple(1 / (2 * k + 1) for k in range(11))


def normal_quantile(p: Floats) -> Floats:
    """The z below which a standard normal variable falls with probability p.

    Args:
        p: one axis, each value in [2**-33, 1 - 2**-33]. That is the range of a stream's uniforms, and inside it the
            third branch of the algorithm (p below e**-25) is never reached, so it is not here.

    Returns:
        As many values, exact to about 1e-15 relative, and exactly antisymmetric about p = 1/2.

    Reference:
        Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (Applied Statistics 37, 1988).

    >>> normal_quantile(np.array([0.5, 0.975])).round(6)
    array([0.      , 1.959964])
    """
    q = p - 0.5
    r = q * q
    np.subtract(_CENTRE * _CENTRE, r, out=r)
    tails = np.flatnonzero(r < 0)
    np.maximum(r, 0, out=r)  # the values in the tails are replaced below; until then they must stay finite
    z = _horner(_CENTRAL_NUMERATOR, r)
    z *= q
    z /= _horner(_CENTRAL_DENOMINATOR, r)
    beyond = p[tails]
    z[tails] = np.copysign(_tail(np.minimum(beyond, 1 - beyond)), q[tails])
    return z


def _tail(p: Floats) -> Floats:
    """-z for small p, the probability beyond."""
    r = np.sqrt(-_log(p)) - _TAIL_SHIFT
    return _horner(_TAIL_NUMERATOR, r) / _horner(_TAIL_DENOMINATOR, r)


def _log(x: Floats) -> Floats:
    mantissa, exponent = np.frexp(x)
    low = mantissa < _ROOT_HALF
    mantissa[low] *= 2
    exponent -= low
    s: Floats = (mantissa - 1) / (mantissa + 1)
    log: Floats = exponent * _LOG_2 + 2 * s * _horner(_ARTANH, s * s)
    return log


def _horner(coefficients: Sequence[float], x: Floats) -> Floats:
    value = x * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        value += coefficient
        value *= x
    value += coefficients[0]
    return value
