"""What a demonstration needs of a framework: a network, a batch, a loss, a training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from gainstage.backends.presence import require_keras
from gainstage.backends.protocol import Framework
from gainstage.data import Dataset
from gainstage.records import TrainingCurve
from gainstage.workflows.initializing import initialize

__all__ = ["Bench", "Train", "bench_of"]


class Train(Protocol):
    """The face that the training loops of all backends share."""

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


@dataclass(frozen=True, slots=True)
class Bench:
    """One framework, ready to demonstrate with.

    Args:
        title: its name.
        perceptron: from sizes, the name of an activation and a seed to a network at the framework's default.
        classic: from sizes and a seed to a relu network with He's rule on every layer.
        batch: from a dataset and a number to the first examples and their labels.
        loss: for labels of classes and what ``perceptron`` returns.
        train: the training loop.
        one_thread: computes in one thread meanwhile, where the framework can be told.
    """

    title: str
    perceptron: Callable[[tuple[int, ...], str, int], Any]
    classic: Callable[[tuple[int, ...], int], Any]
    batch: Callable[[Dataset, int], tuple[Any, Any]]
    loss: Any
    train: Train
    one_thread: Callable[[], AbstractContextManager[None]] = nullcontext


def bench_of(framework: Framework) -> Bench:
    """The bench of a framework; only then is it imported.

    Raises:
        MissingPackageError: it is not installed.
    """
    return _torch() if framework == "torch" else _keras()


def _torch() -> Bench:
    from gainstage.backends.torch.measuring.lesson_measurements import one_thread
    from gainstage.backends.torch.models.build import mlp
    from gainstage.backends.torch.models.inputs import labelled_batch
    from gainstage.backends.torch.training.objectives import loss_function
    from gainstage.backends.torch.training.train import train

    def classic(sizes: tuple[int, ...], seed: int) -> Any:
        model = mlp(sizes, activation="relu", seed=seed)
        initialize(model, "he_normal", seed=seed)
        return model

    return Bench(
        "PyTorch",
        lambda sizes, activation, seed: mlp(sizes, activation=activation, seed=seed),
        classic,
        lambda dataset, number: labelled_batch(dataset, batch=number),
        loss_function("cross_entropy"),
        train,
        one_thread,
    )


def _keras() -> Bench:
    require_keras("The demonstration")
    from gainstage.backends.keras.models.build import mlp
    from gainstage.backends.keras.models.inputs import labelled_batch
    from gainstage.backends.keras.training.train import train

    return Bench(
        "Keras",
        lambda sizes, activation, seed: mlp(sizes, activation=activation, output="softmax", seed=seed),
        lambda sizes, seed: mlp(sizes, output="softmax", rule="he_normal", seed=seed),
        lambda dataset, number: labelled_batch(dataset, batch=number),
        "sparse_categorical_crossentropy",
        train,
    )
