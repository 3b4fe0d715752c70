"""Theory of signal propagation: activations, gains, mean field, operating points, attention, recurrence."""

from gainstage.theory.activations import Activation, activation, activations, register
from gainstage.theory.attention.moments import (
    AttentionGradients,
    AttentionMoments,
    attention_concentration,
    attention_moments,
)
from gainstage.theory.attention.softmax import LogSoftmaxMoments, SoftmaxMoments, log_softmax_moments, softmax_moments
from gainstage.theory.gaussian.bivariate import correlated_moments
from gainstage.theory.gaussian.moments import GaussianMoments, gaussian_moments
from gainstage.theory.gaussian.shifted import ShiftedMoments, joint_moments, shifted_moments
from gainstage.theory.images.pooling import (
    shared_maximum_correlation,
)
from gainstage.theory.images.spatial import (
    Interpolation,
    resampling_matrix,
)
from gainstage.theory.plain_nets.criticality import CriticalPoint, critical_line, critical_point
from gainstage.theory.plain_nets.gains import (
    Convention,
    Stability,
    batch_norm_growth,
    gain,
    gated_chi,
    layer_norm_growth,
    level_gain,
    stability,
)
from gainstage.theory.plain_nets.gates import GATED_UNITS, gated_unit
from gainstage.theory.plain_nets.jacobian import Ensemble, JacobianMoments, jacobian_moments
from gainstage.theory.plain_nets.mean_field import MeanField, Regime, correlation_map, meanfield, variance_map
from gainstage.theory.plain_nets.mirrors import even_share, mirror_fault, odd_part, plain_loss
from gainstage.theory.plain_nets.operating import OperatingPoint, gate_point, operating_point
from gainstage.theory.plain_nets.phase import REGIMES, PhaseDiagram, phase_diagram
from gainstage.theory.recurrence.moments import CellKind, RecurrentMoments, recurrent_moments

__all__ = [
    "Activation", "AttentionGradients", "AttentionMoments", "CellKind", "Convention", "CriticalPoint", "Ensemble",
    "GATED_UNITS", "GaussianMoments", "Interpolation", "JacobianMoments", "LogSoftmaxMoments",
    "MeanField", "OperatingPoint", "PhaseDiagram", "REGIMES", "RecurrentMoments",
    "Regime", "ShiftedMoments", "SoftmaxMoments", "Stability", "activation", "activations", "attention_concentration",
    "attention_moments", "batch_norm_growth", "correlated_moments", "correlation_map",
    "critical_line", "critical_point", "gain", "gate_point", "gated_chi",
    "gated_unit", "gaussian_moments", "jacobian_moments", "joint_moments", "layer_norm_growth", "level_gain",
    "even_share", "log_softmax_moments", "meanfield", "mirror_fault", "odd_part", "operating_point", "plain_loss",
    "phase_diagram", "recurrent_moments", "register", "resampling_matrix",
    "shared_maximum_correlation", "shifted_moments", "softmax_moments", "stability", "variance_map",
]  # fmt: skip
