"""PyTorch's side of the protocol ``LessonWorkbench``."""

from __future__ import annotations

from typing import Any

from gainstage.backends.model_names import Norm
from gainstage.backends.torch.measuring.lesson_measurements import (
    companions,
    normalised_units,
    one_thread,
    refuses_one_example,
    softmax_gradient,
    textbook_weights,
    with_shifts,
)
from gainstage.backends.torch.measuring.levels import layer_levels, multiply_weights, write_values
from gainstage.backends.torch.models.build import ACTIVATIONS, mlp
from gainstage.backends.torch.models.datasets import arrays_of, first_batch
from gainstage.backends.torch.models.described_inputs import with_own_labels
from gainstage.backends.torch.models.inputs import example_batch, labelled_batch, on_device
from gainstage.backends.torch.models.random_states import give_way
from gainstage.backends.torch.models.weight_files import load_weights
from gainstage.backends.torch.training.lesson_experiments import first_steps, gradient_agreement
from gainstage.backends.torch.training.live import watch_training
from gainstage.backends.torch.training.objectives import loss_function, optimizer
from gainstage.backends.torch.training.train import train
from gainstage.backends.torch.writing.save import save_weights, usable_path

__all__ = [
    "ACTIVATIONS", "CLASSIFIER_LOSS", "MEMORYLESS", "TEXTBOOK_SCHEME", "TITLE", "activation_code", "arrays_of",
    "classifier",
    "companions", "example_batch", "first_batch", "first_steps", "give_way", "gradient_agreement", "labelled_batch",
    "layer_levels", "load_weights", "loss", "mlp", "multiply_weights", "network", "normalised_units", "on_device",
    "one_thread", "optimizer", "refuses_one_example", "save_weights", "softmax_gradient", "textbook",
    "textbook_weights", "train", "usable_path", "watch_training", "with_own_labels", "with_shifts", "write_values",
]  # fmt: skip

TITLE = "PyTorch"
MEMORYLESS = True
TEXTBOOK_SCHEME = "he_normal"
CLASSIFIER_LOSS = loss_function("cross_entropy")


def loss(model: Any, inputs: Any, classes: int, name: str | None = None) -> Any:  # noqa: ARG001
    """The loss of that name, or cross-entropy for classes and the mean square for values.

    Raises:
        UnknownNameError: there is none of that name.

    >>> loss(None, None, classes=10).__name__
    '_cross_entropy'
    """
    return loss_function(name or ("cross_entropy" if classes else "mse"))


def classifier(sizes: tuple[int, ...], activation: str, seed: int) -> Any:
    """A perceptron that returns logits, at PyTorch's default initialization.

    >>> classifier((64, 32, 10), "tanh", seed=0).head
    Linear(in_features=32, out_features=10, bias=True)
    """
    return mlp(sizes, activation=activation, seed=seed)


def textbook(sizes: tuple[int, ...], seed: int | None = None) -> Any:
    """A relu perceptron; He's rule is drawn afterwards, since PyTorch's layers take no initializer."""
    return mlp(sizes, activation="relu", seed=seed)


def network(
    sizes: tuple[int, ...], activation: str, *, norm: Norm = "none", residual: bool = False, dropout: float = 0.0,
    seed: int = 0,
) -> Any:  # fmt: skip
    """A perceptron that returns logits, with normalisation, skips and dropout as asked.

    >>> network((64, 32, 32, 10), "tanh", residual=True).hidden[1].body.linear
    Linear(in_features=32, out_features=32, bias=True)
    """
    return mlp(sizes, activation=activation, norm=norm, residual=residual, dropout=dropout, seed=seed)


def activation_code(name: str) -> str:
    """The layer of an activation as code, without the module that it comes from.

    >>> activation_code("gelu_tanh")
    "GELU(approximate='tanh')"
    """
    return repr(ACTIVATIONS[name]())
