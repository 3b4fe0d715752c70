"""InputMoments: what prediction needs to know of one input of a model."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainstage.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["InputMoments"]


@dataclass(frozen=True, slots=True)
class InputMoments:
    """Moments of one input of a model.

    Args:
        mean: E x over all elements.
        second_moment: E x² over all elements.
        units: E x·y of two units (channels, columns) of one example.
        positions: E x·y of two positions of one unit.
        examples: E x·y of two examples.
        neighbour: E x·y of two adjacent positions; by default equal to ``positions``.
        across_both: E x·y of two positions of two examples; by default equal to ``examples``.
        profiles: for each axis of an image, the second moment along the axis divided by its mean; empty where it is
            constant.

    The default is independent standard normal values.

    Raises:
        InputError: a number is not finite, the second moment is negative, or a pair exceeds the second moment.
    """

    mean: float = 0.0
    second_moment: float = 1.0
    units: float = 0.0
    positions: float = 0.0
    examples: float = 0.0
    neighbour: float | None = None
    across_both: float | None = None
    profiles: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        pairs = (
            self.mean**2,
            self.units,
            self.positions,
            self.examples,
            self.neighbour or 0.0,
            self.across_both or 0.0,
        )
        bound = self.second_moment * (1 + 1e-9) + 1e-12
        if not (math.isfinite(self.second_moment) and self.second_moment >= 0) or not all(
            abs(v) <= bound for v in pairs
        ):
            raise InputError(
                f"Moments of an input are finite, and no product of two elements exceeds E x²; received {self}."
            )
        for along in self.profiles:
            if not (along and all(math.isfinite(v) and v >= 0 for v in along) and math.fsum(along) > 0):
                raise InputError(f"A profile is a row of finite parts of a level, none negative; received {along!r}.")

    @classmethod
    def of(cls, values: npt.ArrayLike, unit_axis: int | None = None) -> InputMoments:
        """Measure the moments of a batch.

        Args:
            values: shape (examples, …).
            unit_axis: the axis of channels or features; by default the second axis of images, else the last one.

        >>> import numpy as np
        >>> InputMoments.of(np.ones((4, 3))).examples
        1.0
        """
        import numpy as np  # records load without it

        array = np.asarray(values, dtype=np.float64)
        if array.ndim == 0 or not array.size:
            raise InputError(f"Moments are taken of a batch with examples; received an array of shape {array.shape}.")
        axis = unit_axis if unit_axis is not None else 1 if array.ndim in (4, 5) else array.ndim - 1
        if array.ndim == 1:
            array, axis = array[:, None], 1
        laid = np.moveaxis(array, axis, 1)
        profiles = tuple(_profile(laid, at) for at in range(2, laid.ndim)) if laid.ndim > 3 else ()
        neighbour = _neighbour(laid)
        laid = laid.reshape(laid.shape[0], laid.shape[1], -1)
        level = float((laid**2).mean())
        positions, examples = _pair(laid, 2, level), _pair(laid, 0, level)
        b, p = laid.shape[0], laid.shape[2]
        across_both = None
        if b > 1 and p > 1:
            whole = float((laid.mean((0, 2)) ** 2).mean()) * b * p
            across_both = (whole - level - (p - 1) * positions - (b - 1) * examples) / ((b - 1) * (p - 1))
            across_both = min(max(across_both, -level), level)
        return cls(
            float(laid.mean()), level, _pair(laid, 1, level), positions, examples, neighbour, across_both, profiles
        )


def _neighbour(laid: npt.NDArray[np.float64]) -> float | None:
    """Return the mean product of two positions of a block two wide along every axis; None without such a block."""
    if laid.ndim < 3 or min(laid.shape[2:]) < 2:
        return None
    found = []
    for offset in itertools.product((0, 1), repeat=laid.ndim - 2):
        if any(offset):
            ends = (tuple(slice(o, None) for o in offset), tuple(slice(None, -o or None) for o in offset))
            one, other = (laid[(slice(None), slice(None), *end)] for end in ends)
            found.append(float((one * other).mean()))
    return math.fsum(found) / len(found)


def _profile(laid: npt.NDArray[np.float64], axis: int) -> tuple[float, ...]:
    """Return the second moment along one axis divided by its mean, without the sampling scatter between examples."""
    each = (laid**2).mean(tuple(other for other in range(1, laid.ndim) if other != axis))
    mean = each.mean()
    if not mean > 0:
        return (1.0,) * int(laid.shape[axis])
    varies = each.mean(0) / mean - 1
    chance = float((each / mean).var(0, ddof=1).mean()) / len(each) if len(each) > 1 else math.inf
    found = float((varies**2).mean())
    kept = max(1 - chance / found, 0.0) if found > 0 else 0.0
    told: list[float] = (1 + kept * varies).tolist()
    return tuple(told)


def _pair(values: npt.NDArray[np.float64], axis: int, level: float) -> float:
    """Return the mean product of two different elements along one axis."""
    count = values.shape[axis]
    if count < 2:
        return level if axis != 1 else 0.0
    whole = float((values.mean(axis) ** 2).mean())
    return float(min(max((count * whole - level) / (count - 1), -level), level))
