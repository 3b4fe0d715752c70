"""Where the examples are in a tensor that has been reshaped and permuted.

The place of the examples is told by one number, the *example stride*: how many elements, in row-major order of the
logical shape, lie between an example and the next. No reshape changes it, whatever is merged or taken apart, so that
``x.reshape(-1, examples, stride)`` always has the examples in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

__all__ = ["axis_of", "mixes_axes", "permuted", "remap_axis", "stride_at", "without"]

Shape = Sequence[int]


def stride_at(shape: Shape, axis: int, inner: int = 1) -> int:
    """The stride of an axis; ``inner`` when the examples are merged with faster indices inside it.

    >>> stride_at((8, 5, 3), 0), stride_at((40, 3), 0, inner=5)
    (15, 15)
    """
    return prod(shape[axis + 1 :]) * inner


def axis_of(shape: Shape, stride: int | None, examples: int) -> tuple[int, int] | None:
    """The axis that runs over examples and how many faster indices are merged into it, or None.

    >>> axis_of((8, 5, 3), 15, 8), axis_of((40, 3), 15, 8), axis_of((40, 3), 3, 8)
    ((0, 1), (0, 5), (0, 1))
    """
    if stride is None:
        return None
    for axis, size in enumerate(shape):
        below = prod(shape[axis + 1 :])
        if stride % max(below, 1) == 0 and below and stride < below * size:
            inner = stride // below
            return (axis, inner) if size % (inner * examples) == 0 else None
    return (0, 1) if examples == 1 and shape else None


def permuted(shape: Shape, stride: int | None, examples: int, order: Sequence[int]) -> int | None:
    """The example stride after a permutation of the axes."""
    found = axis_of(shape, stride, examples)
    if found is None:
        return None
    axis, inner = found
    return stride_at([shape[i] for i in order], list(order).index(axis), inner)


def without(axis: int, removed: Sequence[int]) -> int | None:
    """Where an axis is after others were removed; None if it was one of them.

    >>> without(2, [0]), without(0, [0])
    (1, None)
    """
    return None if axis in removed else axis - sum(other < axis for other in removed)


def remap_axis(axis: int | None, before: Shape, after: Shape, order: Sequence[int] | None) -> int | None:
    """Where an axis (of units) is after a permutation (``order``) or a reshape.

    A reshape keeps an axis that stays, or that is merged as the slowest part of a new one, and finds it again when
    that is taken apart.

    >>> remap_axis(2, (8, 5, 3), (40, 3), None), remap_axis(1, (8, 6, 2, 2), (8, 24), None)
    (1, 1)
    >>> remap_axis(0, (8, 5, 3), (5, 8, 3), (1, 0, 2))
    1
    """
    if axis is None or axis >= len(before):
        return None
    if order is not None:
        return order.index(axis) if axis in order else None
    slower, reached = prod(before[:axis]), 1
    for position, size in enumerate(after):
        if reached == slower and (size > 1 or before[axis] == 1):
            return position
        reached *= size
    return None


def mixes_axes(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Report whether a reshape does more than merge neighbouring axes and split axes.

    It is where a border between axes of one shape lies inside the axes of the other and neither divides the other, as
    where sizes are exchanged that a transpose would exchange. Sizes that differ by one are exchanged on purpose to
    shift relative positions.

    >>> mixes_axes((8, 10, 7), (8, 7, 10)), mixes_axes((8, 32, 32, 3), (8, 3, 32, 32))
    (True, True)
    >>> mixes_axes((8, 10, 12), (8, 10, 3, 4)), mixes_axes((5, 8, 32), (5, 32, 8)), mixes_axes((8, 5, 6), (8, 6, 5))
    (False, False, False)
    """
    old, new = [s for s in before if s != 1], [s for s in after if s != 1]
    if old == new or prod(old) != prod(new) or not old:
        return False
    if sorted(old) == sorted(new):
        moved = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
        if len(moved) == 2 and abs(moved[0][0] - moved[0][1]) == 1:
            return False
    ours, theirs = _borders(old), _borders(new)
    return any(a % b and b % a for a in ours for b in theirs if _neighbours(a, b, ours, theirs))


def _borders(shape: list[int]) -> list[int]:
    """Numbers of elements behind each border between two axes."""
    return [prod(shape[i:]) for i in range(1, len(shape))]


def _neighbours(a: int, b: int, ours: list[int], theirs: list[int]) -> bool:
    """Report whether both shapes share no axis border between two borders."""
    low, high = min(a, b), max(a, b)
    return not any(low <= c <= high for c in set(ours) & set(theirs))
