"""From the description of an input to an example batch, and what a built model tells of its inputs itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.names import named_layers
from gainstage.backends.shared.example_inputs import arranged, first_examples, no_vocabulary, require_specs
from gainstage.data import Dataset, InputSpec

__all__ = ["example_batch", "known_inputs", "labelled_batch"]

Array = np.ndarray[Any, Any]
Batch = Array | list[Array] | dict[str, Array]
"""What is handed to the model: one input, several in order, or several by name."""

_ANY_SIZE = 224  # pixels, where a model takes images of every size


def known_inputs(model: Any) -> tuple[InputSpec, ...] | None:
    """The inputs of a functional or sequential model that knows its shapes; None where the user has to say.

    >>> known_inputs(keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)]))
    (InputSpec(shape=(784,), kind='values', name='', vocabulary=None),)
    """
    structure = _structure(model)
    if structure is None:
        return None
    named = isinstance(structure, Mapping)
    symbols = list(structure.items()) if named else [("", symbol) for symbol in keras.tree.flatten(structure)]
    specs = tuple(_spec(model, symbol, name) for name, symbol in symbols)
    return specs if all(spec is not None for spec in specs) else None  # type: ignore[return-value]


def _structure(model: Any) -> Any:
    """The symbols of the inputs in their own structure, as functional models keep them."""
    functional = getattr(model, "_functional", None) or model
    return getattr(functional, "_inputs_struct", None)


def _spec(model: Any, symbol: Any, name: str) -> InputSpec | None:
    shape = tuple(symbol.shape[1:])
    if len(shape) == 3 and shape[-1] is not None:  # an image
        shape = tuple(_ANY_SIZE if size is None else size for size in shape)
    if None in shape or "string" in str(symbol.dtype):
        return None
    if "int" not in str(symbol.dtype) and not _looked_up(model, symbol):
        return InputSpec(shape, "values", name)
    return InputSpec(shape, "ids", name, _vocabulary(model, symbol))


def _looked_up(model: Any, symbol: Any) -> bool:
    """Whether an embedding reads it: Keras lets tokens come as floats."""
    return any(isinstance(reader, keras.layers.Embedding) for reader in _readers(model, symbol))


def _vocabulary(model: Any, symbol: Any) -> int | None:
    sizes = [r.input_dim for r in _readers(model, symbol) if isinstance(r, keras.layers.Embedding)]
    return min(sizes) if sizes else _first_vocabulary(model)


def _first_vocabulary(model: Any) -> int | None:
    layers = (layer for _, layer in named_layers(model) if isinstance(layer, keras.layers.Embedding))
    first = next(layers, None)
    return first.input_dim if first is not None else None


def _readers(model: Any, symbol: Any) -> Iterator[Any]:
    """The layers of a functional model that read a symbol; for a sequential model inside of it, its first layer."""
    functional = getattr(model, "_functional", None) or model
    for layer in functional.layers:
        for node in layer._inbound_nodes:
            if any(tensor is symbol for tensor in node.input_tensors):
                yield layer.layers[0] if isinstance(layer, keras.Sequential) and layer.layers else layer
                break


def example_batch(
    model: Any,
    specs: Sequence[InputSpec],
    *,
    batch: int = 32,
    seed: int = 0,
    device: str = "cpu",  # noqa: ARG001
) -> Batch:
    """Values and uniform tokens, the same for the same seed.

    Values are standard normal where the model's own preprocessing (``Rescaling``, an adapted ``Normalization``) hands
    them on: a model that divides pixels by 255 gets pixels.

    Args:
        model: whose preprocessing is undone, and whose first embedding bounds tokens without a vocabulary of their own.
        specs: one for every input; either all are named or none is.
        batch: number of examples.
        seed: of values and tokens.
        device: nothing; Keras moves arrays itself.

    Raises:
        InputError: no input, a batch that is not positive, names on some inputs only, or tokens for a model
            without an embedding.

    >>> example_batch(keras.Sequential([keras.layers.Dense(2)]), [InputSpec((4,))], batch=3).shape
    (3, 4)
    """
    require_specs(specs, batch)
    names = [spec.name for spec in specs]
    generator = np.random.default_rng(seed)
    arrays = [_draw(model, spec, batch, generator) for spec in specs]
    structure = _structure(model)
    symbols = keras.tree.flatten(structure) if structure is not None else []
    if isinstance(structure, Mapping) and all(names):
        symbols = [structure.get(name) for name in names]
    if len(symbols) == len(arrays):
        arrays = [_before(model, symbol, array) for symbol, array in zip(symbols, arrays, strict=True)]
    elif len(arrays) == 1 and isinstance(model, keras.Sequential) and arrays[0].dtype.kind == "f":
        arrays = [_undone(model.layers, arrays[0])]
    return arranged(specs, arrays)


def _draw(model: Any, spec: InputSpec, batch: int, generator: np.random.Generator) -> Array:
    if spec.kind == "values":
        return generator.standard_normal((batch, *spec.shape), dtype=np.float32)
    vocabulary = spec.vocabulary or _first_vocabulary(model)
    if vocabulary is None:
        raise no_vocabulary(model, spec, "224,224,3")
    return generator.integers(0, vocabulary, (batch, *spec.shape), dtype=np.int64)


def _before(model: Any, symbol: Any, values: Array) -> Array:
    """What the model's own preprocessing turns into these values."""
    if values.dtype.kind != "f" or symbol is None:
        return values
    return _undone(list(_way(model, symbol)), values)


def _way(model: Any, symbol: Any) -> Iterator[Any]:
    """The layers that read one another, from a symbol on, as long as there is one alone."""
    functional = getattr(model, "_functional", None) or model
    while True:
        readers = [
            (layer, node)
            for layer in functional.layers
            for node in layer._inbound_nodes
            if any(tensor is symbol for tensor in node.input_tensors)
        ]
        if len(readers) != 1 or len(readers[0][1].output_tensors) != 1:
            return
        layer, node = readers[0]
        yield layer
        symbol = node.output_tensors[0]


def _undone(way: Sequence[Any], values: Array) -> Array:
    steps = []
    for layer in _flat(way):
        if isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            steps.append(layer)
        elif not isinstance(layer, keras.layers.InputLayer) and not _augments(layer):
            break
    for layer in reversed(steps):
        values = _inverse(layer, values)
    return values


def _flat(way: Sequence[Any]) -> Iterator[Any]:
    for layer in way:
        if isinstance(layer, keras.Sequential):
            yield from _flat(layer.layers)
        else:
            yield layer


def _augments(layer: Any) -> bool:
    return type(layer).__name__.startswith("Random")


def _inverse(layer: Any, values: Array) -> Array:
    if isinstance(layer, keras.layers.Rescaling):
        scale, offset = np.asarray(layer.scale, np.float32), np.asarray(layer.offset, np.float32)
        return np.asarray((values - offset) / scale) if (scale != 0).all() else values
    if layer.invert or getattr(layer, "mean", None) is None:
        return values
    mean, variance = (values_of(v) if hasattr(v, "value") else np.asarray(v) for v in (layer.mean, layer.variance))
    return np.asarray(values * np.sqrt(variance) + mean, np.float32)


def labelled_batch(
    dataset: Dataset,
    specs: Sequence[InputSpec] | None = None,
    *,
    batch: int = 32,
    device: str = "cpu",  # noqa: ARG001
) -> tuple[Batch, Array]:
    """The first training examples of a dataset (it comes shuffled) and their labels.

    Args:
        dataset: where they come from.
        specs: what the model takes; its one input gives the examples shape and name; None leaves them as stored.
        batch: number of examples, or all there are.
        device: nothing; Keras moves arrays itself.

    Raises:
        InputError: the model takes several inputs, or one of another size.

    >>> from gainstage.data import load
    >>> labelled_batch(load("digits"), [InputSpec((8, 8, 1))], batch=4)[0].shape
    (4, 8, 8, 1)
    """
    x, labels, name = first_examples(dataset, specs, batch)
    return ({name: x} if name else x), labels
