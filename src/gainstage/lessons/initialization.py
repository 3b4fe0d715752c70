"""Question 5: what proper initialization does for training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.backends.torch.experiments import accuracy_at_loss
from gainstage.data import Dataset, load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.lessons.trainings import Budget, Trained, accuracy_line, final_accuracy, mean_accuracy, run
from gainstage.records import Claim, Figure, Line, Picture, TrainingCurve
from gainstage.statistics import mean

__all__ = ["PAIRS", "QUESTION", "generalization", "speed_and_stability"]

DEPTH = 8
PAIRS = {
    "relu: He against default": (Net("relu", DEPTH, "he_normal"), Net("relu", DEPTH)),
    "relu: He against He × 2": (Net("relu", DEPTH, "he_normal"), Net("relu", DEPTH, "he_normal", gain=2.0)),
    "tanh: Xavier against default": (Net("tanh", DEPTH, "glorot_normal"), Net("tanh", DEPTH)),
    "1 layer: He against default": (Net("relu", 1, "he_normal"), Net("relu", 1)),
}
"""By case: a proper start, and one that is not."""

FASTER = "accuracy averaged over training, gained"
FINAL = "final accuracy, gained"
ROBUST = "share of learning rates that train, gained"
GENERAL = "validation accuracy at the same training loss, gained"
TRAINS = 0.8
"""Final accuracy from which a training counts as one that worked."""


def speed_and_stability(setting: Setting, pairs: dict[str, tuple[Net, Net]] = PAIRS) -> Measured:
    """Every start with every learning rate and every seed."""
    dataset = load("digits", seed=setting.seed)
    rates = (0.1, 0.01) if setting.quick else (0.3, 0.1, 0.03, 0.01)
    budget = Budget(setting.of(200, 80), "momentum", rates, evaluations=10)
    seeds = setting.seeds(4, 3)
    grids: dict[Net, list[list[TrainingCurve]]] = {}
    for case, pair in pairs.items():
        for net in pair:
            if net not in grids:
                setting.progress(f"5. training: {case}", len(grids), 2 * len(pairs))
                grids[net] = [[run(net, dataset, budget, rate, seed) for rate in rates] for seed in seeds]
    figures: list[Figure] = []
    lines: list[Line] = []
    for case, (proper, other) in pairs.items():
        good, bad = grids[proper], grids[other]
        best_good, best_bad = _cross_validated(good), _cross_validated(bad)
        figures += [
            mean(FASTER, [mean_accuracy(a) - mean_accuracy(b) for a, b in zip(best_good, best_bad, strict=True)], case),
            mean(
                FINAL, [final_accuracy(a) - final_accuracy(b) for a, b in zip(best_good, best_bad, strict=True)], case
            ),
            mean(
                ROBUST,
                [_trains(a) - _trains(b) for a, b in zip(good, bad, strict=True)],
                case,
                resolution=1 / len(rates),
            ),
        ]
        if len(lines) < 4:
            first, second = (words.strip() for words in case.split(":")[1].split("against"))
            name = case.split(":")[0]
            lines.append(accuracy_line(f"{name}, {first}", Trained(math.nan, tuple(best_good))))
            lines.append(accuracy_line(f"{name}, {second}", Trained(math.nan, tuple(best_bad))))
    picture = Picture("Each start at its best learning rate", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"5.1": picture})


def _cross_validated(grid: list[list[TrainingCurve]]) -> list[TrainingCurve]:
    """For every seed the training at the rate that is best for the other seeds, so that no seed chooses for itself."""
    scores = np.array([[mean_accuracy(curve) for curve in row] for row in grid])
    others = scores.sum(axis=0) - scores if len(grid) > 1 else scores
    return [row[int(np.argmax(score))] for row, score in zip(grid, others, strict=True)]


def _trains(row: list[TrainingCurve]) -> float:
    return float(np.mean([final_accuracy(curve) > TRAINS for curve in row]))


FEW = 300
GENERAL_PAIRS = {
    "He against default": (Net("relu", 3, "he_normal"), Net("relu", 3)),
    "He against He × 3": (Net("relu", 3, "he_normal"), Net("relu", 3, "he_normal", gain=3.0)),
    "Xavier against Xavier × 3": (Net("tanh", 3, "glorot_normal"), Net("tanh", 3, "glorot_normal", gain=3.0)),
}


def generalization(setting: Setting, pairs: dict[str, tuple[Net, Net]] = GENERAL_PAIRS) -> Measured:
    """Validation accuracy of three hidden layers that fit 300 training examples equally well."""
    whole = load("digits", seed=setting.seed)
    dataset = replace(whole, x_train=whole.x_train[:FEW], y_train=whole.y_train[:FEW])
    seeds = setting.seeds(8, 4)
    reached: dict[tuple[Net, int], tuple[float, int] | None] = {}
    figures: list[Figure] = []
    absent: dict[str, str] = {}
    for case, pair in pairs.items():
        setting.progress(f"5. generalization: {case}", len(figures), len(pairs) * 2)
        for net in pair:
            for seed in seeds:
                if (net, seed) not in reached:
                    reached[net, seed] = _at_same_loss(net, dataset, seed)
        both = [(a, b) for s in seeds if (a := reached[pair[0], s]) and (b := reached[pair[1], s])]
        if both:
            figures.append(mean(GENERAL, [a[0] - b[0] for a, b in both], case))
            figures.append(mean("steps to that loss, saved", [float(b[1] - a[1]) for a, b in both], case))
        else:
            absent[case] = "one of the starts never reached the training loss"
    return Measured(tuple(figures), {}, absent)


def _at_same_loss(net: Net, dataset: Dataset, seed: int) -> tuple[float, int] | None:
    return accuracy_at_loss(net.start(dataset, seed), dataset, seed=seed)


QUESTION = Question(
    number=5,
    slug="initialization",
    question="What does proper initialization do for training?",
    text=(
        "Before the first step nothing has been learned, but everything is decided that the first steps depend on: how "
        "well the output still tells examples apart, how much gradient reaches every layer, how curved the loss is. A "
        "proper start keeps signal and gradient at the same level through all layers.",
        "What that buys is first of all speed, and in deep networks whether there is any training at all. It also buys "
        "tolerance: more learning rates work. In a network with one hidden layer there is little to gain, since "
        "nothing can be multiplied many times.",
        "Better generalization is claimed most often and shown least. A start that trains to the end beats one that "
        "does not, but that is speed again. Compared at the same training loss, what is left depends on the other "
        "start: very large weights let a network fit its examples while hardly changing its features, and such a fit "
        "generalizes worse; small weights do not have that fault.",
    ),
    studies=(
        Study("training", speed_and_stability, (
            Claim(
                "5.1", "Proper initialization makes training converge faster.",
                for_each(PAIRS, FASTER, above=0.0), "Glorot and Bengio 2010; He et al. 2015", shows=(FINAL,),
            ),
            Claim(
                "5.2", "It makes training more stable: more learning rates work.",
                for_each(PAIRS, ROBUST, above=0.0), "common teaching",
            ),
        )),
        Study("generalization", generalization, (
            Claim(
                "5.3", "It gives better generalization, beyond what comes from fitting better.",
                for_each(GENERAL_PAIRS, GENERAL, above=0.0), "common teaching",
                shows=("steps to that loss, saved",),
            ),
        )),
    ),
    try_it=(
        "gainstage demo",
        "gainstage fix mlp:64x64x64x64x64x64x64x64x10,act=relu --data digits --out mended.safetensors",
    ),
    references=(
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "He et al. 2015, Delving deep into rectifiers",
        "Saxe et al. 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        "Chizat, Oyallon, Bach 2019, On lazy training in differentiable programming",
    ),
    setting=f"the 8×8 digits, {DEPTH} hidden layers of 64 units, SGD with momentum; generalization: 3 layers, {FEW} "
    "training examples, Adam",
)  # fmt: skip
