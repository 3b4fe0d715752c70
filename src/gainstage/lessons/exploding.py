"""Question 4: exploding gradients."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from gainstage.backends.torch.experiments import FirstSteps, first_steps
from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depths, over_layers
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.lessons.trainings import Budget, Trained, accuracy_line, final_accuracy, run
from gainstage.records import Bound, Claim, Line, Picture
from gainstage.statistics import factor, mean, share

__all__ = ["EXPLODING", "HEALTHY", "QUESTION", "clipping", "drastic_steps", "growth"]

DEPTH = 12
EXPLODING = {
    "relu, He × 2": Net("relu", DEPTH, "he_normal", gain=2.0),
    "tanh, Xavier × 3": Net("tanh", DEPTH, "glorot_normal", gain=3.0),
}
HEALTHY = {
    "relu, He": Net("relu", DEPTH, "he_normal"),
    "tanh, Xavier": Net("tanh", DEPTH, "glorot_normal"),
}
RATE = 0.03

RATIO = "gradient at layer 1 over layer 12"
FIRST = "largest change of a weight in the first step, as a share of it"
GROWN = "largest growth of a weight in 30 steps"
UPS = "share of steps after which the loss was higher"
PEAK = "highest loss over the first one"
DIVERGED = "share of trainings that ended in NaN or infinity"
ACCURACY = "final accuracy"
LOST = "accuracy lost against the healthy start"


def growth(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """The gradient through depth at the start."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, net in (nets or {**EXPLODING, **HEALTHY}).items():
        found = depths(net, dataset, setting.seeds(6, 4))
        figures.append(factor(RATIO, [d.gradient_ratio for d in found], case))
        lines.append(over_layers(case, [g / found[0].gradient[-1] for g in found[0].gradient]))
    title = "Gradient, as a multiple of that at the last hidden layer"
    return Measured(tuple(figures), {"4.1": Picture(title, "hidden layer", "gradient (rms)", tuple(lines), log_y=True)})


def drastic_steps(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """The first thirty steps of plain gradient descent at a learning rate that suits the healthy starts."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, net in (nets or {**EXPLODING, **HEALTHY}).items():
        runs = [
            first_steps(net.start(dataset, s), dataset, steps=30, learning_rate=RATE, optimizer="sgd", seed=s)
            for s in setting.seeds(8, 5)
        ]
        figures += [
            factor(FIRST, [max(r.first) for r in runs], case),
            factor(GROWN, [_finite(max(r.grown)) for r in runs], case),
            factor(PEAK, [_finite(max(r.losses) / r.losses[0]) for r in runs], case),
            mean(UPS, [float(np.mean([b > a for a, b in pairwise(r.losses)])) for r in runs], case),
        ]
        lines.append(_losses(case, runs[0]))
    return Measured(tuple(figures), {"4.3": Picture("The loss", "step", "loss", tuple(lines), log_y=True)})


CEILING = 1e30
"""Overflows count as this much, so that they have a logarithm."""


def _finite(value: float) -> float:
    return min(value, CEILING) if value == value else CEILING


def _losses(label: str, steps: FirstSteps) -> Line:
    return Line(label, tuple(map(float, range(len(steps.losses)))), steps.losses)


TRAININGS = {
    "momentum": Budget(300, "momentum", (RATE,)),
    "momentum, clipped": Budget(300, "momentum", (RATE,), clip=1.0),
    "Adam": Budget(300, "adam", (1e-3,)),
}


def clipping(setting: Setting, sick: Net | None = None, healthy: Net | None = None) -> Measured:
    """Whole trainings from an exploding start, with and without clipping, against the healthy start."""
    dataset = load("digits", seed=setting.seed)
    seeds = setting.seeds(5, 4)
    sick, healthy = sick or EXPLODING["relu, He × 2"], healthy or HEALTHY["relu, He"]
    figures, lines = [], []
    for case, budget in TRAININGS.items():
        spent = replace(budget, steps=setting.of(budget.steps, 150))
        curves, others = [], []
        for i, seed in enumerate(seeds):
            setting.progress(f"4. training: {case}", i, len(seeds))
            curves.append(run(sick, dataset, spent, budget.rates[0], seed))
            others.append(run(healthy, dataset, spent, budget.rates[0], seed))
        lost = [final_accuracy(b) - final_accuracy(a) for a, b in zip(curves, others, strict=True)]
        trained = Trained(budget.rates[0], tuple(curves))
        figures += [
            share(DIVERGED, trained.diverged, len(seeds), case),
            mean(ACCURACY, trained.final, case),
            mean(LOST, lost, case),
        ]
        lines.append(accuracy_line(case, trained))
        if case == "momentum":
            lines.append(accuracy_line("healthy, momentum", Trained(budget.rates[0], tuple(others))))
    picture = Picture("Training from relu, He × 2", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"4.5": picture})


QUESTION = Question(
    number=4,
    slug="exploding",
    question="Exploding gradients: what are they, and how do they hurt training?",
    text=(
        "It is the same product as with vanishing gradients, with a factor above one: every layer multiplies the "
        "gradient on its way to the input, and after a dozen layers it is thousands of times larger than at the "
        "output. The usual causes are weights that are too large for their number of inputs, and recurrent networks "
        "that apply the same matrix again and again.",
        "A step is the learning rate times the gradient, so a weight can be thrown by a multiple of its own size at "
        "once. The loss jumps, the next gradient is larger still, and within a few steps numbers overflow; or the "
        "network ends up with saturated or dead units and stays at guessing.",
        "Clipping shortens the gradient when its norm is too large. It keeps the direction and the arithmetic alive, "
        "but not the balance between layers: the first layers still get nearly all of the step, and the units and "
        "the loss still start where the bad weights put them. Adam divides every component by its own recent size, "
        "which removes the scale altogether. Neither replaces a good start.",
    ),
    studies=(
        Study("gradients before the first step", growth, (
            Claim(
                "4.1", "With weights too large, gradients grow layer by layer towards the input.",
                for_each(EXPLODING, RATIO, above=10.0), "Pascanu et al. 2013; Poole et al. 2016", shows=(RATIO,),
            ),
        )),
        Study("the first steps", drastic_steps, (
            Claim(
                "4.2", "Weights take drastic steps and grow rapidly.",
                tuple(b for case in EXPLODING
                      for b in (Bound(FIRST, above=0.1, case=case), Bound(GROWN, above=2.0, case=case))),
                "Pascanu et al. 2013", shows=(FIRST, GROWN),
            ),
            Claim(
                "4.3", "The loss oscillates, jumps to many times its first value, or overflows.",
                for_each(EXPLODING, PEAK, above=10.0), "Pascanu et al. 2013", shows=(PEAK, UPS),
            ),
        )),
        Study("training", clipping, (
            Claim(
                "4.4", "Training can fail completely.",
                for_each(TRAININGS, ACCURACY, below=0.5), "common teaching",
                shows=(DIVERGED,),
            ),
            Claim(
                "4.5", "Clipping gradients (to norm 1) keeps training from diverging.",
                (Bound(DIVERGED, below=0.5, case="momentum, clipped"),), "Pascanu et al. 2013",
            ),
            Claim(
                "4.6", "With clipping, a start that explodes is as good as a healthy one.",
                (Bound(LOST, below=0.05, case="momentum, clipped"),), "put here to be tested", shows=(LOST,),
            ),
        )),
    ),
    try_it=(
        "gainstage check mlp:64x64x64x64x64x64x64x10,act=relu --data digits --optimizer sgd --lr 10",
        "gainstage gain relu",
    ),
    references=(
        "Bengio, Simard, Frasconi 1994, Learning long-term dependencies with gradient descent is difficult",
        "Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks",
        "Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos",
        "Kingma, Ba 2015, Adam: a method for stochastic optimization",
    ),
    setting=f"the 8×8 digits, twelve hidden layers of 64 units, cross-entropy, SGD at {RATE}",
)  # fmt: skip
