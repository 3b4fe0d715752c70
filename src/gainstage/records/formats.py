"""Formats records what number formats of 8 and 16 bits would do to every tensor of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.records.magnitudes import TensorKind
from gainstage.records.profile import Note, Source
from gainstage.records.rendering import Rendered

__all__ = ["HARMLESS", "FormatShares", "Formats", "LossScale", "TensorFormats"]

HARMLESS = 2.0**-3 * math.sqrt((1 - 0.25) / (2 * math.log(2)) / 12)
"""Relative root mean square error, 2.7 %, of rounding to the four significant bits of E4M3, averaged over log |x|.

Networks are trained with forward passes in E4M3 to the accuracy of 16 bits (Micikevicius et al. 2022, FP8 Formats for
Deep Learning), so that an error of this size in a tensor does no harm.
"""


@dataclass(frozen=True, slots=True)
class FormatShares:
    """The shares of one tensor that one number format loses.

    Args:
        format: name of the format.
        overflow: share of the elements beyond the largest number.
        underflow: share of the elements that are not zero and are rounded to zero.
        coarse: share of the elements below the smallest normal number that are not rounded to zero: they keep fewer
            digits.
        scale: factor on the tensor before rounding.
        error: root mean square error of what is below the smallest normal number, over the root mean square of the
            tensor.
        lost: of a parameter, the share of its elements that the first update leaves where they are; None where no
            update is known.
    """

    format: str
    overflow: float
    underflow: float
    coarse: float
    scale: float = 1.0
    error: float = 0.0
    lost: float | None = None

    @property
    def harmed(self) -> bool:
        """Report whether something overflows, or numbers too small for the format cost more than E4M3's few digits."""
        return self.overflow > 0 or self.error > HARMLESS

    @property
    def stuck(self) -> bool:
        """Report whether the first update leaves most elements where they are."""
        return self.lost is not None and self.lost > 0.5


@dataclass(frozen=True, slots=True)
class TensorFormats:
    """One tensor, and what every number format would do to it.

    Args:
        kind: which tensor it is; ``step`` never occurs, since updates are listed with their weights.
        path: the module or parameter.
        dtype: the number format in which it was computed; empty where it was predicted.
        count: number of elements.
        zeros: share of the elements that are exactly zero.
        low, median, largest: |x| below which one hundredth and one half of the nonzero elements lie, and the largest.
        shares: one entry for every format.
        node: index of the operation, for outputs and their gradients.
    """

    kind: TensorKind
    path: str
    dtype: str
    count: int
    zeros: float
    low: float
    median: float
    largest: float
    shares: tuple[FormatShares, ...]
    node: int | None = None

    def of(self, form: str) -> FormatShares:
        """Return the entry of one format, by its name."""
        return next(one for one in self.shares if one.format == form)


@dataclass(frozen=True, slots=True)
class LossScale:
    """A factor on the loss, for gradients in one number format.

    Args:
        format: name of the format.
        needed: the smallest factor that makes the root mean square of every gradient a normal number.
        allowed: the largest factor that leaves three octaves between the largest element and the end of the format.
        advised: a power of two: the smallest that is needed, or the largest that is allowed where that is less.
        left: number of gradients that the format harms with the advised factor.
    """

    format: str
    needed: float
    allowed: float
    advised: float
    left: int = 0


@dataclass(frozen=True)
class Formats(Rendered):
    """Losses of number formats: overflow, underflow and lost updates of a model's tensors, measured or predicted.

    Args:
        tensors: outputs, gradients and weights, each kind in the order of the model.
        formats: names of the formats, in the order of every tensor's ``shares``.
        loss_scales: one for every format that is used without a scale per tensor.
        source: the origin of the numbers.
        notes: remarks about the measurement.
    """

    tensors: tuple[TensorFormats, ...]
    formats: tuple[str, ...]
    loss_scales: tuple[LossScale, ...]
    source: Source
    notes: tuple[Note, ...] = ()

    def loss_scale(self, form: str) -> LossScale | None:
        """Return the loss scale of one format; None where there is none."""
        return next((scale for scale in self.loss_scales if scale.format == form), None)

    def harmed(self, form: str) -> tuple[TensorFormats, ...]:
        """Return the tensors that a format harms, without a loss scale."""
        return tuple(tensor for tensor in self.tensors if tensor.of(form).harmed)

    def stuck(self, form: str) -> tuple[TensorFormats, ...]:
        """Return the parameters most of whose elements the first update would not move in a format."""
        return tuple(tensor for tensor in self.tensors if tensor.of(form).stuck)
