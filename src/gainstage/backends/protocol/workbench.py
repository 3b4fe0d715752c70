"""What the command line, demonstrations and lessons need of a framework besides tracing and comparing trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.model_names import Norm
from gainstage.data import Dataset, InputSpec
from gainstage.records import TrainingCurve

__all__ = [
    "FirstSteps", "LayerLevel", "LessonWorkbench", "Norm", "SoftmaxUse", "Train", "Watched", "Workbench",
]  # fmt: skip

SoftmaxUse = Literal["cross_entropy", "mse", "hidden"]


class Train(Protocol):
    """The training loop of one model."""

    def __call__(
        self,
        model: Any,
        dataset: Dataset,
        *,
        steps: int = 400,
        batch: int = 64,
        learning_rate: float = 1e-3,
        optimizer: str = "adam",
        loss: str | None = None,
        clip: float | None = None,
        seed: int = 0,
        evaluations: int = 20,
        label: str = "",
        on_step: Callable[[int, float], None] | None = None,
    ) -> TrainingCurve:
        """Train in place."""
        ...


class Workbench(Protocol):
    """Batches, losses, optimizers, files and demonstration networks of one framework.

    ``gainstage.backends.<framework>.workbench`` is a module with these names.
    """

    TITLE: str
    """The framework's name in words."""
    MEMORYLESS: bool
    """Whether models can be built and traced without memory for their weights."""
    TEXTBOOK_SCHEME: str
    """The scheme that ``textbook`` still needs: ``keep`` where its layers drew by He's rule themselves."""
    CLASSIFIER_LOSS: Any
    """The loss between class numbers and what ``classifier`` and ``textbook`` return."""
    train: Train

    def example_batch(
        self, model: Any, specs: Sequence[InputSpec], *, batch: int = 32, seed: int = 0, device: str = "cpu"
    ) -> Any:
        """Make up a batch: standard normal values and uniform tokens, the same for the same seed.

        Raises:
            InputError: the inputs are not described, or a token's vocabulary is not known.
        """
        ...

    def labelled_batch(
        self, dataset: Dataset, specs: Sequence[InputSpec] | None = None, *, batch: int = 32, device: str = "cpu"
    ) -> tuple[Any, Any]:
        """The first training examples of a dataset, and their labels.

        Raises:
            InputError: the model takes several inputs, or one of another size.
        """
        ...

    def arrays_of(self, source: Any) -> tuple[Any, Any]:
        """All examples and labels of a dataset of the framework.

        Raises:
            InputError: the dataset is empty, endless, or not made of pairs.
        """
        ...

    def first_batch(self, source: Any) -> Any:
        """The first batch of a dataset or loader of the framework, as it comes; random states stay as they are.

        Raises:
            InputError: it is empty.
        """
        ...

    def with_own_labels(self, model: Any, batch: Any) -> Any:
        """A made-up batch with labels in it, for models that turn these into the loss they train with."""
        ...

    def load_weights(self, model: Any, path: Path) -> None:
        """Read a file of weights into a model, without running code that the file may hold.

        Raises:
            InputError: the file cannot be read, or does not fit the model.
        """
        ...

    def on_device(self, model: Any, device: str) -> Any:
        """The model, moved.

        Raises:
            InputError: the device cannot be used.
        """
        ...

    def loss(self, model: Any, inputs: Any, classes: int, name: str | None = None) -> Any:
        """The loss of that name, or else the loss that fits what the model returns; None where it brings its own.

        Args:
            model: of the framework.
            inputs: a batch that the model takes.
            classes: the number of different labels; 0 for a regression.
            name: gainstage's or the framework's own.

        Raises:
            UnknownNameError: there is none of that name.
        """
        ...

    def optimizer(self, name: str, model: Any, learning_rate: float) -> Any:
        """An optimizer for a model.

        Raises:
            UnknownNameError: there is none of that name.
            InputError: the learning rate is not a positive number, or nothing is trainable.
        """
        ...

    def usable_path(self, path: Path) -> object:
        """Refuse a file that weights could not be written to.

        Raises:
            InputError: the ending is unknown, or the directory does not exist.
        """
        ...

    def save_weights(self, model: Any, path: Path) -> Path:
        """Write a model's weights.

        Raises:
            InputError: the file cannot be written.
        """
        ...

    def classifier(self, sizes: tuple[int, ...], activation: str, seed: int) -> Any:
        """A perceptron for classes at the framework's default initialization.

        Args:
            sizes: widths from the input to the output.
            activation: after every layer but the last.
            seed: of the weights.
        """
        ...

    def network(
        self,
        sizes: tuple[int, ...],
        activation: str,
        *,
        norm: Norm = "none",
        residual: bool = False,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> Any:
        """A perceptron for classes that returns logits, at the framework's default initialization.

        Args:
            sizes: widths from the input to the output.
            activation: after every layer but the last.
            norm: between a hidden layer and its activation.
            residual: whether a skip bypasses every hidden layer that keeps the width.
            dropout: share of the hidden units that a training step drops.
            seed: of the weights.
        """
        ...

    def layer_levels(self, model: Any, inputs: Any, labels: Any, loss: Any) -> tuple[LayerLevel, ...]:
        """Measure signal and gradient at the linear layers in one plain pass; empty where only a record can."""
        ...

    def multiply_weights(self, model: Any, factors: Mapping[str, float]) -> None:
        """Multiply parameters by factors, by path and in place."""
        ...

    def write_values(self, model: Any, values: Mapping[str, NDArray[np.float32]]) -> None:
        """Set parameters to arrays of their shape, by path and in place."""
        ...

    def watch_training(self, model: Any, dataset: Dataset, loss: Any) -> Callable[[bool], Watched]:
        """Return a function that looks at a model in training; it also runs the validation examples where asked."""
        ...

    def textbook(self, sizes: tuple[int, ...], seed: int | None = None) -> Any:
        """A relu perceptron as textbooks write it; ``TEXTBOOK_SCHEME`` applied to it gives He's rule."""
        ...

    def textbook_weights(self, sizes: tuple[int, ...], *, he: bool, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
        """The weights of fully connected layers as the framework itself draws them, in its own layout.

        Args:
            sizes: widths from the input to the output.
            he: by the framework's own initializer after He, or by the layer's default.
            seed: of the framework's random numbers.
        """
        ...

    def give_way(self) -> AbstractContextManager[None]:
        """Let other threads use the framework meanwhile, inside what a training calls after a step."""
        ...

    def one_thread(self) -> AbstractContextManager[None]:
        """Compute in one thread meanwhile, where the framework allows to choose."""
        ...


@dataclass(frozen=True, slots=True)
class LayerLevel:
    """Signal and gradient at one layer.

    Args:
        path: of the layer.
        spread: standard deviation over all elements of the output.
        gradient: norm of the gradient of the loss with respect to the output.
    """

    path: str
    spread: float
    gradient: float


@dataclass(frozen=True, slots=True)
class Watched:
    """A look at a model in training.

    Args:
        moved_first: ‖change since the start‖ / ‖weight at the start‖ of the first weight.
        moved_last: the same of the last weight.
        gradient_first: norm of the last gradient of the first weight; NaN where the framework keeps no gradients.
        gradient_last: the same of the last weight.
        loss: on the validation examples; NaN where they were not run.
        accuracy: share of them that is classified correctly; NaN where they were not run.
    """

    moved_first: float
    moved_last: float
    gradient_first: float = math.nan
    gradient_last: float = math.nan
    loss: float = math.nan
    accuracy: float = math.nan


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What the first steps of a training do to every weight (biases and norms left out), in order of flow.

    Args:
        paths: of the weights.
        first: ‖change‖ / ‖weight‖ of the first step.
        moved: ‖change since the start‖ / ‖weight at the start‖ after the last step.
        grown: ‖weight after the last step‖ / ‖weight at the start‖.
        losses: before every step, on its batch; the last one is not finite when training diverged.
    """

    paths: tuple[str, ...]
    first: tuple[float, ...]
    moved: tuple[float, ...]
    grown: tuple[float, ...]
    losses: tuple[float, ...]


class LessonWorkbench(Workbench, Protocol):
    """The measurements and short trainings that lessons make on PyTorch; what they return holds no tensors."""

    ACTIVATIONS: Collection[str]
    """Activations that ``mlp`` has layers for."""

    def mlp(
        self, sizes: Sequence[int], *, activation: str = "relu", norm: Norm = "none", seed: int | None = None
    ) -> Any:
        """A perceptron at the framework's default initialization, with a norm before every activation."""
        ...

    def activation_code(self, name: str) -> str:
        """The layer of an activation as code, without the module that it comes from."""
        ...

    def softmax_gradient(self, logits: tuple[float, ...], target: int, use: SoftmaxUse) -> tuple[float, ...]:
        """The gradient with respect to the logits of a softmax, for one example."""
        ...

    def normalised_units(self, model: Any, dataset: Dataset, *, batch: int = 256) -> tuple[float, float, float]:
        """Largest |mean|, smallest and largest standard deviation over the batch of any unit behind a batch norm."""
        ...

    def refuses_one_example(self, model: Any, dataset: Dataset) -> bool:
        """Whether a forward pass of a single example in training mode raises."""
        ...

    def companions(
        self, model: Any, dataset: Dataset, sizes: Sequence[int], *, seed: int = 0, rounds: int = 8
    ) -> tuple[float, ...]:
        """The effect of the other examples of a batch on one example behind the first batch norm, by batch size."""
        ...

    def with_shifts(self, model: Any, shift: float = 0.5, scale: float = 1.25) -> Any:
        """The model, the outputs of its batch norms shifted and scaled anew in every training step."""
        ...

    def first_steps(
        self,
        model: Any,
        dataset: Dataset,
        *,
        steps: int = 50,
        learning_rate: float = 0.05,
        optimizer: str = "momentum",
        batch: int = 64,
        seed: int = 0,
    ) -> FirstSteps:
        """Train a model in place for a few steps and measure how far each weight moves."""
        ...

    def gradient_agreement(
        self, model: Any, dataset: Dataset, *, steps: int = 50, learning_rate: float = 0.05, batch: int = 256
    ) -> tuple[float, ...]:
        """Cosines of successive gradients of plain gradient descent on one fixed batch."""
        ...
