"""Normalisation of a finite number of elements: what its statistics take from the gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gainstage.errors import InputError, UnknownNameError

__all__ = ["Normalization", "Normalized", "normalized"]

Normalization = Literal["batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"]


@dataclass(frozen=True, slots=True)
class Normalized:
    """What a normalisation makes of a signal, before its own scale and shift.

    Args:
        scale: root mean square of what the signal is multiplied with.
        mean: of the output.
        second_moment: of the output; below 1 where eps counts.
        backward: the factor on the second moment of a gradient that is independent of the signal.
    """

    scale: float
    mean: float
    second_moment: float
    backward: float


def normalized(
    kind: Normalization,
    *,
    variance: float,
    elements: float,
    mean: float = 0.0,
    correlation: float = 0.0,
    gradient_correlation: float = 0.0,
    eps: float = 0.0,
) -> Normalized:
    """Moments of a normalised Gaussian signal, and of the gradient behind it.

    With x̂ = (x - μ)/σ the gradient is (g - mean g - x̂ mean(g x̂))/σ. For n elements, independent of g, the two
    projections take 2/n of its square (RMS norm: one), and E 1/σ² is n/(n - 3) over the variance (n/(n - 2)).

    Args:
        kind: which elements share their statistics: ``batch_norm`` a channel's over the batch, ``layer_norm``,
            ``group_norm`` and ``instance_norm`` those of one example; ``rms_norm`` takes no mean off.
        variance: of an element around ``mean``.
        elements: how many share their statistics; of correlated ones, how many independent ones they are worth.
        mean: of an element; it is the same for all that share their statistics.
        correlation: of two elements that share their statistics, around their mean: a common part is taken off as well.
        gradient_correlation: of their gradients, uncentred.
        eps: added to the variance under the root.

    Raises:
        UnknownNameError: no such normalisation.
        InputError: an argument out of range.

    Sources: the gradient, Ioffe and Szegedy 2015, section 3; the means of inverse chi squares.

    >>> from gainstage.theory import normalized
    >>> round(normalized("batch_norm", variance=4.0, elements=16).backward * 4, 4)
    1.0769
    >>> normalized("layer_norm", variance=1.0, elements=256, eps=1.0).second_moment.__round__(3)
    0.499
    """
    if kind not in get_args(Normalization):
        raise UnknownNameError("normalisation", kind, get_args(Normalization))
    figures = {"variance": variance, "mean": mean, "elements": elements, "eps": eps}
    for name, value in figures.items():
        if not (isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value)):
            raise InputError(f"The {name} of a normalised signal is a finite number; received {value!r}.")
    if variance < 0 or eps < 0 or elements < 1:
        raise InputError(
            f"A normalisation is of at least one element, with variance and eps at least 0; "
            f"received elements = {elements!r}, variance = {variance!r}, eps = {eps!r}."
        )
    for name, value in (("signal", correlation), ("gradient", gradient_correlation)):
        if not -1 <= value <= 1:
            raise InputError(f"A correlation lies between -1 and 1; received {value!r} for the {name}.")
    n = float(elements)
    if kind == "rms_norm":
        return _rms(mean, variance, n, eps)
    own = variance * (1 - correlation)
    if own + eps == 0:
        raise InputError(f"A {kind} of a constant signal divides by zero: variance and eps are both 0.")
    biased = own * (1 - 1 / n)  # E σ²
    # Never more than what eps alone leaves; for few elements and no eps the mean of 1/σ² is infinite.
    inverse = 1 / (own * _lost(n, 3) + eps)
    kept = max(1 - 2 / n, 0.0)
    share = biased / (biased + eps) if biased > 0 else 0.0
    backward = inverse * kept * (1 - gradient_correlation) if n > 2 else 0.0
    return Normalized(math.sqrt(inverse), 0.0, share, backward)


def _rms(mean: float, variance: float, n: float, eps: float) -> Normalized:
    level = variance + mean**2
    if level + eps == 0:
        raise InputError("An rms_norm of a signal that is zero divides by zero: level and eps are both 0.")
    # A mean of n squares scatters by (2 v² + 4 v m²)/n; without a mean this is n/(n - 2), exactly.
    scatter = (2 * variance**2 + 4 * variance * mean**2) / max(level, 1e-300) ** 2
    inverse = 1 / (level * _lost(n, scatter) + eps)
    backward = inverse * (1 - level / (level + eps) / n)
    return Normalized(math.sqrt(inverse), mean * math.sqrt(inverse), level / (level + eps), backward)


def _lost(n: float, degrees: float) -> float:
    """1 / (E [1/σ²] · variance) of n elements: (n - degrees)/n, kept above zero."""
    return max(1 - degrees / n, 1 / (n + 1))
