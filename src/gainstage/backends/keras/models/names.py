"""Names of layers and weights that are the same in every run.

Keras numbers automatic names in the order in which layers were made during the whole session (``dense_7``). A path
here says where a layer stands in its model: its place in a ``Sequential`` or functional model, the attribute that holds
it elsewhere, or the name its author gave it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import keras

__all__ = [
    "attributes",
    "is_automatic",
    "is_of_keras",
    "is_of_keras_alone",
    "named_layers",
    "names_in_summary",
    "named_parameters",
    "parameters_below",
]

Layer = keras.layers.Layer

_INTERNAL = frozenset(
    {
        "_layers",
        "_functional",
        "_operations",
        "_metrics",
        "_tracker",
        "_trainable_variables",
        "_non_trainable_variables",
        "_modules",
        "_torch_params",
        "_inbound_nodes",
        "_outbound_nodes",
    }
)


def is_automatic(name: str, kind: type) -> bool:
    """Whether Keras made up the name.

    >>> is_automatic("dense_7", keras.layers.Dense), is_automatic("classifier", keras.layers.Dense)
    (True, False)
    """
    stem = kind.__name__.replace("_", "").lower()
    return re.fullmatch(rf"{re.escape(stem)}\d*", name.replace("_", "").lower()) is not None


def attributes(layer: Any) -> dict[str, Any]:
    """What hangs on a layer, in order; on PyTorch sublayers are kept apart from the rest."""
    own = layer.__dict__
    items = (own | own.get("_modules", {})).items()
    return {k: v for k, v in items if k not in _INTERNAL and not k.startswith("_self_")}  # TensorFlow's bookkeeping


def named_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """All layers with all their paths, the model itself first; a shared layer comes once for every path.

    >>> model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dense(2, name="head")])
    >>> [path for path, _ in named_layers(model)]
    ['', '0', 'head']
    """
    yield from _walk(model, "", ())


def _walk(layer: Any, path: str, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    yield path, layer
    for name, child in _children(layer):
        if id(child) not in above:
            yield from _walk(child, f"{path}.{name}" if path else name, (*above, id(layer)))


def _children(layer: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(layer, keras.Sequential) or _is_functional(layer):
        layers = [child for child in layer.layers if not isinstance(child, keras.layers.InputLayer)]
        for position, child in enumerate(layers):
            yield (str(position) if is_automatic(child.name, type(child)) else child.name), child
        return
    named: dict[int, tuple[str, Any]] = {}
    aliases: list[tuple[str, Any]] = []
    for attribute, value in attributes(layer).items():
        for suffix, child in _layers_in(value):
            name = attribute
            if attribute.startswith("_"):
                private = attribute.strip("_")
                name = private if suffix or is_automatic(child.name, type(child)) else child.name
            if id(child) in named:
                aliases.append((name + suffix, child))
            named.setdefault(id(child), (name + suffix, child))
    # Keras keeps sublayers in the order in which they were made, on all its backends.
    for position, child in enumerate(layer._layers):
        yield named.pop(id(child), (str(position), child))
    yield from named.values()
    yield from aliases


def _is_functional(layer: Any) -> bool:
    # Keras offers no public name for functional models, which subclasses of Model may be too.
    return any(kind.__name__ == "Functional" for kind in type(layer).__mro__)


def _layers_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Layers in an attribute, with what to add to its name."""
    if isinstance(value, Layer):
        if not isinstance(value, keras.layers.InputLayer):
            yield "", value
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            for suffix, layer in _layers_in(item):
                yield f".{position}{suffix}", layer
    elif isinstance(value, dict):
        for key, item in value.items():
            for suffix, layer in _layers_in(item):
                yield f".{key}{suffix}", layer


def is_of_keras(layer: Any) -> bool:
    """Whether a layer is of one of Keras's own kinds, or of a kind made from one, so that names of its weights count.

    >>> is_of_keras(keras.layers.Dense(2)), is_of_keras(keras.layers.Layer())
    (True, False)
    """
    kinds = (kind.__module__ for kind in type(layer).__mro__)
    return any(kind.startswith("keras.src.layers.") and kind != Layer.__module__ for kind in kinds)


def is_of_keras_alone(operation: Any) -> bool:
    """Report whether an operation, with every layer inside it, is Keras's own, so that no user code runs.

    >>> is_of_keras_alone(keras.layers.LSTM(2)), is_of_keras_alone(keras.layers.Lambda(lambda x: x))
    (True, False)
    """
    parts = [inner for _, inner in named_layers(operation)] if isinstance(operation, Layer) else [operation]
    return all(
        type(part).__module__.startswith("keras.") and not isinstance(part, keras.layers.Lambda) for part in parts
    )


def named_parameters(model: Any) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Every weight that was made to be trained once, by its first path, and the other paths of shared ones.

    Statistics of normalisations, random states and the like are not among them.

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    >>> list(named_parameters(model)[0])
    ['0.kernel', '0.bias', '1.gamma', '1.beta']
    """
    first: dict[int, str] = {}
    parameters: dict[str, Any] = {}
    aliases: dict[str, list[str]] = defaultdict(list)
    for path, layer in named_layers(model):
        for name, variable in _own(layer).items():
            full = f"{path}.{name}" if path else name
            known = first.setdefault(id(variable), full)
            if known == full:
                parameters[full] = variable
            elif full not in aliases[known]:
                aliases[known].append(full)
    return parameters, {known: tuple(others) for known, others in aliases.items() if others}


def names_in_summary(model: Any) -> dict[str, str]:
    """Return the names in ``model.summary()`` of layers and weights, by path, where they differ from the path.

    >>> layer = keras.layers.Dense(4)
    >>> names = names_in_summary(keras.Sequential([keras.Input((3,)), layer]))
    >>> names["0.kernel"] == f"{layer.name}.kernel"
    True
    """
    found = {}
    for path, layer in named_layers(model):
        if path and path != layer.name:
            found[path] = layer.name
            found |= {f"{path}.{name}": f"{layer.name}.{name}" for name in _own(layer)}
    return found


def parameters_below(layer: Any) -> list[Any]:
    """The weights of a layer and of everything in it, each once."""
    found = {id(v): v for _, inner in named_layers(layer) for v in _own(inner).values()}
    return list(found.values())


def _own(layer: Any) -> dict[str, Any]:
    """The trainable weights that a layer itself has made, by name."""
    variables = list(layer._trainable_variables)
    given = [v.name for v in variables]
    held = {id(v): name.strip("_") for name, v in attributes(layer).items() if isinstance(v, keras.Variable)}
    names: dict[str, Any] = {}
    for position, variable in enumerate(variables):
        name = variable.name
        if given.count(name) > 1 or is_automatic(name, keras.Variable):
            name = held.get(id(variable), f"{name if given.count(name) > 1 else 'variable'}.{position}")
        names[name] = variable
    return names
