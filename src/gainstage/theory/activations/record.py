"""Activation: what theory needs to know of an elementwise function."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Activation", "Array", "Elementwise"]

Array: TypeAlias = npt.NDArray[np.float64]
Elementwise: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """An elementwise function, its derivative, and where neither is smooth.

    Two of them are equal when they are the same object: functions cannot be compared.

    Args:
        function: float64 array to float64 array of the same shape, without warnings for any finite input.
        derivative: the same, for f'. At a kink either side will do; at a jump the jump does not count, as in
            backpropagation.
        kinks: where f or one of its first two derivatives jumps.
        bounds: the infimum and supremum of f; infinite where there is none.
        homogeneous: whether f(a x) = a f(x) for every a > 0.
        name: its name in the table, or the name of the user's function.
        settings: the numbers it was made with.
        label: its name for people, with the settings that were chosen.
        aliases: its other names.
        summary: the formula and where it is from.
        unit: its moments at level 1 where they are known beforehand, in the order of ``GaussianMoments``.
    """

    function: Elementwise = field(repr=False)
    derivative: Elementwise = field(repr=False)
    kinks: tuple[float, ...] = ()
    bounds: tuple[float, float] = (-math.inf, math.inf)
    homogeneous: bool = False
    name: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    label: str = ""
    aliases: tuple[str, ...] = ()
    summary: str = field(default="", repr=False)
    unit: tuple[float, ...] | None = field(default=None, repr=False)

    def __call__(self, x: npt.ArrayLike) -> Array:
        """The function's values.

        >>> from gainstage.theory import activation
        >>> activation("leaky_relu")([-2.0, 3.0]).tolist()
        [-0.02, 3.0]
        """
        return self.function(np.asarray(x, dtype=np.float64))

    @property
    def bounded(self) -> bool:
        """Whether it saturates on both sides."""
        return math.isfinite(self.bounds[0]) and math.isfinite(self.bounds[1])
