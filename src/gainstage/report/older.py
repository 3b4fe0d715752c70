"""Translates words of older documents to their present names.

Up to schema version 2, the steps between a parameter and its use were the framework's own names of its operations
(``t``, ``mul``, ``_to_copy``). They are read as ``DerivationStep``. A name that is in no table here becomes
``DerivationStep.OTHER``, as in the backends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from gainstage.graph import DerivationStep

__all__ = ["READERS"]

_NAMES: Mapping[DerivationStep, str] = {
    DerivationStep.TRANSPOSE: "t transpose permute numpy_T mT adjoint swapaxes movedim moveaxis",
    DerivationStep.RESHAPE: """
        view _unsafe_view reshape _reshape_alias _reshape_copy clone contiguous detach alias unsqueeze squeeze flatten
        unflatten expand expand_as expand_dims broadcast_to view_as convert_to_tensor copy repeat tile ravel identity
        _conj positive stop_gradient
    """,
    DerivationStep.CAST: "_to_copy to cast saturate_cast",
    DerivationStep.SLICE: "slice select split split_with_sizes chunk unbind narrow get_item unstack tensor_split",
    DerivationStep.GATHER: "index index_select gather take",
    DerivationStep.CONCATENATE: "cat stack concat concatenate hstack vstack",
    DerivationStep.PRODUCT: "matmul mm bmm mv dot linear addmm baddbmm einsum tensordot",
    DerivationStep.SUM: "add",
    DerivationStep.DIFFERENCE: "sub rsub",
    DerivationStep.SCALE: "mul",
    DerivationStep.DIVIDE: "div true_divide",
    DerivationStep.NOISE: "noise",
    DerivationStep.NEGATE: "neg negative",
    DerivationStep.ABSOLUTE: "abs",
    DerivationStep.SQUARE: "square",
    DerivationStep.EXPONENTIAL: "exp",
    DerivationStep.WEIGHT_NORM: "_weight_norm_interface _weight_norm",
}
_STEPS = {name: step for step, names in _NAMES.items() for name in names.split()}


def _step(word: str) -> DerivationStep:
    return _STEPS.get(word, DerivationStep.OTHER)


READERS: Mapping[type[Enum], Callable[[str], Any]] = {DerivationStep: _step}
"""For each enumeration, a function that maps a word which is none of its values to one of them."""
