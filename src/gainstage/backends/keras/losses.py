"""Losses as Keras people give them: names, objects, functions of ``(y_true, y_pred)``, or what ``compile`` was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import losses, ops

from gainstage.backends.keras.batch import as_array, first_output
from gainstage.errors import InputError, UnknownNameError
from gainstage.records import LossKind

__all__ = ["Criterion", "criterion_of"]

_KINDS: Mapping[str, tuple[LossKind, LossKind]] = {
    "categorical_crossentropy": ("cross_entropy", "probability_nll"),
    "sparse_categorical_crossentropy": ("cross_entropy", "probability_nll"),
    "binary_crossentropy": ("bce_logits", "bce"),
    "mean_squared_error": ("mse", "mse"),
    "mean_absolute_error": ("l1", "l1"),
    "huber": ("huber", "huber"),
    "kl_divergence": ("kl", "kl"),
}
"""The kind of Keras's own losses, from logits and from probabilities."""

_CLASSES: Mapping[str, str] = {
    "CategoricalCrossentropy": "categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
    "MeanSquaredError": "mean_squared_error",
    "MeanAbsoluteError": "mean_absolute_error",
    "Huber": "huber",
    "KLDivergence": "kl_divergence",
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """A loss with the labels it is to be measured on.

    Args:
        measure: from labels and output (of the same structure) to one number.
        labels: NumPy arrays in the structure of the output.
        kind: where the loss is one of Keras's own; None where its operations have to tell.
        function: Keras's name of it, or empty.
        mean_reduced: whether it is a mean over examples.
    """

    measure: Callable[[Any, Any], Any]
    labels: Any
    kind: LossKind | None
    function: str = ""
    mean_reduced: bool = True

    @property
    def first_labels(self) -> np.ndarray[Any, Any]:
        """The labels of the first output."""
        first: np.ndarray[Any, Any] = keras.tree.flatten(self.labels)[0]
        return first

    def on_arrays(self, output: Any) -> Any:
        """The loss of what the model returned."""
        labels = keras.tree.map_structure(ops.convert_to_tensor, self.labels)
        return self._scalar(self.measure(labels, self._matching(output)))

    def on_symbols(self, output: Any) -> Any:
        """The loss's symbol.

        Raises:
            InputError: the labels do not fit the output.
        """
        self._require_fit(tuple(first_output(output).shape))
        labels = keras.tree.map_structure(lambda a: keras.KerasTensor(a.shape, str(a.dtype)), self.labels)
        return self._scalar(self.measure(labels, self._matching(output)))

    def _matching(self, output: Any) -> Any:
        return first_output(output) if isinstance(self.labels, np.ndarray) else output

    def _scalar(self, value: Any) -> Any:
        return ops.mean(value) if len(value.shape) else value

    def _require_fit(self, shape: tuple[int, ...]) -> None:
        labels = self.first_labels
        name = self.function or "The loss"
        if labels.shape[:1] != shape[:1]:
            raise InputError(
                f"There are {labels.shape[:1]} labels for an output of {shape[:1]} examples. Pass one label an example."
            )
        if self.function == "sparse_categorical_crossentropy":
            if labels.shape == shape and labels.ndim > 1 and shape[-1] > 1:
                raise InputError(
                    f"{name} takes class numbers, and the labels have the output's own shape {shape} (one-hot?). Use "
                    "loss='categorical_crossentropy', or pass labels.argmax(-1)."
                )
            if labels.shape not in (shape[:-1], (*shape[:-1], 1)):
                raise InputError(f"{name} needs labels of shape {shape[:-1]} for an output of {shape}; received labels "
                                 f"of shape {labels.shape}.")  # fmt: skip
            if labels.min() < 0 or labels.max() >= shape[-1]:
                raise InputError(
                    f"The labels run from {labels.min():g} to {labels.max():g}, and the output has {shape[-1]} units, "
                    f"for classes 0 to {shape[-1] - 1}. Give the last layer one unit a class, or correct the labels."
                )
        elif self.function == "categorical_crossentropy" and labels.shape != shape:
            advice = "Use loss='sparse_categorical_crossentropy'." if labels.ndim < len(shape) else ""
            raise InputError(
                f"{name} takes one-hot labels of the output's shape {shape}; received labels of shape {labels.shape}. "
                f"{advice}".strip()
            )
        elif self.function and labels.size != np.prod(shape):
            raise InputError(
                f"{name} compares output and labels element by element; received shapes {shape} and {labels.shape}."
            )


def criterion_of(model: Any, loss: Any, target: Any) -> Criterion | None:
    """The loss that was given, or that the model was compiled with; None where there is nothing to compare with.

    Raises:
        InputError: labels without a loss, a loss without labels, or labels that hold no numbers.
        UnknownNameError: Keras has no loss of that name.

    >>> model = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    >>> model.compile(loss="sparse_categorical_crossentropy")
    >>> criterion_of(model, None, np.array([0, 2])).kind
    'probability_nll'
    """
    given = loss is not None
    if loss is None and getattr(model, "compiled", False):
        loss = getattr(model, "loss", None)
    if target is None:
        if given:
            raise InputError("A loss was given without labels. Pass them too, or leave out the loss.")
        return None
    if loss is None:
        raise InputError(
            "Labels were given without a loss. Pass loss=, e.g. loss='sparse_categorical_crossentropy', or compile the "
            "model with one."
        )
    labels = keras.tree.map_structure(as_array, target)
    for array in keras.tree.flatten(labels):
        if array.dtype.kind not in "fiub":
            raise InputError(f"The labels hold {array.dtype}, not numbers.")
        if not np.isfinite(array).all():
            raise InputError(f"The labels of shape {array.shape} hold NaN or infinite values.")
    if isinstance(loss, (list, tuple, dict)) and len(keras.tree.flatten(loss)) > 1:
        return _several(model, loss, labels)
    single = keras.tree.flatten(loss)[0] if isinstance(loss, (list, tuple, dict)) else loss
    return _single(single, labels)


def _single(loss: Any, labels: Any) -> Criterion:
    if isinstance(loss, str):
        try:
            loss = losses.get(loss)
        except ValueError:
            raise UnknownNameError("loss", loss, [*_KINDS, "mse", "mae", "bce"], "the loss") from None
    if isinstance(loss, type):
        loss = loss()
    if not callable(loss):
        raise InputError(f"A loss is a name, a Keras loss or a function of (y_true, y_pred); received {loss!r}.")
    if isinstance(loss, losses.Loss):
        function = _CLASSES.get(type(loss).__name__, "")
        logits = bool(getattr(loss, "from_logits", False))
        mean = getattr(loss, "reduction", "mean") not in ("sum", None, "none")
        return Criterion(loss, labels, _kind(function, logits), function, mean)
    function = getattr(loss, "__name__", "") if getattr(losses, getattr(loss, "__name__", ""), None) is loss else ""
    return Criterion(_shaped_alike(loss, function), labels, _kind(function, logits=False), function)


def _kind(function: str, logits: bool) -> LossKind | None:
    return _KINDS[function][0 if logits else 1] if function in _KINDS else None


def _shaped_alike(loss: Callable[[Any, Any], Any], function: str) -> Callable[[Any, Any], Any]:
    """Labels of shape (n,) meet an output of shape (n, 1), as when Keras trains."""

    def measure(labels: Any, output: Any) -> Any:
        if function != "sparse_categorical_crossentropy" and len(labels.shape) == len(output.shape) - 1:
            labels = ops.expand_dims(labels, -1) if output.shape[-1] == 1 else labels
        if function and function != "sparse_categorical_crossentropy":
            labels = ops.cast(labels, output.dtype)
        return loss(labels, output)

    return measure


def _several(model: Any, loss: Any, labels: Any) -> Criterion:
    """One loss an output, added up with the weights that ``compile`` was given."""
    flat_labels = keras.tree.flatten(labels)
    each = [_single(one, own) for one, own in zip(keras.tree.flatten(loss), flat_labels, strict=False)]
    if len(each) != len(flat_labels) or len(keras.tree.flatten(loss)) != len(each):
        raise InputError(
            f"There are {len(keras.tree.flatten(loss))} losses for {len(flat_labels)} arrays of labels. Pass one each."
        )
    given = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
    weights = keras.tree.flatten(given) if given is not None else [1.0] * len(each)

    def measure(targets: Any, outputs: Any) -> Any:
        pairs = zip(each, keras.tree.flatten(targets), keras.tree.flatten(outputs), weights, strict=True)
        total: Any = 0.0
        for own, target, output, weight in pairs:
            value = own.measure(target, output)
            total = total + weight * (ops.mean(value) if len(value.shape) else value)
        return total

    return Criterion(measure, labels, "other")
