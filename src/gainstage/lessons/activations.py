"""Question 3: which activations are prone to vanishing gradients."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.protocol import SoftmaxUse
from gainstage.data import gaussian, load
from gainstage.errors import InputError
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import TORCH, Net, depth_of, gradient_line, measured, over_layers
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import GAINS, start_of
from gainstage.planning import Override
from gainstage.records import Bound, Claim, Line, Picture, Slider
from gainstage.statistics import exact, factor, mean
from gainstage.theory import activation, gaussian_moments, level_gain
from gainstage.workflows import initialize

__all__ = [
    "QUESTION", "SATURATION", "TABLE", "TRAINED", "derivatives", "in_training", "layer_factors", "saturation", "slider",
    "softmax",
]  # fmt: skip

FAR = 5.0
SLOPE = f"slope at ±{FAR:g}, the larger one, over the steepest slope"
CURVES = ("sigmoid", "tanh", "relu", "gelu")


def derivatives(setting: Setting, names: tuple[str, ...] = CURVES) -> Measured:  # noqa: ARG001
    """Evaluate the derivatives of activations far from zero."""
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


SATURATED = "share of saturated activations"
SATURATION = {
    "tanh, Xavier": Net("tanh", 5, "glorot_normal"),
    "tanh, Xavier × 5": Net("tanh", 5, "glorot_normal", gain=5.0),
    "sigmoid, Xavier": Net("sigmoid", 5, "glorot_normal"),
    "sigmoid, Xavier × 20": Net("sigmoid", 5, "glorot_normal", gain=20.0),
}


def saturation(setting: Setting, nets: dict[str, Net] = SATURATION) -> Measured:
    """Measure the share of activations within 1 % of their range from a bound, at the start."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, net in nets.items():
        found = [depth_of(measured(net.start(dataset, s), dataset)).saturated for s in setting.seeds(6, 3)]
        figures.append(mean(SATURATED, [float(np.mean(shares)) for shares in found], case))
        lines.append(over_layers(case, found[0]))
    picture = Picture("Saturated activations before training", "hidden layer", "share", tuple(lines))
    return Measured(tuple(figures), {"3.2": picture})


GROWN = "share of saturated activations, grown in training"
TRAINED = {
    "tanh, Xavier": Net("tanh", 5, "glorot_normal"),
    "sigmoid, centred": Net("sigmoid", 5, "auto"),
}


def in_training(setting: Setting, nets: dict[str, Net] = TRAINED, rate: float = 0.03) -> Measured:
    """Measure the share of saturated activations during training."""
    dataset = load("digits", seed=setting.seed)
    looks = (30, 100, 200) if setting.quick else (30, 100, 200, 300)
    figures, lines = [], []
    for case, net in nets.items():
        rows = []
        for seed in setting.seeds(5, 3):
            model = net.start(dataset, seed)
            shares = [float(np.mean(depth_of(measured(model, dataset)).saturated))]

            def look(step: int, _loss: float, model: object = model, shares: list[float] = shares) -> None:
                if step in looks:
                    shares.append(float(np.mean(depth_of(measured(model, dataset)).saturated)))

            TORCH.train(
                model, dataset, steps=looks[-1], learning_rate=rate, optimizer="momentum", seed=seed, evaluations=1,
                on_step=look,
            )  # fmt: skip
            rows.append(shares)
        figures += [
            mean(GROWN, [row[-1] - row[0] for row in rows], case),
            mean("share of saturated activations after training", [row[-1] for row in rows], case),
        ]
        lines.append(Line(case, (0.0, *map(float, looks)), tuple(np.mean(rows, axis=0).tolist())))
    picture = Picture("Saturated activations while the network learns", "step", "share", tuple(lines))
    return Measured(tuple(figures), {"3.3": picture})


def _in_table(name: str) -> bool:
    """Report whether an activation has a gain at level 1 and is deterministic (rrelu draws its slope at random)."""
    if name in ("rrelu", "linear", "swish"):  # "linear" and "swish" are aliases of other entries
        return False
    try:
        level_gain(name)
    except (InputError, LookupError):
        return False
    return True


TABLE = tuple(name for name in TORCH.ACTIVATIONS if _in_table(name))
"""All activations that exist as a layer of the framework and in the table of activations."""
PRONE = ("sigmoid", "tanh")
LAYERS, WIDTH = 5, 256
FACTOR = "factor of one layer on the gradient, at the gain that keeps the level"
AGREEMENT = "the same, measured over predicted"


def layer_factors(setting: Setting, names: tuple[str, ...] = TABLE) -> Measured:
    """Measure the factor of one layer on the gradient, in a wide network with the gain of each activation.

    Inputs are standard normal, so that every pre-activation has second moment 1, and mean-field theory predicts the
    factor √(gain² E f'²).
    """
    noise = gaussian(features=WIDTH, examples=512, separation=0.0, seed=setting.seed)
    figures, lines, pairs = [], [], []
    for name in names:
        own = level_gain(name)
        predicted = own * math.sqrt(gaussian_moments(name).derivative_second_moment)
        found = []
        for seed in setting.seeds(6, 3):
            model = TORCH.mlp((WIDTH, *[WIDTH] * LAYERS, 10), activation=name, seed=seed)
            louder: dict[str, str | Override] = {
                "hidden.*.linear.weight": Override("normal", own),
                "hidden.0.linear.weight": "normal",
            }
            initialize(model, "normal", seed=seed, overrides=louder)
            found.append(depth_of(measured(model, noise)))
        factors = [depth.gradient_factor for depth in found]
        figures += [factor(FACTOR, factors, name), factor(AGREEMENT, [f / predicted for f in factors], name)]
        pairs.append((predicted, figures[-2].value))
        if name in CURVES:
            lines.append(gradient_line(name, found[0]))
    by_theory, by_measurement = zip(*sorted(pairs), strict=True)
    pictures = {
        "3.4": Picture("Gradient, as a share of that at the last hidden layer", "hidden layer", "gradient (rms)",
                       tuple(lines), log_y=True),
        "3.5": Picture("Factor of one layer on the gradient, activation by activation", "predicted", "measured",
                       (Line("measured", by_theory, by_measurement), Line("as predicted", by_theory, by_theory))),
    }  # fmt: skip
    return Measured(tuple(figures), {key: picture for key, picture in pictures.items() if picture.lines})


SOFTMAX = "length of the gradient when sure and wrong, over that at equal probabilities"
RESIDUE = "largest difference between the gradient and p − y"
USES: dict[str, SoftmaxUse] = {"squared error": "mse", "hidden layer": "hidden", "cross-entropy": "cross_entropy"}
SURE = 20.0


def softmax(setting: Setting, uses: dict[str, SoftmaxUse] = USES) -> Measured:
    """Measure the gradient with respect to ten logits of a softmax that becomes confident in a wrong class."""
    figures, lines = [], []
    logits = np.linspace(0, SURE, 41)
    for case, use in uses.items():
        lengths = [float(np.linalg.norm(TORCH.softmax_gradient(_sure_of(z), 0, use))) for z in logits]
        figures.append(exact(SOFTMAX, lengths[-1] / lengths[0], case))
        lines.append(Line(case, tuple(logits.tolist()), tuple(lengths)))
    rng = np.random.default_rng(setting.seed)
    worst = 0.0
    for _ in range(20):
        z = rng.normal(0, 5, 10)
        gradient = TORCH.softmax_gradient(tuple(z.tolist()), 3, _residue_of(uses))
        worst = max(worst, float(np.abs(np.array(gradient) - (_probabilities(z) - np.eye(10)[3])).max()))
    figures.append(exact(RESIDUE, worst))
    x = tuple(logits.tolist())
    gradients = [TORCH.softmax_gradient(_sure_of(z), 0, _residue_of(uses))[1] for z in logits]
    residues = [float(_probabilities(np.array(_sure_of(z)))[1]) for z in logits]
    title = "Gradient by the logits while the softmax grows sure of a wrong class"
    pictures = {
        "3.6": Picture(title, "logit of the wrong class", "length of the gradient", tuple(lines), log_y=True),
        "3.7": Picture("Gradient by the wrong class's logit", "logit of the wrong class", "gradient",
                       (Line("by autograd", x, tuple(gradients)), Line("p − y", x, tuple(residues)))),
    }  # fmt: skip
    return Measured(tuple(figures), pictures)


def _sure_of(z: float) -> tuple[float, ...]:
    """Return ten logits whose second one is larger than the others by ``z``."""
    return (0.0, float(z), *[0.0] * 8)


def _probabilities(z: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(z - z.max())
    probabilities: NDArray[np.float64] = powers / powers.sum()
    return probabilities


def _residue_of(uses: dict[str, SoftmaxUse]) -> SoftmaxUse:
    return uses.get("cross-entropy", next(iter(uses.values())))


BINS = 21


def slider(setting: Setting) -> Slider:
    """Show the distribution of tanh and sigmoid outputs, for pre-activations of several standard deviations."""
    z = np.random.default_rng(setting.seed).normal(size=20_000)
    edges = np.linspace(0, 1, BINS + 1)
    centres = tuple(((edges[1:] + edges[:-1]) / 2).tolist())
    spreads = tuple(round(2 * gain, 2) for gain in GAINS)
    pictures = []
    for spread in spreads:
        lines = []
        for name in PRONE:
            low, high = (0.0, 1.0) if name == "sigmoid" else (-1.0, 1.0)
            outputs = (activation(name).function(spread * z) - low) / (high - low)
            lines.append(Line(name, centres, tuple((np.histogram(outputs, edges)[0] / len(z)).tolist())))
        title = "Where the outputs lie between the lower bound (0) and the upper one (1)"
        pictures.append(Picture(title, "place between the bounds", "share of the units", tuple(lines)))
    hint = "Below 1 both stay in the middle, where they are steep. From 2 on tanh crowds at its bounds: slope 0."
    return Slider("spread of the pre-activations", spreads, tuple(pictures), start_of(spreads, 1.0), hint)


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
        Study("saturation in training", in_training, (
            Claim(
                "3.3", "Training saturates more of them.",
                for_each(TRAINED, GROWN, above=0.0), "Glorot and Bengio 2010",
                shows=("share of saturated activations after training",),
            ),
        )),
        Study("factor of one layer", layer_factors, (
            Claim(
                "3.4", "Sigmoid and tanh lose gradient in every layer, even when the level of the signal is kept.",
                for_each(PRONE, FACTOR, below=0.95), "common teaching", shows=(FACTOR,),
            ),
            Claim(
                "3.5", "Mean-field theory predicts the factor of every activation within ten per cent.",
                for_each(TABLE, AGREEMENT, above=0.9, below=1.1), "Poole et al. 2016; Schoenholz et al. 2017",
            ),
        )),
        Study("softmax", softmax, (
            Claim(
                "3.6", "Softmax's gradient vanishes when its probabilities are near 0 or 1.",
                for_each(USES, SOFTMAX, below=0.01), "common teaching",
            ),
            Claim(
                "3.7", "With cross-entropy the gradient by the logits is p − y.",
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
    slider=slider,
    play=Play(
        "Replace `\"hardsigmoid\"` by `\"softsign\"`, `\"gelu\"`, `\"softplus\"` …: which of them lose the gradient at "
        "the same start, and which train all the same?",
        "hardsigmoid", 8, "glorot_normal",
    ),
)  # fmt: skip
