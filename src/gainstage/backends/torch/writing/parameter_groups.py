"""Optimizer parameter groups from the settings of every parameter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from torch import nn

from gainstage.backends.torch.tracing.trace import unwrap

__all__ = ["parameter_groups"]


def parameter_groups(
    model: nn.Module, settings: Mapping[str, Mapping[str, Any]], learning_rate: float
) -> list[dict[str, Any]]:
    """Group parameters of equal settings, the largest rate first; frozen parameters are left out.

    Args:
        model: any module.
        settings: of an optimizer's group (``lr``, ``weight_decay``, …) by the path of a parameter.
        learning_rate: of a parameter without settings.

    >>> net = nn.Linear(4, 2)
    >>> [(len(g["params"]), g["lr"]) for g in parameter_groups(net, {"weight": {"lr": 0.05}}, 0.1)]
    [(1, 0.1), (1, 0.05)]
    """
    plain = {name: 0.0 if name == "weight_decay" else value for name, value in _any(settings).items()}
    groups: dict[tuple[tuple[str, Any], ...], list[nn.Parameter]] = defaultdict(list)
    for path, parameter in unwrap(model).named_parameters():
        if parameter.requires_grad:
            own = settings.get(path, {**plain, "lr": learning_rate})
            groups[tuple(own.items())].append(parameter)
    whole = [{"params": found, **dict(own)} for own, found in groups.items()]
    return sorted(whole, key=lambda group: -group["lr"])


def _any(settings: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the settings of one parameter, whose names all others have."""
    return next(iter(settings.values()), {})
