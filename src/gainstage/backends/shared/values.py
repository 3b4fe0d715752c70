"""The values that a plan writes: draws of schemes, and rules for biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage import schemes
from gainstage.errors import GainstageError, InputError
from gainstage.graph import KernelShape
from gainstage.records import Assignment
from gainstage.streams import Stream, expect

__all__ = ["GATES", "draw", "kernel_of", "rule_values", "scheme_of", "try_draws"]

Array = NDArray[Any]

GATES = 4
"""Gates of an LSTM, which PyTorch and Keras stack as input, forget, cell, output."""
_FORGET = 1
_KEPT = 1 << 24  # values of trial draws that are kept for the write: 64 MB


def kernel_of(assignment: Assignment) -> KernelShape:
    """The kernel that a scheme draws.

    Raises:
        InputError: the assignment has none.
    """
    if assignment.kernel is None:
        raise InputError(f"'{assignment.parameter}' has no kernel, so the scheme '{assignment.scheme}' cannot draw it.")
    return assignment.kernel


def scheme_of(assignment: Assignment) -> schemes.Scheme:
    """The scheme that draws one weight, its mirror included.

    Raises:
        UnknownNameError: there is no such scheme.
    """
    scheme = schemes.get(assignment.scheme, where=f"'{assignment.parameter}'")
    return scheme if assignment.mirror is None else schemes.mirrored(scheme, assignment.mirror)


def draw(assignment: Assignment, seed: int, stream: str) -> NDArray[np.float32]:
    """The values that a scheme gives to one parameter, before any measured scale.

    Args:
        assignment: of a weight; its scheme is a name in the table of schemes.
        seed: of the plan.
        stream: the name of the random stream; every block has a stream of its own under that name.

    Returns:
        Shape ``(blocks · out, in / groups, receptive)``.

    Raises:
        InputError: the assignment has no kernel, or its gain is not finite.
        UnknownNameError: there is no such scheme.
    """
    kernel = kernel_of(assignment)
    scheme = scheme_of(assignment)
    streams = (Stream(seed, stream, block) for block in range(assignment.blocks))
    drawn = [scheme.draw(kernel, assignment.gain, own) for own in streams]
    return drawn[0] if len(drawn) == 1 else np.concatenate(drawn)


def try_draws(
    assignments: Collection[Assignment], draw_one: Callable[[Assignment], NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """Let every scheme refuse a geometry while nothing is written yet, with one draw for each kind of kernel.

    Schemes of independent weights serve every kernel, so that their spread alone is looked at.

    Args:
        assignments: that a scheme draws.
        draw_one: as the write will draw them.

    Returns:
        What was drawn, by path, so that the write need not draw it again: the largest kernel, and 64 MB of others. The
        largest is tried last, so that no more than it and the 64 MB are ever held.

    Raises:
        InputError: a scheme refuses a kernel, or draws values that are not finite.
    """
    expect(sum(kernel_of(assignment).size * assignment.blocks for assignment in assignments))
    kinds = {(a.scheme, a.kernel, a.mirror): a for a in assignments}
    ascending = sorted(kinds.values(), key=lambda a: kernel_of(a).size * a.blocks)
    drawn: dict[str, NDArray[np.float32]] = {}
    room = _KEPT
    for assignment in ascending:
        scheme = scheme_of(assignment)
        try:
            if scheme.independent:  # its spread alone decides whether it serves a kernel
                scheme.distribution(kernel_of(assignment), assignment.gain)
                continue
            values = draw_one(assignment)
        except GainstageError as error:
            raise InputError(f"'{assignment.parameter}' cannot be drawn. {error}") from error
        if not np.isfinite(values).all():
            raise InputError(
                f"The scheme '{assignment.scheme}' drew values that are not finite for '{assignment.parameter}'."
            )
        if values.size <= room or assignment is ascending[-1]:
            drawn[assignment.parameter] = values
            room -= values.size
    return drawn


def rule_values(
    assignment: Assignment, plan: Mapping[str, Assignment], row_sums: Callable[[Assignment], Array], stream: Stream
) -> NDArray[np.float64]:
    """The values of a parameter that a rule sets, in one row.

    Args:
        assignment: with a rule in ``bias``.
        plan: assignments by path.
        row_sums: of the weight of an assignment, the sum of every unit's incoming values in double precision.
        stream: the parameter's own.
    """
    values = np.zeros(math.prod(assignment.shape))
    source = plan.get(assignment.weight or "")
    match assignment.bias:
        case "one":
            values[:] = 1.0
        case "constant":
            values[:] = assignment.value
        case "forget_one":
            gate = len(values) // GATES
            values[_FORGET * gate : (_FORGET + 1) * gate] = 1.0
        case "measured":
            values = np.asarray(assignment.values, dtype=np.float64)
        case "uniform_fan_in" if source is not None and source.kernel is not None:
            bound = assignment.gain / math.sqrt(source.kernel.fan_in)
            values = bound * (2 * stream.uniform(len(values)).astype(np.float64) - 1)
        case "centre" if source is not None and source.kernel is not None:
            sums = row_sums(source)
            met = source.kernel.fan_in * len(sums) / (source.kernel.size * source.blocks)  # < 1 where a stride spreads
            values = -assignment.value * met * sums
    return values
