"""What a user asks for on part of a model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from gainstage import schemes
from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import Parameter
from gainstage.planning.path_patterns import matching
from gainstage.planning.recipes import RECIPES, recipe_named

__all__ = ["LITERAL", "Override", "Overrides", "canonical_name", "resolve"]

LITERAL: Mapping[str, Literal["keep", "zero", "constant"]] = MappingProxyType(
    {"keep": "keep", "zeros": "zero", "ones": "constant", "constant": "constant"}
)
"""Schemes that an override means for every parameter of its pattern, whatever its role (``gain`` times one)."""


@dataclass(frozen=True, slots=True)
class Override:
    """Another scheme, or another gain, for the parameters a pattern means.

    Args:
        scheme: ``auto`` or another recipe, ``keep``, or a name in the table of schemes; None for the plan's own.
        gain: a factor on the spread that the scheme gives a weight.

    Raises:
        InputError: neither is given, or the gain is not a positive finite number.

    >>> Override(gain=0.1)
    Override(scheme=None, gain=0.1)
    """

    scheme: str | None = None
    gain: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.gain, bool) or not isinstance(self.gain, int | float):
            raise InputError(f"The gain of an override must be a number; received {self.gain!r}.")
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise InputError(
                f"The gain of an override must be positive and finite; received {self.gain!r}. "
                "For zero use the scheme 'zeros'."
            )
        if self.scheme is None and self.gain == 1.0:
            raise InputError("An override needs a scheme or a gain; received neither.")


Overrides = Mapping[str, str | Override]
"""From a pattern to the name of a scheme, or to an ``Override``."""


def canonical_name(scheme: str, where: str | None = None) -> str:
    """The name under which a scheme or a recipe stands in its table; ``keep`` stands for itself.

    Raises:
        UnknownNameError: it is none of these.
    """
    if scheme == "keep":
        return scheme
    recipe = recipe_named(scheme) if isinstance(scheme, str) else None
    try:
        return recipe or schemes.get(scheme, where=where).name
    except UnknownNameError as error:
        raise UnknownNameError("scheme", error.name, {*error.known, *RECIPES, "keep"}, where) from None


def resolve(overrides: Overrides, parameters: tuple[Parameter, ...]) -> dict[str, Override]:
    """The override of every parameter that has one; where several patterns mean it, the last one counts.

    Raises:
        InputError: a pattern matches nothing, or its value is neither a name nor an ``Override``.
        UnknownNameError: there is no such scheme.
    """
    if not isinstance(overrides, Mapping):
        raise InputError(
            f"overrides must map patterns to schemes, as in {{'head.*': 'zeros'}}; received {type(overrides).__name__}."
        )
    found: dict[str, Override] = {}
    for pattern, value in overrides.items():
        override = Override(value) if isinstance(value, str) else value
        if not isinstance(override, Override):
            raise InputError(
                f"overrides[{pattern!r}] must be the name of a scheme or Override(scheme=…, gain=…); "
                f"received {value!r}."
            )
        if override.scheme is not None:
            override = replace(override, scheme=canonical_name(override.scheme, f"{pattern!r}"))
        found |= dict.fromkeys(matching(pattern, parameters, where="overrides"), override)
    return found
