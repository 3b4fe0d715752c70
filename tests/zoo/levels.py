"""The level of every weight's output over many draws of one plan, by hooks on the modules that own the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import torch
from torch import nn

import gainstage as gs
from gainstage.records import Plan

__all__ = ["drawn_levels", "off_level"]

_TABLES = (nn.Embedding, nn.EmbeddingBag)


def drawn_levels(model: nn.Module, plan: Plan, batch: Callable[[int], Any], draws: int) -> dict[str, list[float]]:
    """The second moment of what the first use of every weight with a target makes, draw by draw.

    Args:
        model: whose layers are modules that own their weights.
        plan: made without data; applied with another seed for every draw.
        batch: makes the batch of a seed.
        draws: how many.
    """
    paths = {id(model.get_parameter(a.parameter)): a.parameter for a in plan if a.level is not None}
    found: dict[str, list[float]] = {path: [] for path in paths.values()}
    now = 0

    def listen(path: str) -> Callable[..., None]:
        def heard(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor) and len(found[path]) == now:  # attention hands out its weights as well
                found[path].append(float(output.detach().double().square().mean()))

        return heard

    hooks = [
        module.register_forward_hook(listen(paths[id(own)]))
        for module in model.modules() if not isinstance(module, _TABLES)
        for own in module._parameters.values() if id(own) in paths
    ]  # fmt: skip
    for now in range(draws):
        gs.apply(model, replace(plan, seed=now))
        inputs = batch(now)
        with torch.no_grad():
            model(**inputs) if isinstance(inputs, Mapping) else model(inputs)
    for hook in hooks:
        hook.remove()
    return {path: levels for path, levels in found.items() if len(levels) == draws}


def off_level(plan: Plan, found: Mapping[str, list[float]], tolerance: float) -> dict[str, str]:
    """Weights whose mean level is off by more than three standard errors and more than a tolerance."""
    off = {}
    for line in plan:
        levels = found.get(line.parameter)
        if levels is None or line.level is None:
            continue
        error = 3 * stdev(levels) / math.sqrt(len(levels)) / line.level
        ratio = fmean(levels) / line.level
        if abs(ratio - 1) > max(tolerance, error):
            off[line.parameter] = f"{ratio:.3f} ± {error:.3f} of its level: {line.reason}"
    return off
