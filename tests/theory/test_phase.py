"""Phase diagrams against one fixed point at a time, and Jacobians against real random matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import (
    REGIMES,
    activation,
    critical_point,
    gaussian_moments,
    jacobian_moments,
    meanfield,
    phase_diagram,
)

WEIGHTS, BIASES = np.array([0.4, 1.2, 1.9, 3.0]), np.array([0.0, 0.05, 0.8])
NAMES = (
    "tanh", "erf", "hardtanh", "gelu", "relu", "sigmoid", "softplus", "sin", "selu", "relu_squared", "tanhshrink",
    "softshrink",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_point_is_that_of_meanfield(name) -> None:
    act = activation(name)
    diagram = phase_diagram(act, WEIGHTS, BIASES)
    assert diagram.q_star.shape == diagram.regime.shape == (BIASES.size, WEIGHTS.size)
    for row, sigma_b in enumerate(BIASES):
        for column, sigma_w in enumerate(WEIGHTS):
            known, at = meanfield(act, sigma_w, sigma_b), (row, column)
            assert REGIMES[diagram.regime[at]] == known.regime
            if known.regime == "divergent":
                assert math.isinf(diagram.q_star[at])
                assert math.isnan(diagram.chi_1[at])
                assert math.isnan(diagram.xi_c[at])
                continue
            assert diagram.q_star[at] == pytest.approx(known.q_star, rel=1e-7, abs=1e-10)
            assert diagram.chi_1[at] == pytest.approx(known.chi_1, rel=1e-7)
            assert diagram.c_star[at] == pytest.approx(known.c_star, abs=2e-3)
            assert diagram.xi_c[at] == pytest.approx(known.xi_c, rel=0.02, abs=0.05)


def test_the_critical_line_parts_the_phases() -> None:
    for sigma_b in (0.1, 0.3, 1.0):
        edge = critical_point("tanh", sigma_b).sigma_w
        diagram = phase_diagram("tanh", [edge * 0.99, edge, edge * 1.01], [sigma_b])
        assert [REGIMES[code] for code in diagram.regime[0]] == ["ordered", "critical", "chaotic"]
        assert math.isinf(diagram.xi_c[0, 1])
        assert diagram.xi_c[0, 0] > 10


# ---- the Jacobian ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("name", "q", "depth"), [("tanh", 0.5, 4), ("relu", 1.0, 3), ("gelu", 1.0, 2), ("linear", 1.0, 5)]
)
def test_spectra_of_random_matrices(weights, name, q, depth) -> None:
    """J = Π D W with slopes at independent pre-activations: trace moments of real products of 400 × 400 matrices."""
    act, units = activation(name), 400
    rng = np.random.default_rng(0)
    means, variances = [], []
    for _ in range(6):
        jacobian = np.eye(units)
        for _ in range(depth):
            drawn = rng.standard_normal((units, units)) / math.sqrt(units)
            if weights == "orthogonal":
                drawn = np.linalg.qr(drawn)[0]
            slopes = act.derivative(math.sqrt(q) * rng.standard_normal(units))
            jacobian = 1.1 * slopes[:, None] * (drawn @ jacobian)
        squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
        means.append(squares.mean())
        variances.append(squares.var() / squares.mean() ** 2)
    found = jacobian_moments(name, depth, q=q, sigma_w=1.1, weights=weights)
    for sample, expected in ((means, found.mean), (variances, found.relative_variance)):
        error = np.std(sample, ddof=1) / math.sqrt(len(sample))
        assert abs(np.mean(sample) - expected) <= 5 * error + 0.02 * expected + 1e-9
    assert found.second_moment == pytest.approx(found.mean**2 * (1 + found.relative_variance))


def test_isometry() -> None:
    """relu is none with any weights; tanh with orthogonal weights comes near it at small levels."""
    assert jacobian_moments("relu", 1, weights="orthogonal").relative_variance == pytest.approx(1.0)
    small = [jacobian_moments("tanh", 50, q=q, weights="orthogonal").relative_variance for q in (1.0, 0.1, 0.01)]
    assert small == sorted(small, reverse=True)
    assert small[-1] < 0.05
    assert jacobian_moments("tanh", 50, q=0.3).mean == pytest.approx(1.0)
    chi = gaussian_moments("tanh", 0.3).derivative_second_moment
    assert jacobian_moments("tanh", 7, q=0.3, sigma_w=1.0).mean == pytest.approx(chi**7)
    assert math.isinf(jacobian_moments("relu", 10**6, sigma_w=10.0).mean)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: phase_diagram("tanh", [0.0, 1.0], [0.0]), InputError, "above 0"),
        (lambda: phase_diagram("tanh", [1.0], [-1.0]), InputError, "at least 0"),
        (lambda: phase_diagram("tanh", [math.nan], [0.0]), InputError, "finite"),
        (lambda: phase_diagram("tanh", [[1.0]], [0.0]), InputError, "row"),
        (lambda: phase_diagram("tanh", [], [0.0]), InputError, "row"),
        (lambda: phase_diagram("tanh", "one", [0.0]), InputError, "row"),
        (lambda: phase_diagram("tahn", [1.0], [0.0]), UnknownNameError, "Did you mean 'tanh'"),
        (lambda: phase_diagram(lambda x: np.exp(x * x), [1.0], [0.0]), InputError, "infinite moments"),
        (lambda: jacobian_moments("tanh", 0), InputError, "at least 1"),
        (lambda: jacobian_moments("tanh", 2.5), InputError, "whole number"),
        (lambda: jacobian_moments("tanh", 3, weights="uniform"), UnknownNameError, "Known: gaussian"),
        (lambda: jacobian_moments("tanh", 3, sigma_w=0.0), InputError, "sigma_w"),
        (lambda: jacobian_moments("tanh", 3, q=-1.0), InputError, "at least 0"),
        (lambda: jacobian_moments(np.round, 3), InputError, "no slope"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
