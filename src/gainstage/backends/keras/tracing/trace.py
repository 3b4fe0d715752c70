"""From a Keras model and the shapes of a batch to a SignalGraph; no values are needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from gainstage.backends.keras.models.batch import Batch, outputs_of, prepare
from gainstage.backends.keras.models.losses import Criterion, criterion_of
from gainstage.backends.keras.models.names import named_layers, named_parameters, names_in_summary
from gainstage.backends.keras.models.preserve import inlined_functions, preserved
from gainstage.backends.keras.tracing.call import Draft
from gainstage.backends.keras.tracing.drafting import Drafting
from gainstage.backends.keras.tracing.graph_building import assemble
from gainstage.backends.keras.tracing.standins import Standins
from gainstage.backends.keras.tracing.tape import Penalty, Step, Tape, symbols_in
from gainstage.errors import GainstageError, InputError, ModelError
from gainstage.graph import SignalGraph
from gainstage.records import Note

__all__ = ["Program", "brief", "materialise", "program_of", "require_model", "trace"]


@dataclass(frozen=True, slots=True)
class Program:
    """A traced model: what it does as data, and what is needed to do it again on arrays.

    Args:
        graph: the operations.
        drafts: the same before hand-written functions were recognised, with their symbols.
        steps: in order of execution.
        inputs: symbols of the inputs, in the order of the batch's arrays.
        standins: the weight behind every symbol that stands for one, by the symbol's id.
        standin_symbols: these symbols, those that a step uses.
        parameters: the weights by path.
        random_states: of dropout and the like.
        output: the symbols that the model returns, in its own structure.
        ends: which of its floating outputs nothing in the model reads, the one that the loss sees first.
        penalties: that layers add to the loss.
        regularized: paths of trainable weights with a regularizer.
        notes: doubts.
    """

    graph: SignalGraph
    drafts: tuple[Draft, ...]
    steps: tuple[Step, ...]
    inputs: tuple[Any, ...]
    standins: Mapping[int, Any]
    standin_symbols: tuple[Any, ...]
    parameters: Mapping[str, Any]
    random_states: tuple[Any, ...]
    output: Any
    ends: tuple[int, ...]
    penalties: tuple[Penalty, ...]
    regularized: tuple[str, ...]
    notes: tuple[Note, ...]


def trace(model: Any, inputs: Any, target: Any = None, *, loss: Any = None) -> SignalGraph:
    """The operations that the signal of ``inputs`` passes through in ``model``, and in ``loss`` if there is one.

    The model runs on symbols, as if it was to train. It is left as it was found; one that was not built yet is built,
    as by its first call.

    Args:
        model: a Keras 3 model or layer.
        inputs: an array or tensor with the batch, or the list or dict of them that the model takes.
        target: labels; the loss runs only where there are some.
        loss: a name or object of Keras, or a function of ``(y_true, y_pred)``; by default that of ``model.compile``.

    Raises:
        ModelError: the model's own code raised.
        InputError: the batch cannot be used, or the labels do not fit the loss.

    >>> import numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2)])
    >>> graph = trace(model, np.ones((3, 4), "float32"))
    >>> [str(node.operation) for node in graph.nodes]
    ['input', 'linear', 'activation', 'linear']
    """
    model = require_model(model)
    batch = prepare(inputs)
    materialise(model, inputs)
    return program_of(model, batch, criterion_of(model, loss, target)).graph


def require_model(model: Any) -> Any:
    """The model itself.

    Raises:
        InputError: it is no Keras 3 model.
    """
    if not isinstance(model, keras.layers.Layer):
        raise InputError(
            f"Expected a Keras model or layer, received {type(model).__name__}. Pass a model object (call the class or "
            "function that builds it)."
        )
    return model


def materialise(model: Any, inputs: Any) -> None:
    """Build what is not built yet, by one call on symbols of the batch's shape.

    Raises:
        ModelError: the model's own code raised.
        InputError: the batch cannot be used.
    """
    model = require_model(model)
    if all(layer.built for _, layer in named_layers(model)):
        return
    batch = prepare(inputs)
    # A sequential model keeps the shape that it was built for.
    open_ = isinstance(model, keras.Sequential) and not any(getattr(inner, "stateful", False) for inner in model.layers)
    symbols = [keras.KerasTensor((None, *a.shape[1:]) if open_ else a.shape, _dtype(a)) for a in batch.arrays]
    with preserved(model), inlined_functions():
        _guarded(batch, "model", lambda: model(batch.packed(symbols)))


def program_of(model: Any, batch: Batch, criterion: Criterion | None = None, *, training: bool = True) -> Program:
    """Trace a built model, and the loss with it.

    Raises:
        ModelError: the model's or the loss's own code raised, or the model has no floating output.
    """
    parameters, aliases = named_parameters(model)
    paths = {id(variable): path for path, variable in parameters.items()}
    standins = Standins(model)
    tape = Tape(model, standins)
    symbols = [keras.KerasTensor(a.shape, _dtype(a)) for a in batch.arrays]
    arguments = {"training": training} if getattr(model, "_call_has_training_arg", False) else {}
    with preserved(model), inlined_functions(), keras.StatelessScope(), tape.running():
        with standins.placed():
            output = _guarded(batch, "model", lambda: model(batch.packed(symbols), **arguments))
        returned = outputs_of(output)
        value = None
        if criterion is not None:
            tape.stage = "loss"
            value = _loss_on_symbols(tape, criterion, output)
    drafting = Drafting(batch.examples, paths, standins.variables)
    for symbol, name in zip(symbols, batch.names, strict=True):
        drafting.add_input(symbol, name)
    inputs = tuple(range(len(symbols)))
    for step in tape.steps:
        drafting.read(step)
    nodes = [drafting.node_of(symbol) for symbol in returned]
    known = nodes if nodes[0] is not None else []  # the first output of a graph is what the loss sees
    outputs = tuple(dict.fromkeys(node for node in known if node is not None))
    loss_node = None
    if criterion is not None and outputs:
        loss_node = drafting.node_of(value) if value is not None else None
        if loss_node is None or loss_node == outputs[0]:
            loss_node = drafting.add_loss(outputs[0], criterion.kind or "other")
    trainable = frozenset(id(v) for v in model.trainable_variables)
    graph = assemble(
        drafting.drafts,
        parameters,
        aliases,
        trainable=trainable,
        inputs=inputs,
        outputs=outputs,
        loss=loss_node,
        called=names_in_summary(model),
    )
    used = {id(s): s for step in tape.steps for s in symbols_in((step.args, dict(step.kwargs)))}
    used |= {id(penalty.symbol): penalty.symbol for penalty in tape.penalties}
    return Program(
        graph,
        tuple(drafting.drafts),
        tuple(tape.steps),
        tuple(symbols),
        standins.variables,
        tuple(symbol for key, symbol in used.items() if key in standins.variables),
        parameters,
        tuple(v for v in model.variables if v.name == "seed_generator_state"),
        output,
        tuple(nodes.index(node) for node in graph.ends) or (0,),
        tuple(tape.penalties),
        tuple(paths[id(v)] for v in model.trainable_variables if id(v) in paths and v.regularizer is not None),
        tuple(tape.notes),
    )


_ONE_TERM = frozenset({"mse", "l1", "huber"})
"""Keras's own losses that are one operation here, as they are in other frameworks, although Keras spells them out."""


def _loss_on_symbols(tape: Tape, criterion: Criterion, output: Any) -> Any:
    """The loss's own symbol; None where it is one operation: its code needs numbers, or theory knows it as a whole."""
    start = len(tape.steps)
    try:
        value = criterion.on_symbols(output)
        if criterion.kind in _ONE_TERM:
            del tape.steps[start:]
            return None
        return value
    except GainstageError:
        raise
    except Exception:  # a loss of the user's own may reject symbols in any way it likes
        del tape.steps[start:]
        return None


def brief(error: Exception) -> str:
    r"""The kind of an error and the first line of its message, without the terminal's and TensorFlow's own marks.

    >>> brief(ValueError("\x1b[1m{{function_node __wrapped__GatherV2}} indices[0] = 9 is not in [0, 5)\x1b[0m"))
    'ValueError: indices[0] = 9 is not in [0, 5)'
    """
    plain = re.sub(r"\x1b\[[0-9;]*m|\{\{[^}]*\}\}", "", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Exception encountered when calling")] or lines
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__


def _dtype(array: Any) -> str:
    return str(keras.config.floatx()) if array.dtype.kind == "f" else str(array.dtype)


def _guarded(batch: Batch, what: str, run: Any) -> Any:
    """Run the user's code; what it raises is told with the shapes it was given."""
    try:
        return run()
    except GainstageError:
        raise
    except Exception as error:
        shapes = ", ".join(str(a.shape) for a in batch.arrays)
        raise ModelError(
            f"The {what} raised {brief(error)} (inputs of shape {shapes}). Check the input's shape and type against "
            f"what the {what} expects."
        ) from error
