"""Question 1: vanishing gradients."""

from __future__ import annotations

import numpy as np

from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import TORCH, Net, depths, gradient_line, over_layers
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import over_gains
from gainstage.lessons.trainings import Budget, accuracy_line, train_all
from gainstage.records import Claim, Line, Picture, Slider
from gainstage.statistics import factor, mean

__all__ = ["QUESTION", "STARTS", "first_moves", "gradients_at_start", "learning", "slider"]

STARTS = {
    "sigmoid, default": ("sigmoid", "pytorch_default"),
    "tanh, default": ("tanh", "pytorch_default"),
    "sigmoid, Xavier": ("sigmoid", "glorot_normal"),
    "tanh, Xavier": ("tanh", "glorot_normal"),
}
"""The activation and the scheme of each case."""

DEPTHS = (4, 8, 16)
LOST = 0.1
"""A gradient that is reduced to less than a tenth counts as vanishing: one power of ten, by convention."""


def gradients_at_start(setting: Setting, starts: dict[str, tuple[str, str]] = STARTS) -> Measured:
    """Measure the gradient at the first hidden layer over that at the last one, at the start, for several depths."""
    dataset = load("digits", seed=setting.seed)
    figures, by_depth, by_layer = [], [], []
    for case, (activation, scheme) in starts.items():
        found = [depths(Net(activation, depth, scheme), dataset, setting.seeds(8, 3)) for depth in DEPTHS]
        ratios = np.array([[draw.gradient_ratio for draw in draws] for draws in found])
        slopes = np.polyfit(DEPTHS, np.log10(ratios), 1)[0]
        figures += [
            factor(f"gradient at layer 1 over layer {DEPTHS[-1]}", ratios[-1].tolist(), case),
            mean("powers of ten per further layer", slopes.tolist(), case),
        ]
        by_depth.append(Line(case, tuple(map(float, DEPTHS)), tuple(np.exp(np.log(ratios).mean(axis=1)).tolist())))
        by_layer.append(gradient_line(case, found[-1][0]))
    pictures = {
        "1.1": Picture("Gradient, as a share of that at the last hidden layer", "hidden layer", "gradient (rms)",
                       tuple(by_layer), log_y=True),
        "1.2": Picture("What is left of the gradient at the first layer", "hidden layers", "first / last",
                       tuple(by_depth), log_y=True),
    }  # fmt: skip
    return Measured(tuple(figures), pictures)


MOVES = {
    "sigmoid, momentum": ("sigmoid", "pytorch_default", "momentum", 0.05),
    "tanh, momentum": ("tanh", "pytorch_default", "momentum", 0.05),
    "sigmoid, Adam": ("sigmoid", "pytorch_default", "adam", 1e-3),
    "tanh, Adam": ("tanh", "pytorch_default", "adam", 1e-3),
}
MOVING_DEPTH, MOVING_STEPS = 10, 50


def first_moves(setting: Setting, moves: dict[str, tuple[str, str, str, float]] = MOVES) -> Measured:
    """Measure the relative change of every weight in the first steps, compared with the last hidden layer."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, (activation, scheme, optimizer, rate) in moves.items():
        ratios, itself = [], []
        for seed in setting.seeds(6, 3):
            model = Net(activation, MOVING_DEPTH, scheme).start(dataset, seed)
            steps = TORCH.first_steps(
                model, dataset, steps=MOVING_STEPS, learning_rate=rate, optimizer=optimizer, seed=seed
            )
            ratios.append(steps.moved[0] / steps.moved[-2])
            itself.append(steps.moved[0])
        figures.append(mean("change of layer 1 itself", itself, case))
        figures.append(factor(f"change of layer 1 over change of layer {MOVING_DEPTH}", ratios, case))
        lines.append(over_layers(case, steps.moved[:-1]))
    title = f"How far a weight has moved after {MOVING_STEPS} steps, as a share of itself"
    picture = Picture(title, "hidden layer", "‖change‖ / ‖weight‖", tuple(lines), log_y=True)
    return Measured(tuple(figures), {"1.3": picture})


LOSS_BY_DEPTH = "accuracy lost by going from 2 to 10 layers (mean over training)"
NOTICEABLE = 0.05
"""Differences in accuracy below five points do not count as a failure."""


def learning(setting: Setting, starts: dict[str, tuple[str, str]] = STARTS) -> Measured:
    """Train networks of ten and of two hidden layers, each at its best learning rate."""
    dataset = load("digits", seed=setting.seed)
    nets = {
        f"{case}, {depth} layers": Net(activation, depth, scheme)
        for case, (activation, scheme) in starts.items()
        for depth in (2, 10)
    }
    budget = Budget(setting.of(250, 80), rates=(0.1, 0.03) if setting.quick else (0.3, 0.1, 0.03, 0.01))
    trained = train_all(nets, dataset, budget, setting.seeds(6, 3), setting, "1. training")
    figures, lines = [], []
    for case in starts:
        shallow, deep = trained[f"{case}, 2 layers"], trained[f"{case}, 10 layers"]
        figures += [
            mean(LOSS_BY_DEPTH, [s - d for s, d in zip(shallow.mean, deep.mean, strict=True)], case),
            mean("final accuracy of 10 layers", deep.final, case),
        ]
        lines.append(accuracy_line(case, deep.best))
    picture = Picture("Training ten hidden layers", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"1.4": picture})


def slider(setting: Setting) -> Slider:
    """Show the gradient through ten layers for weights of every scale."""
    nets = {name: Net(name, 10, "glorot_normal") for name in ("tanh", "relu", "sigmoid")}
    title = "Gradient, as a multiple of that at the last hidden layer"
    return over_gains(
        nets, setting, line=gradient_line, picture=Picture(title, "hidden layer", "gradient (rms)", (), log_y=True),
        words="gain on Xavier's weights",
        hint="At 1.41 tanh and relu are nearly level. At 0.5 every line falls towards the input, at 4 those two "
        "explode. Sigmoid's falls at every gain.",
    )  # fmt: skip


QUESTION = Question(
    number=1,
    slug="vanishing",
    question="Vanishing gradients: what are they, and how do they hurt training?",
    text=(
        "Backpropagation multiplies the gradient by one factor for every layer it crosses on the way to the input: "
        "the weights of that layer times the slope of its activation. If the factor is typically below one, the "
        "product shrinks exponentially with depth. A sigmoid's slope is at most 1/4, so with usual weights three "
        "quarters or more of the gradient are lost in every layer; tanh has slope 1 at zero and loses gradient when "
        "its weights are too small or its units saturate.",
        "The layers near the input then receive almost no gradient. Under plain gradient descent they stay as they "
        "were drawn, and everything above them has to learn from their random features, or from features that no "
        "longer tell examples apart. Training becomes slow, or stays at the level of guessing. What a weight feels is "
        "the gradient behind it times the signal before it: in the tanh network with small weights the one shrinks "
        "towards the input and the other towards the output, so that all layers move equally little. Adam divides "
        "the size of the gradient out, so that early layers move, if not always in a useful direction.",
        "Depth alone is not the cause: the factor per layer is. With a start that brings it close to one, the same "
        "network trains.",
    ),
    studies=(
        Study("gradients before the first step", gradients_at_start, (
            Claim(
                "1.1", "In deep sigmoid and tanh networks gradients shrink layer by layer towards the input.",
                for_each(STARTS, f"gradient at layer 1 over layer {DEPTHS[-1]}", below=LOST),
                "Hochreiter 1991; Bengio et al. 1994; Glorot and Bengio 2010",
            ),
            Claim(
                "1.2", "The more layers, the worse.",
                for_each(STARTS, "powers of ten per further layer", below=0.0),
                "Hochreiter 1991; Pascanu et al. 2013",
            ),
        )),
        Study("the first steps", first_moves, (
            Claim(
                "1.3", "The early layers hardly move.",
                for_each(MOVES, f"change of layer 1 over change of layer {MOVING_DEPTH}", below=LOST),
                "Glorot and Bengio 2010", shows=("change of layer 1 itself",),
            ),
        )),
        Study("training", learning, (
            Claim(
                "1.4", "Training a deep sigmoid or tanh network is slow or fails.",
                for_each(STARTS, LOSS_BY_DEPTH, above=NOTICEABLE),
                "Glorot and Bengio 2010",
                shows=("final accuracy of 10 layers",),
            ),
        )),
    ),
    try_it=(
        "gainstage check mlp:64x64x64x64x64x64x64x64x64x10,act=sigmoid --data digits",
        "gainstage demo",
    ),
    references=(
        "Hochreiter 1991, Untersuchungen zu dynamischen neuronalen Netzen (diploma thesis)",
        "Bengio, Simard, Frasconi 1994, Learning long-term dependencies with gradient descent is difficult",
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks",
        "Schoenholz et al. 2017, Deep information propagation",
    ),
    setting="the 8×8 digits, hidden layers of 64 units, cross-entropy; 'default' is PyTorch's own start",
    slider=slider,
    play=Play(
        "Ten sigmoid layers at Xavier's start are found sick. Which of these cures them: `ACTIVATION = \"tanh\"`, "
        "`LAYERS = 3`, `GAIN = 4.0`, `SCHEME = \"auto\"`?",
        "sigmoid", 10, "glorot_normal",
    ),
)  # fmt: skip
