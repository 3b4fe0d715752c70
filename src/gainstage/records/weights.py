"""WeightMoments: what prediction needs to know of one parameter's values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WeightMoments"]


@dataclass(frozen=True, slots=True)
class WeightMoments:
    """One parameter, measured or planned.

    Args:
        mean: of all its values.
        second_moment: of all its values.
        row_sum_square: of a weight: mean over output units of (Σ incoming weights)². None: independent weights.
        row_sum_product: of a bias: mean over units of bias · Σ incoming weights. None: independent of them.
        row_sum_mean: of a weight: mean over output units of Σ incoming weights. None: that of independent weights.
        table_mean_square: of a table: mean over its columns of the square of the mean row, which is what any two tokens
            have in common. None: independent rows.
        isometric: whether the weight is drawn so that it keeps norms, which leaves no noise between draws.
        kurtosis: E w⁴ / (E w²)²: how much Σ w² scatters between units; 3 for normal weights, 1.8 for uniform ones.
        block_means: of a bias of stacked gates: the mean of each block. None: all have the same.
        block_variances: the same of the variances.
        paired_outputs: of a weight: whether its units stand in pairs of opposite rows.
        paired_inputs: of a weight: whether every unit weights pairs of what it reads by opposite numbers.
        one_tap: of a convolution: whether the middle tap alone is not zero.
    """

    mean: float
    second_moment: float
    row_sum_square: float | None = None
    row_sum_product: float | None = None
    row_sum_mean: float | None = None
    table_mean_square: float | None = None
    isometric: bool = False
    kurtosis: float = 3.0
    block_means: tuple[float, ...] | None = None
    block_variances: tuple[float, ...] | None = None
    paired_outputs: bool = False
    paired_inputs: bool = False
    one_tap: bool = False

    @property
    def variance(self) -> float:
        """Over all values."""
        return max(self.second_moment - self.mean**2, 0.0)
