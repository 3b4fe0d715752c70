"""What a framework must offer, and how the framework of a model is found without importing the others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from gainstage.data import Dataset
from gainstage.errors import InputError
from gainstage.graph import SignalGraph
from gainstage.propagation import InputMoments
from gainstage.records import Plan, Profile, TrainingCurve, WeightMoments
from gainstage.records.training import Schedule

__all__ = [
    "Backend", "Detail", "Framework", "OnSteps", "Start", "Trainer", "backend_of", "framework_of", "trainer_of",
]  # fmt: skip

Detail = Literal["lean", "standard"]
Framework = Literal["keras", "torch"]
Loss = Callable[[Any, Any], Any]


class Backend(Protocol):
    """The functions that know one framework; ``gainstage.backends.<framework>`` is a module with these names."""

    def trace(self, model: Any, inputs: Any, target: Any = None, *, loss: Loss | None = None) -> SignalGraph:
        """The operations a batch passes through."""
        ...

    def structure(self, model: Any) -> SignalGraph:
        """What can be told of the weights without running the model."""
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

    def materialise(self, model: Any, inputs: Any) -> None:
        """Let lazy layers find their sizes."""
        ...

    def apply(self, model: Any, plan: Plan) -> None:
        """Write a plan into a model."""
        ...

    def calibrate(self, model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
        """Bring every output of a batch to the plan's level, in one forward pass."""
        ...

    def lsuv(self, model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
        """Bring one layer after the other to unit variance, as published."""
        ...

    def parameter_groups(self, model: Any, factors: Mapping[str, float], learning_rate: float) -> list[dict[str, Any]]:
        """Optimizer groups from factors on the learning rate."""
        ...

    def weight_moments(
        self, model: Any, graph: SignalGraph, only: Container[str] | None = None
    ) -> dict[str, WeightMoments]:
        """What prediction needs to know of the values that parameters hold; those without values are left out."""
        ...

    def placeholder(self, model: Any, shape: tuple[int, ...]) -> Any:
        """An input of that shape, to be traced and not to be computed with."""
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

    def version(self) -> str:
        """The framework and its version."""
        ...

    def snapshot(self, model: Any) -> Callable[[], None]:
        """Copy the weights; the function returned puts them back."""
        ...


OnSteps = Callable[[int, Sequence[float]], None]
"""Called after every step with the number of steps made and the loss of every training's last batch."""


@dataclass(frozen=True, slots=True)
class Start:
    """One training to come.

    Args:
        model: of the framework, with the weights it starts from.
        learning_rate: constant.
        seed: of the order of examples, and of the model's own randomness.
        label: for charts.
    """

    model: Any
    learning_rate: float
    seed: int = 0
    label: str = ""


class Trainer(Protocol):
    """What a framework must offer to compare trainings.

    ``gainstage.backends.<framework>.training.trainer`` is a module with these names.
    """

    def build(self, make: Callable[[], Any], seed: int) -> Any:
        """Call the user's function with all random states at ``seed``, and put them back."""
        ...

    def fitted(self, model: Any, dataset: Dataset, loss: Any) -> Dataset:
        """The dataset as the model takes it (as stored, or every example in its natural shape).

        Raises:
            ModelError: the model can take it in neither form.
            InputError: the loss cannot compare output and labels.
        """
        ...

    def batch(self, model: Any, dataset: Dataset, examples: int) -> Any:
        """The first training examples, as the model is called with them."""
        ...

    def fingerprint(self, model: Any) -> str:
        """The same for the same architecture, in every process."""
        ...

    def size(self, model: Any) -> int:
        """How many numbers are trained."""
        ...

    def obstacle(self, starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any) -> str:
        """Why trainings cannot be made together; empty where they can."""
        ...

    def train_together(
        self,
        starts: Sequence[Start],
        dataset: Dataset,
        schedule: Schedule,
        loss: Any,
        optimizer: Any,
        on_steps: OnSteps,
    ) -> list[TrainingCurve]:
        """Train models for which there is no obstacle, all as one."""
        ...

    def train_alone(
        self, start: Start, dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
    ) -> TrainingCurve:
        """Train one model."""
        ...

    def names(self, loss: Any, optimizer: Any, classes: int) -> tuple[str, str]:
        """Loss and optimizer in words.

        Raises:
            UnknownNameError: there is none of that name.
        """
        ...


_ROOTS: Mapping[Framework, tuple[str, str]] = {"keras": ("keras", "layers.Layer"), "torch": ("torch.nn", "Module")}
"""On PyTorch a Keras layer is a module too, so Keras comes first."""


def backend_of(model: Any) -> Backend:
    """The backend of a model's framework; only a framework that is imported already can have made the model.

    Raises:
        InputError: the object is no model of a known framework.
    """
    framework = framework_of(model)
    if framework is not None:
        return cast(Backend, importlib.import_module(f"gainstage.backends.{framework}"))
    received = f"the class {model.__name__}" if isinstance(model, type) else f"an object of type {type(model).__name__}"
    raise InputError(
        f"Expected a model (a torch.nn.Module or a Keras model), received {received}. Build the model and pass the "
        "object."
    )


def trainer_of(framework: Framework) -> Trainer:
    """What trains models of a framework."""
    return cast(Trainer, importlib.import_module(f"gainstage.backends.{framework}.training.trainer"))


def framework_of(model: Any) -> Framework | None:
    """Whose model it is; None where it is none.

    Raises:
        InputError: a model of Keras 2.

    >>> framework_of("a name") is None
    True
    """
    _refuse_legacy(model)
    inner = getattr(model, "_orig_mod", model)
    for framework, (module, name) in _ROOTS.items():
        root: Any = sys.modules.get(module)
        for part in name.split("."):
            root = getattr(root, part, None)
        if root is not None and isinstance(inner, root):
            return framework
    return None


def _refuse_legacy(model: Any) -> None:
    """Keras 2, as the package ``tf_keras`` or as TensorFlow's own up to 2.15, is another framework."""
    origins = {kind.__module__ for kind in type(model).__mro__}
    keras = sys.modules.get("keras")
    old = keras is not None and str(getattr(keras, "__version__", "3")).startswith("2.")
    if any(o.split(".")[0] == "tf_keras" for o in origins) or (old and any(o.startswith("keras.") for o in origins)):
        raise InputError(
            f"'{type(model).__name__}' is a model of Keras 2 (tf_keras), and gainstage reads Keras 3. Build it with "
            "`import keras` of version 3 (pip install -U keras; unset TF_USE_LEGACY_KERAS)."
        )
