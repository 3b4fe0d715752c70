"""TensorFlow's and PyTorch's own functions on symbols: ``tf.matmul(x, self.w)`` in a layer's ``call``.

Both frameworks hand a call whose arguments they do not know to whoever asks for it. While a model is traced, such calls
become operations of Keras where these say the same, and otherwise an operation that runs the function itself. JAX has
no such place; there a layer in raw functions stays one operation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["Foreign", "foreign_functions", "refused"]

Arguments = dict[str, Any]

_UNARY = frozenset(
    """
    abs acos acosh asin asinh atan atanh ceil cos cosh elu erf exp expm1 floor gelu hard_sigmoid log log1p log_sigmoid
    negative reciprocal relu relu6 round rsqrt selu sigmoid sign silu sin sinh softplus softsign sqrt square tan tanh
    stop_gradient
    """.split()
)
"""Functions of one array that Keras has under the same name."""

_BINARY = frozenset("add subtract multiply divide maximum minimum".split())
"""Functions of two arrays that Keras has under the same name."""

_RENAMED: Mapping[str, str] = {
    "swish": "silu", "neg": "negative", "realdiv": "divide", "truediv": "divide", "div": "divide", "sub": "subtract",
    "mul": "multiply", "_add_dispatch": "add", "add_v2": "add", "logsigmoid": "log_sigmoid", "mm": "matmul",
    "bmm": "matmul", "softmax_v2": "softmax", "log_softmax_v2": "log_softmax", "expand_dims_v2": "expand_dims",
    "squeeze_v2": "squeeze", "where_v2": "where", "cat": "concat", "permute": "transpose", "clamp": "clip_by_value",
    "mean": "reduce_mean", "sum": "reduce_sum", "detach": "stop_gradient", "matmul_v2": "matmul", "einsum_v2": "einsum",
}  # fmt: skip
"""A framework's names to those that the tables here use."""


class Foreign(keras.Operation):  # type: ignore[misc]
    """A function of the backend that Keras has no operation for.

    Args:
        function: takes the backend's tensors.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.label: str = getattr(function, "__name__", type(function).__name__)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself."""
        return self.function(*args, **kwargs)


def _matmul(a: Arguments) -> Any:
    left, right = _first(a, "a", "input"), _first(a, "b", "other", "mat2")
    if a.get("transpose_a") or a.get("adjoint_a"):
        left = ops.swapaxes(left, -1, -2)
    if a.get("transpose_b") or a.get("adjoint_b"):
        right = ops.swapaxes(right, -1, -2)
    return ops.matmul(left, right)


def _linear(a: Arguments) -> Any:
    product = ops.matmul(a["input"], ops.transpose(a["weight"]))
    return product if a.get("bias") is None else ops.add(product, a["bias"])


def _reduced(operation: Callable[..., Any]) -> Callable[[Arguments], Any]:
    def reduce(a: Arguments) -> Any:
        axis = _first(a, "axis", "dim", default=None)
        keep = bool(_first(a, "keepdims", "keepdim", default=False))
        return operation(_first(a, "input_tensor", "input"), axis=_plain(axis), keepdims=keep)

    return reduce


def _softmax(operation: Callable[..., Any]) -> Callable[[Arguments], Any]:
    return lambda a: operation(_first(a, "logits", "input"), axis=_axis(a, -1))


_TRANSLATED: Mapping[str, Callable[[Arguments], Any]] = {
    "matmul": _matmul,
    "linear": _linear,
    "bias_add": lambda a: ops.add(a["value"], a["bias"]),
    "tensordot": lambda a: ops.tensordot(a["a"], a["b"], axes=_plain(_first(a, "axes", "dims", default=2))),
    "einsum": lambda a: ops.einsum(a["equation"], *_flat(_first(a, "inputs", "operands"))),
    "softmax": _softmax(ops.softmax),
    "log_softmax": _softmax(ops.log_softmax),
    "reduce_mean": _reduced(ops.mean),
    "reduce_sum": _reduced(ops.sum),
    "reduce_max": _reduced(ops.max),
    "reduce_min": _reduced(ops.min),
    "reshape": lambda a: ops.reshape(_first(a, "tensor", "input"), _plain(a["shape"])),
    "transpose": lambda a: _transposed(a),
    "expand_dims": lambda a: ops.expand_dims(a["input"], _axis(a)),
    "unsqueeze": lambda a: ops.expand_dims(a["input"], _axis(a)),
    "squeeze": lambda a: ops.squeeze(a["input"], _axis(a, None)),
    "flatten": lambda a: ops.reshape(a["input"], (a["input"].shape[0], -1)),
    "concat": lambda a: ops.concatenate(_flat(_first(a, "values", "tensors")), axis=_axis(a, 0)),
    "stack": lambda a: ops.stack(_flat(_first(a, "values", "tensors")), axis=_axis(a, 0)),
    "identity": lambda a: a["input"],
    "convert_to_tensor_v2_with_dispatch": lambda a: a["value"],
    "cast": lambda a: ops.cast(a["x"], keras.backend.standardize_dtype(a["dtype"])),
    "where": lambda a: ops.where(a["condition"], _first(a, "x", "input"), _first(a, "y", "other")),
    "leaky_relu": lambda a: ops.leaky_relu(
        _first(a, "features", "input"), negative_slope=float(_first(a, "alpha", "negative_slope", default=0.2))
    ),
    "pow": lambda a: ops.power(_first(a, "x", "input"), _first(a, "y", "exponent")),
    "clip_by_value": lambda a: ops.clip(
        _first(a, "t", "input"), _first(a, "clip_value_min", "min"), _first(a, "clip_value_max", "max")
    ),
    "gather": lambda a: ops.take(_first(a, "params"), a["indices"], axis=_axis(a, 0) or 0),
    "shape": lambda a: ops.convert_to_tensor(np.asarray(a["input"].shape, "int32")),
    "shape_v2": lambda a: ops.convert_to_tensor(np.asarray(a["input"].shape, "int32")),
}
"""What Keras says with other arguments, by the function's name."""


def _first(arguments: Arguments, *names: str, **fallback: Any) -> Any:
    """The argument that goes by one of these names in one of the frameworks."""
    for name in names:
        if arguments.get(name) is not None:
            return arguments[name]
    if "default" in fallback:
        return fallback["default"]
    raise KeyError(names[0])


def _axis(arguments: Arguments, *fallback: Any) -> Any:
    return _plain(_first(arguments, "axis", "dim", **({"default": fallback[0]} if fallback else {})))


def _plain(value: Any) -> Any:
    """Numbers as Python has them."""
    if isinstance(value, (list, tuple)):
        return tuple(_plain(item) for item in value)
    return np.asarray(value).tolist() if hasattr(value, "numpy") or isinstance(value, np.ndarray) else value


def _flat(value: Any) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return list(values[0]) if len(values) == 1 and isinstance(values[0], (list, tuple)) else values


def _transposed(arguments: Arguments) -> Any:
    if "dim0" in arguments:
        return ops.swapaxes(arguments["input"], arguments["dim0"], arguments["dim1"])
    return ops.transpose(_first(arguments, "a", "input"), _plain(_first(arguments, "perm", "dims", default=None)))


_ORDERS: Mapping[str, tuple[str, ...]] = {
    "matmul": ("input", "other"), "linear": ("input", "weight", "bias"), "reshape": ("input", "shape"),
    "softmax": ("input", "dim"), "log_softmax": ("input", "dim"), "concat": ("tensors", "dim"),
    "stack": ("tensors", "dim"), "reduce_mean": ("input", "dim", "keepdim"), "reduce_sum": ("input", "dim", "keepdim"),
    "unsqueeze": ("input", "dim"), "squeeze": ("input", "dim"), "flatten": ("input",), "where": ("condition", "x", "y"),
    "leaky_relu": ("input", "negative_slope"), "pow": ("input", "exponent"), "clip_by_value": ("input", "min", "max"),
    "tensordot": ("a", "b", "dims"),
}  # fmt: skip
"""Arguments in order, of PyTorch's functions without a signature in Python."""


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Say a call in operations of Keras, or run it as it is on every pass."""
    if _refusing:
        raise TypeError("No function of the backend takes symbols now.")
    name = getattr(function, "__name__", "")
    name = _RENAMED.get(name, name)
    given = [*args, *(value for key, value in kwargs.items() if key != "name" and value is not None)]
    try:
        if name in _UNARY and len(given) == 1:
            return getattr(ops, name)(given[0])
        if name in _BINARY and len(given) == 2:
            return getattr(ops, name)(*given)
        if name in _TRANSLATED:
            return _TRANSLATED[name](_bound(function, name, args, kwargs))
    except (KeyError, TypeError):  # called in a way that is not foreseen here
        pass
    return Foreign(function)(*args, **kwargs)


def _bound(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Arguments:
    if name == "einsum":
        return {"equation": args[0], "inputs": args[1:]}
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**dict(zip(_ORDERS[name], args, strict=False)), **kwargs}


@contextmanager
def foreign_functions() -> Iterator[None]:
    """Let the backend's own functions take symbols until the block is left."""
    match keras.config.backend():
        case "tensorflow":
            with _dispatched():
                yield
        case "torch":
            keras.KerasTensor.__torch_function__ = classmethod(
                lambda cls, function, types, args=(), kwargs=None: _called(function, args, kwargs or {})  # noqa: ARG005
            )
            try:
                yield
            finally:
                del keras.KerasTensor.__torch_function__
        case _:
            yield


_refusing: list[bool] = []
"""One element for every block of ``refused`` that is entered."""


@contextmanager
def refused() -> Iterator[None]:
    """Refuse symbols for all functions of the backend in a block, so that a named activation stays one operation."""
    _refusing.append(True)
    try:
        yield
    finally:
        _refusing.pop()


_listening: list[bool] = []
"""Whether TensorFlow's calls on symbols are wanted: empty before the first trace, then one element."""


@contextmanager
def _dispatched() -> Iterator[None]:
    import tensorflow as tf

    dispatch = tf.__internal__.dispatch

    class Listener(dispatch.GlobalOpDispatcher):  # type: ignore[misc, name-defined]
        """Takes the calls that TensorFlow refuses, while a model is traced."""

        def handle(self, op: Any, args: Any, kwargs: Any) -> Any:
            symbolic = any(isinstance(leaf, keras.KerasTensor) for leaf in keras.tree.flatten((args, kwargs)))
            return _called(op, args, kwargs) if _listening[0] and symbolic else self.NOT_SUPPORTED

    if not _listening:
        _listening.append(False)
        Listener().register()  # for good: TensorFlow knows no way back
    before, _listening[0] = _listening[0], True
    try:
        yield
    finally:
        _listening[0] = before
