"""Question 6: batch normalization."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from gainstage.backends.torch.build import Norm
from gainstage.backends.torch.experiments import gradient_agreement
from gainstage.backends.torch.probes import normalised_units, refuses_one_example
from gainstage.data import load
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depths, over_layers
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.lessons.trainings import Budget, final_accuracy, run
from gainstage.records import Bound, Claim, Figure, Line, Picture
from gainstage.statistics import exact, factor, mean
from gainstage.theory import batch_norm_growth

__all__ = ["QUESTION", "growth", "levels", "rates", "starts", "steadiness", "units"]

PLAIN = Net("relu", 10, "he_normal")
NORMED = replace(PLAIN, norm="batch")
GAINS = {"He × 0.5": 0.5, "He": 1.0, "He × 2": 2.0}

MEAN, LOWEST, HIGHEST = "largest |mean| of a unit", "smallest spread of a unit", "largest spread of a unit"
LEVEL_RANGE = "spread of the activations of layer 10, He × 2 over He × 0.5"
DECADES = "powers of ten between the gradients of layers 1 and 10, saved"
GROWTH = "factor of one layer on the gradient's second moment"
AGREES = "measured factor over theory's"
WORST = "worst accuracy over all gains, gained"
RATE = "largest learning rate that trains, with over without"
STEADY = "cosine of successive gradients, gained"
REFUSED = "a batch of one is refused (1: yes)"


def units(setting: Setting, net: Net = NORMED) -> Measured:
    """Every unit of every normalisation over one batch, at three scales of the weights."""
    dataset = load("digits", seed=setting.seed)
    found = [
        normalised_units(replace(net, gain=gain).start(dataset, seed), dataset)
        for gain in GAINS.values()
        for seed in setting.seeds(3, 2)
    ]
    return Measured((
        exact(MEAN, max(f[0] for f in found)),
        exact(LOWEST, min(f[1] for f in found)),
        exact(HIGHEST, max(f[2] for f in found)),
    ))  # fmt: skip


def levels(setting: Setting, normed: Net = NORMED) -> Measured:
    """Signal and gradient through depth for weights too small, right and too large, with and without."""
    dataset = load("digits", seed=setting.seed)
    seeds = setting.seeds(6, 4)
    figures, lines = [], []
    last: dict[tuple[bool, float], list[float]] = {}
    for case, gain in GAINS.items():
        plain, held = (depths(replace(net, gain=gain), dataset, seeds) for net in (PLAIN, normed))
        last[False, gain], last[True, gain] = ([d.activation[-1] for d in found] for found in (plain, held))
        saved = [
            abs(math.log10(a.gradient_ratio)) - abs(math.log10(b.gradient_ratio))
            for a, b in zip(plain, held, strict=True)
        ]
        figures.append(mean(DECADES, saved, case))
        if case != "He":
            for name, found in (("", plain), (" + batch norm", held)):
                label = f"{case}{name}"
                lines.append(over_layers(label, [g / found[0].gradient[-1] for g in found[0].gradient]))
    for case, normalised in (("with", True), ("without", False)):
        ratios = [b / a for a, b in zip(last[normalised, 0.5], last[normalised, 2.0], strict=True)]
        figures.append(factor(LEVEL_RANGE, ratios, case))
    title = "Gradient, as a multiple of that at the last hidden layer"
    picture = Picture(title, "hidden layer", "gradient (rms)", tuple(lines), log_y=True)
    return Measured(tuple(figures), {"6.3": picture})


DEEP = ("relu", "tanh", "gelu")


def growth(setting: Setting, norm: Norm = "batch", names: tuple[str, ...] = DEEP) -> Measured:
    """Growth of the gradient's second moment per layer of a deep, wide, normalised net, against theory."""
    dataset = load("digits", seed=setting.seed)
    figures = []
    for activation in names:
        net = Net(activation, 16, "he_normal", width=128, norm=norm)
        found = [d.gradient_factor**2 for d in depths(net, dataset, setting.seeds(5, 3))]
        predicted = batch_norm_growth(activation)
        figures += [factor(GROWTH, found, activation), factor(AGREES, [f / predicted for f in found], activation)]
    return Measured(tuple(figures))


def starts(setting: Setting, normed: Net = NORMED) -> Measured:
    """Training from weights of many scales, with and without."""
    dataset = load("digits", seed=setting.seed)
    gains = (0.2, 1.0, 3.0) if setting.quick else (0.1, 0.3, 1.0, 3.0, 10.0)
    seeds = setting.seeds(3, 3)
    budget = Budget(setting.of(200, 60), "momentum", (0.03,), evaluations=5)
    finals: dict[str, list[list[float]]] = {}
    for name, net in (("without", PLAIN), ("with", normed)):
        setting.progress(f"6. training from {len(gains)} scales, {name}", len(finals), 2)
        finals[name] = [
            [final_accuracy(run(replace(net, gain=gain), dataset, budget, 0.03, seed)) for gain in gains]
            for seed in seeds
        ]
    gained = [min(a) - min(b) for a, b in zip(finals["with"], finals["without"], strict=True)]
    figures = [mean(WORST, gained)]
    figures += [mean("worst accuracy over all gains", [min(row) for row in finals[name]], name) for name in finals]
    lines = [Line(name, tuple(map(math.log10, gains)), tuple(np.mean(rows, axis=0))) for name, rows in finals.items()]
    lines = [Line(line.label, line.x, tuple(map(float, line.y))) for line in lines]
    picture = Picture("Accuracy after training", "log10 of the gain on He's start", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"6.4": picture})


RATE_STARTS = {"He": 1.0, "He × 0.5": 0.5}
TRAINS = 0.8


def rates(setting: Setting, normed: Net = NORMED) -> Measured:
    """The largest learning rate that still trains, with and without, from a good and from a poor start."""
    dataset = load("digits", seed=setting.seed)
    ladder = (0.1, 1.0, 10.0) if setting.quick else (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    seeds = setting.seeds(3, 3)
    budget = Budget(setting.of(150, 60), "sgd", ladder, evaluations=2)
    figures: list[Figure] = []
    lines: list[Line] = []
    for case, gain in RATE_STARTS.items():
        largest: dict[str, list[float]] = {}
        for name, net in (("without", PLAIN), ("with", normed)):
            setting.progress(f"6. learning rates: {case}, {name}", len(figures), 4)
            rows = [
                [final_accuracy(run(replace(net, gain=gain), dataset, budget, rate, seed)) for rate in ladder]
                for seed in seeds
            ]
            # A start for which no rate works counts as the smallest of the ladder, in favour of the other side.
            largest[name] = [
                max([r for r, a in zip(ladder, row, strict=True) if a > TRAINS] or ladder[:1]) for row in rows
            ]
            averages = tuple(float(v) for v in np.mean(rows, axis=0))
            lines.append(Line(f"{case}, {name}", tuple(map(math.log10, ladder)), averages))
        ratios = [a / b for a, b in zip(largest["with"], largest["without"], strict=True)]
        figures.append(factor(RATE, ratios, case, resolution=max(b / a for a, b in pairwise(ladder))))
    picture = Picture("Accuracy after training", "log10 of the learning rate", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"6.5": picture})


STEPS = {"3 layers, rate 0.1": (3, 0.1), "10 layers, rate 0.03": (10, 0.03), "10 layers, rate 0.1": (10, 0.1)}


def steadiness(setting: Setting, normed: Net = NORMED) -> Measured:
    """Whether the next gradient still points where the last one did."""
    dataset = load("digits", seed=setting.seed)
    figures = []
    for case, (depth, rate) in STEPS.items():
        gained = []
        for seed in setting.seeds(5, 3):
            plain, held = (
                gradient_agreement(net.start(dataset, seed), dataset, steps=setting.of(60, 15), learning_rate=rate)
                for net in (replace(PLAIN, depth=depth), replace(normed, depth=depth))
            )
            # A training that overflowed has no direction left.
            gained.append((0.0 if math.isnan(held) else held) - (0.0 if math.isnan(plain) else plain))
        figures.append(mean(STEADY, gained, case))
    refused = refuses_one_example(normed.start(dataset, setting.seeds(1, 1)[0]), dataset)
    return Measured((*figures, exact(REFUSED, float(refused))))


QUESTION = Question(
    number=6,
    slug="batchnorm",
    question="What is batch normalization, and what does it change for initialization?",
    text=(
        "Batch normalization takes every unit before its activation, subtracts its mean over the batch and divides by "
        "its spread over the batch; two learned numbers then scale and shift it. In evaluation running averages take "
        "the place of the batch.",
        "The scale of the weights before it cancels out, which is why training depends far less on how they were "
        "drawn, and why learning rates that would throw a plain network off its track still work: larger weights have "
        "smaller gradients.",
        "Less known: in a deep plain network without skips it makes gradients grow towards the input, whatever the "
        "weights, by E f'²/Var f a layer in the second moment, 1.47 for relu. It divides by the spread over examples, "
        "and every relu brings examples closer together. So it mends a bad start, and harms a good one that is deep "
        "enough. A batch of one has no spread to divide by; PyTorch refuses it.",
        "Its inventors explained it by a reduced shift in the distribution of each layer's inputs. Santurkar and "
        "others later added such shifts back on purpose and training stayed as good; they attribute the effect to a "
        "smoother loss. The explanation is not settled, and is not tested here.",
    ),
    studies=(
        Study("units over the batch", units, (
            Claim(
                "6.1", "It gives every unit mean 0 and spread 1 over the batch.",
                (Bound(MEAN, below=1e-3), Bound(LOWEST, above=0.99), Bound(HIGHEST, below=1.01)),
                "Ioffe and Szegedy 2015",
            ),
        )),
        Study("signal and gradient at the start", levels, (
            Claim(
                "6.2", "It keeps the signal within a range, whatever the scale of the weights.",
                (Bound(LEVEL_RANGE, 0.9, 1.1, "with"),), "Ioffe and Szegedy 2015", shows=(LEVEL_RANGE,),
            ),
            Claim(
                "6.3", "It mitigates vanishing and exploding gradients.",
                for_each(GAINS, DECADES, above=0.0), "Ioffe and Szegedy 2015",
            ),
        )),
        Study("training from many starts", starts, (
            Claim(
                "6.4", "Training depends less on careful initialization.",
                (Bound(WORST, above=0.05),), "Ioffe and Szegedy 2015", shows=("worst accuracy over all gains",),
            ),
        )),
        Study("learning rates", rates, (
            Claim(
                "6.5", "It allows higher learning rates.",
                for_each(RATE_STARTS, RATE, above=1.0), "Ioffe and Szegedy 2015",
            ),
        )),
        Study("steadiness", steadiness, (
            Claim(
                "6.6", "Training is steadier: the next gradient points more nearly where the last one did.",
                for_each(STEPS, STEADY, above=0.0), "Santurkar et al. 2018",
            ),
            Claim(
                "6.7", "It works on a batch of one.",
                (Bound(REFUSED, below=0.5),), "put here to be tested",
            ),
        )),
        Study("growth of gradients", growth, (
            Claim(
                "6.8", "In deep plain networks it makes gradients grow by E f'²/Var f a layer (second moment).",
                (*for_each(DEEP, GROWTH, above=1.0), *for_each(DEEP, AGREES, above=0.85, below=1.15)),
                "Yang et al. 2019",
            ),
        )),
    ),
    try_it=(
        "gainstage check mlp:64x64x64x64x64x64x64x64x64x10,act=relu,norm=batch --data digits --batch 256",
        "gainstage check mlp:64x64x64x64x64x64x64x64x64x10,act=relu,norm=layer --data digits",
    ),
    references=(
        "Ioffe, Szegedy 2015, Batch normalization: accelerating deep network training",
        "Santurkar et al. 2018, How does batch normalization help optimization?",
        "Yang et al. 2019, A mean field theory of batch normalization",
    ),
    setting="the 8×8 digits, ten hidden relu layers of 64 units, cross-entropy",
)  # fmt: skip
