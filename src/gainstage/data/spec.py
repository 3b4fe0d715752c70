"""InputSpec describes one input of a model, independent of the framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gainstage.errors import InputError

__all__ = ["InputSpec", "parse_input"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Shape and kind of one input of a model, without the batch.

    Args:
        shape: shape of one example.
        kind: standard normal ``values``, or uniform token ``ids``.
        name: the argument or key under which the model receives it; empty for a positional input.
        vocabulary: tokens are drawn below this number; None takes the size of the model's first embedding.
    """

    shape: tuple[int, ...]
    kind: Literal["values", "ids"] = "values"
    name: str = ""
    vocabulary: int | None = None


def parse_input(text: str) -> InputSpec:
    """Parse ``3,224,224`` (values) or ``ids:128`` (tokens), with ``name=`` before it for a named argument.

    Raises:
        InputError: the text has neither form.

    >>> parse_input("3,224,224")
    InputSpec(shape=(3, 224, 224), kind='values', name='', vocabulary=None)
    >>> parse_input("input_ids=ids:128").kind
    'ids'
    """
    name, named, rest = text.rpartition("=")
    kind: Literal["values", "ids"] = "ids" if rest.startswith("ids:") else "values"
    try:
        shape = tuple(int(size) for size in rest.removeprefix("ids:").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1 or (named and not name.isidentifier()):
        raise InputError(
            f"Cannot read the input '{text}'. Give the shape of one example without the batch, e.g. 3,224,224, or "
            "ids:128 for 128 integer tokens; name=3,224,224 for a named argument."
        )
    return InputSpec(shape, kind, name)
