"""LSUV as published: one layer after the other brought to unit variance, with a forward pass for every try.

Mishkin and Matas, 'All you need is a good init' (arXiv:1511.06422). It is here for comparison: ``calibrate`` reaches
every level in one pass, in the order of execution, and on functional weights too.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from gainstage.backends.keras.measuring.gradients import compiled
from gainstage.backends.keras.measuring.replay import replay
from gainstage.backends.keras.models.batch import as_array, prepare
from gainstage.backends.keras.tracing.trace import Program, program_of, require_model
from gainstage.backends.keras.writing.write import rescale
from gainstage.backends.shared.calibration import brought_to_one, lsuv_plan, require_tries
from gainstage.graph import Operation
from gainstage.records import Plan

__all__ = ["lsuv"]


def lsuv(model: Any, plan: Plan, inputs: Any, *, seed: int = 0, tolerance: float = 0.1, tries: int = 10) -> Plan:
    """Divide the weight of one layer after the other by the spread of its output, until that is about one.

    Args:
        model: with the plan's orthogonal weights already written.
        plan: of the recipe ``lsuv``.
        inputs: the batch.
        seed: random state of every pass.
        tolerance: how far from one the output's variance may stay.
        tries: forward passes at most for one layer.

    Returns:
        the plan with the measured scales. Layers go by their definition, as in the paper: an output that a later layer
        changes is not looked at again.

    Raises:
        InputError: the tolerance or the tries are not positive.
        ModelError: the model's own code raised.

    >>> import keras, numpy as np
    >>> from gainstage.planning import plan
    >>> from gainstage.backends.keras import apply, trace
    >>> net = keras.Sequential([keras.layers.Dense(64, "relu"), keras.layers.Dense(8)])
    >>> x = np.random.default_rng(0).normal(size=(128, 32))
    >>> planned = plan(trace(net, x), "lsuv")
    >>> apply(net, planned)
    >>> _ = lsuv(net, planned, x)
    >>> bool(0.9 < float(keras.ops.var(keras.ops.stop_gradient(net(x)))) < 1.1)
    True
    """
    require_tries(tolerance, tries)
    batch = prepare(inputs)
    program = program_of(require_model(model), batch)
    arrays = [ops.convert_to_tensor(a) for a in batch.arrays]
    by_path = {a.parameter: a for a in plan}
    first_use = _first_uses(program)
    scales = {}
    for path, node in first_use.items():  # in the order in which the model defines its weights
        assignment = by_path.get(path)
        if assignment is not None and assignment.scheme != "keep":
            scale = _bring_to_one(program, path, node, arrays, seed, tolerance, tries)
            if scale is not None:
                scales[path] = scale
    return lsuv_plan(plan, scales)


def _first_uses(program: Program) -> dict[str, int]:
    """The first linear map or convolution that uses each weight."""
    found: dict[str, int] = {}
    for draft in program.drafts:
        if draft.stage == "model" and draft.operation in (Operation.LINEAR, Operation.CONVOLUTION):
            for use in draft.uses:
                if use.slot == "weight":
                    found.setdefault(use.parameter, draft.index)
    return {path: found[path] for path in program.parameters if path in found}


def _bring_to_one(
    program: Program, path: str, node: int, arrays: list[Any], seed: int, tolerance: float, tries: int
) -> float | None:
    """The factor that one layer's weight was multiplied by; None where its output cannot be measured."""

    def variance(inputs: list[Any], weight: Any) -> Any:
        found: list[Any] = []

        def tap(index: int, output: Any) -> Any:
            if index == node:
                found.append(ops.var(ops.cast(output, "float32")))
            return output

        replay(program, inputs, {path: weight}, seed=seed, tap=tap)
        return found[0]

    look, variable = compiled(lambda given: variance(given[:-1], given[-1])), program.parameters[path]
    return brought_to_one(
        lambda: float(as_array(look([*arrays, variable.value]))),
        lambda factor: rescale(variable, factor),
        tolerance,
        tries,
    )
