"""WeightMoments holds the moments of one parameter that a prediction requires."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WeightMoments"]


@dataclass(frozen=True, slots=True)
class WeightMoments:
    """Moments of one parameter's values, measured or planned.

    Args:
        mean: mean of all values.
        second_moment: second moment of all values.
        row_sum_square: for a weight, the mean over output units of (Σ incoming weights)². None: independent weights.
        row_sum_product: for a bias, the mean over units of bias · Σ incoming weights. None: bias and weights are
            independent.
        row_sum_mean: for a weight, the mean over output units of Σ incoming weights. None: the value of independent
            weights.
        table_mean_square: for an embedding table, the mean over columns of the square of the mean row, which equals the
            have in common. None: independent rows.
        isometric: whether the scheme keeps norms (orthogonal weights), so that levels do not vary between draws.
        kurtosis: E w⁴ / (E w²)², on which the variance of Σ w² between units depends: 3 for normal weights, 1.8 for
            uniform ones.
        block_means: for a bias of stacked gates, the mean of each block. None: all blocks have the same mean.
        block_variances: for a bias of stacked gates, the variance of each block. None: all blocks have the same
            variance.
        paired_outputs: of a weight: whether its units stand in pairs of opposite rows.
        paired_inputs: of a weight: whether every unit weights pairs of what it reads by opposite numbers.
        one_tap: of a convolution: whether the middle tap alone is not zero.
            covariance of two tokens. None: independent rows.
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
        """Return the variance over all values."""
        return max(self.second_moment - self.mean**2, 0.0)
