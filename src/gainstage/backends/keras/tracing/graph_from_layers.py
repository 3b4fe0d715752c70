"""What can be told of a model's weights without a batch: named schemes need none."""

from __future__ import annotations

from typing import Any

import keras

from gainstage.backends.keras.models.batch import prepare
from gainstage.backends.keras.models.described_inputs import described_batches
from gainstage.backends.keras.models.geometry import Geometry, layer_kernel
from gainstage.backends.keras.models.names import is_of_keras, named_layers, named_parameters
from gainstage.backends.keras.tracing.operations import whole_layer
from gainstage.backends.keras.tracing.trace import program_of, require_model
from gainstage.errors import ModelError
from gainstage.graph import Node, Operation, Parameter, Role, SignalGraph, Slot, Use

__all__ = ["structure"]


def structure(model: Any) -> SignalGraph:
    """The weights of a built model with their geometry.

    A model that knows the shape of its input is traced on symbols of that shape. Of others, layers are listed one by
    one and not connected.

    Raises:
        ModelError: the model is not built, so that it has no weights yet.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    >>> [(p.path, str(p.role)) for p in structure(model).parameters]
    [('0.kernel', 'hidden'), ('0.bias', 'bias'), ('1.kernel', 'head'), ('1.bias', 'bias')]
    """
    model = require_model(model)
    if not model.built:
        raise ModelError(
            f"The model '{model.name}' is not built, so it has no weights yet. Pass x=, an example input; or give "
            "it an input shape: keras.Input(shape) as the first layer, or model.build((None, 784))."
        )
    if getattr(model, "inputs", None):  # a sequential or functional model, which knows its symbols
        return program_of(model, prepare(next(described_batches(model)))).graph
    return _layer_by_layer(model)


_UNKNOWN: tuple[Slot, Role] = ("operand", Role.OTHER)
"""A weight of a layer that is not Keras's own: its name says nothing."""

_SLOTS: dict[str, tuple[Slot, Role]] = {
    "bias": ("bias", Role.BIAS),
    "gamma": ("scale", Role.NORM_SCALE),
    "beta": ("shift", Role.NORM_SHIFT),
    "recurrent_kernel": ("state", Role.RECURRENT),
    "embeddings": ("weight", Role.EMBEDDING),
}


def _layer_by_layer(model: Any) -> SignalGraph:
    variables, aliases = named_parameters(model)
    paths = {id(variable): path for path, variable in variables.items()}
    trainable = {id(v) for v in model.trainable_variables}
    nodes: list[Node] = []
    found: dict[str, Parameter] = {}
    for name, layer in named_layers(model):
        uses = []
        kernel: Geometry | None = None
        recurrent = isinstance(layer, _CELLS)
        for variable in layer._trainable_variables:
            path, shape = paths[id(variable)], tuple(variable.shape)
            own = is_of_keras(layer)  # what a weight of any other layer is for, its name does not say
            geometry = layer_kernel(layer, shape) if own else None
            slot, role = _slot(variable.name, geometry, recurrent=recurrent) if own else _UNKNOWN
            geometry = geometry if slot in ("weight", "state") else None
            kernel = kernel or geometry
            explained = role is not Role.OTHER or isinstance(layer, keras.layers.PReLU)
            if explained:
                uses.append(Use(path, slot))
            found.setdefault(
                path,
                Parameter(
                    path,
                    shape,
                    str(variable.dtype),
                    role,
                    geometry.kernel if geometry else None,
                    geometry.blocks if geometry else 1,
                    geometry.layout if geometry else "in_out",
                    id(variable) in trainable,
                    aliases.get(path, ()),
                    (len(nodes),) if explained else (),
                ),
            )
        if uses:
            whole = whole_layer(layer)
            operation = whole.kind if whole else Operation.LINEAR if kernel else Operation.UNKNOWN
            label = whole.function if whole else ""
            shape_of = kernel.kernel if kernel else None
            nodes.append(Node(len(nodes), operation, layer.name, (), (), name, tuple(uses), shape_of, label))
    return SignalGraph(tuple(nodes), tuple(found[path] for path in variables if path in found))


_CELLS = (keras.layers.LSTMCell, keras.layers.GRUCell, keras.layers.SimpleRNNCell)


def _slot(name: str, geometry: Geometry | None, *, recurrent: bool) -> tuple[Slot, Role]:
    if recurrent and name == "bias":
        return "bias", Role.RECURRENT_BIAS
    if name in _SLOTS:
        return _SLOTS[name]
    if geometry is None or "kernel" not in name:
        return _UNKNOWN
    if recurrent:
        return "weight", Role.RECURRENT_INPUT
    depthwise = geometry.kernel.groups == geometry.kernel.in_ > 1
    return "weight", Role.DEPTHWISE if depthwise else Role.HIDDEN
