"""Question 7: He initialization in practice."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from functools import partial

import numpy as np

from gainstage.backends.presence import require_keras
from gainstage.backends.torch.probes import classic_weights
from gainstage.data import Dataset, load
from gainstage.errors import GainstageError
from gainstage.lessons.criterion import for_each
from gainstage.lessons.networks import Net, depths, over_layers
from gainstage.lessons.question import Measured, Question, Setting, Study
from gainstage.lessons.trainings import Budget, Trained, accuracy_line, at_best_rate, final_accuracy, mean_accuracy, run
from gainstage.records import Bound, Claim, Picture, TrainingCurve
from gainstage.statistics import exact, factor, mean

__all__ = ["QUESTION", "classic", "defaults", "thirty_layers", "weights"]

SIZES = (784, 128, 10)
LAYERS = {"784 → 128": 0, "128 → 10": 1}
VARIANCE = "variance of the weights over 2 / n_in"
DEFAULT = "variance of the default weights over He's"
SAMPLING = "sampling error of one draw, one standard error"
ACCURACY = "accuracy on MNIST"
START = "loss at the start minus log 10"
DEEP = {"He": "final accuracy of 30 layers from He", "Xavier": "final accuracy of 30 layers from Xavier"}
KEPT = "gradient at layer 1 over layer 30"
DEEPEST = 30
TRAINS = 0.5
"""One line for both starts: half of ten classes right is five times guessing."""


KERAS_LAYERS = tuple(f"Keras, {layer}" for layer in LAYERS)
TORCH_LAYERS = tuple(f"PyTorch, {layer}" for layer in LAYERS)
KERAS_NET = "Keras, He on both layers"

Weights = tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]


def keras_absence() -> str | None:
    """Why nothing of Keras can be measured here; None where it can."""
    if importlib.util.find_spec("keras") is None:
        return "Keras is not installed"
    try:
        require_keras("The Keras half of the answer")
    except GainstageError as error:  # its backend is not installed, or broken
        return str(error).rstrip(".")
    return None


def _absent(cases: tuple[str, ...]) -> dict[str, str]:
    """Cases that need Keras, with the reason why they were not measured; none where they were."""
    reason = keras_absence()
    return {} if reason is None else dict.fromkeys(cases, reason)


def _drawn(seeds: Iterable[int], he: bool) -> dict[str, list[Weights]]:
    """The weights of the classic network as each framework draws them itself, one tuple of layers for every seed."""
    drawn = {"PyTorch": [classic_weights(SIZES, "kaiming_normal_" if he else "default", seed) for seed in seeds]}
    if keras_absence() is None:
        from gainstage.backends.keras.probes import classic_weights as of_keras

        drawn["Keras"] = [of_keras(SIZES, "he_normal" if he else "default", seed) for seed in seeds]
    return drawn


def _over_he(drawn: list[Weights], index: int) -> list[float]:
    """The variance of one layer's weights over He's 2 / n_in, draw by draw."""
    return [float(w[index].var(dtype="float64")) * SIZES[index] / 2 for w in drawn]


def weights(setting: Setting, he: bool = True) -> Measured:
    """Both weights of the classic network as the frameworks' own initializers draw them."""
    figures = []
    for framework, drawn in _drawn(setting.seeds(40, 20), he).items():
        for layer, index in LAYERS.items():
            count, case = SIZES[index] * SIZES[index + 1], f"{framework}, {layer}"
            figures += [
                factor(VARIANCE, _over_he(drawn, index), case),
                exact(SAMPLING, math.sqrt(2 / count), case),
            ]
    return Measured(tuple(figures), {}, _absent(KERAS_LAYERS))


def defaults(setting: Setting) -> Measured:
    """What the frameworks draw when nobody asks for He."""
    figures = [
        factor(DEFAULT, _over_he(drawn, index), f"{framework}, {layer}")
        for framework, drawn in _drawn(setting.seeds(40, 20), he=False).items()
        for layer, index in LAYERS.items()
    ]
    return Measured(tuple(figures), {}, _absent(KERAS_LAYERS))


HE_EVERYWHERE = Net("relu", 1, "he_normal", width=128)
CLASSIC = {"He on both layers": HE_EVERYWHERE, "He hidden, small head": Net("relu", 1, "auto", width=128)}


def classic(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Linear, relu, linear on the MNIST images with Adam and cross-entropy, in PyTorch and in Keras."""
    dataset = load("mnist", seed=setting.seed)
    budget = Budget(setting.of(600, 200), "adam", (1e-3,))
    figures, lines = [], []
    trainings = {case: partial(run, net, dataset, budget, 1e-3) for case, net in (nets or CLASSIC).items()}
    if nets is None and keras_absence() is None:
        trainings[KERAS_NET] = partial(_of_keras, dataset, budget)
    for case, training in trainings.items():
        curves, seeds = [], setting.seeds(4, 3)
        for i, seed in enumerate(seeds):
            setting.progress(f"7. training: {case}", i, len(seeds))
            curves.append(training(seed))
        figures += [
            mean(ACCURACY, [final_accuracy(c) for c in curves], case),
            mean(START, [c.evaluations[0].loss - math.log(dataset.classes) for c in curves], case),
            mean("accuracy averaged over training", [mean_accuracy(c) for c in curves], case),
        ]
        lines.append(accuracy_line(case, Trained(1e-3, tuple(curves))))
    picture = Picture("The classic network on MNIST", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"7.2": picture}, _absent((KERAS_NET,)))


def _of_keras(dataset: Dataset, budget: Budget, seed: int) -> TrainingCurve:
    """One training of the classic network as Keras's textbooks have it: HeNormal, and a softmax at the end."""
    from gainstage.backends.keras.build import mlp
    from gainstage.backends.keras.train import train

    return train(
        mlp(SIZES, output="softmax", rule="he_normal", seed=seed),
        dataset,
        steps=budget.steps,
        batch=budget.batch,
        learning_rate=budget.rates[0],
        optimizer=budget.optimizer,
        seed=seed,
        evaluations=budget.evaluations,
        label=KERAS_NET,
    )


DEEP_NETS = {
    "He": Net("relu", DEEPEST, "he_normal"),
    "Xavier": Net("relu", DEEPEST, "glorot_normal"),
}
OPTIMIZERS = {"momentum": (0.1, 0.03, 0.01, 0.003), "Adam": (3e-3, 1e-3, 3e-4)}


def thirty_layers(setting: Setting, nets: dict[str, Net] | None = None) -> Measured:
    """Thirty relu layers from He's start and from Xavier's, each at the best of its learning rates."""
    dataset = load("digits", seed=setting.seed)
    figures, lines, gradients = [], [], []
    for start, net in (nets or DEEP_NETS).items():
        found = depths(net, dataset, setting.seeds(4, 3))
        figures.append(factor(KEPT, [d.gradient_ratio for d in found], start))
        gradients.append(over_layers(start, [g / found[0].gradient[-1] for g in found[0].gradient]))
        for optimizer, rates in OPTIMIZERS.items():
            case = f"{start}, {optimizer}"
            chosen = rates[1:2] if setting.quick else rates
            budget = Budget(setting.of(300, 120), optimizer.lower(), chosen)
            trained = at_best_rate(net, dataset, budget, setting.seeds(4, 3), setting, f"7. training: {case}")
            figures.append(mean(DEEP[start], trained.final, optimizer))
            lines.append(accuracy_line(case, trained))
    picture = Picture("Training thirty relu layers", "step", "validation accuracy", tuple(lines))
    return Measured(tuple(figures), {"7.4": picture})


QUESTION = Question(
    number=7,
    slug="he",
    question="He initialization in practice: how is it done, and what is questionable about it?",
    text=(
        "A relu passes half of a centred signal, so its output has half of the second moment. He's rule makes up for "
        "that with weights of mean 0 and variance 2 / n_in. In PyTorch: torch.nn.init.kaiming_normal_(layer.weight, "
        "nonlinearity='relu') and zeros for the bias. In Keras: Dense(128, activation='relu', "
        "kernel_initializer='he_normal').",
        "In the classic network 784 → 128 → 10 it hardly matters: one hidden layer trains from almost any start. In "
        "thirty layers Xavier's missing factor of 2 is paid thirty times.",
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
                "common teaching", shows=(ACCURACY, "accuracy averaged over training"),
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
        "gainstage init mlp:784x128x10 --scheme he_normal --override 'head.*=auto' --input 784",
    ),
    references=(
        "He, Zhang, Ren, Sun 2015, Delving deep into rectifiers",
        "Glorot, Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
        "LeCun et al. 1998, Gradient-based learning applied to document recognition (MNIST)",
    ),
    setting="5,000 MNIST images (784 → 128 → 10, in PyTorch and in Keras) and the 8×8 digits (30 × 64 units)",
)  # fmt: skip
