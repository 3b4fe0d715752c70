"""Do again, on arrays, what a tape has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import keras
from keras import ops

from gainstage.backends.keras.models.names import is_of_keras_alone
from gainstage.backends.keras.models.preserve import inlined_functions, random_state
from gainstage.backends.keras.tracing.expansions import REPLAYS
from gainstage.backends.keras.tracing.tape import Penalty, Step, is_symbol, symbols_in
from gainstage.backends.keras.tracing.trace import Program, brief
from gainstage.errors import GainstageError, ModelError

__all__ = ["Replayed", "Scope", "Tap", "random_variables", "replay"]

Tap = Callable[[int, Any], Any]
"""Given a node and its output, returns what goes on in its place."""


class Replayed(NamedTuple):
    """What came of a pass.

    Args:
        output: what the model returns, in its own structure.
        penalties: the numbers that its layers add to the loss: regularizers of weights and of activity, ``add_loss``.
        asked: the variables of Keras whose values took part.
    """

    output: Any
    penalties: tuple[Any, ...]
    asked: tuple[Any, ...]


class Scope(keras.StatelessScope):  # type: ignore[misc]
    """A stateless scope that remembers which variables were asked for their value."""

    def __init__(self, state: Any, *, collect_losses: bool = False) -> None:
        super().__init__(state, collect_losses=collect_losses)
        self.asked: dict[int, Any] = {}

    def get_current_value(self, variable: Any) -> Any:
        """As Keras's own scope."""
        self.asked.setdefault(id(variable), variable)
        return super().get_current_value(variable)


def replay(
    program: Program,
    inputs: Sequence[Any],
    weights: Mapping[str, Any],
    *,
    seed: int,
    tap: Tap | None = None,
    entering: Callable[[Step, tuple[Any, ...]], None] | None = None,
) -> Replayed:
    """Run a program as a pure function of inputs and weights: nothing of the model is changed.

    Args:
        program: what to do.
        inputs: tensors of the backend, in the program's order.
        weights: by path; those left out have the model's own values.
        seed: of dropout and the like.
        tap: sees the outputs of nodes.
        entering: sees every step of the model with its arguments before it runs.

    Raises:
        ModelError: the model's own code raised.
    """
    watched = {draft.symbol: draft.index for draft in program.drafts}
    known: dict[int, Any] = {}
    state = _state(program, weights, seed)
    with random_state(seed), Scope(state, collect_losses=True) as scope:
        for symbol, array in zip(program.inputs, inputs, strict=True):
            known[id(symbol)] = array
        for symbol in program.standin_symbols:
            known[id(symbol)] = ops.cast(program.standins[id(symbol)], symbol.dtype)
        for step in program.steps:
            if step.stage == "loss":
                break
            args, kwargs = _resolved(step.args, known), _resolved(dict(step.kwargs), known)
            if entering is not None:
                entering(step, args)
            try:
                own = REPLAYS.get(type(step.operation).__name__)
                # Keras's own functions stay as they are: its grouped convolutions have gradients in no other way.
                with nullcontext() if is_of_keras_alone(step.operation) else inlined_functions():
                    result = own(step.operation, *args, **kwargs) if own else step.operation(*args, **kwargs)
            except GainstageError:
                raise
            except Exception as error:
                where = f"'{step.path}' ({type(step.operation).__name__})"
                raise ModelError(f"The model raised {brief(error)} in {where}.") from error
            for symbol, array in zip(symbols_in(step.outputs), keras.tree.flatten(result), strict=True):
                if tap is not None and id(symbol) in watched:
                    array = tap(watched[id(symbol)], array)
                known[id(symbol)] = array
        penalties = [_penalty(penalty, known[id(penalty.symbol)]) for penalty in program.penalties]
        penalties += scope.losses  # of layers that ran as a whole
        penalties += [_of_weight(program.parameters[path]) for path in program.regularized]
        return Replayed(_resolved(program.output, known), tuple(penalties), tuple(scope.asked.values()))


def random_variables(model: Any) -> tuple[Any, ...]:
    """The random states of a model: of dropout and the like."""
    return tuple(v for v in model.variables if v.name == "seed_generator_state")


def _penalty(penalty: Penalty, value: Any) -> Any:
    """As Keras counts it: that of an activity for one example."""
    if penalty.regularizer is None:
        return value
    total = penalty.regularizer(value)
    return total / ops.cast(value.shape[0], total.dtype) if len(value.shape) else total


def _of_weight(variable: Any) -> Any:
    return variable.regularizer(variable.value)


def _state(program: Program, weights: Mapping[str, Any], seed: int) -> list[tuple[Any, Any]]:
    state = [(program.parameters[path], value) for path, value in weights.items()]
    for position, variable in enumerate(program.random_states):
        state.append((variable, ops.convert_to_tensor([seed % 2**31, position], dtype=variable.dtype)))
    return state


def _resolved(tree: Any, known: Mapping[int, Any]) -> Any:
    if is_symbol(tree):
        return known[id(tree)]
    if isinstance(tree, (list, tuple, dict)):
        return keras.tree.map_structure(lambda leaf: known[id(leaf)] if is_symbol(leaf) else leaf, tree)
    return tree
