"""What a framework must offer so that its models are traced, measured and initialized."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from gainstage.graph import SignalGraph
from gainstage.records import GradientCheck, InputMoments, Overfit, Plan, Profile, Task, WeightMoments

__all__ = ["Backend", "Detail"]

Detail = Literal["lean", "start", "standard", "magnitudes"]
Loss = Callable[[Any, Any], Any]


class Backend(Protocol):
    """The functions that know one framework; ``gainstage.backends.<framework>`` is a module with these names."""

    def trace(self, model: Any, inputs: Any, target: Any = None, *, loss: Loss | None = None) -> SignalGraph:
        """Record the operations that a batch passes through."""
        ...

    def structure(self, model: Any) -> SignalGraph:
        """List the weights, with what is known of them without running the model."""
        ...

    def record(
        self,
        model: Any,
        inputs: Any,
        target: Any = None,
        *,
        loss: Loss | None = None,
        optimizer: Any = None,
        detail: Detail = "standard",
        seed: int = 0,
        synthetic: bool = False,
    ) -> Profile:
        """Measure one forward and one backward pass."""
        ...

    def overfit(
        self,
        model: Any,
        inputs: Any,
        target: Any = None,
        *,
        loss: Loss | None = None,
        optimizer: Any = None,
        task: Task,
        seed: int = 0,
        on_step: Callable[[int, float], None] | None = None,
    ) -> Overfit | None:
        """Train on one batch for a while, and leave the model as it was found; None where nothing is trainable."""
        ...

    def gradient_checks(
        self, model: Any, inputs: Any, target: Any = None, *, loss: Loss | None = None, seed: int = 0
    ) -> tuple[GradientCheck, ...]:
        """Compare the gradient of every trainable parameter with finite differences of the loss."""
        ...

    def materialise(self, model: Any, inputs: Any) -> None:
        """Let lazy layers find their sizes."""
        ...

    def apply(self, model: Any, plan: Plan) -> None:
        """Write a plan into a model."""
        ...

    def write_checkpoint(
        self,
        model: Any,
        plan: Plan,
        out: str | os.PathLike[str],
        *,
        dtype: Any = None,
        values: Mapping[str, Any] | None = None,
        max_shard_size: int | str = "5GB",
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> tuple[Path, ...]:
        """Write the weights of a plan to files, without the memory for them."""
        ...

    def drawn_whole(self, model: Any, plan: Plan) -> tuple[str, ...]:
        """Weights that every process draws as a whole to keep its part of them, since their scheme needs all."""
        ...

    def calibrate(self, model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
        """Bring every output of a batch to the plan's level, in one forward pass."""
        ...

    def lsuv(self, model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
        """Bring one layer after the other to unit variance, as published."""
        ...

    def parameter_groups(
        self, model: Any, settings: Mapping[str, Mapping[str, Any]], learning_rate: float
    ) -> list[dict[str, Any]]:
        """Group the parameters for an optimizer by the settings of each."""
        ...

    def movements(
        self,
        model: Any,
        inputs: Any,
        target: Any,
        *,
        loss: Loss | None,
        optimizer: str,
        settings: Mapping[str, Mapping[str, Any]],
        learning_rate: float,
        steps: int,
        seed: int = 0,
    ) -> dict[str, float]:
        """Train on one batch in place, and return how far the output of every weight moved, by its path."""
        ...

    def weight_moments(
        self, model: Any, graph: SignalGraph, only: Container[str] | None = None, *, units: bool = True
    ) -> dict[str, WeightMoments]:
        """Statistics of the parameters that prediction reads; parameters without values are left out.

        Without ``units``, moments over all elements alone are read, which takes a fraction of the time.
        """
        ...

    def placeholder(self, model: Any, shape: tuple[int, ...]) -> Any:
        """Make an input of that shape that can be traced and holds no values."""
        ...

    def input_moments(self, model: Any, inputs: Any) -> tuple[InputMoments, ...]:
        """Moments of every input of a batch; standard ones for tokens and for what holds no values."""
        ...

    def own_trace(self, model: Any) -> SignalGraph | None:
        """The trace of an input that the model describes itself and runs on; None where there is none."""
        ...

    def loss_of(self, loss: Any, *, labelled: bool = True) -> Any:
        """A loss in any form in which a user gives it, as the other functions take it."""
        ...

    def optimizer_of(self, model: Any, optimizer: Any, learning_rate: float | None) -> Any:
        """An optimizer in any form in which a user gives it, as ``record`` takes it."""
        ...

    def in_training(self, model: Any) -> bool:
        """Whether the model is set to train."""
        ...

    def words(self) -> Mapping[str, str]:
        """Return the code and words that the framework's users write, by the meanings that causes and remedies name."""
        ...

    def version(self) -> str:
        """The framework and its version."""
        ...

    def first_examples(self, inputs: Any, count: int) -> Any:
        """Return the first examples of a batch, or the batch itself where it has no more or is no batch of arrays."""
        ...

    def snapshot(self, model: Any) -> Callable[[], None]:
        """Copy the weights; the function returned puts them back."""
        ...
