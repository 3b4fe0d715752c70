"""Question 3: which activations are prone to vanishing gradients."""

from __future__ import annotations

import math

import numpy as np

from gainstage.backends.torch.build import ACTIVATIONS, mlp
from gainstage.backends.torch.probes import SoftmaxUse, softmax_gradient
from gainstage.backends.torch.train import train
from gainstage.data import gaussian, load
from gainstage.errors import InputError
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depth_of, measured
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.planning import Override
from gainstage.records import Bound, Claim, Figure, Line, Picture
from gainstage.statistics import exact, factor, mean
from gainstage.theory import activation, gaussian_moments, level_gain
from gainstage.workflows import initialize

__all__ = ["QUESTION", "SATURATION", "TABLE", "derivatives", "layer_factors", "saturation", "softmax"]

FAR = 5.0
SLOPE = f"slope at ±{FAR:g}, the larger one, over the steepest slope"
SATURATED = "share of saturated activations"
FACTOR = "factor of one layer on the gradient, at the gain that keeps the level"
AGREEMENT = "the same, measured over predicted"
SOFTMAX = "length of the gradient when sure and wrong, over that at equal probabilities"
RESIDUE = "largest difference between the gradient and p − y"

CURVES = ("sigmoid", "tanh", "relu", "gelu")


def derivatives(setting: Setting, names: tuple[str, ...] = CURVES) -> Measured:  # noqa: ARG001
    """Slopes far from zero, from the functions themselves."""
    figures, lines = [], []
    grid = np.linspace(-6, 6, 121)
    for name in names:
        act = activation(name)
        slopes = np.abs(act.derivative(np.linspace(-10, 10, 4001)))
        ends = np.abs(act.derivative(np.array([-FAR, FAR])))
        figures.append(exact(SLOPE, float(ends.max() / slopes.max()), name))
        lines.append(Line(name, tuple(grid.tolist()), tuple(act.derivative(grid).tolist())))
    picture = Picture("Slope of the activation", "pre-activation", "slope", tuple(lines))
    return Measured(tuple(figures), {"3.1": picture})


SATURATION = {
    "tanh, Xavier": (Net("tanh", 5, "glorot_normal"), 0),
    "tanh, Xavier × 5": (Net("tanh", 5, "glorot_normal", gain=5.0), 0),
    "tanh, Xavier, after training": (Net("tanh", 5, "glorot_normal"), 300),
    "sigmoid, Xavier": (Net("sigmoid", 5, "glorot_normal"), 0),
    "sigmoid, Xavier × 20": (Net("sigmoid", 5, "glorot_normal", gain=20.0), 0),
    "sigmoid, centred, after training": (Net("sigmoid", 5, "auto"), 300),
}
"""By case: a start, and the steps trained before looking."""


def saturation(setting: Setting, cases: dict[str, tuple[Net, int]] = SATURATION) -> Measured:
    """The share of activations that sit within 1 % of their range from a bound."""
    dataset = load("digits", seed=setting.seed)
    figures: list[Figure] = []
    lines: list[Line] = []
    for case, (net, steps) in cases.items():
        shares = []
        for seed in setting.seeds(4, 3):
            model = net.start(dataset, seed)
            if steps:
                spent = setting.of(steps, steps // 3)
                train(model, dataset, steps=spent, learning_rate=0.03, optimizer="momentum", seed=seed, evaluations=1)
            saturated = depth_of(measured(model, dataset)).saturated
            shares.append(float(np.mean(saturated)))
        figures.append(mean(SATURATED, shares, case))
        if len(lines) < 3:
            lines.append(Line(case, tuple(float(i) for i in range(1, net.depth + 1)), saturated))
    picture = Picture("Saturated activations", "hidden layer", "share", tuple(lines))
    return Measured(tuple(figures), {"3.2": picture})


def _in_table(name: str) -> bool:
    """Whether theory has a gain for it at level 1, and it is a function (rrelu draws its slope at random)."""
    if name in ("rrelu", "linear", "swish", "identity"):
        return name == "identity"
    try:
        level_gain(name)
    except (InputError, LookupError):
        return False
    return True


TABLE = tuple(name for name in ACTIVATIONS if _in_table(name))
"""Every activation that has both a layer and a theory; ``linear`` and ``swish`` are second names."""
PRONE = ("sigmoid", "tanh")
LAYERS, WIDTH = 5, 256


def layer_factors(setting: Setting, names: tuple[str, ...] = TABLE) -> Measured:
    """The factor of one layer on the gradient, in a wide network whose every layer has the activation's own gain.

    Inputs are standard normal, so that every pre-activation has level 1 and mean-field theory gives the factor
    √(gain² E f'²).
    """
    noise = gaussian(features=WIDTH, examples=512, separation=0.0, seed=setting.seed)
    figures = []
    for name in names:
        own = level_gain(name)
        predicted = own * math.sqrt(gaussian_moments(name).derivative_second_moment)
        found = []
        for seed in setting.seeds(6, 3):
            model = mlp((WIDTH, *[WIDTH] * LAYERS, 10), activation=name, seed=seed)
            louder: dict[str, str | Override] = {
                "hidden.*.linear.weight": Override("normal", own),
                "hidden.0.linear.weight": "normal",
            }
            initialize(model, "normal", seed=seed, overrides=louder)
            found.append(depth_of(measured(model, noise)).gradient_factor)
        figures += [factor(FACTOR, found, name), factor(AGREEMENT, [f / predicted for f in found], name)]
    return Measured(tuple(figures))


USES: dict[str, SoftmaxUse] = {"squared error": "mse", "hidden layer": "hidden", "cross-entropy": "cross_entropy"}
SURE = 20.0


def softmax(setting: Setting, uses: dict[str, SoftmaxUse] = USES) -> Measured:
    """The gradient by ten logits of a softmax that grows sure of a wrong class."""
    figures, lines = [], []
    logits = np.linspace(0, SURE, 41)
    for case, use in uses.items():
        lengths = [float(np.linalg.norm(softmax_gradient((0.0, z, *[0.0] * 8), 0, use))) for z in logits]
        figures.append(exact(SOFTMAX, lengths[-1] / lengths[0], case))
        lines.append(Line(case, tuple(logits.tolist()), tuple(lengths)))
    rng = np.random.default_rng(setting.seed)
    worst = 0.0
    for _ in range(20):
        z = rng.normal(0, 5, 10)
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        gradient = softmax_gradient(tuple(z.tolist()), 3, "cross_entropy")
        worst = max(worst, float(np.abs(np.array(gradient) - (p - np.eye(10)[3])).max()))
    figures.append(exact(RESIDUE, worst))
    title = "Gradient by the logits while the softmax grows sure of a wrong class"
    picture = Picture(title, "logit of the wrong class", "length of the gradient", tuple(lines), log_y=True)
    return Measured(tuple(figures), {"3.5": picture})


QUESTION = Question(
    number=3,
    slug="activations",
    question="Which activation functions are prone to vanishing gradients, and why?",
    text=(
        "A bounded function that flattens on both sides, sigmoid or tanh, passes almost no gradient once its input is "
        "large: the unit is saturated. Sigmoid has a second, larger problem that does not need saturation: even at its "
        "steepest point the slope is 1/4, and its mean of 1/2 uses up the level of the signal without telling examples "
        "apart. Tanh has slope 1 at zero, so it loses gradient only by saturating.",
        "How much a layer loses depends on the activation and on the weights together. The table gives every "
        "activation the gain that keeps the level of the signal, and asks what one layer then does to the gradient: "
        "relu and its relatives keep it, tanh even makes it grow a little, and functions of the sigmoid kind lose most "
        "of it, because nearly all of the level that it keeps is a constant. Mean-field theory "
        "predicts each figure.",
        "Softmax flattens where its probabilities come near 0 or 1. Under squared error, or as a hidden layer, its "
        "gradient vanishes there, even when the answer is wrong. Cross-entropy takes the logarithm, which cancels the "
        "flat part exactly: the gradient is p − y, largest when the network is sure and wrong.",
    ),
    studies=(
        Study("slopes", derivatives, (
            Claim(
                "3.1", "Sigmoid and tanh saturate: their slope goes to zero for large inputs.",
                for_each(PRONE, SLOPE, below=0.05), "Hochreiter 1991; Glorot and Bengio 2010", shows=(SLOPE,),
            ),
        )),
        Study("saturation in networks", saturation, (
            Claim(
                "3.2", "In real networks a tenth or more of such units are saturated.",
                for_each(SATURATION, SATURATED, above=0.1), "Glorot and Bengio 2010",
            ),
        )),
        Study("factor of one layer", layer_factors, (
            Claim(
                "3.3", "Sigmoid and tanh lose gradient in every layer, even when the level of the signal is kept.",
                for_each(PRONE, FACTOR, below=0.95), "common teaching", shows=(FACTOR,),
            ),
            Claim(
                "3.4", "Mean-field theory predicts the factor of every activation within ten per cent.",
                for_each(TABLE, AGREEMENT, above=0.9, below=1.1), "Poole et al. 2016; Schoenholz et al. 2017",
            ),
        )),
        Study("softmax", softmax, (
            Claim(
                "3.5", "Softmax's gradient vanishes when its probabilities are near 0 or 1.",
                for_each(USES, SOFTMAX, below=0.01), "common teaching",
            ),
            Claim(
                "3.6", "With cross-entropy the gradient by the logits is p − y.",
                (Bound(RESIDUE, below=1e-12),), "Bishop 2006, section 4.3",
            ),
        )),
    ),
    try_it=(
        "gainstage gain sigmoid",
        "gainstage gain tanh --level 0.1",
        "gainstage check mlp:64x64x64x64x64x10,act=hardsigmoid --data digits",
    ),
    references=(
        "Hochreiter 1991, Untersuchungen zu dynamischen neuronalen Netzen (diploma thesis)",
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos",
        "Schoenholz et al. 2017, Deep information propagation",
        "Bishop 2006, Pattern Recognition and Machine Learning",
    ),
    setting=f"the 8×8 digits (5 × 64 units) and normal inputs ({LAYERS} × {WIDTH} units)",
)  # fmt: skip
