"""Moments of tensors, reduced where the tensor lives.

Everything is computed in float32 or better from few passes: one mean over the examples and one dot product give mean,
variance, second moment, the share of variance across examples, dead units and the correlation of examples. Where single
precision would over- or underflow, or cancel, the reduction is repeated in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from gainstage.records import Histogram, Moments, UnitStats

__all__ = ["Look", "histogram_of", "look_at", "moments_of", "unit_stats"]

_UNDERFLOW = 1e-30  # below this a float32 sum of squares has lost digits
_CANCELLATION = 1e-3  # a variance this small a part of the second moment is taken again, centred
_BINS = 32
_SAMPLED = 4096  # values of a histogram: a share is then known to 1.6 points at worst (two standard errors)
_REACH = 4.0  # spreads around the mean that a histogram shows


@dataclass(frozen=True, slots=True)
class Look:
    """One tensor with its examples in the middle: ``(outer, examples, inner)``.

    Args:
        values: float32 or float64, contiguous, three axes.
        moments: of all elements.
        example_mean: mean over examples, ``(outer, inner)``; None where examples cannot be told apart.
    """

    values: torch.Tensor
    moments: Moments
    example_mean: torch.Tensor | None


def _prepared(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor


def _square_sum(flat: torch.Tensor) -> float:
    """Σx², in double precision where single would over- or underflow."""
    total = float(torch.dot(flat, flat))
    if not _UNDERFLOW * flat.numel() < total < math.inf and flat.dtype is torch.float32:
        total = float(torch.dot(flat.double(), flat.double())) if flat.device.type != "mps" else total
    return total


def moments_of(tensor: torch.Tensor, *, extremes: bool = False) -> Moments:
    """Moments over all elements, without a look at the examples."""
    return _moments(_prepared(tensor).reshape(-1), extremes=extremes)


def _moments(flat: torch.Tensor, *, extremes: bool, mean: float | None = None) -> Moments:
    count = flat.numel()
    if count == 0:
        return Moments(0, 0.0, 0.0, 0.0)
    mean = float(flat.mean()) if mean is None else mean
    second = _square_sum(flat) / count
    nonfinite = 0
    if not math.isfinite(mean):
        nonfinite = count - int(torch.isfinite(flat).sum())
        if nonfinite == 0:
            mean = float(flat.double().mean())
    variance = second - mean * mean
    if variance < _CANCELLATION * second and nonfinite == 0:
        centred = flat - mean
        variance = _square_sum(centred) / count
    low = high = None
    if extremes:
        low, high = (float(v) for v in torch.aminmax(flat))
    return Moments(count, mean, variance, second, nonfinite, low, high)


def look_at(tensor: torch.Tensor, examples: int, stride: int | None, *, extremes: bool = True) -> Look:
    """Moments with the share of variance across examples.

    Args:
        tensor: any shape.
        examples: how many there are.
        stride: where they are, see ``axes``; None if they cannot be told apart.
        extremes: also the smallest and the largest element.
    """
    values = _prepared(tensor)
    if stride is None or examples < 2 or values.numel() % (stride * examples):
        moments = _moments(values.reshape(-1), extremes=extremes)
        return Look(values.reshape(1, 1, -1), moments, None)
    values = values.reshape(-1, examples, stride)
    mean = values.mean(1)
    moments = _moments(values.reshape(-1), extremes=extremes, mean=float(mean.mean()))
    share = None
    if moments.finite and moments.variance > 0:
        within = moments.second_moment - float(mean.double().square().mean())
        if within < _CANCELLATION * moments.second_moment:
            centred = values - mean.unsqueeze(1)
            within = _square_sum(centred.reshape(-1)) / moments.count
        within *= examples / (examples - 1)  # the mean was taken from these very examples
        share = min(within / moments.variance, 1.0) if math.isfinite(within) else None
    elif moments.finite and moments.count:
        share = 0.0 if examples > 1 else None
    return Look(values, replace(moments, example_share=share), mean)


def histogram_of(look: Look) -> Histogram | None:
    """How the values are distributed within four spreads of their mean; None where they are not all finite.

    Taken from an even sample: every n-th value, with n prime to the size, so that all units and examples take part.
    """
    moments, flat = look.moments, look.values.reshape(-1)
    if not moments.finite or not moments.count or not math.isfinite(moments.spread):
        return None
    low, high = moments.mean - _REACH * moments.spread, moments.mean + _REACH * moments.spread
    if moments.minimum is not None and moments.maximum is not None:
        low, high = max(low, moments.minimum), min(high, moments.maximum)
    if not high > low:
        return Histogram(moments.mean, moments.mean, (min(moments.count, _SAMPLED),))
    stride = max(flat.numel() // _SAMPLED, 1)
    while math.gcd(stride, flat.numel()) > 1:
        stride += 1
    places = (flat[::stride].cpu().double().numpy() - low) * (_BINS / (high - low))
    bins = np.clip(places, 0, _BINS - 1).astype(np.intp)
    return Histogram(low, high, tuple(np.bincount(bins, minlength=_BINS).tolist()))


def unit_stats(
    look: Look, shape: tuple[int, ...], unit_axis: int | None, *, rectified: bool, bounds: tuple[float, float] | None
) -> UnitStats:
    """What single units do over the batch.

    Args:
        look: of the node's output.
        shape: of that output.
        unit_axis: the axis of units; None counts every position as a unit.
        rectified: whether exact zeros are to be counted.
        bounds: of a bounded activation, whose saturation is to be counted.
    """
    outer, examples, inner = look.values.shape
    units = shape[unit_axis] if unit_axis is not None and unit_axis < len(shape) else outer * inner
    moments, zero, zero_share, saturated, stuck = look.moments, 0, None, None, None
    mean = look.example_mean
    if mean is None:
        return UnitStats(units, max(moments.count // max(units, 1), 1), 1)
    correlation = None
    if moments.finite and moments.second_moment > 0:
        common = float(mean.double().square().mean()) / moments.second_moment
        correlation = min((examples * common - 1) / (examples - 1), 1.0)  # rounding may exceed one
    if rectified:
        zero_share = 1.0 - float(torch.count_nonzero(look.values)) / moments.count
        if zero_share > 0:
            zero = _units_all(_never_nonzero(look), shape, unit_axis)
    if bounds is not None:
        low, high = bounds
        margin = 0.01 * (high - low)
        outside = (look.values < low + margin) | (look.values > high - margin)
        saturated = float(outside.sum()) / moments.count
        stuck = _units_all(outside.all(1), shape, unit_axis) if saturated > 0 else 0
    return UnitStats(units, moments.count // max(units, 1), examples, zero, zero_share, saturated, stuck, correlation)


def _never_nonzero(look: Look) -> torch.Tensor:
    """Places that are zero for every example."""
    assert look.example_mean is not None
    candidates = look.example_mean == 0
    return candidates & (look.values == 0).all(1) if bool(candidates.any()) else candidates


def _units_all(places: torch.Tensor, shape: tuple[int, ...], unit_axis: int | None) -> int:
    """How many units have the property at every place; ``places`` is ``(outer, inner)``."""
    if unit_axis is None:
        return int(places.sum())
    below = math.prod(shape[unit_axis + 1 :])
    outer, inner = places.shape
    if inner % (below * shape[unit_axis]) == 0:  # units lie inside one example
        return int(places.reshape(-1, shape[unit_axis], below).all(2).all(0).sum())
    if unit_axis == 0 and outer % shape[0] == 0:
        return int(places.reshape(shape[0], -1).all(1).sum())
    return 0


def token_correlation(tensor: torch.Tensor, second_moment: float) -> float | None:
    """Mean uncentred correlation between two positions of one example of a ``(batch, positions, units)`` tensor."""
    values = _prepared(tensor)
    positions = values.shape[1]
    if positions < 2 or not second_moment > 0:
        return None
    common = float(values.mean(1).double().square().mean()) / second_moment
    return min((positions * common - 1) / (positions - 1), 1.0)
