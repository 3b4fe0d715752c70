"""Question 7: He initialization in practice."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from gainstage.backends import workbench_of
from gainstage.backends.presence import require_keras
from gainstage.data import Dataset, load
from gainstage.errors import GainstageError
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import TORCH, Depth, Net, depths, gradient_line, over_layers
from gainstage.lessons.question import Measured, Play, Question, Setting, Study
from gainstage.lessons.sliders import start_of
from gainstage.lessons.trainings import (
    Budget,
    Trainings,
    accuracy_line,
    by_start,
    final_accuracy,
    loss_line,
    mean_accuracy,
    shown_by,
    train_all,
)
from gainstage.records import Bound, Claim, Line, Picture, Slider
from gainstage.statistics import exact, factor, mean
from gainstage.workflows import compare

__all__ = ["QUESTION", "classic", "defaults", "slider", "thirty_layers", "weights"]

SIZES = (784, 128, 10)
LAYERS = {"784 → 128": 0, "128 → 10": 1}
VARIANCE = "variance of the weights over 2 / n_in"
DEFAULT = "variance of the default weights over He's"
SAMPLING = "sampling error of one draw, one standard error"
ACCURACY = "accuracy on MNIST"
AVERAGE = "accuracy averaged over training"
START = "loss at the start minus log 10"
DEEP = {"He": "final accuracy of 30 layers from He", "Xavier": "final accuracy of 30 layers from Xavier"}
KEPT = "gradient at layer 1 over layer 30"
DEEPEST = 30
TRAINS = 0.5
"""The accuracy from which a training from either start counts as successful: five times guessing."""


KERAS_LAYERS = tuple(f"Keras, {layer}" for layer in LAYERS)
TORCH_LAYERS = tuple(f"PyTorch, {layer}" for layer in LAYERS)
KERAS_NET = "Keras, He on both layers"

Weights = tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]


def keras_absence() -> str | None:
    """Return the reason why Keras cannot be measured here; None where it can."""
    if importlib.util.find_spec("keras") is None:
        return "Keras is not installed"
    try:
        require_keras("The Keras half of the answer")
    except GainstageError as error:  # the backend of Keras is not installed, or broken
        return str(error).rstrip(".")
    return None


def _absent(cases: tuple[str, ...]) -> dict[str, str]:
    """Map the cases that require Keras to the reason why they were not measured; empty where they were."""
    reason = keras_absence()
    return {} if reason is None else dict.fromkeys(cases, reason)


def _drawn(seeds: Iterable[int], he: bool) -> dict[str, list[Weights]]:
    """Draw the weights of the classic network by each framework's own initializer, one tuple of layers per seed."""
    drawn = {"PyTorch": [TORCH.textbook_weights(SIZES, he=he, seed=seed) for seed in seeds]}
    if keras_absence() is None:
        drawn["Keras"] = [workbench_of("keras").textbook_weights(SIZES, he=he, seed=seed) for seed in seeds]
    return drawn


def _over_he(drawn: list[Weights], index: int) -> list[float]:
    """Return the variance of one layer's weights over He's 2 / n_in, for each draw."""
    return [float(w[index].var(dtype="float64")) * SIZES[index] / 2 for w in drawn]


EDGES = np.linspace(-4, 4, 41) * math.sqrt(2 / SIZES[0])


def _densities(drawn: dict[str, list[Weights]]) -> tuple[Line, ...]:
    """Return the density of the first layer's weights, with that of He's normal distribution."""
    centres, spread = (EDGES[1:] + EDGES[:-1]) / 2, math.sqrt(2 / SIZES[0])
    x = tuple(centres.tolist())
    normal = np.exp(-((centres / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
    lines = [Line("He: N(0, 2 / n_in)", x, tuple(normal.tolist()))]
    for framework, draws in drawn.items():
        lines.append(Line(framework, x, tuple(np.histogram(draws[0][0], EDGES, density=True)[0].tolist())))
    return tuple(lines)


def weights(setting: Setting, he: bool = True) -> Measured:
    """Measure both weights of the classic network as drawn by the frameworks' own initializers."""
    figures = []
    drawn = _drawn(setting.seeds(40, 20), he)
    for framework, draws in drawn.items():
        for layer, index in LAYERS.items():
            count, case = SIZES[index] * SIZES[index + 1], f"{framework}, {layer}"
            figures += [
                factor(VARIANCE, _over_he(draws, index), case),
                exact(SAMPLING, math.sqrt(2 / count), case),
            ]
    picture = Picture("Weights of the layer 784 → 128, drawn as He's", "weight", "density", _densities(drawn))
    return Measured(tuple(figures), {"7.1": picture}, _absent(KERAS_LAYERS))


def defaults(setting: Setting, he: bool = False) -> Measured:
    """Measure the weights that the frameworks draw by default."""
    drawn = _drawn(setting.seeds(40, 20), he)
    figures = [
        factor(DEFAULT, _over_he(draws, index), f"{framework}, {layer}")
        for framework, draws in drawn.items()
        for layer, index in LAYERS.items()
    ]
    picture = Picture("Weights of the layer 784 → 128 by default", "weight", "density", _densities(drawn))
    return Measured(tuple(figures), {"7.5": picture}, _absent(KERAS_LAYERS))


CLASSIC = {
    "He on both layers": Net("relu", 1, "he_normal", width=128),
    "He hidden, small head": Net("relu", 1, "auto", width=128),
}


def classic(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Train linear, relu, linear on the MNIST images with Adam and cross-entropy, in PyTorch and in Keras."""
    dataset = load("mnist", seed=setting.seed)
    budget = Budget(setting.of(500, 250), "adam", (1e-3,), batch=64)
    seeds = setting.seeds(5, 3)
    trained = train_all(nets or CLASSIC, dataset, budget, seeds, setting, "7. training in PyTorch")
    if nets is None and keras_absence() is None:
        trained |= _of_keras(dataset, budget, seeds, setting)
    figures, accuracies, losses = [], [], []
    for case, found in trained.items():
        figures += [
            mean(ACCURACY, [final_accuracy(c) for c in found.best], case),
            mean(START, [c.evaluations[0].loss - math.log(dataset.classes) for c in found.best], case),
            mean(AVERAGE, [mean_accuracy(c) for c in found.best], case),
        ]
        accuracies.append(accuracy_line(case, found.best))
        losses.append(loss_line(case, found.best[0], 40))
    steps = losses[0].x
    losses.append(Line("equal probabilities", steps, (math.log(dataset.classes),) * len(steps)))
    pictures = {
        "7.2": Picture("The classic network on MNIST", "step", "validation accuracy", tuple(accuracies)),
        "7.3": Picture("The loss of the first steps", "step", "loss", tuple(losses)),
    }
    return Measured(tuple(figures), pictures, _absent((KERAS_NET,)))


def _of_keras(dataset: Dataset, budget: Budget, seeds: tuple[int, ...], setting: Setting) -> dict[str, Trainings]:
    """Train the classic network of Keras's textbooks: HeNormal, and a softmax at the end."""
    comparison = compare(
        {KERAS_NET: partial(workbench_of("keras").textbook, SIZES)},
        dataset, ["keep"], seeds=seeds, learning_rates=budget.rates, optimizer=budget.optimizer, steps=budget.steps,
        batch_size=budget.batch, evaluations=budget.evaluations, workers=1,
        on_progress=shown_by(setting, "7. training in Keras"),
    )  # fmt: skip
    return by_start(comparison)


DEEP_NETS = {
    "He": Net("relu", DEEPEST, "he_normal"),
    "Xavier": Net("relu", DEEPEST, "glorot_normal"),
}
OPTIMIZERS = {"momentum": (0.03, 0.01, 0.003), "Adam": (3e-3, 1e-3, 3e-4)}


def thirty_layers(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Train thirty relu layers from He's start and from Xavier's, each at its best learning rate."""
    dataset = load("digits", seed=setting.seed)
    nets = nets or DEEP_NETS
    figures, lines = [], []
    for start, net in nets.items():
        ratios = [d.gradient_ratio for d in depths(net, dataset, setting.seeds(6, 3))]
        figures.append(factor(KEPT, ratios, start))
    for optimizer, rates in OPTIMIZERS.items():
        budget = Budget(setting.of(400, 160), optimizer.lower(), rates[1:2] if setting.quick else rates)
        trained = train_all(nets, dataset, budget, setting.seeds(5, 3), setting, f"7. thirty layers, {optimizer}")
        for start, found in trained.items():
            figures.append(mean(DEEP[start], found.final, optimizer))
            lines.append(accuracy_line(f"{start}, {optimizer}", found.best))
    picture = Picture("Training thirty relu layers", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"7.4": picture})


def slider(setting: Setting) -> Slider:
    """Show signal and gradient through thirty relu layers for weights of every variance."""
    dataset, seed = load("digits", seed=setting.seed), setting.seeds(1, 1)
    variances = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
    pictures = []
    for variance in variances:
        found = depths(replace(DEEP_NETS["He"], gain=math.sqrt(variance / 2)), dataset, seed)[0]
        lines = (_level_line("signal (rms)", found), gradient_line("gradient", found))
        title = "Signal against the first layer, gradient against the last one"
        pictures.append(Picture(title, "hidden layer", "ratio", lines, log_y=True))
    hint = (
        "2 is He's rule: after thirty layers both are within a factor of ten. At 1, Xavier's rule for equal widths, "
        "both have lost four powers of ten or more."
    )
    return Slider("n_in times the variance of the weights", variances, tuple(pictures), start_of(variances, 2.0), hint)


def _level_line(label: str, found: Depth) -> Line:
    return over_layers(label, [level / found.level[0] for level in found.level])


QUESTION = Question(
    number=7,
    slug="he",
    question="He initialization in practice: how is it done, and what is questionable about it?",
    text=(
        "A relu passes half of a centred signal, so its output has half of the second moment. He's rule makes up for "
        "that with weights of mean 0 and variance 2 / n_in. In PyTorch: torch.nn.init.kaiming_normal_(layer.weight, "
        "nonlinearity='relu') and zeros for the bias. In Keras: Dense(128, activation='relu', "
        "kernel_initializer='he_normal'). Keras cuts the tails off, at 2.3 standard deviations, and widens the rest so "
        "that the variance is the same; PyTorch does not.",
        "In the classic network 784 → 128 → 10 it hardly matters: one hidden layer trains from almost any start. In "
        "thirty layers Xavier's missing factor of 2 is paid thirty times; Adam, which divides the size of a gradient "
        "out, makes up for a part of it.",
        "Questionable are two habits. The factor of 2 belongs to a layer that reads a relu's output and keeps the "
        "level for the next relu; on the output layer it only makes the first logits louder, so that training starts "
        "above the loss of equal probabilities and first unlearns its random opinions. And a layer without an explicit "
        "initializer is not He's in either framework: PyTorch's nn.Linear draws uniformly with variance 1 / (3 n_in), "
        "a sixth of He's, and Keras's Dense uses Glorot's uniform rule, which comes near He's only where a layer has "
        "far fewer outputs than inputs.",
    ),
    studies=(
        Study("the weights themselves", weights, (
            Claim(
                "7.1", "He initialization draws weights with variance 2 / n_in.",
                (Bound(VARIANCE, 0.98, 1.02, TORCH_LAYERS[0]), Bound(VARIANCE, 0.95, 1.05, TORCH_LAYERS[1]),
                 Bound(VARIANCE, 0.98, 1.02, KERAS_LAYERS[0]), Bound(VARIANCE, 0.95, 1.05, KERAS_LAYERS[1])),
                "He et al. 2015, eq. 10", shows=(SAMPLING,),
            ),
        )),
        Study("the classic network", classic, (
            Claim(
                "7.2", "784 → 128 → 10 with He, Adam and cross-entropy learns the MNIST images.",
                (Bound(ACCURACY, above=0.9, case="He on both layers"),
                 Bound(ACCURACY, above=0.9, case=KERAS_NET)),
                "common teaching", shows=(ACCURACY, AVERAGE),
            ),
            Claim(
                "7.3", "He's gain belongs on the output layer too: the loss starts at that of equal probabilities.",
                (Bound(START, below=0.05, case="He on both layers"), Bound(START, below=0.05, case=KERAS_NET)),
                "put here to be tested", shows=(START,),
            ),
        )),
        Study("thirty layers", thirty_layers, (
            Claim(
                "7.4", "A 30-layer relu network trains from He's start, and does not from Xavier's.",
                tuple(b for o in OPTIMIZERS for b in
                      (Bound(DEEP["He"], above=TRAINS, case=o), Bound(DEEP["Xavier"], below=TRAINS, case=o))),
                "He et al. 2015, figure 3", shows=(KEPT,),
            ),
        )),
        Study("the defaults", defaults, (
            Claim(
                "7.5", "The framework's default for a linear layer is He's rule.",
                for_each((*TORCH_LAYERS, *KERAS_LAYERS), DEFAULT, above=0.95, below=1.05), "a common belief",
            ),
        )),
    ),
    try_it=(
        "gainstage demo --network classic",
        "gainstage demo --network classic --framework keras",
        "gainstage init mlp:784x128x10 --scheme he_normal --override 'head.*=auto' --input 784 --dry-run",
    ),
    references=(
        "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers",
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "LeCun et al. 1998, Gradient-based learning applied to document recognition (MNIST)",
    ),
    setting="5,000 MNIST images (784 → 128 → 10, in PyTorch and in Keras) and the 8×8 digits (30 × 64 units)",
    slider=slider,
    play=Play(
        "Thirty relu layers at He's start. Set `SCHEME = \"glorot_normal\"`, then give it back its factor of 2 by "
        "`GAIN = 2**0.5`.",
        "relu", 30, "he_normal",
    ),
)  # fmt: skip
