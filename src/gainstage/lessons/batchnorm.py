"""Question 6: batch normalization."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise
from statistics import fmean

import numpy as np

from gainstage.backends.protocol import Norm
from gainstage.data import load
from gainstage.graph import Operation
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import TORCH, Net, depths, gradient_line, measured, over_layers, spread_over_examples
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import over_gains
from gainstage.lessons.trainings import Budget, accuracy_line, by_start, shown_by, train_all
from gainstage.records import Bound, Claim, Line, Picture, Slider
from gainstage.statistics import exact, factor, mean
from gainstage.theory import batch_norm_growth
from gainstage.workflows import compare

__all__ = [
    "QUESTION", "growth", "levels", "one_example", "rates", "shifts", "slider", "starts", "steadiness", "units",
]  # fmt: skip

PLAIN = Net("relu", 10, "he_normal")
NORMED = replace(PLAIN, norm="batch")
GAINS = {"He × 0.5": 0.5, "He": 1.0, "He × 2": 2.0}
MEAN, LOWEST, HIGHEST = "largest |mean| of a unit", "smallest spread of a unit", "largest spread of a unit"


def units(setting: Setting, net: Net = NORMED, steps: int = 0) -> Measured:
    """Measure mean and variance of every normalised unit over one batch, at three scales of the weights."""
    dataset = load("digits", seed=setting.seed)
    found, lines = [], []
    for case, gain in GAINS.items():
        for seed in setting.seeds(3, 2):
            model = replace(net, gain=gain).start(dataset, seed)
            if steps:
                TORCH.train(
                    model, dataset, steps=steps, learning_rate=0.03, optimizer="momentum", seed=seed, evaluations=1
                )
            found.append(TORCH.normalised_units(model, dataset))
        profile = measured(model, dataset)
        for name, operation in (("before", Operation.LINEAR), ("after", Operation.NORMALIZATION)):
            nodes = [n for n in profile.nodes if profile.node(n).operation is operation]
            hidden = [n for n in nodes if profile.node(n).label.startswith("hidden.")]
            if operation is Operation.LINEAR or case == "He":
                lines.append(over_layers(f"{case}, {name}", [spread_over_examples(n) for n in hidden]))
    picture = Picture("Spread over the batch before and after normalization", "hidden layer", "spread", tuple(lines),
                      log_y=True)  # fmt: skip
    figures = (
        exact(MEAN, max(f[0] for f in found)),
        exact(LOWEST, min(f[1] for f in found)),
        exact(HIGHEST, max(f[2] for f in found)),
    )
    return Measured(figures, {"6.1": picture})


LEVEL_RANGE = "spread of the activations of layer 10, He × 2 over He × 0.5"
DECADES = "powers of ten between the gradients of layers 1 and 10, saved"


def levels(setting: Setting, normed: Net = NORMED) -> Measured:
    """Measure signal and gradient through depth, with and without batch norm, for three scales of the weights."""
    dataset = load("digits", seed=setting.seed)
    seeds = setting.seeds(8, 4)
    figures, signals, gradients = [], [], []
    last: dict[tuple[bool, float], list[float]] = {}
    for case, gain in GAINS.items():
        plain, held = (depths(replace(net, gain=gain), dataset, seeds) for net in (PLAIN, normed))
        last[False, gain], last[True, gain] = ([d.activation[-1] for d in found] for found in (plain, held))
        saved = [
            abs(math.log10(a.gradient_ratio)) - abs(math.log10(b.gradient_ratio))
            for a, b in zip(plain, held, strict=True)
        ]
        figures.append(mean(DECADES, saved, case))
        for name, found in (("", plain[0]), (" + batch norm", held[0])):
            signals.append(over_layers(f"{case}{name}", found.activation))
            gradients.append(gradient_line(f"{case}{name}", found))
    for case, normalised in (("with", True), ("without", False)):
        ratios = [b / a for a, b in zip(last[normalised, 0.5], last[normalised, 2.0], strict=True)]
        figures.append(factor(LEVEL_RANGE, ratios, case))
    title = "Gradient, as a multiple of that at the last hidden layer"
    pictures = {
        "6.2": Picture("Spread of the activations", "hidden layer", "spread", tuple(signals), log_y=True),
        "6.3": Picture(title, "hidden layer", "gradient (rms)", tuple(gradients), log_y=True),
    }
    return Measured(tuple(figures), pictures)


WORST = "worst accuracy over all gains"
WORST_GAINED = f"{WORST}, gained"


def starts(setting: Setting, normed: Net = NORMED) -> Measured:
    """Train from weights of many scales, with and without batch norm."""
    dataset = load("digits", seed=setting.seed)
    gains = (0.2, 1.0, 3.0) if setting.quick else (0.1, 0.3, 1.0, 3.0, 10.0)
    budget = Budget(setting.of(200, 60), "momentum", (0.03,), evaluations=2)
    sides = (("without", PLAIN), ("with", normed))
    nets = {f"{name}, {gain:g}": replace(net, gain=gain) for name, net in sides for gain in gains}
    trained = train_all(nets, dataset, budget, setting.seeds(6, 3), setting, "6. training from many scales")
    finals = {
        name: np.array([trained[f"{name}, {gain:g}"].finals[0] for gain in gains]) for name in ("without", "with")
    }
    worst = {name: rows.min(axis=0) for name, rows in finals.items()}
    figures = [mean(WORST_GAINED, (worst["with"] - worst["without"]).tolist())]
    figures += [mean(WORST, values.tolist(), name) for name, values in worst.items()]
    x = tuple(map(math.log10, gains))
    lines = tuple(Line(name, x, tuple(rows.mean(axis=1).tolist())) for name, rows in finals.items())
    picture = Picture("Accuracy after training", "log10 of the gain on He's start", "validation accuracy", lines)
    return Measured(tuple(figures), {"6.4": picture})


RATE = "largest learning rate that trains, with over without"
RATE_STARTS = {"He": 1.0, "He × 0.5": 0.5}
TRAINS = 0.8


def rates(setting: Setting, normed: Net = NORMED) -> Measured:
    """Find the largest learning rate that still trains, with and without batch norm, from a good and a poor start."""
    dataset = load("digits", seed=setting.seed)
    ladder = (0.1, 1.0, 10.0) if setting.quick else (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    budget = Budget(setting.of(150, 60), "sgd", ladder, batch=64, evaluations=2)
    nets = {
        f"{case}, {name}": replace(net, gain=gain)
        for name, net in (("without", PLAIN), ("with", normed))
        for case, gain in RATE_STARTS.items()
    }
    trained = train_all(nets, dataset, budget, setting.seeds(6, 3), setting, "6. learning rates")
    # A start for which no rate trains counts as the smallest tried rate, in favour of the other side.
    largest = {
        name: [max([r for r, a in zip(ladder, row, strict=True) if a > TRAINS] or ladder[:1]) for row in found.finals.T]
        for name, found in trained.items()
    }
    step = max(b / a for a, b in pairwise(ladder))
    figures = []
    for case in RATE_STARTS:
        ratios = [a / b for a, b in zip(largest[f"{case}, with"], largest[f"{case}, without"], strict=True)]
        figures.append(factor(RATE, ratios, case, resolution=step))
    x = tuple(map(math.log10, ladder))
    lines = tuple(Line(name, x, tuple(found.finals.mean(axis=1).tolist())) for name, found in trained.items())
    picture = Picture("Accuracy after training", "log10 of the learning rate", "validation accuracy", lines)
    return Measured(tuple(figures), {"6.5": picture})


STEADY = "cosine of successive gradients, gained"
STEPS = {"3 layers, rate 0.1": (3, 0.1), "10 layers, rate 0.03": (10, 0.03), "10 layers, rate 0.1": (10, 0.1)}


def steadiness(setting: Setting, normed: Net = NORMED) -> Measured:
    """Measure the cosine similarity of successive gradients."""
    dataset = load("digits", seed=setting.seed)
    steps = setting.of(60, 15)
    figures, lines = [], []
    for case, (depth, rate) in STEPS.items():
        gained = []
        for seed in setting.seeds(6, 3):
            plain, held = (
                TORCH.gradient_agreement(
                    replace(net, depth=depth).start(dataset, seed), dataset, steps=steps, learning_rate=rate
                )
                for net in (PLAIN, normed)
            )
            # A training that overflowed has no gradient direction.
            gained.append((fmean(held) if len(held) == steps else 0.0) - (fmean(plain) if len(plain) == steps else 0.0))
        figures.append(mean(STEADY, gained, case))
        for name, cosines in (("without", plain), ("with", held)):
            if case != "10 layers, rate 0.1" and cosines:
                lines.append(over_layers(f"{case.split(',')[0]}, {name}", cosines))
    picture = Picture("Cosine of the next gradient with the last one", "step", "cosine", tuple(lines))
    return Measured(tuple(figures), {"6.6": picture})


REFUSED = "a batch of one is refused (1: yes)"
APART = "difference between an example normalised in a batch and by all examples (rms)"
BATCHES = (2, 4, 8, 16, 32, 64, 128, 256)


def one_example(setting: Setting, normed: Net = NORMED) -> Measured:
    """Measure whether a batch of one is accepted, and how much the other examples of a batch change an output."""
    dataset = load("digits", seed=setting.seed)
    seeds = setting.seeds(6, 3)
    refused = TORCH.refuses_one_example(normed.start(dataset, seeds[0]), dataset)
    differences = np.array(
        [TORCH.companions(NORMED.start(dataset, seed), dataset, BATCHES, seed=seed) for seed in seeds]
    )
    figures = [exact(REFUSED, float(refused))]
    figures += [mean(APART, differences[:, BATCHES.index(size)].tolist(), f"batch of {size}") for size in (2, 32, 256)]
    line = Line("first layer", tuple(map(float, BATCHES)), tuple(differences.mean(axis=0).tolist()))
    title = "How much the companions in a batch change an example"
    return Measured(tuple(figures), {"6.7": Picture(title, "examples in the batch", "difference (rms)", (line,))})


DEEP = ("relu", "tanh", "gelu")
GROWTH = "factor of one layer on the gradient's second moment"
AGREES = "measured factor over theory's"


def growth(setting: Setting, norm: Norm = "batch", names: tuple[str, ...] = DEEP) -> Measured:
    """Compare the growth of the gradient's second moment per layer of deep, wide, normalised networks with theory.

    They start from He's scheme. Over units in mirrored pairs, which ``auto`` starts such a network with, a layer is
    linear at first and gradients do not grow (Meterez et al. 2023, for linear layers with orthogonal weights).
    """
    dataset = load("digits", seed=setting.seed)
    figures, lines = [], []
    for name in names:
        found = depths(Net(name, 16, "he_normal", width=128, norm=norm), dataset, setting.seeds(6, 3))
        factors, predicted = [d.gradient_factor**2 for d in found], batch_norm_growth(name)
        figures += [factor(GROWTH, factors, name), factor(AGREES, [f / predicted for f in factors], name)]
        lines.append(gradient_line(name, found[0]))
        lines.append(over_layers(f"{name}, theory", [predicted ** ((16 - layer) / 2) for layer in range(1, 17)]))
    title = "Gradient, as a multiple of that at the last hidden layer"
    return Measured(tuple(figures), {"6.8": Picture(title, "hidden layer", "gradient (rms)", tuple(lines), log_y=True)})


SHIFTED = "share of batch norm's gain that is lost when shifts are put back"
GAINED = "accuracy averaged over training, gained by batch norm"


def shifts(setting: Setting, shift: float = 0.5, scale: float = 1.25) -> Measured:
    """Train with new random shifts and scales after batch norm in every step, as Santurkar et al. did."""
    dataset = load("digits", seed=setting.seed)
    budget = Budget(setting.of(150, 60), "momentum", (0.1,))
    comparison = compare(
        {
            "without": partial(PLAIN.build, dataset),
            "with": partial(NORMED.build, dataset),
            "with, shifted": lambda: TORCH.with_shifts(NORMED.build(dataset), shift, scale),
        },
        dataset, {"He": partial(PLAIN.initialize, dataset=dataset)}, seeds=setting.seeds(5, 3),
        learning_rates=budget.rates, optimizer=budget.optimizer, steps=budget.steps, batch_size=budget.batch,
        evaluations=budget.evaluations, workers=1, on_progress=shown_by(setting, "6. shifts put back"),
    )  # fmt: skip
    trained = by_start(comparison)
    plain, held, shifted = (trained[name].mean for name in ("without", "with", "with, shifted"))
    lost = [(b - c) / (b - a) for a, b, c in zip(plain, held, shifted, strict=True)]
    figures = (mean(SHIFTED, lost), mean(GAINED, [b - a for a, b in zip(plain, held, strict=True)]))
    lines = tuple(accuracy_line(name, found.best) for name, found in trained.items())
    return Measured(figures, {"6.9": Picture("Training ten relu layers", "step", "validation accuracy", lines)})


def slider(setting: Setting) -> Slider:
    """Show the gradient through ten layers with and without batch norm, for weights of every scale."""
    title = "Gradient, as a multiple of that at the last hidden layer"
    return over_gains(
        {"without": PLAIN, "with batch norm": NORMED}, setting, line=gradient_line, words="gain on He's weights",
        picture=Picture(title, "hidden layer", "gradient (rms)", (), log_y=True),
        hint="With batch norm the line does not move at all. At 1 the network without it is the more level one.",
    )  # fmt: skip


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
        "enough. A batch of one has no spread to divide by; PyTorch refuses it. In a small batch what becomes of an "
        "example depends on its companions.",
        "Its inventors explained it by a reduced shift in the distribution of each layer's inputs. Santurkar and "
        "others later put such shifts back on purpose and training stayed as good; they attribute the effect to a "
        "smoother loss. The last claim repeats their experiment in small. The explanation is not settled.",
    ),
    studies=(
        Study("units over the batch", units, (
            Claim(
                "6.1", "It gives every unit mean 0 and spread 1 over the batch (at the start: later they are learned).",
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
                (Bound(WORST_GAINED, above=0.05),), "Ioffe and Szegedy 2015", shows=(WORST,),
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
        )),
        Study("a batch of one", one_example, (
            Claim(
                "6.7", "It works on a batch of one.",
                (Bound(REFUSED, below=0.5),), "put here to be tested", shows=(APART,),
            ),
        )),
        Study("growth of gradients", growth, (
            Claim(
                "6.8", "From He's start, it makes gradients of plain nets grow by E f'²/Var f a layer (second moment).",
                (*for_each(DEEP, GROWTH, above=1.0), *for_each(DEEP, AGREES, above=0.85, below=1.15)),
                "Yang et al. 2019",
            ),
        )),
        Study("covariate shift", shifts, (
            Claim(
                "6.9", "It works by reducing internal covariate shift: with shifts put back, most of its gain is lost.",
                (Bound(SHIFTED, above=0.5),), "Ioffe and Szegedy 2015; contested by Santurkar et al. 2018",
                shows=(GAINED,),
            ),
        )),
    ),
    try_it=(
        "gainstage check mlp:64x64x64x64x64x64x64x64x64x10,act=relu,norm=batch --data digits --batch-size 256",
        "gainstage check mlp:64x64x64x64x64x64x64x64x64x10,act=relu,norm=layer --data digits",
    ),
    references=(
        "Ioffe, Szegedy 2015, Batch normalization: accelerating deep network training",
        "Santurkar et al. 2018, How does batch normalization help optimization?",
        "Yang et al. 2019, A mean field theory of batch normalization",
    ),
    setting="the 8×8 digits, ten hidden relu layers of 64 units, cross-entropy",
    slider=slider,
    play=Play(
        "Batch normalization with weights of half the size. Compare `NORM = \"none\"` and `\"layer\"`, and see what "
        "`LAYERS = 40` does to the gradient with batch norm.",
        "relu", 10, "he_normal", 0.5, "batch",
    ),
)  # fmt: skip
