"""Carry out a plan: the only function of this backend that changes weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.layout import canonical, native, require_fit
from gainstage.backends.keras.models.names import named_layers, named_parameters
from gainstage.backends.keras.tracing.trace import require_model
from gainstage.backends.shared import values as shared
from gainstage.backends.shared.plan_checks import by_path, require_plan
from gainstage.backends.shared.values import kernel_of, rule_values, try_draws
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape, Layout
from gainstage.records import Assignment, Plan
from gainstage.streams import Stream

__all__ = ["apply", "draw", "drawn_whole", "rescale", "snapshot", "stream_path"]

Array = NDArray[Any]

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
    plan_of, target = by_path(plan, "weight"), _Written(variables)
    for path in streams or {}:
        target.shape(path, "streams")
    to_write = require_plan(plan_of, target)
    names = {path: stream_path(path) for path in plan_of} | dict(streams or {})
    drawn = try_draws([a for a in to_write if a.bias is None], lambda a: shared.draw(a, plan.seed, names[a.parameter]))
    # What was drawn for the trial comes first, so that it is not held beside the next whole matrix.
    for assignment in sorted(to_write, key=lambda a: (a.bias == "centre", a.parameter not in drawn)):
        variable = variables[assignment.parameter]
        tried = drawn.pop(assignment.parameter, None)
        stream = names[assignment.parameter]
        variable.assign(ops.convert_to_tensor(_values(assignment, variables, plan_of, plan.seed, stream, tried)))
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
    return shared.draw(assignment, seed, stream or stream_path(assignment.parameter))


def drawn_whole(model: Any, plan: Plan) -> tuple[str, ...]:  # noqa: ARG001
    """Return no weights: those of Keras are in the memory of one process."""
    return ()


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


@dataclass(frozen=True, slots=True)
class _Written:
    """A model's weights, as a plan is checked against them."""

    variables: Mapping[str, Any]
    own_schemes: frozenset[str] = frozenset()

    def shape(self, path: str, where: str) -> tuple[int, ...]:
        variable = self.variables.get(path)
        if variable is None:
            raise UnknownNameError("weight", path, self.variables, where)
        if "float" not in str(variable.dtype):
            raise InputError(f"'{path}' holds {variable.dtype} values, which are not drawn. Set its scheme to 'keep'.")
        return tuple(variable.shape)

    def require_fit(self, shape: tuple[int, ...], kernel: KernelShape, blocks: int, layout: Layout) -> None:  # noqa: ARG002
        require_fit(shape, kernel, blocks)


# -- the values ------------------------------------------------------------------------------------------------------


def _values(
    assignment: Assignment,
    variables: Mapping[str, Any],
    plan: Mapping[str, Assignment],
    seed: int,
    stream: str,
    tried: NDArray[np.float32] | None,
) -> Array:
    """What is written, in the variable's own shape; casting is left to Keras.

    ``tried`` is what the scheme drew for the weight already.
    """
    shape = assignment.shape
    if assignment.bias is not None:
        wide = "float64" in str(variables[assignment.parameter].dtype)
        values = rule_values(assignment, plan, lambda source: _row_sums(source, variables), Stream(seed, stream))
        return values.reshape(shape).astype(np.float64 if wide else np.float32)
    drawn = shared.draw(assignment, seed, stream) if tried is None else tried
    return native(drawn, shape, kernel_of(assignment), assignment.blocks, assignment.layout)


def _row_sums(source: Assignment, variables: Mapping[str, Any]) -> NDArray[np.float64]:
    """The sum of every unit's incoming weights."""
    weight = values_of(variables[source.parameter]).astype(np.float64)
    return np.asarray(canonical(weight, kernel_of(source), source.blocks, source.layout).sum((1, 2)))
