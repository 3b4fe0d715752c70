"""Compares the variables of a pass with those that the model tracks and that the optimizer was built for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras

from gainstage.backends.keras.tracing.trace import Program
from gainstage.records import Stray, Wiring

__all__ = ["wiring_of"]


def wiring_of(
    model: Any, program: Program, asked: Iterable[Any], own: Iterable[Any], reached: Collection[str], optimizer: Any
) -> Wiring:
    """Compare what takes part with what the model tracks and what the optimizer was built for.

    Args:
        model: whose variables are tracked.
        program: its trace.
        asked: the variables of Keras whose values took part.
        own: the backend's own trainable variables that took part.
        reached: paths of the weights that get a gradient.
        optimizer: given with the check, or None. One that is not built yet will be built for the trainable variables.
    """
    held = None if optimizer is None else _held(optimizer, model)
    tracked = {id(v) for v in model.variables}
    trainable = [v for v in asked if id(v) not in tracked and v.trainable and "float" in str(v.dtype)]
    known = {id(v._value) for v in (*model.variables, *trainable)}
    raw = [v for v in own if id(v) not in known]
    readers = _readers(program)
    strays = tuple(
        Stray(tuple(v.shape), readers.get(id(v)), None if held is None else id(v) in held) for v in (*trainable, *raw)
    )
    if held is None:
        return Wiring(strays)
    missing = tuple(path for path, v in program.parameters.items() if path in reached and id(v) not in held)
    inside = sum(1 for variable in program.parameters.values() if id(variable) in held)
    decayed = tuple(
        path for path, v in program.parameters.items() if v.trainable and id(v) in held and _decays(optimizer, v)
    )
    frozen = tuple(
        path for path, v in program.parameters.items() if not v.trainable and optimizer.built and id(v) in held
    )
    stale = len(held) - sum(1 for key in held if key in tracked)
    return Wiring(
        strays, missing, inside, stale, (), frozen if getattr(optimizer, "weight_decay", None) else (), decayed
    )


def _decays(optimizer: Any, variable: Any) -> bool:
    return bool(getattr(optimizer, "weight_decay", None)) and bool(optimizer._use_weight_decay(variable))


def _held(optimizer: Any, model: Any) -> set[int]:
    variables = getattr(optimizer, "_trainable_variables", ()) if optimizer.built else model.trainable_variables
    return {id(variable) for variable in variables}


def _readers(program: Program) -> Mapping[int, int]:
    """The node that first reads each variable that no weight of the model is, by the variable's id."""
    by_symbol = {draft.symbol: draft.index for draft in program.drafts}
    found: dict[int, int] = {}
    for step in program.steps:
        leaves = keras.tree.flatten((step.args, dict(step.kwargs)))
        node = next((by_symbol[id(s)] for s in keras.tree.flatten(step.outputs) if id(s) in by_symbol), None)
        for leaf in leaves:
            if isinstance(leaf, keras.Variable) and node is not None:
                found.setdefault(id(leaf), node)
    return found
