"""Measures how a recurrent layer's output grows over time, also where only the last position is returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers

from gainstage.backends.keras.measuring.gradients import compiled
from gainstage.backends.keras.measuring.replay import replay
from gainstage.backends.keras.models.batch import as_array
from gainstage.backends.keras.tracing.call import Draft
from gainstage.backends.keras.tracing.tape import Step, is_symbol
from gainstage.backends.keras.tracing.trace import Program
from gainstage.graph import Operation
from gainstage.records import NodeProfile

__all__ = ["over_time"]

_LOUD = 100.0  # root mean square that a state seldom has unless it grows


def over_time(
    program: Program, inputs: Sequence[Any], nodes: Mapping[int, NodeProfile], seed: int
) -> dict[int, tuple[float, float]]:
    """Root mean squares of recurrent outputs at the first and the last position, by node.

    A layer that returns its last position alone is run on the first position once more, if its output is large.

    Args:
        program: the traced model.
        inputs: tensors of the backend.
        nodes: what was measured of every node.
        seed: of the random state.
    """
    drafts = {d.symbol: d for d in program.drafts if d.operation is Operation.RECURRENT and d.index in nodes}
    wanted: dict[int, tuple[Step, Draft]] = {}
    for step in program.steps:
        outputs = step.outputs if isinstance(step.outputs, (list, tuple)) else [step.outputs]
        draft = drafts.get(id(outputs[0])) if outputs else None
        loud = draft is not None and nodes[draft.index].forward.rms > _LOUD
        if draft is not None and loud and isinstance(step.operation, layers.RNN) and is_symbol(step.args[0]):
            wanted[draft.index] = step, draft
    return _first_positions(program, inputs, nodes, wanted, seed) if wanted else {}


def _first_positions(
    program: Program, inputs: Sequence[Any], nodes: Mapping[int, NodeProfile], wanted: Mapping[int, tuple[Step, Draft]],
    seed: int,
) -> dict[int, tuple[float, float]]:  # fmt: skip
    """Run the model on the first position of each of these layers' inputs."""
    firsts: dict[int, Any] = {}

    def look(arrays: list[Any]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        replay(program, arrays, {}, seed=seed, entering=lambda step, args: _enter(step, args, wanted, found))
        return found

    firsts = compiled(look)(list(inputs))
    found = {}
    for index, output in firsts.items():
        first = float(np.sqrt(np.mean(np.square(as_array(output), dtype=np.float64))))
        found[index] = first, nodes[index].forward.rms
    return found


def _enter(step: Step, args: Any, wanted: Mapping[int, tuple[Step, Draft]], found: dict[int, Any]) -> None:
    for index, (known, _) in wanted.items():
        if known is step and len(args[0].shape) >= 3:
            position = -1 if step.operation.go_backwards else 0
            one = args[0][:, position:] if position else args[0][:, :1]
            output = step.operation(one)
            found[index] = output[0] if isinstance(output, (list, tuple)) else output
