"""Run a few examples again: with other neighbours in the batch, and with other random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.gradients import compiled
from gainstage.backends.keras.measuring.replay import Scope, random_variables
from gainstage.backends.keras.models.batch import Batch, as_array, first_output
from gainstage.backends.keras.models.preserve import inlined_functions, preserved, random_state
from gainstage.backends.shared.reactions import EXAMPLES, leak_of, noise_of, says_examples
from gainstage.graph import Operation, SignalGraph
from gainstage.records import Reactions

__all__ = ["reactions_of"]

Array = NDArray[Any]
ROUNDING = 1e-6  # of the output's root mean square


def reactions_of(
    model: Any, batch: Batch, labels: Array | None, output: tuple[int, ...], graph: SignalGraph, seed: int
) -> Reactions | None:
    """Outputs of at most eight examples under changed circumstances; the model is left as it was found.

    Args:
        model: built.
        batch: the whole batch.
        labels: one an example say that the first axis holds the examples.
        output: shape of what the model returned for the whole batch.
        graph: of that run, for whether it drops anything.
        seed: of the random state of every pass.

    Returns:
        the reactions; None where the model takes no smaller batch.
    """
    if batch.examples < 4:
        return None
    few = [array[:EXAMPLES] for array in batch.arrays]
    try:
        return _measured(_Passes(model, batch), few, batch, labels, output, graph, seed)
    except Exception:  # whatever the user's model raises for a batch of another size
        return None


def _measured(
    passes: _Passes, few: list[Array], batch: Batch, labels: Array | None, output: tuple[int, ...], graph: SignalGraph,
    seed: int,
) -> Reactions:  # fmt: skip
    leak, noise = None, None
    first = batch.arrays[0].shape
    if labels is not None and says_examples(labels.shape, labels.dtype.kind == "f", first):
        calm = passes.run(few, seed, training=False)
        if calm.shape[1:] == output[1:]:  # the other axes do not follow the batch
            leak = leak_of(calm, passes.run([_mixed(array) for array in few], seed, training=False))
    drops = any(n.operation is Operation.DROPOUT and dict(n.settings).get("p", 0.0) > 0 for n in graph.nodes)
    if drops:
        one, other = (passes.run(few, draw, training=True) for draw in (seed, seed + 1))
        noise = noise_of(one, other)
    restless = None
    if passes.seeds:
        one, other = (passes.run(few, draw, training=False) for draw in (seed, seed + 1))
        restless = bool(np.abs(one - other).max() > ROUNDING * np.sqrt(np.square(one, dtype=np.float64).mean()))
    return Reactions(len(few[0]), leak, noise, restless)


def _mixed(array: Array) -> Array:
    """Every second example replaced by the last: a recurrence over the batch passes it on to the ones in between."""
    changed = array.copy()
    changed[::2] = array[-1]
    return changed


class _Passes:
    """Forward passes of a model that change nothing of it; on JAX each mode is compiled once."""

    def __init__(self, model: Any, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.seeds = random_variables(model)
        self.in_mode = {training: compiled(self._forward(training)) for training in (False, True)}

    def _forward(self, training: bool) -> Any:
        arguments = {"training": training} if getattr(self.model, "_call_has_training_arg", False) else {}

        def forward(tensors: list[Any]) -> Any:
            inputs, states = tensors[: len(self.batch.arrays)], tensors[len(self.batch.arrays) :]
            with Scope(list(zip(self.seeds, states, strict=True))):
                return first_output(self.model(self.batch.packed(inputs), **arguments))

        return forward

    def run(self, arrays: Sequence[Array], seed: int, *, training: bool) -> Array:
        """The output for these arrays, in evaluation or in training mode."""
        states = [ops.convert_to_tensor([seed % 2**31, i], dtype=v.dtype) for i, v in enumerate(self.seeds)]
        tensors = [*(ops.convert_to_tensor(array) for array in arrays), *states]
        with preserved(self.model), inlined_functions(), random_state(seed):
            return as_array(self.in_mode[training](tensors))
