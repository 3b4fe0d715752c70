"""Functions and layers of a framework as functions of NumPy arrays.

No framework is imported: one that a function was written in is loaded already, and is asked for by its name.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations.record import Array, Elementwise

__all__ = ["callable_name", "on_arrays"]

_PROBE = np.linspace(-2.0, 2.0, 4)  # an even number of values, so that a gate that halves its input is recognised later
Converter = tuple[Callable[[Array], Any], Callable[[Any], Array]]


def callable_name(function: Any) -> str:
    """What to call a function or layer in messages.

    >>> from gainstage.theory.activations.foreign import callable_name
    >>> callable_name(abs), callable_name(lambda x: x)
    ('abs', 'function')
    """
    name = getattr(function, "__name__", None) or type(function).__name__
    return "function" if name == "<lambda>" else str(name)


def on_arrays(function: Any) -> tuple[Elementwise, bool]:
    """The function as one of float64 arrays, and whether it belongs to a framework.

    A layer is copied and taken in evaluation mode and double precision; a class of layers with its defaults. A function
    that does not take NumPy arrays is tried on tensors of every framework that is loaded. One that takes none is
    returned as it is: what it raises says why.

    Args:
        function: a function, or a layer of PyTorch or Keras, or the class of one.

    Raises:
        InputError: a class of layers that needs arguments.
    """
    torch, keras = _loaded("torch", "nn"), _loaded("keras", "ops")
    kinds = tuple(k for k in (_part(torch, "nn.Module"), _part(keras, "layers.Layer")) if k is not None)
    if isinstance(function, type) and issubclass(function, kinds):
        try:
            function = function()
        except TypeError as error:
            raise InputError(
                f"The class '{function.__name__}' needs arguments ({error}). Pass a layer: {function.__name__}(…)."
            ) from error
    if isinstance(function, kinds):
        function = _layer(function, keras)
    elif _takes_arrays(function):
        return function, False
    for convert, back in _converters():
        wrapped = _wrapped(function, convert, back)
        try:
            found = wrapped(_PROBE.copy())
        except Exception:  # the next framework may be the one it is written in
            continue
        if isinstance(found, np.ndarray):
            return wrapped, True
    return function, False


def _takes_arrays(function: Any) -> bool:
    try:
        with np.errstate(all="ignore"):
            return isinstance(function(_PROBE.copy()), np.ndarray)
    except Exception:
        return False


def _layer(layer: Any, keras: Any) -> Callable[[Any], Any]:
    """The call of a copy of a layer, in double precision."""
    base = _part(keras, "layers.Layer")
    if base is None or not isinstance(layer, base):
        copied: Callable[[Any], Any] = copy.deepcopy(layer).cpu().double().eval()
        return copied
    with _double_precision():
        twin = type(layer).from_config({**layer.get_config(), "dtype": "float64"})
        twin.build((None, 1))
        if layer.weights and [w.shape for w in layer.weights] == [w.shape for w in twin.weights]:
            twin.set_weights(layer.get_weights())
    inner: Callable[[Any], Any] = twin.call
    return inner


def _converters() -> Iterator[Converter]:
    """From arrays to tensors and back, for every framework that is loaded."""
    if (torch := _loaded("torch", "nn")) is not None:
        yield torch.from_numpy, lambda tensor: tensor.detach().cpu().numpy()
    if (keras := _loaded("keras", "ops")) is not None:
        yield (lambda x: keras.ops.convert_to_tensor(x, dtype="float64")), keras.ops.convert_to_numpy
    if (tensorflow := _loaded("tensorflow", "constant")) is not None:
        yield tensorflow.constant, lambda tensor: tensor.numpy()
    if (jax := _loaded("jax", "numpy")) is not None:
        yield jax.numpy.asarray, np.asarray


def _wrapped(
    function: Callable[[Any], Any], convert: Callable[[Array], Any], back: Callable[[Any], Array]
) -> Elementwise:
    def on_array(x: Array) -> Array:
        with _double_precision():
            return back(function(convert(np.ascontiguousarray(x))))

    on_array.__name__ = callable_name(function)
    return on_array


def _double_precision() -> AbstractContextManager[Any]:
    """JAX computes in single precision unless told otherwise."""
    switch = getattr(sys.modules.get("jax"), "enable_x64", None)
    return switch(True) if callable(switch) else nullcontext()


def _loaded(name: str, attribute: str) -> Any:
    """A framework if it is imported, and whole: half-imported modules and namesakes lack the attribute."""
    module = sys.modules.get(name)
    return module if hasattr(module, attribute) else None


def _part(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module
