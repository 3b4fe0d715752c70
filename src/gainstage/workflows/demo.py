"""The main job on real data, from the first check to the second training curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gainstage.backends import Framework, Workbench, backend_of, workbench_of
from gainstage.data import Dataset, load
from gainstage.records import Diagnosis, Fixed, Plan, TrainingCurve
from gainstage.workflows.checking import check
from gainstage.workflows.fixing import fix
from gainstage.workflows.initializing import initialize

__all__ = ["ClassicDemo", "DeepDemo", "Progress", "WeightFigure", "classic", "deep"]

Progress = Callable[[str, int, int], None]
"""Called with a stage in words, the steps made in it, and how many there are."""

CHECK_BATCH = 256
BATCH, RATE, OPTIMIZER = 64, 1e-3, "adam"


@dataclass(frozen=True, slots=True)
class DeepDemo:
    """A deep network that does not train, why, the cure, and the proof.

    Args:
        data: what it is trained on, in words.
        examples: how many are trained on, and how many are held back.
        sizes: widths of the network.
        activation: its activation.
        before: training from the framework's default.
        fixed: both diagnoses and what was done between them.
        after: training from the mended start.
        framework: whose network it is.
    """

    data: str
    examples: tuple[int, int]
    sizes: tuple[int, ...]
    activation: str
    before: TrainingCurve
    fixed: Fixed
    after: TrainingCurve
    framework: Framework = "torch"


@dataclass(frozen=True, slots=True)
class WeightFigure:
    """The variance of one weight against the value its scheme aims at.

    Args:
        path: of the weight.
        variance: measured over its elements.
        target: gain² / fan_in.
        fan_in: of the weight.
        tolerance: one standard error of a variance of that many independent normal draws, target · √(2 / count).
    """

    path: str
    variance: float
    target: float
    fan_in: int
    tolerance: float

    @property
    def as_drawn(self) -> bool:
        """Whether the variance is within three standard errors of what the scheme aims at."""
        return abs(self.variance - self.target) < 3 * self.tolerance


@dataclass(frozen=True, slots=True)
class ClassicDemo:
    """The textbook network: what is right about its start and what is questionable, in figures.

    Args:
        data: what it is trained on, in words.
        examples: how many are trained on, and how many are held back.
        sizes: widths of the network.
        weights: both weights against He's 2 / fan_in.
        diagnosis: of the network as the textbooks have it.
        before: its training.
        plan: what mends the head.
        mended: the diagnosis after that.
        after: training from there.
        framework: whose network it is: Keras's ends in a softmax.
    """

    data: str
    examples: tuple[int, int]
    sizes: tuple[int, ...]
    weights: tuple[WeightFigure, ...]
    diagnosis: Diagnosis
    before: TrainingCurve
    plan: Plan
    mended: Diagnosis
    after: TrainingCurve
    framework: Framework = "torch"


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is watching."""


def deep(
    data: str = "digits",
    *,
    framework: Framework = "torch",
    depth: int = 12,
    width: int = 128,
    steps: int = 600,
    seed: int = 0,
    progress: Progress = _silent,
) -> DeepDemo:
    """A deep sigmoid network at its framework's default: train it, check it, mend it, check again, train again.

    Args:
        data: ``digits`` or ``mnist``.
        framework: PyTorch or Keras, on whichever backend it runs.
        depth: hidden layers.
        width: units of each.
        steps: of each training.
        seed: of weights, batches and draws.
        progress: told how far it is.

    Raises:
        GainstageError: the data cannot be loaded, or an argument cannot be used.
    """
    bench = workbench_of(framework, "The demonstration")
    progress("Loading the data", 0, 1)
    dataset = load(data, seed=seed)
    sizes = (dataset.features, *[width] * depth, dataset.classes)
    with bench.one_thread():
        model = bench.classifier(sizes, "sigmoid", seed)
        x, y = bench.labelled_batch(dataset, batch=CHECK_BATCH)
        restore = backend_of(model).snapshot(model)
        before = _train(bench, model, dataset, steps, seed, f"{bench.TITLE}'s default", progress)
        restore()
        progress("Checking and mending", 0, 1)
        diagnosis = check(model, x, y, loss=bench.CLASSIFIER_LOSS)
        fixed = fix(model, x, y, loss=bench.CLASSIFIER_LOSS, diagnosis=diagnosis, seed=seed)
        after = _train(bench, model, dataset, steps, seed, "mended", progress)
    examples = len(dataset.x_train), len(dataset.x_validation)
    return DeepDemo(dataset.source, examples, sizes, "sigmoid", before, fixed, after, framework)


def classic(
    data: str = "mnist",
    *,
    framework: Framework = "torch",
    width: int = 128,
    steps: int = 600,
    seed: int = 0,
    progress: Progress = _silent,
) -> ClassicDemo:
    """Linear, ReLU, Linear, both drawn by He's rule for relu: check it, mend its head, compare start and training.

    Args:
        data: ``mnist`` or ``digits``.
        framework: PyTorch or Keras, on whichever backend it runs; Keras's network returns probabilities.
        width: of the hidden layer.
        steps: of each training.
        seed: of weights, batches and draws.
        progress: told how far it is.

    Raises:
        GainstageError: the data cannot be loaded, or an argument cannot be used.
    """
    bench = workbench_of(framework, "The demonstration")
    progress("Loading the data", 0, 1)
    dataset = load(data, seed=seed)
    sizes = (dataset.features, width, dataset.classes)
    with bench.one_thread():
        model = bench.textbook(sizes, seed)
        initialize(model, bench.TEXTBOOK_SCHEME, seed=seed)
        x, y = bench.labelled_batch(dataset, batch=CHECK_BATCH)
        diagnosis = check(model, x, y, loss=bench.CLASSIFIER_LOSS)
        restore = backend_of(model).snapshot(model)
        before = _train(bench, model, dataset, steps, seed, "He on both", progress)
        restore()
        plan = initialize(model, "keep", x=x, seed=seed, overrides={"head": "auto"})
        mended = check(model, x, y, loss=bench.CLASSIFIER_LOSS)
        after = _train(bench, model, dataset, steps, seed, "head by its role", progress)
    examples = len(dataset.x_train), len(dataset.x_validation)
    figures = _against_he(diagnosis)
    return ClassicDemo(dataset.source, examples, sizes, figures, diagnosis, before, plan, mended, after, framework)


def _train(
    bench: Workbench, model: Any, dataset: Dataset, steps: int, seed: int, label: str, progress: Progress
) -> TrainingCurve:
    def on_step(step: int, loss: float) -> None:  # noqa: ARG001
        progress(f"Training: {label}", step, steps)

    return bench.train(
        model,
        dataset,
        steps=steps,
        batch=BATCH,
        learning_rate=RATE,
        optimizer=OPTIMIZER,
        seed=seed,
        evaluations=30,
        label=label,
        on_step=on_step,
    )


def _against_he(diagnosis: Diagnosis) -> tuple[WeightFigure, ...]:
    graph = diagnosis.profile.graph
    figures = []
    for measured in diagnosis.profile.parameters:
        kernel = graph.parameter(measured.path).kernel
        if kernel is not None:
            target = 2 / kernel.fan_in
            tolerance = target * math.sqrt(2 / kernel.size)
            figures.append(WeightFigure(measured.path, measured.weight.variance, target, int(kernel.fan_in), tolerance))
    return tuple(figures)
