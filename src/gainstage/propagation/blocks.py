"""Statistics shared by a block of units and positions of one example: layer, group and instance normalization.

All three take mean μ and variance σ² over a block of n units and m positions. Layer norm of tokens uses all units of
one position (m = 1), group norm some units of all positions, instance norm one unit of all positions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.geometry import spatial
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import Signal

__all__ = ["NO_VARIATION", "Block", "InverseVariance", "Variation", "block_of", "inverse_variance"]

_GRID = 2000
_FEWEST = 0.05  # degrees of freedom below which the density of χ² cannot be summed on the grid
_MOST = 0.7


@dataclass(frozen=True, slots=True)
class Block:
    """The elements that share one mean and one variance.

    Args:
        units: n, number of units in the block.
        positions: m, number of positions in the block.
        among: number of units of the tensor.
        axes: number of image axes along which positions lie.
    """

    units: float
    positions: float
    among: int
    axes: int = 0

    @property
    def count(self) -> float:
        """The number of elements in a block."""
        return self.units * self.positions

    @property
    def whole_position(self) -> bool:
        """Report whether the block holds all units of one position, as in layer norm of tokens."""
        return self.positions == 1 and self.units == self.among

    def mean_square(self, k: SecondMoments, both: float) -> float:
        """Return E μ², the second moment of the block's mean.

        Args:
            k: second moments of the elements.
            both: E x·y of two elements that differ in unit and position.
        """
        share = 1 / self.units
        return share * k.position_mean_square(self.positions) + (1 - share) * self._across_units(k, both)

    def means(self, k: SecondMoments, both: float) -> SecondMoments:
        """Return E μ·μ' for the blocks of two elements, which centring removes from every second moment."""
        share, m, own = 1 / self.units, self.positions, self.mean_square(k, both)

        def other(pair: float, next_to: float) -> float:
            """Return E μ·μ' of two blocks with the same units at other positions."""
            return share * (pair / m + (1 - 1 / m) * next_to) + (1 - share) * both

        # The probability that two units are in one block.
        together = (self.units - 1) / (self.among - 1) if self.among > 1 else 0.0
        units = together * own + (1 - together) * self._across_units(k, both)
        examples, across_both = other(k.examples, k.across_both), other(k.across_both, k.across_both)
        if m > 1:  # all positions of an example are in one block
            return SecondMoments(own, units, own, examples, own, examples)
        return SecondMoments(own, units, other(k.positions, 0.0), examples, other(k.neighbour, 0.0), across_both)

    def _across_units(self, k: SecondMoments, both: float) -> float:
        """Return E of one unit's mean over positions times another unit's."""
        return k.units / self.positions + (1 - 1 / self.positions) * both

    def variation(self, x: Signal, centred: SecondMoments, *, means: float) -> Variation:
        """Return the variation of σ² between blocks.

        Args:
            x: the signal.
            centred: its second moments around the block's mean.
            means: degrees of freedom used by the mean: 1, or 0 where it is not subtracted.
        """
        if not centred.level > 0:
            return Variation(0.0)
        m, neighbours = self.positions, min(3.0**self.axes, self.positions) - 1
        neighbour, far = ((pair / centred.level) ** 2 for pair in (centred.neighbour, centred.positions))
        alike = min(
            (1 + neighbours * neighbour + (m - 1 - neighbours) * min(far + x.finite_width.correlation_variance, 1.0))
            / m,
            1.0,
        )
        # For N Gaussian units, a position's second moment would have the relative variance 2 / N between
        # observations. An excess over 2 / N is common to all blocks; a deficit, as in a sum with a
        # normalized stream, applies to every block.
        more = x.finite_width.level_variance - 2 / self.among
        common, own = alike * max(more, 0.0), alike * max(2 / self.units + min(more, 0.0), 0.0)
        whole = 1 - min(common, _MOST)
        for border in x.edge_profiles if m == 1 else ():  # near a border terms are missing
            if border is not None and (border > 0).all():
                whole /= float((1 / border).mean())
        return Variation(max(2 / own - means, 0.0) if own > 0 else math.inf, 1 - whole)


@dataclass(frozen=True, slots=True)
class Variation:
    """Variation of a variance between blocks.

    Args:
        freedom: degrees of freedom of a χ² with the same relative variance.
        common: relative variance, between observations, that all blocks of an observation share.
    """

    freedom: float
    common: float = 0.0


NO_VARIATION = Variation(math.inf)
"""All blocks have the same variance."""


def block_of(node: Node, extent: Extent) -> Block:
    """Return the block over which a normalization takes its statistics.

    Args:
        node: with ``groups`` and ``over_positions`` among its settings.
        extent: layout of its input.
    """
    units = max(extent.units, 1)
    groups = min(max(node.setting("groups", 1.0), 1.0), units)
    positions = float(max(extent.positions, 1)) if node.setting("over_positions") else 1.0
    return Block(units / groups, positions, units, len(spatial(node)) if len(node.shape) > 2 else 0)


@dataclass(frozen=True, slots=True)
class InverseVariance:
    """Moments of 1 / (s² + ε) for a variance s² over few elements.

    Args:
        mean: E 1 / (s² + ε).
        eased: E ε² / (s² + ε)³ divided by ``mean``: share of the gradient along the normalized signal that ε lets pass.
        scatter: relative variance of 1 / (s² + ε) between blocks.
    """

    mean: float
    eased: float
    scatter: float


def inverse_variance(variance: float, eps: float, freedom: float) -> InverseVariance:
    """Return moments of 1 / (s² + ε) for s² = v · χ²_k / k, by a sum over a grid of log χ².

    With few degrees of freedom the mean is far above 1/v: k / (k - 2) times it where ε is negligible, of order 1 / √(v
    ε) for k = 1.

    Args:
        variance: v = E s².
        eps: ε, at least 0.
        freedom: k; infinite where s² is constant.

    >>> round(inverse_variance(2.0, 1e-12, 10).mean, 4), inverse_variance(2.0, 0.0, float("inf")).mean
    (0.625, 0.5)
    """
    if not variance > 0 or freedom < _FEWEST or not math.isfinite(freedom):
        whole = variance + eps
        return InverseVariance(1 / whole, (eps / whole) ** 2, 0.0) if whole > 0 else InverseVariance(0.0, 0.0, 0.0)
    spread = math.sqrt(2 / freedom)
    log = np.linspace(-max(12 * spread, 80 / freedom), min(12 * spread, 6.0), _GRID)  # of χ²/k
    weight = np.exp(freedom / 2 * (log - np.expm1(log)))
    weight /= weight.sum()
    inverse = 1 / (variance * np.exp(log) + eps)
    mean = float(weight @ inverse)
    eased = float(weight @ (eps**2 * inverse**3)) / mean
    return InverseVariance(mean, eased, max(float(weight @ inverse**2) / mean**2 - 1, 0.0))
