"""Every claim of every question is held against a network for which it comes out the other way."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import pytest

from gainstage.lessons import (
    QUESTIONS,
    activations,
    batchnorm,
    exploding,
    he,
    initialization,
    open_question,
    vanishing,
    xavier,
)
from gainstage.lessons.criterion import judge
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Measured, Setting
from gainstage.records import Claim, Verdict

QUICK = Setting(quick=True)
CLAIMS = {claim.id: claim for entry in QUESTIONS for claim in open_question(entry).claims}
HEALTHY = Net("relu", exploding.DEPTH, "he_normal")
SIGMOID, TANH = (Net(name, xavier.DEPTH, "glorot_normal") for name in ("sigmoid", "tanh"))


def _renamed(measured: Measured, case: str) -> Measured:
    return Measured(tuple(dataclasses.replace(f, case=case) for f in measured.figures))


@functools.cache
def chaotic() -> Measured:
    """Weights so large that tanh's gradients grow towards the input."""
    return vanishing.gradients_at_start(QUICK, {"sigmoid, default": ("tanh", "he_normal")})


@functools.cache
def exchanged() -> Measured:
    """The network that trains under the name of one that does not, and the other way round."""
    return xavier.suits(QUICK, {"tanh, Xavier": SIGMOID, "sigmoid, Xavier": TANH})


@functools.cache
def healthy_steps() -> Measured:
    return exploding.drastic_steps(QUICK, {"relu, He × 2": HEALTHY})


@functools.cache
def healthy_trainings() -> Measured:
    return exploding.clipping(QUICK, sick=HEALTHY, healthy=HEALTHY)


@functools.cache
def backwards() -> Measured:
    """The worse start in the place of the proper one."""
    proper, other = initialization.PAIRS["relu: He against He × 2"]
    return initialization.speed_and_stability(QUICK, {"relu: He against He × 2": (other, proper)})


def backwards_fitted() -> Measured:
    proper, other = initialization.GENERAL_PAIRS["Xavier against Xavier × 3"]
    return initialization.generalization(QUICK, {"Xavier against Xavier × 3": (other, proper)})


@functools.cache
def unnormalised() -> Measured:
    """Networks without batch norm, called those with it."""
    return batchnorm.levels(QUICK, batchnorm.PLAIN)


@functools.cache
def silent() -> Measured:
    """The classic network with nothing but zeros: it starts at equal probabilities, and learns no image."""
    return he.classic(QUICK, {"He on both layers": Net("relu", 1, "zeros", width=128)})


def swapped_depths() -> Measured:
    return he.thirty_layers(QUICK, {"He": Net("sigmoid", 8, "glorot_normal"), "Xavier": Net("relu", 2, "he_normal")})


Counterexample = tuple[Verdict, Callable[[], Measured], str]
"""What the claim has to come out as, by which measurement, in which of its cases (empty: in all that were measured)."""

COUNTEREXAMPLES: dict[str, Counterexample] = {
    "1.1": ("does not hold", chaotic, ""),
    "1.2": ("does not hold", chaotic, ""),
    "1.3": (
        "does not hold",
        lambda: vanishing.first_moves(QUICK, {"sigmoid, momentum": ("relu", "he_normal", "momentum", 0.03)}),
        "",
    ),
    "1.4": ("does not hold", lambda: vanishing.learning(QUICK, {"sigmoid, default": ("tanh", "auto")}), ""),
    "2.1": ("does not hold", lambda: xavier.variance(QUICK, "he_normal"), ""),
    "2.2": ("does not hold", lambda: xavier.spreads(QUICK, {"linear": ("linear", 1.0)}, "pytorch_default"), ""),
    "2.3": ("does not hold", lambda: xavier.spreads(QUICK, {"linear": ("linear", 1.0)}, "he_normal"), ""),
    "2.4": ("does not hold", lambda: xavier.mitigation(QUICK, "pytorch_default", "glorot_normal"), ""),
    "2.5": ("does not hold", lambda: xavier.cure(QUICK, {xavier.BOTH: SIGMOID, "gain 4": TANH}), ""),
    "2.6": ("does not hold", exchanged, "tanh, Xavier"),
    "2.7": ("does not hold", exchanged, "sigmoid, Xavier"),
    "3.1": ("does not hold", lambda: _renamed(activations.derivatives(QUICK, ("relu",)), "sigmoid"), ""),
    "3.2": (
        "does not hold",
        lambda: activations.saturation(QUICK, {"tanh, Xavier × 5": Net("tanh", 5, "glorot_normal", gain=0.5)}),
        "",
    ),
    "3.3": (
        "does not hold",
        lambda: activations.in_training(QUICK, {"tanh, Xavier": Net("tanh", 5, "glorot_normal", gain=0.1)}, rate=1e-6),
        "",
    ),
    "3.4": ("does not hold", lambda: _renamed(activations.layer_factors(QUICK, ("relu",)), "sigmoid"), ""),
    "3.5": ("does not hold", lambda: activations.layer_factors(QUICK, ("tanhshrink",)), ""),
    "3.6": ("does not hold", lambda: activations.softmax(QUICK, {"squared error": "cross_entropy"}), ""),
    "3.7": ("does not hold", lambda: activations.softmax(QUICK, {"cross-entropy": "mse"}), ""),
    "4.1": ("does not hold", lambda: exploding.growth(QUICK, {"relu, He × 2": HEALTHY}), ""),
    "4.2": ("does not hold", healthy_steps, ""),
    "4.3": ("does not hold", healthy_steps, ""),
    "4.4": ("does not hold", healthy_trainings, ""),
    "4.5": (
        "does not hold",
        lambda: exploding.clipping(QUICK, sick=Net("relu", exploding.DEPTH, "he_normal", gain=1e4)),
        "",
    ),
    "4.6": ("holds", healthy_trainings, ""),
    "5.1": ("does not hold", backwards, ""),
    "5.2": ("does not hold", backwards, ""),
    "5.3": ("does not hold", backwards_fitted, ""),
    "6.1": ("does not hold", lambda: batchnorm.units(QUICK, steps=50), ""),
    "6.2": ("does not hold", unnormalised, ""),
    "6.3": ("does not hold", unnormalised, ""),
    "6.4": ("does not hold", lambda: batchnorm.starts(QUICK, batchnorm.PLAIN), ""),
    "6.5": ("does not hold", lambda: batchnorm.rates(QUICK, batchnorm.PLAIN), ""),
    "6.6": ("does not hold", lambda: batchnorm.steadiness(QUICK, batchnorm.PLAIN), ""),
    "6.7": ("holds", lambda: batchnorm.one_example(QUICK, dataclasses.replace(batchnorm.PLAIN, norm="layer")), ""),
    "6.8": ("does not hold", lambda: batchnorm.growth(QUICK, "none", ("relu",)), ""),
    "6.9": ("holds", lambda: batchnorm.shifts(QUICK, shift=20.0, scale=50.0), ""),
    "7.1": ("does not hold", lambda: he.weights(QUICK, he=False), ""),
    "7.2": ("does not hold", silent, ""),
    "7.3": ("holds", silent, ""),
    "7.4": ("does not hold", swapped_depths, ""),
    "7.5": ("holds", lambda: he.defaults(QUICK, he=True), ""),
}


def test_every_claim_has_a_counterexample() -> None:
    assert list(COUNTEREXAMPLES) == sorted(CLAIMS)


def measured_part(claim: Claim, measured: Measured, case: str) -> Claim:
    """The claim about those of its figures that were measured; no case of it may lack a part."""
    known = {(figure.name, figure.case) for figure in measured.figures}
    kept = tuple(b for b in claim.criterion if (b.figure, b.case) in known and case in ("", b.case))
    assert kept
    assert all((b.figure, b.case) in known for b in claim.criterion if b.case in {k.case for k in kept})
    return dataclasses.replace(claim, criterion=kept)


@pytest.mark.long
@pytest.mark.parametrize("claim_id", COUNTEREXAMPLES)
def test_a_network_for_which_it_is_otherwise_is_told_so(claim_id: str) -> None:
    wanted, experiment, case = COUNTEREXAMPLES[claim_id]
    measured = experiment()
    claim = measured_part(CLAIMS[claim_id], measured, case)
    assert judge(claim, measured.figures).verdict == wanted
