"""Layer, group and instance normalization: one formula over blocks of units and positions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

import gainstage as gs
from gainstage.propagation.blocks import inverse_variance

DRAWS = 16
UNITS = 64

VECTORS = {
    **{f"{groups} groups": (lambda groups=groups: nn.GroupNorm(groups, UNITS)) for groups in (1, 8, 16, 32)},
    "layer norm": lambda: nn.LayerNorm(UNITS),
    "root mean square norm": lambda: nn.RMSNorm(UNITS),
}
IMAGES = {
    "instance norm": lambda: nn.InstanceNorm2d(16),
    "as many groups as channels": lambda: nn.GroupNorm(16, 16),
    "4 groups": lambda: nn.GroupNorm(4, 16),
    "layer norm of a whole example": lambda: nn.LayerNorm((16, 10, 10)),
}


def vectors(norm):
    return nn.Sequential(nn.Linear(128, UNITS), norm(), nn.Linear(UNITS, 32)), torch.randn(256, 128)


def images(norm):
    layers = (nn.Conv2d(3, 16, 3, padding=1), norm(), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1), nn.Flatten())
    return nn.Sequential(*layers, nn.Linear(800, 10)), torch.randn(32, 3, 10, 10)


def ratios(build, norm) -> np.ndarray:
    """Measured over predicted gradient in front of the normalization, draw by draw."""
    found = []
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model, x = build(norm)
        predicted, measured = gs.predict(model, x), gs.check(model, x, seed=seed).profile
        assert not any(node.doubt for node in predicted.nodes)
        (one,), (other,) = ([n for n in p.nodes if n.node == 1] for p in (measured, predicted))
        found.append(one.backward.second_moment / other.backward.second_moment)
    return np.array(found)


@pytest.mark.parametrize(
    ("build", "norm"),
    [*((vectors, norm) for norm in VECTORS.values()), *((images, norm) for norm in IMAGES.values())],
    ids=[*VECTORS, *IMAGES],
)
def test_the_gradient_in_front_of_a_normalization_is_predicted_within_its_sampling_error(build, norm):
    found = ratios(build, norm)
    error = found.std(ddof=1) / math.sqrt(DRAWS)
    assert abs(found.mean() - 1) < 4 * error


def test_groups_of_all_units_or_of_one_are_layer_and_instance_norm():
    def levels(build, norm):
        torch.manual_seed(0)
        nodes = gs.predict(*build(norm)).nodes
        return [level for n in nodes for level in (n.forward.second_moment, n.backward.second_moment)]

    assert levels(vectors, VECTORS["1 groups"]) == pytest.approx(levels(vectors, VECTORS["layer norm"]))
    assert levels(images, IMAGES["as many groups as channels"]) == pytest.approx(
        levels(images, IMAGES["instance norm"])
    )


@pytest.mark.parametrize("freedom", [1.0, 2.0, 3.0, 7.0, 63.0, 1000.0])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_the_inverse_of_a_variance_of_few_elements(freedom, eps):
    found = inverse_variance(1.3, eps, freedom)

    def expected(of) -> float:
        """Over χ²/k, on its logarithm, where the density has no pole."""

        def integrand(log):
            share = math.exp(log)
            return stats.chi2.pdf(freedom * share, freedom) * freedom * share * of(1 / (1.3 * share + eps))

        edges = np.linspace(-60, 4, 65)
        return math.fsum(integrate.quad(integrand, low, high)[0] for low, high in pairwise(edges))

    assert found.mean == pytest.approx(expected(lambda inverse: inverse), rel=1e-4)
    assert found.eased * found.mean == pytest.approx(expected(lambda inverse: eps**2 * inverse**3), rel=1e-3)
    assert found.mean >= 1 / (1.3 + eps)  # Jensen


def test_a_variance_that_is_certain_or_nought():
    assert inverse_variance(2.0, 0.0, math.inf).mean == 0.5
    assert inverse_variance(0.0, 1e-5, 3.0).mean == pytest.approx(1e5)
    assert inverse_variance(0.0, 0.0, 3.0).mean == 0.0
