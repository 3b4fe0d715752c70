"""Question 5: what proper initialization does for training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import start_of
from gainstage.lessons.trainings import Budget, accuracy_line, final_accuracy, mean_accuracy, train_all
from gainstage.records import Claim, Line, Picture, Slider, TrainingCurve
from gainstage.statistics import mean

__all__ = ["GENERAL_PAIRS", "PAIRS", "QUESTION", "generalization", "slider", "speed_and_stability"]

DEPTH = 8
Pairs = dict[str, tuple[Net, Net]]
PAIRS: Pairs = {
    "relu: He against default": (Net("relu", DEPTH, "he_normal"), Net("relu", DEPTH)),
    "relu: He against He × 2": (Net("relu", DEPTH, "he_normal"), Net("relu", DEPTH, "he_normal", gain=2.0)),
    "tanh: Xavier against default": (Net("tanh", DEPTH, "glorot_normal"), Net("tanh", DEPTH)),
    "1 layer: He against default": (Net("relu", 1, "he_normal"), Net("relu", 1)),
}
"""For each case, a proper start and an improper one."""

FASTER = "accuracy averaged over training, gained"
FINAL = "final accuracy, gained"
ROBUST = "share of learning rates that train, gained"
DRAWN = 6
"""The number of lines in the picture; the figures contain the other starts as well."""
TRAINS = 0.8
"""The final accuracy from which a training counts as successful."""


def speed_and_stability(setting: Setting, pairs: Pairs = PAIRS) -> Measured:
    """Train from every start with every learning rate and every seed."""
    dataset = load("digits", seed=setting.seed)
    rates = (0.1, 0.01) if setting.quick else (0.3, 0.1, 0.03, 0.01, 0.003)
    nets = _sides(pairs)
    trained = train_all(
        nets, dataset, Budget(setting.of(200, 80), rates=rates), setting.seeds(8, 3), setting, "5. training"
    )
    figures = []
    for case in pairs:
        good, bad = (trained[side] for side in _names(case))
        both = list(zip(good.best, bad.best, strict=True))
        worked = np.mean(good.finals > TRAINS, axis=0) - np.mean(bad.finals > TRAINS, axis=0)
        figures += [
            mean(FASTER, [mean_accuracy(a) - mean_accuracy(b) for a, b in both], case),
            mean(FINAL, [final_accuracy(a) - final_accuracy(b) for a, b in both], case),
            mean(ROBUST, worked.tolist(), case, resolution=1 / len(rates)),
        ]
    x = tuple(math.log10(rate) for rate in sorted(rates))
    drawn = list(trained.items())[:DRAWN]
    over_rates = [Line(side, x, tuple(found.finals.mean(axis=1).tolist())) for side, found in drawn]
    over_steps = [accuracy_line(side, found.best) for side, found in drawn]
    pictures = {
        "5.1": Picture("Each start at its best learning rate", "step", "validation accuracy", tuple(over_steps)),
        "5.2": Picture("Each start at every learning rate", "log10 of the learning rate", "final validation accuracy",
                       tuple(over_rates)),
    }  # fmt: skip
    return Measured(tuple(figures), pictures)


def _names(case: str) -> tuple[str, str]:
    """Return the names of the two starts of a case.

    >>> _names("relu: He against default")
    ('relu, He', 'relu, default')
    """
    network, _, starts = case.rpartition(": ")
    proper, _, other = starts.partition(" against ")
    return tuple(f"{network}, {start}" if network else start for start in (proper, other))  # type: ignore[return-value]


def _sides(pairs: Pairs) -> dict[str, Net]:
    return {name: net for case, pair in pairs.items() for name, net in zip(_names(case), pair, strict=True)}


FEW, FITTED = 300, 0.02
GENERAL = "validation accuracy at the same training loss, gained"
SAVED = "steps to that loss, saved"
GENERAL_PAIRS: Pairs = {
    "He against default": (Net("relu", 3, "he_normal"), Net("relu", 3)),
    "He against He × 3": (Net("relu", 3, "he_normal"), Net("relu", 3, "he_normal", gain=3.0)),
    "Xavier against Xavier × 3": (Net("tanh", 3, "glorot_normal"), Net("tanh", 3, "glorot_normal", gain=3.0)),
}


def generalization(setting: Setting, pairs: Pairs = GENERAL_PAIRS) -> Measured:
    """Measure validation accuracy of networks with three hidden layers that fit 300 training examples equally well."""
    whole = load("digits", seed=setting.seed)
    dataset = replace(whole, x_train=whole.x_train[:FEW], y_train=whole.y_train[:FEW])
    steps = setting.of(720, 540)
    budget = Budget(steps, "adam", (1e-3,), batch=FEW // EPOCH, evaluations=steps // EPOCH)
    trained = train_all(_sides(pairs), dataset, budget, setting.seeds(10, 4), setting, "5. generalization")
    figures, absent = [], {}
    for case in pairs:
        good, bad = (map(_fitted, trained[side].best) for side in _names(case))
        both = [(a, b) for a, b in zip(good, bad, strict=True) if a and b]
        if both:
            figures.append(mean(GENERAL, [a[1] - b[1] for a, b in both], case))
            figures.append(mean(SAVED, [float(b[0] - a[0]) for a, b in both], case))
        else:
            absent[case] = "one of the starts never reached the training loss"
    lines = tuple(_against_fit(side, found.best[0]) for side, found in trained.items())
    title = "Validation accuracy on the way to the same fit"
    picture = Picture(title, "log10 of the training loss (mean of an epoch)", "validation accuracy", lines)
    return Measured(tuple(figures), {"5.3": picture}, absent)


EPOCH = 6
"""The number of steps in which every training example is used once."""


def _on_the_way(curve: TrainingCurve) -> list[tuple[int, float, float]]:
    """Return step, training loss averaged over the last epoch, and validation accuracy, for every epoch."""
    seen = {e.step: e.accuracy for e in curve.evaluations}
    return [
        (step, float(np.mean(curve.losses[step - EPOCH : step])), accuracy)
        for step in range(EPOCH, curve.steps + 1, EPOCH)
        if (accuracy := seen.get(step)) is not None
    ]


def _fitted(curve: TrainingCurve) -> tuple[int, float] | None:
    """Return the step at which the training loss first reaches the target, and the validation accuracy there."""
    return next(((step, accuracy) for step, loss, accuracy in _on_the_way(curve) if loss <= FITTED), None)


def _against_fit(label: str, curve: TrainingCurve) -> Line:
    points = sorted((math.log10(loss), accuracy) for _, loss, accuracy in _on_the_way(curve) if loss > 0)
    return Line(label, tuple(x for x, _ in points), tuple(y for _, y in points))


def slider(setting: Setting) -> Slider:
    """Show trainings from three starts at every learning rate."""
    dataset = load("digits", seed=setting.seed)
    rates = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    nets = {name: net for name, net in _sides(PAIRS).items() if name.startswith("relu")}
    budget = Budget(setting.of(200, 80), rates=rates)
    trained = train_all(nets, dataset, budget, setting.seeds(1, 1), setting, "5. the slider")
    pictures = tuple(
        Picture(f"Training {DEPTH} relu layers", "step", "validation accuracy",
                tuple(accuracy_line(side, found.curves[place]) for side, found in trained.items()))
        for place in range(len(rates))
    )  # fmt: skip
    hint = "He's start learns at every rate up to 0.03; the others hardly at any."
    return Slider("learning rate", rates, pictures, start_of(rates, 0.03), hint)


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
                shows=(SAVED,),
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
    slider=slider,
    play=Play(
        "Eight relu layers, trained from three starts in the last cell. Make the network shallower, `LAYERS = 1`: what "
        "is left of the difference?",
        "relu", 8, "he_normal",
    ),
)  # fmt: skip
