"""Number formats of 8 and 16 bits, and what each of them does to a distribution of magnitudes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gainstage.errors import UnknownNameError
from gainstage.records import FormatShares, LossScale, Magnitudes

__all__ = ["FORMATS", "NumberFormat", "loss_scale", "lost_updates", "number_format", "shares_in"]

GROWTH = 8.0
"""Factor that a loss scale leaves below the end of the format, for gradients of later batches that are larger."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """A binary floating-point format.

    Args:
        name: as frameworks write it.
        bits: significant bits, the hidden one included.
        exponent: exponent of the smallest normal number.
        largest: the largest finite number.
        overflow: numbers from here on are rounded beyond the largest one.
        scaled: whether it is used with a scale per tensor, which puts the tensor's largest |x| at ``largest``.

    >>> half = number_format("float16")
    >>> half.largest, half.smallest == 2.0**-24, half.to_zero == 2.0**-25
    (65504.0, True, True)
    """

    name: str
    bits: int
    exponent: int
    largest: float
    overflow: float
    scaled: bool = False

    @property
    def normal(self) -> float:
        """Return the smallest number that has all significant bits."""
        return float(2.0**self.exponent)

    @property
    def smallest(self) -> float:
        """Return the smallest number above zero."""
        return float(2.0 ** (self.exponent - self.bits + 1))

    @property
    def to_zero(self) -> float:
        """Return the number up to which rounding to the nearest gives zero."""
        return self.smallest / 2


_BF16 = (2.0 - 2.0**-7) * 2.0**127
FORMATS: dict[str, NumberFormat] = {
    known.name: known
    for known in (
        NumberFormat("float16", 11, -14, 65504.0, 65520.0),
        NumberFormat("bfloat16", 8, -126, _BF16, _BF16 + 2.0**119),
        NumberFormat("float8_e4m3", 4, -6, 448.0, 464.0, scaled=True),
        NumberFormat("float8_e5m2", 3, -14, 57344.0, 61440.0, scaled=True),
    )
}
"""The formats that are judged: IEEE 754 half precision, bfloat16, and the two of Micikevicius et al. 2022."""

_ALIASES = {
    "fp16": "float16", "half": "float16", "bf16": "bfloat16",
    "e4m3": "float8_e4m3", "float8_e4m3fn": "float8_e4m3", "e5m2": "float8_e5m2",
}  # fmt: skip


def number_format(name: str) -> NumberFormat:
    """Return the format of that name.

    Raises:
        UnknownNameError: there is none.

    >>> number_format("e4m3").largest
    448.0
    """
    try:
        return FORMATS[_ALIASES.get(name.lower(), name.lower())]
    except (KeyError, AttributeError):
        raise UnknownNameError("number format", str(name), [*FORMATS, *_ALIASES]) from None


def shares_in(magnitudes: Magnitudes, form: NumberFormat, scale: float | None = None) -> FormatShares:
    """Return the shares of a tensor that a number format would lose.

    Args:
        magnitudes: distribution of |x|.
        form: the format.
        scale: factor on the tensor before it is rounded. By default one; for formats that are used with a scale per
            tensor, the one that puts the largest |x| at the end of the format.

    >>> from gainstage.statistics.magnitudes import gaussian_magnitudes
    >>> found = shares_in(gaussian_magnitudes(0.0, 2.0**-24, 10**6), number_format("float16"))
    >>> round(found.underflow, 2), found.overflow, found.harmed  # |z| ≤ 1/2
    (0.38, 0.0, True)
    """
    if scale is None:
        scale = form.largest / magnitudes.largest if form.scaled and magnitudes.largest > 0 else 1.0
    over = magnitudes.at_least(form.overflow / scale)
    under = magnitudes.below(form.to_zero / scale)
    coarse = max(magnitudes.below(form.normal / scale) - under, 0.0)
    return FormatShares(form.name, over, under, coarse, scale, _error(magnitudes, form, scale))


def _error(magnitudes: Magnitudes, form: NumberFormat, scale: float) -> float:
    """Root mean square error of what is below the smallest normal number, over the root mean square of the tensor."""
    small = whole = 0.0
    for size, share in magnitudes.sizes():
        x = size * scale
        whole += share * x * x
        if x <= form.to_zero:
            small += share * x * x
        elif x < form.normal:
            small += share * form.smallest**2 / 12
    return math.sqrt(small / whole) if whole > 0 else 0.0


def lost_updates(steps: Magnitudes, form: NumberFormat) -> float:
    """Return the share of a parameter's elements that the first update leaves where they are.

    Args:
        steps: distribution of |Δw| / 2^⌊log₂|w|⌋ over the weights that are not zero.
        form: the format in which the weights would be kept. Between 2^e and 2^(e+1) its numbers are 2^(e-p+1) apart for
            p significant bits, and half of that rounds to nothing.

    >>> from gainstage.statistics.magnitudes import magnitudes_of
    >>> lost_updates(magnitudes_of([2.0**-7, 2.0**-10]), number_format("bfloat16"))
    0.5
    """
    return steps.below(2.0**-form.bits)


def loss_scale(gradients: Iterable[Magnitudes], form: NumberFormat) -> LossScale | None:
    """Return the factor on the loss that lifts all gradients into a format's range.

    The scale is enough when the root mean square of every gradient is a normal number: then most elements are rounded
    as finely as anywhere else. It is allowed while the largest element stays three octaves below the end of the format.

    Args:
        gradients: distributions of |g|, of the gradients that the format would hold.
        form: the format; one that is used with a scale per tensor needs none.

    Returns:
        the smallest power of two that is enough, or the largest that is allowed where that is less; None without
        gradients.

    Source: Micikevicius et al. 2018, Mixed Precision Training, section 3.2.

    >>> from gainstage.statistics.magnitudes import gaussian_magnitudes
    >>> loss_scale([gaussian_magnitudes(0.0, 1e-8, 1000)], number_format("float16")).advised
    8192.0
    """
    live = [m for m in gradients if m.largest > 0]
    if form.scaled or not live:
        return None
    needed = max(form.normal / m.rms for m in live)
    allowed = form.largest / GROWTH / max(m.largest for m in live)
    advised = 2.0 ** min(math.ceil(math.log2(needed)), math.floor(math.log2(allowed)))
    if needed <= 1.0 <= allowed:
        advised = 1.0
    left = sum(shares_in(m, form, advised).harmed for m in live)
    return LossScale(form.name, needed, allowed, advised, left)
