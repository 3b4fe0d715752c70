"""Carry out a plan: the only function of this backend that changes weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from gainstage import schemes
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.layout import canonical, native, require_fit
from gainstage.backends.keras.models.names import named_layers, named_parameters
from gainstage.backends.keras.tracing.trace import require_model
from gainstage.errors import GainstageError, InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream

__all__ = ["apply", "draw", "rescale", "snapshot", "stream_path"]

Array = NDArray[Any]

_FORGET, _GATES = 1, 4  # Keras stacks an LSTM's gates as input, forget, cell, output
_SPELLINGS = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "scale": "weight", "beta": "bias"}


def stream_path(path: str) -> str:
    """The name of a weight's random stream: its path, with PyTorch's word for what Keras calls a kernel.

    A dense layer and an ``nn.Linear`` at the same place of their models so get the same values from the same seed.

    >>> stream_path("encoder.0.kernel"), stream_path("encoder.0.cell.recurrent_kernel")
    ('encoder.0.weight', 'encoder.0.cell.recurrent_kernel')
    """
    head, dot, last = path.rpartition(".")
    return f"{head}{dot}{_SPELLINGS.get(last, last)}"


def apply(model: Any, plan: Plan, *, streams: Mapping[str, str] | None = None) -> None:
    """Write a plan into a model, in place.

    The variables stay the same objects, with their dtype; values are drawn in float32 and then cast. The whole plan is
    checked before the first write: one that cannot be carried out changes nothing.

    Args:
        model: the model the plan was made for, built.
        plan: from ``planning.plan``, possibly edited.
        streams: names of random streams for some paths, where they are not to be those of ``stream_path``: with
            ``{"0.kernel": "features.0.weight"}`` a dense layer gets what PyTorch's ``features.0`` would get.

    Raises:
        UnknownNameError: the plan or ``streams`` name a weight or a scheme that does not exist.
        InputError: a shape, gain, value or rule in the plan does not fit, or a weight is named twice.
        ModelError: the model is not built.

    >>> import keras
    >>> from gainstage.graph import Role
    >>> layer = keras.layers.Dense(2, use_bias=False)
    >>> layer.build((None, 2))
    >>> eye = Assignment("kernel", Role.HIDDEN, (2, 2), "identity", kernel=KernelShape(2, 2), layout="in_out")
    >>> apply(layer, Plan((eye,)))
    >>> values_of(layer.kernel).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    variables = _variables(require_model(model))
    by_path = {a.parameter: a for a in plan}
    if len(by_path) != len(plan):
        twice = next(path for path in by_path if sum(a.parameter == path for a in plan) > 1)
        raise InputError(f"The plan names the weight '{twice}' twice. Keep one of the two assignments.")
    for path in streams or {}:
        _usable(path, variables, "streams")
    to_write = [a for a in plan if a.scheme != "keep" and a.bias != "keep"]
    for assignment in to_write:
        _check(assignment, variables, by_path)
    _try_draws(to_write)
    names = {path: stream_path(path) for path in by_path} | dict(streams or {})
    for assignment in sorted(to_write, key=lambda a: a.bias == "centre"):
        variable = variables[assignment.parameter]
        variable.assign(ops.convert_to_tensor(_values(assignment, variables, by_path, plan.seed, names)))
        if assignment.scale != 1.0:  # after the cast, as calibration did it: the same bytes in every dtype
            rescale(variable, assignment.scale)


def rescale(variable: Any, scale: float) -> None:
    """Multiply a weight by a number, in single precision or better, and cast once: the same bytes on every backend.

    >>> import keras
    >>> weight = keras.Variable([1.0, 3.0], dtype="bfloat16")
    >>> rescale(weight, 0.7)
    >>> values_of(weight).astype("float32").tolist()
    [0.69921875, 2.09375]
    """
    values = values_of(variable)
    wide = values if values.dtype == np.float64 else values.astype(np.float32)
    variable.assign(ops.convert_to_tensor(wide * wide.dtype.type(scale)))


def draw(assignment: Assignment, seed: int, stream: str | None = None) -> NDArray[np.float32]:
    """The values a scheme gives to one weight, in the canonical layout, before any measured scale.

    Args:
        assignment: of a weight; its scheme is a name in the table of schemes.
        seed: of the plan.
        stream: name of the random stream; by default that of the weight's path.

    Returns:
        Shape ``(blocks · out, in_ / groups, receptive)``. Every block has a stream of its own.

    Raises:
        InputError: the assignment has no kernel, or its gain is not finite.
        UnknownNameError: there is no such scheme.
    """
    kernel = _kernel(assignment)
    scheme = schemes.get(assignment.scheme, where=f"'{assignment.parameter}'")
    streams = (Stream(seed, stream or stream_path(assignment.parameter), block) for block in range(assignment.blocks))
    return np.concatenate([scheme.draw(kernel, assignment.gain, own) for own in streams])


def snapshot(model: Any) -> Callable[[], None]:
    """Copy the weights; the function returned puts them back, in place."""
    kept = [(v, values_of(v)) for v in require_model(model).variables]

    def restore() -> None:
        for variable, values in kept:
            variable.assign(values)

    return restore


# -- before the first write ------------------------------------------------------------------------------------------


def _variables(model: Any) -> dict[str, Any]:
    variables, aliases = named_parameters(model)
    if not variables and not all(layer.built for _, layer in named_layers(model)):
        raise ModelError(
            "The model is not built, so it has no weights yet. Call it on one batch first, then plan again."
        )
    return variables | {alias: variables[path] for path, others in aliases.items() for alias in others}


def _check(assignment: Assignment, variables: Mapping[str, Any], plan: Mapping[str, Assignment]) -> None:
    """Refuse what cannot be written."""
    path, shape = assignment.parameter, tuple(_usable(assignment.parameter, variables, "the plan").shape)
    if shape != assignment.shape:
        raise InputError(
            f"'{path}' has shape {shape} in the model and {assignment.shape} in the plan. Make the plan from this "
            "model."
        )
    if not all(map(math.isfinite, (assignment.gain, assignment.scale, assignment.value))):
        raise InputError(f"The plan for '{path}' has a gain, scale or value that is not finite.")
    if assignment.bias in {"centre", "uniform_fan_in"}:
        _check_weight(assignment, variables, plan)
    elif assignment.bias == "measured" and len(assignment.values) != math.prod(shape):
        raise InputError(f"'{path}' of shape {shape} cannot hold the {len(assignment.values)} values in the plan.")
    elif assignment.bias == "forget_one" and (len(shape) != 1 or shape[0] % _GATES):
        raise InputError(f"'{path}' of shape {shape} is not an LSTM's bias of four gates.")
    elif assignment.bias is None:
        schemes.get(assignment.scheme, where=f"'{path}'")
        require_fit(shape, _kernel(assignment), assignment.blocks)


def _kernel(assignment: Assignment) -> KernelShape:
    if assignment.kernel is None:
        raise InputError(f"'{assignment.parameter}' has no kernel, so the scheme '{assignment.scheme}' cannot draw it.")
    return assignment.kernel


def _usable(path: str, variables: Mapping[str, Any], where: str) -> Any:
    variable = variables.get(path)
    if variable is None:
        raise UnknownNameError("weight", path, variables, where)
    if "float" not in str(variable.dtype):
        raise InputError(f"'{path}' holds {variable.dtype} values, which are not drawn. Set its scheme to 'keep'.")
    return variable


def _check_weight(assignment: Assignment, variables: Mapping[str, Any], plan: Mapping[str, Assignment]) -> None:
    """A rule that reads a weight needs one of a fitting shape."""
    rule, path = assignment.bias, assignment.parameter
    if assignment.weight is None:
        raise InputError(f"The rule '{rule}' for '{path}' needs the path of the weight it belongs to.")
    _usable(assignment.weight, variables, f"'{path}'")
    source = plan.get(assignment.weight)
    if source is None or source.kernel is None:
        raise InputError(f"'{rule}' for '{path}' needs the kernel of '{assignment.weight}' in the plan.")
    if rule == "centre" and math.prod(assignment.shape) != source.kernel.out * source.blocks:
        raise InputError(
            f"'{path}' of shape {assignment.shape} is not the bias of '{assignment.weight}', which has "
            f"{source.kernel.out * source.blocks} outputs."
        )


def _try_draws(assignments: list[Assignment]) -> None:
    """Let every scheme refuse a geometry while nothing is written yet; one draw for each kind of kernel."""
    kinds = {(a.scheme, a.kernel): a for a in assignments if a.bias is None}
    for assignment in kinds.values():
        try:
            values = draw(assignment, seed=0)
        except GainstageError as error:
            raise InputError(f"'{assignment.parameter}' cannot be drawn. {error}") from error
        if not np.isfinite(values).all():
            raise InputError(
                f"The scheme '{assignment.scheme}' drew values that are not finite for '{assignment.parameter}'."
            )


# -- the values ------------------------------------------------------------------------------------------------------


def _values(
    assignment: Assignment,
    variables: Mapping[str, Any],
    plan: Mapping[str, Assignment],
    seed: int,
    streams: Mapping[str, str],
) -> Array:
    """What is written, in the variable's own shape; casting is left to Keras."""
    shape, stream = assignment.shape, streams[assignment.parameter]
    if assignment.bias is not None:
        wide = "float64" in str(variables[assignment.parameter].dtype)
        values = _bias(assignment, variables, plan, Stream(seed, stream)).reshape(shape)
        return values.astype(np.float64 if wide else np.float32)
    values = draw(assignment, seed, stream)
    return native(values, shape, _kernel(assignment), assignment.blocks, assignment.layout)


def _bias(
    assignment: Assignment, variables: Mapping[str, Any], plan: Mapping[str, Assignment], stream: Stream
) -> Array:
    values = np.zeros(math.prod(assignment.shape))
    source = plan.get(assignment.weight or "")
    match assignment.bias:
        case "one":
            values[:] = 1.0
        case "constant":
            values[:] = assignment.value
        case "forget_one":
            gate = len(values) // _GATES
            values[_FORGET * gate : (_FORGET + 1) * gate] = 1.0
        case "measured":
            values = np.asarray(assignment.values, dtype=np.float64)
        case "uniform_fan_in" if source is not None and source.kernel is not None:
            values = (2 * stream.uniform(len(values)).astype(np.float64) - 1) / math.sqrt(source.kernel.fan_in)
        case "centre" if source is not None and source.kernel is not None:
            weight = values_of(variables[source.parameter]).astype(np.float64)
            sums = canonical(weight, source.kernel, source.blocks, source.layout).sum((1, 2))
            met = source.kernel.fan_in * len(sums) / weight.size  # below 1 where a stride spreads the taps
            values = -assignment.value * met * sums
    return values
