"""The operations between a stored parameter and the operand that an operation uses."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["DerivationStep"]


class DerivationStep(StrEnum):
    """One operation on the path from a parameter to an operand.

    Backends map each of their own operations to one of these; nothing above the backends knows the framework's names.
    The values are nouns, so that messages can list them: "changed (multiplication, division) before it is used".
    """

    TRANSPOSE = "transposition"  # axes change places
    RESHAPE = "reshaping"  # views, copies, broadcasts: every element stays what it is
    CAST = "casting"  # another number format
    SLICE = "slicing"  # some of the elements, in order
    GATHER = "gathering"  # elements picked by index
    CONCATENATE = "concatenation"  # beside other arrays
    PRODUCT = "matrix product"
    SUM = "addition"
    DIFFERENCE = "subtraction"
    SCALE = "multiplication"  # by a number or by another array, element by element
    DIVIDE = "division"
    NOISE = "multiplication by noise"  # random numbers drawn in the pass
    NEGATE = "negation"
    ABSOLUTE = "absolute value"
    SQUARE = "square"
    EXPONENTIAL = "exponential"
    RELU = "relu"
    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"
    TANH = "tanh"
    POWER = "power"  # of any exponent, roots and reciprocals included
    REDUCE = "reduction"  # a sum, mean, norm or extreme
    CLAMP = "clamping"
    ROUND = "rounding"  # signs included
    MASK = "masking"
    WEIGHT_NORM = "weight normalization"  # direction over its norm, times a magnitude that is stored apart
    OTHER = "another operation"

    @property
    def moves(self) -> bool:
        """Report whether the parameter's values stay unchanged: they are moved, copied, cast or selected."""
        return self in _MOVES

    @property
    def rescales(self) -> bool:
        """Report whether the operand is proportional to the parameter, so that both scale by the same factor.

        Concatenation is left out: the arrays beside the parameter do not scale with it.
        """
        return self in _MOVES and self is not DerivationStep.CONCATENATE

    @property
    def keeps_zero(self) -> bool:
        """Report whether a parameter of zeros gives an operand of zeros."""
        return self.rescales or self in _ZERO_AT_ZERO


_MOVES = frozenset(
    {
        DerivationStep.TRANSPOSE,
        DerivationStep.RESHAPE,
        DerivationStep.CAST,
        DerivationStep.SLICE,
        DerivationStep.GATHER,
        DerivationStep.CONCATENATE,
    }
)
_ZERO_AT_ZERO = frozenset(
    {
        DerivationStep.SCALE,
        DerivationStep.DIVIDE,
        DerivationStep.NEGATE,
        DerivationStep.ABSOLUTE,
        DerivationStep.SQUARE,
        DerivationStep.RELU,
        DerivationStep.TANH,
    }
)
