"""How a batch goes into a Keras model and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from gainstage.errors import InputError, ModelError

__all__ = ["Batch", "as_array", "first_examples", "first_output", "outputs_of", "prepare", "values_of"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The first argument of the model, as Keras's own ``fit`` hands it over.

    Args:
        structure: an array, or lists, tuples or dicts of arrays.
        names: of the arrays in it.
        arrays: NumPy arrays, in the order of ``keras.tree.flatten``.
        examples: how many there are; the first axis of every input runs over them.
    """

    structure: Any
    names: tuple[str, ...]
    arrays: tuple[np.ndarray[Any, Any], ...]
    examples: int

    def packed(self, values: Any) -> Any:
        """Other values in the same structure."""
        return keras.tree.pack_sequence_as(self.structure, list(values))


def prepare(inputs: Any) -> Batch:
    """The arrays of a batch.

    Raises:
        InputError: no array, an empty one, or inputs that differ in their number of examples.

    >>> prepare({"words": np.zeros((8, 5), int), "meta": np.zeros((8, 3))}).names
    ('meta', 'words')
    """
    if hasattr(inputs, "__iter__") and not isinstance(inputs, (Mapping, list, tuple, str)) and not _is_array(inputs):
        raise InputError(
            f"A batch is an array or tensor, or a list or dict of them; received {type(inputs).__name__}, which hands "
            "out many. Pass one of them: x, y = next(iter(data))."
        )
    _refuse_forms(inputs)
    structure = keras.tree.map_structure(as_array, inputs) if inputs is not None else None
    arrays = tuple(keras.tree.flatten(structure)) if structure is not None else ()
    if any(a.dtype.kind in "USOT" for a in arrays):
        raise InputError(
            "The batch holds text, which carries no signal before it is turned into numbers. Run the layer that does "
            "(TextVectorization, StringLookup) first, and check the model behind it on the result."
        )
    if not arrays or any(a.ndim == 0 or a.dtype.kind not in "fiub" for a in arrays):
        raise InputError(
            f"The batch holds no usable array: received {type(inputs).__name__}. Pass an array or tensor with the "
            "batch as its first axis, or the list or dict of them that the model takes."
        )
    for array in arrays:
        if array.size == 0:
            raise InputError(
                f"The batch is empty: received an input of shape {array.shape}. Pass at least one example."
            )
    counts = {a.shape[0] for a in arrays}
    if len(counts) > 1:
        raise InputError(f"The inputs disagree about the number of examples: {sorted(counts)}. Pass equally many.")
    return Batch(structure, _names(structure), arrays, counts.pop())


def first_examples(inputs: Any, count: int) -> Any:
    """Cut a batch to its first examples.

    Args:
        inputs: as ``prepare`` takes them.
        count: of examples that are kept.

    >>> first_examples([np.zeros((8, 5)), np.zeros((8, 3))], 2)[1].shape
    (2, 3)
    """
    return keras.tree.map_structure(lambda array: array[:count] if getattr(array, "shape", ()) else array, inputs)


def _refuse_forms(inputs: Any) -> None:
    """Refuse arrays that are stored in another form than as all of their elements."""
    for leaf in keras.tree.flatten(inputs):
        kind = type(leaf).__name__
        if kind == "RaggedTensor":
            raise InputError("The batch holds a RaggedTensor, whose rows differ in length. Pass x.to_tensor().")
        if kind in ("SparseTensor", "BCOO") or getattr(leaf, "is_sparse", False):
            raise InputError(
                f"The batch holds a {kind} that is stored sparse. Pass a dense array: tf.sparse.to_dense(x)."
            )


def _is_array(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("__array__", "detach", "numpy"))


def _names(structure: Any, prefix: str = "") -> tuple[str, ...]:
    if isinstance(structure, Mapping):
        items: Any = sorted(structure.items())
    elif isinstance(structure, (list, tuple)):
        items = enumerate(structure)
    else:
        return (prefix or "0",)
    return tuple(name for key, item in items for name in _names(item, f"{prefix}.{key}" if prefix else str(key)))


def as_array(value: Any) -> np.ndarray[Any, Any]:
    """A NumPy array of a tensor of any of Keras's backends; floats in Keras's own precision."""
    array = _numpy(value)
    if array.dtype.kind == "V":  # bfloat16, which NumPy itself does not know
        return array.astype(np.float32)
    return array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array


def _numpy(value: Any) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)


def values_of(variable: Any) -> np.ndarray[Any, Any]:
    """A copy of what a variable holds."""
    return _numpy(variable.value).copy()


def first_output(output: Any) -> Any:
    """What the loss sees of a model with several outputs: ``logits`` if there are any, else the first floating one.

    Numbers without a batch beside others (a penalty, say) are passed over.

    Raises:
        ModelError: the model returned no floating tensor.
    """
    if isinstance(output, Mapping) and "logits" in output:
        return first_output(output["logits"])
    leaves = _floating(output)
    if leaves:
        return next((leaf for leaf in leaves if len(leaf.shape)), leaves[0])
    raise ModelError(
        f"The model returned no floating tensor: received {type(output).__name__}. Return a tensor, or a list or dict "
        "that holds one."
    )


def outputs_of(output: Any) -> tuple[Any, ...]:
    """All floating tensors that the model returned: what the loss sees first, then the others but for single
    numbers and what is empty.

    Raises:
        ModelError: the model returned none.
    """
    first = first_output(output)
    return first, *(leaf for leaf in _floating(output) if len(leaf.shape) and 0 not in leaf.shape and leaf is not first)


def _floating(output: Any) -> list[Any]:
    return [leaf for leaf in keras.tree.flatten(output) if "float" in str(getattr(leaf, "dtype", ""))]
