"""Optimizer parameter groups from factors on the learning rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from gainstage.backends.torch.tracing.trace import unwrap

__all__ = ["parameter_groups"]


def parameter_groups(model: nn.Module, factors: Mapping[str, float], learning_rate: float) -> list[dict[str, Any]]:
    """One group for every factor, largest rate first; without a factor it is one, and what is frozen is left out.

    >>> net = nn.Linear(4, 2)
    >>> [(len(g["params"]), g["lr"]) for g in parameter_groups(net, {"weight": 0.5}, 0.1)]
    [(1, 0.1), (1, 0.05)]
    """
    groups: dict[float, list[nn.Parameter]] = defaultdict(list)
    for path, parameter in unwrap(model).named_parameters():
        if parameter.requires_grad:
            groups[factors.get(path, 1.0)].append(parameter)
    return [{"params": groups[f], "lr": learning_rate * f} for f in sorted(groups, reverse=True)]
