"""LSUV as published: one layer after the other brought to unit variance, with a forward pass for every try.

Mishkin and Matas, 'All you need is a good init' (arXiv:1511.06422). It is here for comparison: ``calibrate`` reaches
every level in one pass, in the order of execution, and on functional weights too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.calibration import brought_to_one, lsuv_plan, require_tries
from gainstage.backends.torch.models.batch import Batch
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.records import Plan

__all__ = ["lsuv"]

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def lsuv(model: nn.Module, plan: Plan, inputs: Any, *, seed: int = 0, tolerance: float = 0.1, tries: int = 10) -> Plan:
    """Divide the weight of one layer after the other by the spread of its output, until that is about one.

    Args:
        model: with the plan's orthogonal weights already written.
        plan: of the recipe ``lsuv``.
        inputs: the batch.
        seed: random state of every pass.
        tolerance: how far from one the output's variance may stay.
        tries: forward passes at most for one layer.

    Returns:
        the plan with the measured scales. Layers go by their definition, as in the paper: an output that a later layer
        changes is not looked at again.

    Raises:
        InputError: the tolerance or the tries are not positive.
        ModelError: the model's own forward raised.

    >>> from gainstage.planning import plan
    >>> from gainstage.backends.torch import apply, trace
    >>> net, x = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 8)), torch.randn(128, 32)
    >>> planned = plan(trace(net, x), "lsuv")
    >>> apply(net, planned)
    >>> _ = lsuv(net, planned, x)
    >>> 0.9 < net(x).var().item() < 1.1
    True
    """
    require_tries(tolerance, tries)
    model = unwrap(model)
    batch = fitting_batch(inputs, model)
    paths = {id(tensor): path for path, tensor in named_parameters(model)[0].items()}
    by_path = {a.parameter: a for a in plan}
    scales: dict[str, float] = {}
    with preserved(model, seed, batch.loose, weights=False), torch.no_grad():
        for module in model.modules():
            path = paths.get(id(getattr(module, "weight", None)), "")
            assignment = by_path.get(path)
            if not isinstance(module, _LAYERS) or assignment is None or assignment.scheme == "keep" or path in scales:
                continue
            scale = _bring_to_one(model, module, batch, seed, tolerance, tries)
            if scale is not None:
                scales[path] = scale
    return lsuv_plan(plan, scales)


def _bring_to_one(
    model: nn.Module, module: nn.Module, batch: Batch, seed: int, tolerance: float, tries: int
) -> float | None:
    """The factor that one layer's weight was multiplied by; None where its output cannot be measured."""
    variances: list[float] = []
    weight = module.weight
    assert isinstance(weight, torch.Tensor)

    def see(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        variances.append(float(output.float().var()))

    def variance() -> float | None:
        variances.clear()
        torch.manual_seed(seed)
        batch.copied().call(model)
        return variances[0] if variances else None

    handle = module.register_forward_hook(see)
    try:
        return brought_to_one(variance, weight.mul_, tolerance, tries)
    finally:
        handle.remove()
