"""Carry out a plan: the only function of gainstage that changes weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gainstage import schemes
from gainstage.backends.shared.plan_checks import by_path, require_plan
from gainstage.backends.shared.values import try_draws
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.writing.assigned import NORMS, Assigned, is_drawn, padding_rows
from gainstage.backends.torch.writing.layout import require_fit
from gainstage.backends.torch.writing.memory import gathered, is_distributed, local, numpy_view
from gainstage.backends.torch.writing.regions import draw
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import KernelShape, Layout
from gainstage.records import Assignment, Plan
from gainstage.streams import require_memory

__all__ = ["Written", "apply", "depends_on_weights", "draw", "drawn_whole", "snapshot"]

_LOG = logging.getLogger("gainstage")


def apply(model: nn.Module, plan: Plan) -> None:
    """Write a plan into a model, in place.

    The parameters stay the same objects, with their dtype, device and ``requires_grad``; values are drawn in float32
    and then cast. The whole plan is checked before the first write: one that cannot be carried out changes nothing.

    Args:
        model: the model the plan was made for.
        plan: from ``planning.plan``, possibly edited.

    Raises:
        UnknownNameError: the plan names a parameter or a scheme that does not exist.
        InputError: a shape, gain, value or rule in the plan does not fit, or a parameter is named twice.
        ModelError: a parameter has no memory yet (meta device, lazy layer).

    >>> from gainstage.graph import KernelShape, Role
    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> eye = Assignment("weight", Role.HIDDEN, (2, 2), "identity", kernel=KernelShape(2, 2))
    >>> apply(model, Plan((eye,)))
    >>> model.weight.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    model = unwrap(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    plan_of = by_path(plan, "parameter")
    to_write = require_plan(plan_of, Written(parameters))
    _require_writable(to_write, parameters)
    drawn = try_draws([a for a in to_write if is_drawn(a)], lambda a: draw(a, plan.seed))
    if whole := drawn_whole(model, plan):
        _LOG.info("Every process draws the whole of %s and keeps its shard.", ", ".join(whole))
    padding = padding_rows(model)
    values = Assigned(plan_of, plan.seed, lambda path: gathered(parameters[path]))
    with torch.no_grad():
        # What was drawn for the trial comes first, so that it is not held beside the next whole matrix.
        for assignment in sorted(to_write, key=lambda a: (depends_on_weights(a), a.parameter not in drawn)):
            parameter = parameters[assignment.parameter]
            tried = drawn.pop(assignment.parameter, None)
            values.write(local(parameter), assignment, padding.get(id(parameter), frozenset()), tried)
            torch.autograd.graph.increment_version(parameter)  # NumPy writes behind autograd's back


def drawn_whole(model: nn.Module, plan: Plan) -> tuple[str, ...]:
    """Weights spread over processes whose scheme needs all of them, so that every process draws all of each.

    >>> drawn_whole(nn.Linear(2, 2), Plan(()))
    ()
    """
    parameters = dict(unwrap(model).named_parameters(remove_duplicate=False))
    spread = {path for path, parameter in parameters.items() if is_distributed(parameter)}
    planned = (a for a in plan if a.parameter in spread and a.scheme != "keep" and is_drawn(a))
    return tuple(a.parameter for a in planned if not schemes.get(a.scheme).independent)


def snapshot(model: nn.Module) -> Callable[[], None]:
    """Copy the weights; the function returned puts them back, in place."""
    model = unwrap(model)
    kept = [(p, p.detach().clone()) for p in model.parameters()]

    def restore() -> None:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)

    return restore


# -- before the first write ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Written:
    """A module's parameters, as a plan is checked against them.

    Args:
        parameters: by every name they have.
        in_memory: whether they must have memory.
        own_schemes: that the backend works out.
    """

    parameters: Mapping[str, nn.Parameter]
    in_memory: bool = True
    own_schemes: frozenset[str] = NORMS

    def shape(self, path: str, where: str) -> tuple[int, ...]:
        """The shape of a parameter that can be written; see ``plan_checks.Target``."""
        parameter = self.parameters.get(path)
        if parameter is None:
            raise UnknownNameError("parameter", path, self.parameters, where)
        if is_lazy(parameter):
            raise ModelError(f"'{path}' has no shape yet. Run one batch through the model first, then plan again.")
        if parameter.is_meta and self.in_memory:
            raise ModelError(
                f"'{path}' is on the meta device and has no memory. Call model.to_empty(device='cpu') first, then "
                "apply the plan."
            )
        if not parameter.is_floating_point():
            raise InputError(f"'{path}' holds {parameter.dtype} values, which are not drawn. Set its scheme to 'keep'.")
        return tuple(parameter.shape)

    def require_fit(self, shape: tuple[int, ...], kernel: KernelShape, blocks: int, layout: Layout) -> None:
        """Refuse a geometry that a parameter of this shape cannot have."""
        require_fit(shape, kernel, blocks, layout)


def _require_writable(assignments: list[Assignment], parameters: Mapping[str, nn.Parameter]) -> None:
    """Refuse memory that cannot be written element by element."""
    for assignment in assignments:
        view = numpy_view(local(parameters[assignment.parameter]).tensor)
        if view is not None:
            try:
                require_memory(*view)
            except InputError as error:
                raise InputError(f"'{assignment.parameter}' cannot be written. {error}") from error


def depends_on_weights(assignment: Assignment) -> bool:
    """Report whether this parameter's values follow from the written values of another weight."""
    return assignment.bias == "centre" or assignment.scheme in NORMS
