"""Gated units a · f(b), where a and b are two halves of one layer's output or two parallel layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gainstage.theory.activations import Activation, activation
from gainstage.theory.activations.foreign import callable_name

__all__ = ["GATED_UNITS", "gated_unit"]

GATED_UNITS: Final[Mapping[str, str]] = {
    "glu": "sigmoid", "swiglu": "silu", "geglu": "gelu", "reglu": "relu", "bilinear": "linear",
}  # fmt: skip
"""Names of gated units and what gates them (Dauphin 2017; Shazeer 2020)."""


def gated_unit(kind: Any) -> Activation | None:
    """Return the activation f of a gated unit, by its name or by a framework's function or layer of that name.

    >>> from gainstage.theory.plain_nets.gates import gated_unit
    >>> gated_unit("SwiGLU").name, gated_unit("gelu")
    ('silu', None)
    """
    if isinstance(kind, Activation):
        return None
    name = kind if isinstance(kind, str) else callable_name(kind) if callable(kind) else ""
    gate = GATED_UNITS.get(name.lower().replace("_", "").replace("-", ""))
    return None if gate is None else activation(gate)
