"""Run a model on symbols and write down every operation, layer by layer down to ``keras.ops``.

Keras hands each symbolic operation to ``symbolic_call``. While a ``Tape`` is active, layers answer it by running their
own ``call``, so that what happens inside them is seen too; only those that are one operation to gainstage (a
normalisation, a recurrent layer, dropout) and those whose code refuses symbols stay whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from gainstage.backends.keras.models.names import named_layers
from gainstage.backends.keras.tracing.expansions import EXPANSIONS, OPERATION_EXPANSIONS, SPECIFICATIONS, Elementwise
from gainstage.backends.keras.tracing.foreign import foreign_functions, refused
from gainstage.backends.keras.tracing.operations import is_unadapted, whole_layer
from gainstage.backends.keras.tracing.standins import Standins
from gainstage.errors import GainstageError
from gainstage.graph import Stage
from gainstage.records import Note

__all__ = ["Penalty", "Step", "Tape", "is_symbol", "symbols_in"]


def is_symbol(value: Any) -> bool:
    """Whether a value is one of Keras's symbolic tensors."""
    return isinstance(value, keras.KerasTensor)


def symbols_in(tree: Any) -> list[Any]:
    """All symbolic tensors in nested arguments, in order."""
    return [leaf for leaf in keras.tree.flatten(tree) if is_symbol(leaf)]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation as it was called.

    Args:
        operation: a Keras operation, or a layer that stays whole.
        args, kwargs: of the call, with symbols, weights and constants.
        outputs: the symbols it returned, in its own structure.
        path: of the layer that ran it.
        builtin: whether that layer is one of Keras's own.
        stage: whether it belongs to the model or to the loss.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: Any
    path: str
    builtin: bool
    stage: Stage


@dataclass(frozen=True, slots=True)
class Penalty:
    """What a layer adds to the loss by itself.

    Args:
        symbol: the number that its code added, or the output that a regularizer looks at.
        regularizer: of the layer's activity; None for a number.
    """

    symbol: Any
    regularizer: Any = None


class Tape:
    """The operations of one symbolic run, in order.

    Args:
        model: whose layers have paths.
        standins: the symbols of its weights.
    """

    def __init__(self, model: Any, standins: Standins) -> None:
        self.steps: list[Step] = []
        self.notes: list[Note] = []
        self.penalties: list[Penalty] = []
        self.stage: Stage = "model"
        self._standins = standins
        self._paths: dict[int, str] = {}
        self._inside: list[Any] = []
        self._silent = False
        self._constants: dict[int, tuple[Any, Any]] = {}  # by the id of the symbol that stands for one
        for path, layer in named_layers(model):
            self._paths.setdefault(id(layer), path)

    @contextmanager
    def running(self) -> Iterator[None]:
        """See every symbolic operation of Keras until the block is left."""
        operation, layer = keras.Operation, keras.layers.Layer
        before = {kind: vars(kind)["symbolic_call"] for kind in (operation, layer)}
        add_loss, call = layer.add_loss, layer.__call__
        operation.symbolic_call = lambda op, *args, **kwargs: self._operation(op, args, kwargs)
        layer.symbolic_call = lambda own, *args, **kwargs: self._layer(own, args, kwargs)
        # Keras wants nothing but tensors from layers.
        layer.__call__ = lambda own, *args, **kwargs: self._uncovered(call(own, *args, **kwargs))
        # Keras adds numbers only.
        layer.add_loss = lambda own, loss: self._penalty(loss) if symbols_in(loss) else add_loss(own, loss)
        try:
            with foreign_functions():
                yield
        finally:
            layer.add_loss, layer.__call__ = add_loss, call
            for kind, method in before.items():
                kind.symbolic_call = method

    def _penalty(self, loss: Any) -> None:
        if not self._silent:  # a layer that stays whole adds its numbers when it runs
            self.penalties += [Penalty(symbol) for symbol in symbols_in(loss)]

    def _operation(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        expansion = OPERATION_EXPANSIONS.get(type(operation).__name__)
        if expansion is not None and not self._silent:
            return expansion(operation, *args, **kwargs)
        silent, self._silent = self._silent, True  # some specifications are computed by other operations
        try:
            specify = SPECIFICATIONS.get(type(operation).__name__)
            own = operation.compute_output_spec
            outputs = specify(operation, *args, **kwargs) if specify else own(*args, **kwargs)
        finally:
            self._silent = silent
        self._write(operation, args, kwargs, outputs)
        return outputs

    def _layer(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._silent:
            return layer.compute_output_spec(*args, **kwargs)
        self._inside.append(layer)
        try:
            if isinstance(layer, keras.layers.Normalization) and is_unadapted(layer):
                self._note_unadapted(layer)
            if whole_layer(layer) is not None:
                return self._whole(layer, args, kwargs)
            if getattr(layer, "quantization_mode", None):
                return self._opaque(layer, args, kwargs, f"is quantized ({layer.quantization_mode})")
            with self._symbolic_activation(layer):
                return self._expanded(layer, args, kwargs)
        finally:
            self._inside.pop()

    def _expanded(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the layer's own code on symbols; should it refuse them, on its weights; else keep it whole."""
        run = next((own for kind, own in EXPANSIONS if isinstance(layer, kind)), type(layer).call)
        start, notes, penalties = len(self.steps), len(self.notes), len(self.penalties)
        failure: Exception | None = None
        for with_weights in (False, True):
            try:
                if with_weights:
                    with self._standins.withdrawn(layer, below=False):
                        outputs = run(layer, *args, **kwargs)
                else:
                    outputs = run(layer, *args, **kwargs)
                if _usable(outputs, constants=not with_weights):
                    if layer.activity_regularizer is not None:
                        self.penalties += [Penalty(s, layer.activity_regularizer) for s in symbols_in(outputs)]
                    return self._covered(outputs)
            except GainstageError:
                raise
            except Exception as error:  # code that expects numbers may reject symbols in any way it likes
                failure = error
            del self.steps[start:], self.notes[notes:], self.penalties[penalties:]
        reason = f" ({_first_line(failure)})" if failure is not None else ""
        return self._opaque(
            layer, args, kwargs, f"cannot run on symbols{reason}. Written with keras.ops, its parts would be seen too"
        )

    def _covered(self, outputs: Any) -> Any:
        """The same with a symbol in the place of everything else (None, a number, a constant array)."""

        def cover(leaf: Any) -> Any:
            if is_symbol(leaf):
                return leaf
            symbol = keras.KerasTensor(())
            self._constants[id(symbol)] = symbol, leaf
            return symbol

        return keras.tree.map_structure(cover, outputs)

    def _uncovered(self, outputs: Any) -> Any:
        """Return a layer's return value without the symbols of ``_covered``."""
        if not any(id(leaf) in self._constants for leaf in keras.tree.flatten(outputs)):
            return outputs
        return keras.tree.map_structure(lambda leaf: self._constants.get(id(leaf), (leaf, leaf))[1], outputs)

    def _opaque(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], why: str) -> Any:
        """Keep a layer whole that is no single operation, and say so."""
        outputs = self._whole(layer, args, kwargs)
        path = self._paths.get(id(layer), "")
        message = f"'{path or type(layer).__name__}' counts as one operation: it {why}."
        self.notes.append(Note("GS902", message, path))
        return outputs

    def _note_unadapted(self, layer: Any) -> None:
        path = self._paths.get(id(layer), "")
        message = (
            f"'{path or layer.name}' normalises nothing: call layer.adapt(data) before training, or give it a mean."
        )
        self.notes.append(Note("GS902", message, path))

    @contextmanager
    def _symbolic_activation(self, layer: Any) -> Iterator[None]:
        """Give a layer an activation that takes symbols, if its own does not."""
        function = layer.__dict__.get("activation")
        if not callable(function) or isinstance(function, keras.Operation) or self._takes_symbols(function):
            yield
            return
        layer.__dict__["activation"] = Elementwise(function)
        try:
            yield
        finally:
            layer.__dict__["activation"] = function

    def _takes_symbols(self, function: Any) -> bool:
        silent, self._silent = self._silent, True
        try:
            with refused():
                return is_symbol(function(keras.KerasTensor((2, 2))))
        except Exception:  # code that expects numbers may reject symbols in any way it likes
            return False
        finally:
            self._silent = silent

    def _whole(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._silent = True
        try:
            with self._standins.withdrawn(layer, below=True):
                outputs = layer.compute_output_spec(*args, **kwargs)
        finally:
            self._silent = False
        self._write(layer, args, kwargs, outputs)
        return outputs

    def _write(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: Any) -> None:
        if self._silent:
            return
        here = next((layer for layer in reversed(self._inside) if id(layer) in self._paths), None)
        builtin = bool(self._inside) and type(self._inside[-1]).__module__.startswith("keras.")
        path = self._paths[id(here)] if here is not None else ""
        self.steps.append(Step(operation, args, kwargs, outputs, path, builtin, self.stage))


def _usable(outputs: Any, *, constants: bool) -> bool:
    """Report whether a layer's return value holds symbols, and nothing else that a pass would have to compute.

    Args:
        outputs: in any nested structure.
        constants: whether arrays are constants: with symbols in the place of its weights, they cannot be anything else.
    """
    leaves = keras.tree.flatten(outputs)
    fixed = (type(None), bool, int, float, str)
    return bool(symbols_in(outputs)) and all(is_symbol(x) or constants or isinstance(x, fixed) for x in leaves)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
