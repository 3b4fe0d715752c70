"""Question 4: exploding gradients."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import TORCH, Net, depths, gradient_line, over_layers
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import start_of
from gainstage.lessons.trainings import Budget, accuracy_line, loss_line, train_all
from gainstage.records import Bound, Claim, Line, Picture, Slider
from gainstage.statistics import factor, mean, share

__all__ = ["EXPLODING", "HEALTHY", "QUESTION", "clipping", "drastic_steps", "growth", "slider"]

DEPTH = 12
EXPLODING = {
    "relu, He × 2": Net("relu", DEPTH, "he_normal", gain=2.0),
    "tanh, Xavier × 3": Net("tanh", DEPTH, "glorot_normal", gain=3.0),
}
HEALTHY = {
    "relu, He": Net("relu", DEPTH, "he_normal"),
    "tanh, Xavier": Net("tanh", DEPTH, "glorot_normal"),
}
RATIO = f"gradient at layer 1 over layer {DEPTH}"


def growth(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Measure the gradient through depth at the start."""
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for case, net in (nets or {**EXPLODING, **HEALTHY}).items():
        found = depths(net, dataset, setting.seeds(8, 4))
        figures.append(factor(RATIO, [d.gradient_ratio for d in found], case))
        lines.append(gradient_line(case, found[0]))
    title = "Gradient, as a multiple of that at the last hidden layer"
    return Measured(tuple(figures), {"4.1": Picture(title, "hidden layer", "gradient (rms)", tuple(lines), log_y=True)})


RATE = 0.03
FIRST = "largest change of a weight in the first step, as a share of it"
GROWN = "largest growth of a weight in 30 steps"
UPS = "share of steps after which the loss was higher"
PEAK = "highest loss over the first one"


def drastic_steps(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Run thirty steps of plain gradient descent at a learning rate that suits the healthy starts."""
    dataset = load("digits", seed=setting.seed)
    figures, changes, losses = [], [], []
    for case, net in (nets or {**EXPLODING, **HEALTHY}).items():
        runs = [
            TORCH.first_steps(net.start(dataset, s), dataset, steps=30, learning_rate=RATE, optimizer="sgd", seed=s)
            for s in setting.seeds(8, 5)
        ]
        figures += [
            factor(FIRST, [max(r.first) for r in runs], case),
            factor(GROWN, [_finite(max(r.grown)) for r in runs], case),
            factor(PEAK, [_finite(max(r.losses) / r.losses[0]) for r in runs], case),
            mean(UPS, [float(np.mean([b > a for a, b in pairwise(r.losses)])) for r in runs], case),
        ]
        changes.append(over_layers(case, runs[0].first[:-1]))
        losses.append(Line(case, tuple(map(float, range(len(runs[0].losses)))), runs[0].losses))
    title = "How far the first step moves a weight, as a share of itself"
    pictures = {
        "4.2": Picture(title, "hidden layer", "‖change‖ / ‖weight‖", tuple(changes), log_y=True),
        "4.3": Picture("The loss", "step", "loss", tuple(losses), log_y=True),
    }
    return Measured(tuple(figures), pictures)


CEILING = 1e30
"""The value that stands for overflows, so that they have a logarithm."""


def _finite(value: float) -> float:
    return min(value, CEILING) if value == value else CEILING


DIVERGED = "share of trainings that ended in NaN or infinity"
ACCURACY = "final accuracy"
LOST = "accuracy lost against the healthy start"
TRAININGS = {
    "momentum": Budget(300, "momentum", (RATE,)),
    "momentum, clipped": Budget(300, "momentum", (RATE,), clip=1.0),
    "Adam": Budget(300, "adam", (1e-3,)),
}


def clipping(setting: Setting, sick: Net | None = None, healthy: Net | None = None) -> Measured:
    """Train from an exploding start, with and without gradient clipping, and from the healthy start."""
    dataset = load("digits", seed=setting.seed)
    nets = {"exploding": sick or EXPLODING["relu, He × 2"], "healthy": healthy or HEALTHY["relu, He"]}
    seeds = setting.seeds(12, 4)
    figures, accuracies, losses = [], {}, []
    for case, budget in TRAININGS.items():
        spent = replace(budget, steps=setting.of(budget.steps, 100))
        trained = train_all(nets, dataset, spent, seeds, setting, f"4. training: {case}")
        ours, theirs = trained["exploding"], trained["healthy"]
        figures += [
            share(DIVERGED, sum(curve.diverged for curve in ours.best), len(seeds), case),
            mean(ACCURACY, ours.final, case),
            mean(LOST, [b - a for a, b in zip(ours.final, theirs.final, strict=True)], case),
        ]
        accuracies[case] = accuracy_line(case, ours.best)
        accuracies[f"healthy, {case}"] = accuracy_line(f"healthy, {case}", theirs.best)
        losses.append(loss_line(case, ours.best[0], 60))
    title = "Training from relu, He × 2, and from a healthy start"
    apart = ("momentum, clipped", "healthy, momentum, clipped")
    others = tuple(line for case, line in accuracies.items() if case not in apart)
    clipped = tuple(accuracies[case] for case in apart)
    pictures = {
        "4.4": Picture(title, "step", "validation accuracy", others),
        "4.5": Picture("The loss of one training from relu, He × 2", "step", "loss", tuple(losses), log_y=True),
        "4.6": Picture(title, "step", "validation accuracy", clipped),
    }
    return Measured(tuple(figures), pictures)


def slider(setting: Setting) -> Slider:
    """Show the loss of the first steps for weights of every scale."""
    dataset = load("digits", seed=setting.seed)
    gains = (1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
    nets = {f"{gain:g}": replace(HEALTHY["relu, He"], gain=gain) for gain in gains}
    losses: dict[str, list[Line]] = {gain: [] for gain in nets}
    for case, budget in TRAININGS.items():
        spent = replace(budget, steps=40, evaluations=1)
        for gain, trained in train_all(nets, dataset, spent, setting.seeds(1, 1), setting, "4. the slider").items():
            losses[gain].append(loss_line(case, trained.best[0]))
    pictures = tuple(
        Picture("The loss of twelve relu layers", "step", "loss", tuple(lines), log_y=True) for lines in losses.values()
    )
    hint = "Up to 1.2 all three go down. From 1.6 on momentum overflows; clipped it goes on, but from far above."
    return Slider("gain on He's weights", gains, pictures, start_of(gains, 1.4), hint)


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
        "Clipping shortens the gradient when its norm is too large. It keeps the direction, and numbers stay finite. "
        "But the start is what it was: weights that make the gradient grow on its way back mostly make the signal grow "
        "on its way forward too, so the outputs are far too loud, the loss begins far up, and short steps take long "
        "to bring it down. Adam divides every component by its own recent size, which removes the scale of the "
        "gradient altogether, and not that of the signal. Neither replaces a good start.",
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
    slider=slider,
    play=Play(
        "Weights twice too large. Bring `GAIN` down in steps of 0.2: from where on does the check find nothing, and "
        "from where on does the network train?",
        "relu", 12, "he_normal", 2.0,
    ),
)  # fmt: skip
