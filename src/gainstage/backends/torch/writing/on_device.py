"""Draws a stream in plain PyTorch operations, on the device where a parameter lives, with the same bytes.

Each line is one eager kernel, so that no device contracts a product and a sum into one rounding; ``addcmul``,
``add(alpha=…)``, ``lerp`` and compiled code could. A device that still rounds otherwise is found out by a probe at its
first use, and weights are drawn on the CPU and copied there instead.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from gainstage.backends.shared.values import scheme_of
from gainstage.backends.torch.writing.regions import meeting, rectangles
from gainstage.records import Assignment
from gainstage.streams import Distribution, Normal, Sign, Stream, Uniform
from gainstage.streams.distributions import SIGN, UNIFORM, Constants
from gainstage.streams.philox import ROUNDS
from gainstage.streams.quantile import DENOMINATOR, LOG2, LOWEST_MANTISSA, NUMERATOR, PER_WORD

__all__ = ["draw_region", "draws_alike", "fill"]

_CHUNK = 1 << 20  # elements: some 60 MB of working memory
_MASK = 0xFFFFFFFF
_MULTIPLIERS, _WEYL = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
_PROBE = 5000


def fill(out: Tensor, stream: Stream, distribution: Distribution, *, start: int = 0) -> None:
    """Draws elements start, start + 1, … of a stream into a tensor, as ``Stream.fill`` does.

    Args:
        out: contiguous, of any floating-point format and device.
        stream: where the numbers come from.
        distribution: Normal, Uniform or Sign.
        start: the index of the first element.

    >>> fill(out := torch.empty(3), Stream(0, "weight"), Normal())
    >>> bool((out.numpy() == Stream(0, "weight").normal(3)).all())
    True
    """
    flat, constants = out.view(-1), distribution.constants
    for done in range(0, flat.numel(), _CHUNK):
        part = flat[done : done + _CHUNK]
        words = _words(stream.key, start + done, part.numel(), out.device)
        part.copy_(_values(words, constants))


def draw_region(out: Tensor, assignment: Assignment, seed: int, offsets: tuple[int, ...]) -> bool:
    """Draws a rectangle of a parameter where it lives, if that can be done in runs of a stream.

    Args:
        out: the rectangle's memory.
        assignment: of a weight with a kernel.
        seed: of the plan.
        offsets: the index of the rectangle's first weight along each axis of the parameter.

    Returns:
        False where nothing was drawn: the weights are not independent, the rectangle is not made of runs, or the device
        rounds in its own way.
    """
    scheme, kernel = scheme_of(assignment), assignment.kernel
    parts = None if kernel is None else rectangles(assignment.shape, kernel, assignment.blocks, assignment.layout)
    if kernel is None or parts is None or not scheme.independent or not draws_alike(out.device):
        return False
    met = [(part, out[place], start) for part, place, start in meeting(parts, offsets, tuple(out.shape))]
    if not all(_is_run(piece, part.strides) for part, piece, _ in met):
        return False
    distribution = scheme.distribution(kernel, assignment.gain)
    for part, piece, start in met:
        fill(piece, Stream(seed, assignment.parameter, part.block), distribution, start=start)
        if assignment.gain < 0:
            piece.neg_()
    return True


def _is_run(piece: Tensor, strides: tuple[int, ...]) -> bool:
    """Whether neighbours in memory are neighbours in the stream."""
    pairs = zip(piece.shape, piece.stride(), strides, strict=True)
    return piece.is_contiguous() and all(size == 1 or held == drawn for size, held, drawn in pairs)


@cache
def draws_alike(device: torch.device) -> bool:
    """Whether a device gives the bytes that the definition asks for, by a probe of every distribution.

    >>> draws_alike(torch.device("cpu"))
    True
    """
    stream = Stream(0, "probe")
    for distribution in (Normal(0.02), Normal(0.3, bound=2.0), Uniform(-0.1, 0.3), Sign(2.0)):
        try:
            fill(found := torch.empty(_PROBE, device=device), stream, distribution, start=3)
        except (RuntimeError, NotImplementedError, TypeError):  # no 64-bit integers, no views as bits
            return False
        expected = np.empty(_PROBE, dtype=np.float32)
        stream.fill(expected, distribution, start=3)
        if not torch.equal(found.cpu().view(torch.int32), torch.from_numpy(expected).view(torch.int32)):
            return False
    return True


def _words(key: tuple[int, int], start: int, count: int, device: torch.device) -> Tensor:
    """Words as signed 32-bit integers: ``philox.words``."""
    first, skip = divmod(start, 4)
    counters = torch.arange(-(-(skip + count) // 4), dtype=torch.int64, device=device) + first
    a, b = counters & _MASK, (counters >> 32) & _MASK
    c = d = torch.zeros_like(counters)
    k0, k1 = key
    for _ in range(ROUNDS):
        # Products wrap around in 64 bits; the mask takes off the sign that the shift has spread.
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = ((q >> 32) & _MASK) ^ b ^ k0, q & _MASK, ((p >> 32) & _MASK) ^ d ^ k1, p & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    words = torch.stack((a, b, c, d), dim=1).view(-1)[skip : skip + count]
    return torch.where(words > 0x7FFFFFFF, words - (1 << 32), words).to(torch.int32)


def _values(words: Tensor, constants: Constants) -> Tensor:
    """``distributions.values``."""
    scale = _rounded(constants.scale)
    if constants.law == UNIFORM:
        return ((words >> 9).float() + 0.5) * 2.0**-22 * scale + _rounded(constants.shift)
    if constants.law == SIGN:
        return ((words >> 31) | 1).float() * scale
    z = _normal(words, _rounded(constants.within), _rounded(constants.beyond))
    bound = _rounded(constants.bound)
    return z.clamp(-bound, bound) * scale


def _normal(words: Tensor, within: float, beyond: float) -> Tensor:
    """``quantile.normal_from_words``."""
    magnitude = words ^ (words >> 31)
    x = (magnitude.float() + 0.5) * float(PER_WORD) * within
    rest = ((magnitude ^ 0x7FFFFFFF).float() + 0.5) * float(PER_WORD) * within + beyond
    size = x * _rational(_minus_log2(rest + rest * x))
    return size * ((words >> 31) | 1).float()


def _minus_log2(value: Tensor) -> Tensor:
    bits = value.view(torch.int32)
    exponent = (bits - int(LOWEST_MANTISSA)) >> 23
    r = (bits - (exponent << 23)).view(torch.float32) - 1.0
    c0, c1, c2, c3, c4, c5, c6, c7 = map(float, LOG2)
    square = r * r
    low, high = (c0 + c1 * r) + (c2 + c3 * r) * square, (c4 + c5 * r) + (c6 + c7 * r) * square
    return -(exponent.float() + (low + high * (square * square)) * r)


def _rational(at: Tensor) -> Tensor:
    n0, n1, n2, n3, n4, n5, n6 = map(float, NUMERATOR)
    d0, d1, d2, d3, d4, d5 = map(float, DENOMINATOR)
    square = at * at
    fourth = square * square
    top = ((n0 + n1 * at) + (n2 + n3 * at) * square) + ((n4 + n5 * at) + n6 * square) * fourth
    bottom = ((d0 + d1 * at) + (d2 + d3 * at) * square) + (d4 + d5 * at) * fourth
    return top / bottom


def _rounded(number: float) -> float:
    """A number as float32 holds it, since PyTorch takes scalars as doubles."""
    return float(np.float32(number))
