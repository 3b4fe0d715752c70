"""What is drawn: normal, uniform and sign distributions, each as the constants of one formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gainstage.errors import InputError
from gainstage.streams.quantile import Floats, Words, normal_from_words, sign_from_words, uniform_from_words

__all__ = ["NORMAL", "SIGN", "TRUNCATED", "UNIFORM", "Constants", "Distribution", "Normal", "Sign", "Uniform", "values"]

NORMAL, TRUNCATED, UNIFORM, SIGN = range(4)


class Constants(NamedTuple):
    """A distribution as its kernel takes it; all but ``law`` are rounded to float32 where they are used.

    Args:
        law: NORMAL, TRUNCATED, UNIFORM or SIGN.
        scale: multiplies every value.
        shift: is added to every uniform value.
        within: P(|Z| < bound) of a truncated normal.
        beyond: 1 - ``within``.
        bound: in standard deviations before truncation.
    """

    law: int
    scale: float
    shift: float = 0.0
    within: float = 1.0
    beyond: float = 0.0
    bound: float = math.inf


@dataclass(frozen=True, slots=True)
class Normal:
    """N(0, std²), truncated at ±bound · std where a bound is given.

    Args:
        std: the standard deviation before truncation; at least zero.
        bound: in units of ``std``. Truncation at 2 leaves a standard deviation of 0.8796 · std.

    Raises:
        InputError: a standard deviation that is negative or not finite in float32; a bound that is not positive and
            finite.

    >>> Normal(0.02, bound=2).constants.scale
    0.02
    """

    std: float = 1.0
    bound: float | None = None

    def __post_init__(self) -> None:
        if not _is_finite(self.std) or self.std < 0:
            raise InputError(f"The standard deviation of a normal is finite and at least zero; received {self.std!r}.")
        if self.bound is not None and not (_is_finite(self.bound) and self.bound > 0):
            raise InputError(f"A normal is truncated at a positive, finite bound; received {self.bound!r}.")

    @property
    def constants(self) -> Constants:
        """The constants of the formula."""
        if self.bound is None:
            return Constants(NORMAL, float(self.std))
        within = _probability_within(float(self.bound))
        return Constants(TRUNCATED, float(self.std), 0.0, within, 1 - within, float(self.bound))


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform between two numbers.

    Args:
        low, high: the ends. Neither is reached on (0, 1) nor on (-1, 1); elsewhere float32 may round to an end.

    Raises:
        InputError: an end that is not finite in float32, or ``low`` above ``high``.

    >>> Uniform(-0.1, 0.1).constants.scale
    0.1
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not _is_finite(self.low) or not _is_finite(self.high) or self.low > self.high:
            raise InputError(f"A uniform lies between two finite numbers; received {self.low!r} and {self.high!r}.")

    @property
    def constants(self) -> Constants:
        """The constants of the formula."""
        return Constants(UNIFORM, self.high / 2 - self.low / 2, self.low / 2 + self.high / 2)


@dataclass(frozen=True, slots=True)
class Sign:
    """-size or size, with equal probability.

    Args:
        size: at least zero.

    Raises:
        InputError: a size that is negative or not finite in float32.

    >>> Sign(0.1).constants.scale
    0.1
    """

    size: float = 1.0

    def __post_init__(self) -> None:
        if not _is_finite(self.size) or self.size < 0:
            raise InputError(f"The size of signs is finite and at least zero; received {self.size!r}.")

    @property
    def constants(self) -> Constants:
        """The constants of the formula."""
        return Constants(SIGN, float(self.size))


Distribution = Normal | Uniform | Sign


def values(words: Words, constants: Constants) -> Floats:
    """One float32 value from each word: the definition, in NumPy.

    >>> values(np.array([0, 2**31], dtype=np.uint32), Uniform().constants)
    array([5.0000006e-01, 5.9604645e-08], dtype=float32)
    """
    scale = np.float32(constants.scale)
    if constants.law == NORMAL:
        return normal_from_words(words) * scale
    if constants.law == TRUNCATED:
        z = normal_from_words(words, constants.within, constants.beyond)
        bound = np.float32(constants.bound)
        return np.minimum(np.maximum(z, -bound), bound) * scale
    if constants.law == UNIFORM:
        return uniform_from_words(words) * scale + np.float32(constants.shift)
    return sign_from_words(words) * scale


def _is_finite(value: object) -> bool:
    if not isinstance(value, int | float | np.integer | np.floating):
        return False
    return abs(float(value)) <= float(np.finfo(np.float32).max)


def _probability_within(bound: float) -> float:
    """P(|Z| < bound), from two series of positive terms: ``math.erf`` is not rounded alike on every machine.

    Reference:
        Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.6, with the exponential as a series too.
    """
    if bound > 8:  # less than 2**-49 lies beyond, far below the last word
        return 1.0
    square = bound * bound / 2
    above, below = 0.0, 0.0
    odd, power = 1.0, 1.0
    for k in range(1, 200):
        above, below = above + odd, below + power
        odd, power = odd * 2 * square / (2 * k + 1), power * square / k
    return min(bound * math.sqrt(2 / math.pi) * above / below, 1.0)
