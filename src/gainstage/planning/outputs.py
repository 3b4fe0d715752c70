"""The bias of the output layer where the labels are known: the best guess before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import Operation, Role, SignalGraph, nearest_before
from gainstage.graph.groups import SHIFTING
from gainstage.planning.context import bias_owner
from gainstage.records import Assignment, Plan

__all__ = ["with_output_bias"]

_MOVED = SHIFTING - {Operation.DROPOUT}


def with_output_bias(graph: SignalGraph, plan: Plan, labels: NDArray[np.generic]) -> Plan:
    """The plan with the output's bias at the log prior of the classes, or at the mean of the targets.

    Counts are raised by one (Laplace), so that a class that this batch lacks is rare and not impossible. Only where the
    output layer's own values are what the loss sees, its bias would be zero, and the labels fit it; otherwise the
    plan is returned as it is.

    Args:
        graph: through the loss.
        plan: automatic.
        labels: class indices, zeros and ones, or values.
    """
    for position, assignment in enumerate(plan.assignments):
        if assignment.role is Role.BIAS and assignment.bias == "zero" and _is_output(graph, assignment):
            found = _best_guess(graph, labels, assignment.shape[0])
            if found is not None:
                values, reason = found
                told = replace(assignment, scheme="measured", bias="measured", values=values, reason=reason)
                return replace(
                    plan, assignments=(*plan.assignments[:position], told, *plan.assignments[position + 1 :])
                )
    return plan


def _is_output(graph: SignalGraph, bias: Assignment) -> bool:
    owner = bias_owner(graph, graph.parameter(bias.parameter))
    if owner is None or not graph.outputs or graph.parameter(owner[1]).role is not Role.HEAD or len(bias.shape) != 1:
        return False
    return owner[0].index in nearest_before(graph, graph.outputs[0], lambda n: n.operation.weighted, through=_MOVED)


def _best_guess(graph: SignalGraph, labels: NDArray[np.generic], units: int) -> tuple[tuple[float, ...], str] | None:
    """The bias, unit by unit, and why; None where loss and labels do not say."""
    inside = [node for node in graph.nodes if node.stage == "loss"]
    kinds = {node.function for node in inside}
    whole = np.issubdtype(labels.dtype, np.integer)
    if (
        "nll" in kinds
        and "log_softmax" in kinds
        and whole
        and labels.size
        and labels.min() >= 0
        and labels.max() < units
    ):
        counts = np.bincount(labels.reshape(-1).astype(np.int64), minlength=units) + 1.0
        prior = np.log(counts / counts.mean())
        return _rounded(prior), "the log prior of the classes in this batch, less that of equal classes"
    if labels.dtype.kind not in "fiub" or (labels.shape[-1:] != (units,) and not (units == 1 and labels.ndim == 1)):
        return None
    values = labels.reshape(-1, units).astype(np.float64)
    if "bce_logits" in kinds and ((values == 0) | (values == 1)).all():
        share = (values.sum(0) + 1) / (len(values) + 2)
        return _rounded(np.log(share / (1 - share))), "the log odds of the labels in this batch"
    if "mse" in kinds and np.isfinite(values).all():
        return _rounded(values.mean(0)), "the mean of the targets in this batch"
    return None


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    found: Sequence[float] = values.tolist()
    return tuple(found)
