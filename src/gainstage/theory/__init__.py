"""Signal propagation in theory: activations, gains, mean field, operating points. NumPy alone, SciPy where erf is."""

from gainstage.theory.activations import Activation, activation, activations, register
from gainstage.theory.bivariate import correlated_moments
from gainstage.theory.criticality import CriticalPoint, critical_line, critical_point
from gainstage.theory.gains import (
    Convention,
    Stability,
    batch_norm_growth,
    gain,
    gated_chi,
    gated_gain,
    layer_norm_growth,
    stability,
)
from gainstage.theory.mean_field import MeanField, Regime, correlation_map, meanfield, variance_map
from gainstage.theory.moments import GaussianMoments, finite_width_kappa, gaussian_moments
from gainstage.theory.operating import OperatingPoint, operating_point

__all__ = [
    "Activation", "Convention", "CriticalPoint", "GaussianMoments", "MeanField", "OperatingPoint", "Regime",
    "Stability", "activation", "activations", "batch_norm_growth", "correlated_moments", "correlation_map",
    "critical_line", "critical_point", "finite_width_kappa", "gain", "gated_chi", "gated_gain", "gaussian_moments",
    "layer_norm_growth", "meanfield", "operating_point", "register", "stability", "variance_map",
]  # fmt: skip
