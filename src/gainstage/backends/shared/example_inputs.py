"""Batches from the description of a model's inputs, or from a dataset, before they become a framework's tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from gainstage.data import Dataset, InputSpec
from gainstage.errors import InputError

__all__ = ["arranged", "first_examples", "no_vocabulary", "require_specs"]

T = TypeVar("T")


def require_specs(specs: Sequence[InputSpec], batch: int) -> None:
    """Refuse inputs that no batch can be made of.

    Raises:
        InputError: no input, a batch that is not positive, or names on some inputs only.
    """
    _require_batch(batch)
    names = [spec.name for spec in specs]
    if not specs or (any(names) and not all(names)) or len({*names}) < (len(names) if any(names) else 1):
        raise InputError(f"Inputs must be one or more, and all or none of them named, each once; received {names}.")


def arranged(specs: Sequence[InputSpec], values: Sequence[T]) -> T | list[T] | dict[str, T]:
    """One value an input as the model takes them: by name, alone, or several in order."""
    if any(spec.name for spec in specs):
        return {spec.name: value for spec, value in zip(specs, values, strict=True)}
    return values[0] if len(values) == 1 else list(values)


def no_vocabulary(model: Any, spec: InputSpec, example: str) -> InputError:
    """The error for tokens of a model without an embedding; ``example`` is an input of values."""
    shape = ",".join(map(str, spec.shape))
    return InputError(
        f"'{type(model).__name__}' has no embedding to bound the tokens of the input ids:{shape}. Give values, e.g. "
        f"{example}."
    )


def first_examples(
    dataset: Dataset, specs: Sequence[InputSpec] | None, batch: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], str]:
    """The first training examples of a dataset (it comes shuffled), their labels, and the name of the input.

    Args:
        dataset: where they come from.
        specs: what the model takes; its one input gives the examples shape and name; None leaves them as stored.
        batch: number of examples, or all there are.

    Raises:
        InputError: the model takes several inputs, or one of another size.
    """
    _require_batch(batch)
    if specs is not None and len(specs) != 1:
        raise InputError(f"The data '{dataset.name}' fills one input, and the model takes {len(specs)}.")
    if specs and not dataset.is_tokens:
        dataset = dataset.reshape(*specs[0].shape)
    return dataset.x_train[:batch], dataset.y_train[:batch], specs[0].name if specs else ""


def _require_batch(batch: int) -> None:
    if batch < 1:
        raise InputError(f"The batch needs at least one example; received {batch}.")
