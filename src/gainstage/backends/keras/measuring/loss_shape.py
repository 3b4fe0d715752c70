"""The loss as a function of the outputs alone, on any of Keras's backends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.gradients import gradient_by_first
from gainstage.backends.keras.models.batch import as_array
from gainstage.backends.keras.models.losses import Criterion
from gainstage.backends.keras.models.preserve import inlined_functions, random_state
from gainstage.backends.shared.loss_probe import EXAMPLES, Evaluate, loss_shape
from gainstage.records import LossShape, OutputFacts

__all__ = ["shape_of"]

Array = NDArray[Any]


def shape_of(
    criterion: Criterion, output: Array, labels: Array | None, facts: OutputFacts | None, seed: int
) -> LossShape | None:
    """Move outputs to where the loss is lowest, without running the model.

    Args:
        criterion: the loss, with its labels.
        output: (examples, ..., units), what the model returned.
        labels: as the loss reads them, which is what outputs are compared with.
        facts: of the output, for its last function.
        seed: random state of the loss.

    Returns:
        the description; None where the loss takes more than one array of labels or refuses other outputs.
    """
    given = criterion.labels
    if not isinstance(given, np.ndarray) or facts is None or output.ndim < 1 or labels is None:
        return None
    for few in (EXAMPLES, None):
        chosen = _few(output, given, few)
        try:
            with inlined_functions(), random_state(seed):
                return _probed(criterion, output[chosen], given[chosen], labels[chosen], facts.function)
        except _RefusedError:
            continue
    return None


class _RefusedError(Exception):
    """The user's loss raised, for so few examples or for other outputs than the model's."""


def _few(output: Array, labels: Array, examples: int | None) -> Array | slice:
    """Examples that lie evenly in the batch: neighbours may have nearly the same target."""
    if examples is None or len(labels) != len(output) or len(output) <= examples:
        return slice(None)
    return np.linspace(0, len(output) - 1, examples).round().astype(int)


def _probed(criterion: Criterion, outputs: Array, given: Array, labels: Array, function: str) -> LossShape | None:
    differentiated = gradient_by_first(lambda output, own: criterion.between(own, output))
    like = outputs.dtype

    def with_labels(own: Array) -> Evaluate:
        tensor = ops.convert_to_tensor(own)

        def evaluate(values: Array) -> tuple[float, Array]:
            try:
                value, gradient = differentiated(ops.convert_to_tensor(values.astype(like)), tensor)
            except Exception as error:  # whatever the user's loss raises
                raise _RefusedError from error
            found = np.zeros(values.shape) if gradient is None else as_array(gradient).astype(np.float64)
            return float(as_array(value)), found

        return evaluate

    evaluate = with_labels(given)
    found = loss_shape(evaluate, outputs.astype(np.float64), labels, function)
    if found is None or labels.ndim == 0 or bool((labels == labels[:1]).all()):
        return found
    exchanged, _ = with_labels(np.roll(given, 1, 0))(outputs)
    same, _ = evaluate(outputs)
    return replace(found, reads_target=exchanged != same)
