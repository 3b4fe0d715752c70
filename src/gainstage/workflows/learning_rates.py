"""Learning rates, decay and ε that carry over from a small model to a large one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.errors import InputError, UnknownNameError, require_number
from gainstage.planning import RateRule
from gainstage.workflows.supplying import batch_of

__all__ = ["parameter_groups", "rate_rule"]

_RATE_RULES: Mapping[str, RateRule] = {
    "sgd": "sgd", "momentum": "sgd", "muon": "muon",
    **dict.fromkeys(("adam", "adamw", "rmsprop", "adamax", "nadam", "radam"), "adam"),
}  # fmt: skip
"""The rule by which an optimizer's learning rates scale with width (Yang et al., arXiv:2203.03466, table 3). Optimizers
of one rule with Adam divide a gradient by its own size, as Adam does."""


def parameter_groups(
    model: Any,
    x: Any,
    *,
    learning_rate: float,
    base_width: int,
    base_depth: int | None = None,
    optimizer: Any = "adam",
    weight_decay: float | None = None,
    eps: float | None = None,
) -> list[dict[str, Any]]:
    """Set learning rates that carry over from a small model to this one: muP over width, CompleteP over depth.

    With the recipe ``mup`` as the start, the rate that is best at the base width is best at every width (Yang et al.,
    arXiv:2203.03466, table 3); with ``complete_p`` and ``base_depth``, at every depth as well (Dey et al.,
    arXiv:2505.01618).

    Args:
        model: initialized with ``mup``, or with ``complete_p`` where ``base_depth`` is given.
        x: an example batch.
        learning_rate: the best one of a model of the base size.
        base_width: number of units that the output layer of that model reads.
        base_depth: number of residual branches of that model: two a transformer block, one a block of a ResNet.
        optimizer: that the groups are for: a name (``adam``, ``adamw``, ``rmsprop``, ``sgd``, ``momentum``, ``muon``),
            an object or a class. Adam and its kin divide a gradient by its size, and scale otherwise than SGD. For
            Muon every group says with ``use_muon`` whether Muon or Adam updates it.
        weight_decay: of the base model. Decays that AdamW multiplies by the rate grow by what the rate falls; biases,
            scales and embeddings have none.
        eps: Adam's ε of the base model; it falls as the entries of the gradient do.

    Returns:
        parameter groups for the optimizer, each with its ``lr``, and with ``weight_decay`` and ``eps`` where given.

    Raises:
        InputError: a size, rate, decay or ε that is not positive, or a model without an output layer.
        UnknownNameError: an optimizer whose scaling is not known.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 512), torch.nn.ReLU(), torch.nn.Linear(512, 2))
    >>> groups = gs.parameter_groups(net, torch.randn(4, 8), learning_rate=1e-2, base_width=64)
    >>> [(len(group["params"]), group["lr"]) for group in groups]
    [(3, 0.01), (1, 0.00125)]
    """
    learning_rate = require_number(learning_rate, "The learning rate")
    if not 0 < learning_rate < math.inf:
        raise InputError(f"A learning rate is positive; received {learning_rate!r}.")
    for name, value in (("weight_decay", weight_decay), ("eps", eps)):
        if value is not None and not 0 <= require_number(value, name) < math.inf:
            raise InputError(f"{name} is zero or positive; received {value!r}.")
    width = _size(base_width, "base_width")
    depth = None if base_depth is None else _size(base_depth, "base_depth")
    rule = rate_rule(optimizer)
    backend = backend_of(model)
    graph = backend.trace(model, batch_of(x)[0])
    settings: dict[str, dict[str, Any]] = {}
    for path, factor in planning.rate_factors(graph, width, rule, depth).items():
        own: dict[str, Any] = {"lr": learning_rate * factor.rate}
        if weight_decay is not None:
            decays = graph.parameter(path).role.is_kernel
            own["weight_decay"] = weight_decay * factor.decay if decays else 0.0
        if eps is not None:
            own["eps"] = eps * factor.eps
        if rule == "muon":
            own["use_muon"] = factor.orthogonal
        settings[path] = own
    return backend.parameter_groups(model, settings, learning_rate)


def _size(value: Any, name: str) -> int:
    found = require_number(value, name)
    return int(found) if math.isfinite(found) else 0


def rate_rule(optimizer: Any) -> RateRule:
    """Return how rates scale under an optimizer, given by its name, class or object."""
    named = optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", type(optimizer).__name__)
    if named.lower() not in _RATE_RULES:
        raise UnknownNameError("optimizer", named, _RATE_RULES)
    return _RATE_RULES[named.lower()]
