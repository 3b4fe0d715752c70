"""A plan is checked against the model before the first write: names, shapes, rules, schemes.

The checks stand here and not in ``planning``: only the backend that is about to write knows the shapes, and planning
and the backends do not import each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Protocol

from gainstage.backends.shared.values import GATES, kernel_of, scheme_of
from gainstage.errors import InputError
from gainstage.graph import KernelShape, Layout
from gainstage.records import Assignment, Plan

__all__ = ["Target", "by_path", "require_plan"]

_OF_A_WEIGHT = frozenset({"centre", "uniform_fan_in"})


class Target(Protocol):
    """The model that a plan is checked against."""

    @property
    def own_schemes(self) -> Collection[str]:
        """Schemes that are no draws: the backend works out their values from another weight."""
        ...

    def shape(self, path: str, where: str) -> tuple[int, ...]:
        """The shape of a parameter that can be written.

        Args:
            path: of the parameter.
            where: the path was read, for the message.

        Raises:
            UnknownNameError, InputError, ModelError: there is none, or it cannot be written.
        """
        ...

    def require_fit(self, shape: tuple[int, ...], kernel: KernelShape, blocks: int, layout: Layout) -> None:
        """Refuse a geometry that a parameter of this shape cannot have.

        Raises:
            InputError: the shape does not hold such a kernel.
        """
        ...


def by_path(plan: Plan, noun: str) -> dict[str, Assignment]:
    """The assignments by the path of their parameter.

    Raises:
        InputError: a parameter is named twice.
    """
    found = {a.parameter: a for a in plan}
    if len(found) != len(plan):
        twice = next(path for path in found if sum(a.parameter == path for a in plan) > 1)
        raise InputError(f"The plan names the {noun} '{twice}' twice. Keep one of the two assignments.")
    return found


def require_plan(plan: Mapping[str, Assignment], target: Target) -> list[Assignment]:
    """Refuse a plan that does not fit the model.

    Args:
        plan: assignments by path.
        target: the model.

    Returns:
        the assignments that write something.

    Raises:
        UnknownNameError: a parameter or a scheme does not exist.
        InputError: a shape, gain, value or rule does not fit.
        ModelError: a parameter has no memory yet.
    """
    to_write = [a for a in plan.values() if a.scheme != "keep" and a.bias != "keep"]
    for assignment in to_write:
        _require(assignment, plan, target)
    return to_write


def _require(assignment: Assignment, plan: Mapping[str, Assignment], target: Target) -> None:
    path, shape = assignment.parameter, target.shape(assignment.parameter, "the plan")
    if shape != assignment.shape:
        raise InputError(
            f"'{path}' has shape {shape} in the model and {assignment.shape} in the plan. Make the plan from this "
            "model."
        )
    if not all(map(math.isfinite, (assignment.gain, assignment.scale, assignment.value))):
        raise InputError(f"The plan for '{path}' has a gain, scale or value that is not finite.")
    if assignment.bias in _OF_A_WEIGHT or assignment.scheme in target.own_schemes:
        _require_weight(assignment, plan, target)
    elif assignment.bias == "measured" and len(assignment.values) != math.prod(shape):
        raise InputError(f"'{path}' of shape {shape} cannot hold the {len(assignment.values)} values in the plan.")
    elif assignment.bias == "forget_one" and (len(shape) != 1 or shape[0] % GATES):
        raise InputError(f"'{path}' of shape {shape} is not an LSTM's bias of four gates.")
    elif assignment.bias is None:
        scheme_of(assignment)
        target.require_fit(shape, kernel_of(assignment), assignment.blocks, assignment.layout)


def _require_weight(assignment: Assignment, plan: Mapping[str, Assignment], target: Target) -> None:
    """A rule that reads a weight needs one of a fitting shape."""
    path, rule = assignment.parameter, assignment.bias or assignment.scheme
    if assignment.weight is None:
        raise InputError(f"The rule '{rule}' for '{path}' needs the path of the weight it belongs to.")
    weight = target.shape(assignment.weight, f"'{path}'")
    if assignment.bias is None:
        sizes = [a for a in assignment.shape if a != 1]
        kept = [w for a, w in zip(assignment.shape, weight, strict=False) if a != 1]
        if sizes != kept or len(assignment.shape) not in (0, len(weight)):
            raise InputError(
                f"'{path}' of shape {assignment.shape} cannot hold norms of '{assignment.weight}' of shape {weight}."
            )
        return
    source = plan.get(assignment.weight)
    if source is None or source.kernel is None:
        raise InputError(f"'{rule}' for '{path}' needs the kernel of '{assignment.weight}' in the plan.")
    if rule == "centre" and math.prod(assignment.shape) != source.kernel.out * source.blocks:
        raise InputError(
            f"'{path}' of shape {assignment.shape} is not the bias of '{assignment.weight}', which has "
            f"{source.kernel.out * source.blocks} outputs."
        )
