"""Losses as Keras people give them: names, objects, functions of ``(y_true, y_pred)``, or what ``compile`` was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import losses, ops

from gainstage.backends.keras.models.batch import as_array, first_output
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
    "binary_focal_crossentropy": ("bce_logits", "bce"),
    "categorical_focal_crossentropy": ("cross_entropy", "probability_nll"),
}
"""The kind of Keras's own losses, from logits and from probabilities; those left out have no kind of their own."""

_WITH_CHANCE = frozenset(
    """
    categorical_crossentropy sparse_categorical_crossentropy binary_crossentropy mean_squared_error mean_absolute_error
    kl_divergence huber
    """.split()
)
"""Losses whose value at a constant guess follows from their kind; focal losses weigh every term by its error."""

_OF_OTHER_SHAPES = frozenset({"sparse_categorical_crossentropy", "categorical_crossentropy", "ctc"})
"""Losses that do not compare output and labels element by element."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A loss with the labels it is to be measured on.

    Args:
        measure: from labels and output (of the same structure) to one number.
        labels: NumPy arrays in the structure of the output.
        kind: where the loss is one of Keras's own; None where its operations have to tell.
        function: Keras's name of it, or empty.
        mean_reduced: whether it is a mean over examples.
        first: the labels of the output that is looked at, where there are several; None where it has none.
        ignored: the class number of positions that do not count, where the loss knows one.
        smoothing: the share of every label that the loss spreads over all classes.
    """

    measure: Callable[[Any, Any], Any]
    labels: Any
    kind: LossKind | None
    function: str = ""
    mean_reduced: bool = True
    first: np.ndarray[Any, Any] | None = None
    ignored: int | None = None
    smoothing: float = 0.0

    @property
    def has_chance(self) -> bool:
        """Report whether the loss of a constant guess is known."""
        return not self.function or self.function in _WITH_CHANCE

    @property
    def first_labels(self) -> np.ndarray[Any, Any] | None:
        """The labels of the output that is looked at."""
        return self.labels if isinstance(self.labels, np.ndarray) else self.first

    def on_arrays(self, output: Any) -> Any:
        """The loss of what the model returned."""
        return self.between(keras.tree.map_structure(ops.convert_to_tensor, self.labels), self._matching(output))

    def between(self, labels: Any, output: Any) -> Any:
        """The loss of any labels and outputs, as tensors of the backend."""
        return self._scalar(self.measure(labels, output))

    def on_symbols(self, output: Any) -> Any:
        """The loss's symbol.

        Raises:
            InputError: the labels do not fit the output.
        """
        self._require_fit(tuple(first_output(output).shape))
        labels = keras.tree.map_structure(lambda a: keras.KerasTensor(a.shape, str(a.dtype)), self.labels)
        return self.between(labels, self._matching(output))

    def _matching(self, output: Any) -> Any:
        return first_output(output) if isinstance(self.labels, np.ndarray) else output

    def _scalar(self, value: Any) -> Any:
        return ops.mean(value) if len(value.shape) else value

    def _require_fit(self, shape: tuple[int, ...]) -> None:
        labels = self.first_labels
        if labels is None:
            return
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
            counted = labels if self.ignored is None else labels[labels != self.ignored]
            if counted.size and (counted.min() < 0 or counted.max() >= shape[-1]):
                raise InputError(
                    f"The labels run from {counted.min():g} to {counted.max():g}, and the output has {shape[-1]} "
                    f"units, for classes 0 to {shape[-1] - 1}. Give the last layer one unit a class, correct the "
                    "labels, or name the class that does not count: "
                    "keras.losses.SparseCategoricalCrossentropy(ignore_class=...)."
                )
        elif self.function == "categorical_crossentropy" and labels.shape != shape:
            advice = "Use loss='sparse_categorical_crossentropy'." if labels.ndim < len(shape) else ""
            raise InputError(
                f"{name} takes one-hot labels of the output's shape {shape}; received labels of shape {labels.shape}. "
                f"{advice}".strip()
            )
        elif self.function and self.function not in _OF_OTHER_SHAPES and labels.size != np.prod(shape):
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
    if isinstance(target, (list, tuple)) and all(np.ndim(one) == 0 for one in target):
        target = np.asarray(target)  # plain numbers, one an example
    labels = keras.tree.map_structure(as_array, target)
    for array in keras.tree.flatten(labels):
        if array.dtype.kind not in "fiub":
            raise InputError(f"The labels hold {array.dtype}, not numbers.")
        if not np.isfinite(array).all():
            raise InputError(f"The labels of shape {array.shape} hold NaN or infinite values.")
    if isinstance(labels, (list, tuple, dict)):
        return _several(model, loss, labels)
    if isinstance(loss, (list, tuple, dict)):
        losses_given = keras.tree.flatten(loss)
        if len(losses_given) != 1:
            raise InputError(f"There are {len(losses_given)} losses for 1 array of labels. Pass one each.")
        loss = losses_given[0]
    return _single(loss, labels)


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
        function = _own_name(getattr(loss, "fn", None))
        logits = bool(getattr(loss, "from_logits", False))
        mean = getattr(loss, "reduction", "mean") not in ("sum", None, "none")
        return Criterion(
            loss,
            labels,
            _kind(function, logits),
            function,
            mean,
            ignored=getattr(loss, "ignore_class", None),
            smoothing=float(getattr(loss, "label_smoothing", 0.0) or 0.0),
        )
    function = _own_name(loss)
    return Criterion(_shaped_alike(loss, function), labels, _kind(function, logits=False), function)


def _own_name(function: Any) -> str:
    """Keras's name of one of its own loss functions; empty for any other."""
    name = getattr(function, "__name__", "")
    return name if name and getattr(losses, name, None) is function else ""


def _kind(function: str, logits: bool) -> LossKind | None:
    """The kind of one of Keras's own losses; None where the operations have to tell."""
    return _KINDS.get(function, ("other", "other"))[0 if logits else 1] if function else None


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
    """One loss an output, added up with the weights that ``compile`` was given, as Keras pairs them."""
    names = _output_names(model, labels)
    each = {name: one for name, one in _by_output(loss, names, "losses").items() if one is not None}
    targets = _by_output(labels, names, "arrays of labels")
    given = getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)
    weights = _by_output(given, names, "weights of losses") if given is not None else {}
    lacking = [name for name in each if targets.get(name) is None]
    if lacking:
        raise InputError(f"There are no labels for the output '{lacking[0]}', which has a loss. Pass one array each.")
    criteria = {name: _single(one, targets[name]) for name, one in each.items()}

    def measure(labels_of: Any, outputs: Any) -> Any:
        found = _by_output(outputs, names, "outputs")
        known = _by_output(labels_of, names, "arrays of labels")
        total: Any = 0.0
        for name, own in criteria.items():
            value = own.measure(known[name], found[name])
            weight = weights.get(name)
            total = total + (1.0 if weight is None else weight) * (ops.mean(value) if len(value.shape) else value)
        return total

    seen = targets.get("logits" if "logits" in names else names[0])  # as first_output chooses
    if len(names) == 1:
        return replace(next(iter(criteria.values())), labels=labels, measure=measure, first=seen)
    return Criterion(measure, labels, "other", first=seen)


def _output_names(model: Any, labels: Any) -> list[str]:
    """What the outputs are called: by their keys, by the layers that make them, or by their place."""
    if isinstance(labels, dict) and isinstance(getattr(model, "_outputs_struct", labels), dict):
        return sorted(labels)  # as keras.tree orders them
    names = getattr(model, "output_names", None)
    if names is not None and (isinstance(labels, dict) or len(names) == len(labels)):
        return list(names)
    return sorted(labels) if isinstance(labels, dict) else [str(place) for place in range(len(labels))]


def _by_output(given: Any, names: list[str], what: str) -> dict[str, Any]:
    """What was given for every output, by its name; one loss alone counts for all."""
    if isinstance(given, dict):
        unknown = [key for key in given if key not in names]
        if unknown and what != "outputs":
            raise InputError(f"The {what} name an output '{unknown[0]}', and the outputs are {', '.join(names)}.")
        return {name: given.get(name) for name in names}
    if isinstance(given, (list, tuple)):
        if len(given) != len(names):
            raise InputError(f"There are {len(given)} {what} for {len(names)} outputs. Pass one each.")
        return dict(zip(names, given, strict=True))
    if what == "losses":
        return dict.fromkeys(names, given)
    if len(names) == 1:
        return {names[0]: given}
    raise InputError(f"There is one of the {what} for {len(names)} outputs. Pass one each.")
