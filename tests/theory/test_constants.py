"""The moments that are known beforehand, computed anew by another route: mpmath, in 25 digits, with its own derivative.

``python tests/theory/test_constants.py`` prints the table in ``constants.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import mpmath
import pytest
from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

from gainstage.theory import activation, activations, gaussian_moments
from gainstage.theory.activations.constants import UNIT_MOMENTS

DIGITS = 25


def exp_side(scale: float, alpha: float, width: float) -> Callable[[mpf], mpf]:
    return lambda x: scale * (x if x > 0 else alpha * mp.expm1(x / width))


def logistic(x: mpf) -> mpf:
    return 1 / (1 + mp.exp(-x))


def leak(slope: object) -> Callable[[mpf], mpf]:
    return lambda x: x if x > 0 else slope * x


def clip(low: object, high: object) -> Callable[[mpf], mpf]:
    return lambda x: min(max(x, mpf(low)), mpf(high))


def tanh_gelu(x: mpf) -> mpf:
    return x / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3)))


def mish(x: mpf) -> mpf:
    grown = (1 + mp.exp(x)) ** 2
    return x * (grown - 1) / (grown + 1)  # tanh(log(1 + eˣ)) without the logarithm


SELU = ("1.0507009873554804934193349852946", "1.6732632423543772848170429916717")
EXACT: dict[str, tuple[Callable[[mpf], mpf], tuple[str, ...]]] = {
    "linear": (lambda x: x, ()),
    "relu": (lambda x: max(x, mpf(0)), ("0",)),
    "leaky_relu": (leak(mpf(1) / 100), ("0",)),
    "prelu": (leak(mpf(1) / 4), ("0",)),
    "rrelu": (leak((mpf(1) / 8 + mpf(1) / 3) / 2), ("0",)),
    "relu6": (clip(0, 6), ("0", "6")),
    "hardtanh": (clip(-1, 1), ("-1", "1")),
    "threshold": (lambda x: x if x > 1 else mpf(0), ("1",)),
    "relu_squared": (lambda x: x * x if x > 0 else mpf(0), ("0",)),
    "elu": (exp_side(1, 1, 1), ("0",)),
    "celu": (exp_side(1, 1, 1), ("0",)),
    "selu": (lambda x: mpf(SELU[0]) * (x if x > 0 else mpf(SELU[1]) * mp.expm1(x)), ("0",)),
    "gelu": (lambda x: x * mp.ncdf(x), ()),
    "gelu_tanh": (tanh_gelu, ()),
    "quick_gelu": (lambda x: x * logistic(mpf("1.702") * x), ()),
    "silu": (lambda x: x * logistic(x), ()),
    "mish": (mish, ()),
    "hardswish": (lambda x: x * clip(0, 6)(x + 3) / 6, ("-3", "3")),
    "sigmoid": (logistic, ()),
    "tanh": (mp.tanh, ()),
    "lecun_tanh": (lambda x: mpf("1.7159") * mp.tanh(2 * x / 3), ()),
    "erf": (mp.erf, ()),
    "softsign": (lambda x: x / (1 + abs(x)), ("0",)),
    "sin": (mp.sin, ()),
    "hardsigmoid": (lambda x: clip(0, 6)(x + 3) / 6, ("-3", "3")),
    "sparse_sigmoid": (lambda x: clip(0, 2)(x + 1) / 2, ("-1", "1")),
    "softplus": (lambda x: mp.log1p(mp.exp(x)), ()),
    "logsigmoid": (lambda x: -mp.log1p(mp.exp(-x)), ()),
    "squareplus": (lambda x: (x + mp.sqrt(x * x + 4)) / 2, ()),
    "sparse_plus": (lambda x: mpf(0) if x <= -1 else x if x >= 1 else (x + 1) ** 2 / 4, ("-1", "1")),
    "exponential": (mp.exp, ()),
    "tanhshrink": (lambda x: x - mp.tanh(x), ()),
    "softshrink": (lambda x: mp.sign(x) * max(abs(x) - mpf(1) / 2, mpf(0)), ("-0.5", "0.5")),
    "hardshrink": (lambda x: x if abs(x) > mpf(1) / 2 else mpf(0), ("-0.5", "0.5")),
}
JUMPS = {"threshold": ("1",), "hardshrink": ("-0.5", "0.5")}


def exact_moments(name: str) -> tuple[float, ...]:
    """The seven means at level 1, in the order of ``GaussianMoments``."""
    function, kinks = EXACT[name]
    with mp.workdps(DIGITS):
        edges = sorted({mpf(k) for k in range(-13, 14)} | {mpf(k) for k in kinks})
        nodes = GaussLegendre(mp).calc_nodes(4, mp.prec)
        sums = [mpf(0)] * 7
        for left, right in pairwise(edges):
            half, middle = (right - left) / 2, (left + right) / 2
            for place, weight in nodes:
                z = middle + half * place
                density = half * weight * mp.npdf(z)
                f, slope = function(z), mp.diff(function, z)
                terms = (f, f * f, f**4, slope, slope * slope, z * f * slope, z * slope)
                sums = [total + density * term for total, term in zip(sums, terms, strict=True)]
        for jump in map(mpf, JUMPS.get(name, ())):
            after, before = function(jump + mpf("1e-15")), function(jump - mpf("1e-15"))
            sums[5] += jump * mp.npdf(jump) * (after**2 - before**2) / 2
            sums[6] += jump * mp.npdf(jump) * (after - before)
        return tuple(float(mp.chop(total, tol=mpf("1e-18"))) for total in sums)


@pytest.mark.parametrize("name", sorted(EXACT))
def test_quadrature_and_table_agree_with_mpmath(name) -> None:
    exact = exact_moments(name)
    assert UNIT_MOMENTS[name] == pytest.approx(exact, rel=1e-14, abs=1e-15)
    # Just off level 1 nothing is looked up: NumPy's panels against mpmath's, at ten digits.
    moments = gaussian_moments(activation(name), 1 + 1e-13)
    found = (
        moments.mean, moments.second_moment, moments.fourth_moment, moments.derivative_mean,
        moments.derivative_second_moment, moments.z_f_fprime, moments.z_fprime,
    )  # fmt: skip
    assert found == pytest.approx(exact, rel=1e-10, abs=1e-12)


def test_every_row_belongs_to_an_activation() -> None:
    assert set(UNIT_MOMENTS) == set(EXACT) <= set(activations())


if __name__ == "__main__":
    for row in sorted(EXACT):
        values = ", ".join(repr(value) for value in exact_moments(row))
        print(f'    "{row}": ({values}),')
    print(f"# mpmath {mpmath.__version__}")
