"""Learning rates that go with the maximal update parametrisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gainstage import planning
from gainstage.backends import backend_of
from gainstage.errors import InputError, UnknownNameError, require_number
from gainstage.planning import RateRule
from gainstage.workflows.supplying import batch_of

__all__ = ["parameter_groups"]

_RATE_RULES: Mapping[str, RateRule] = {
    "sgd": "sgd", "momentum": "sgd",
    **dict.fromkeys(("adam", "adamw", "rmsprop", "adamax", "nadam", "radam"), "adam"),
}  # fmt: skip
"""How learning rates scale with width under an optimizer (Yang et al., arXiv:2203.03466, table 3): the kin of Adam
divide a gradient by its own size, as Adam does."""


def parameter_groups(
    model: Any, x: Any, *, learning_rate: float, base_width: int, optimizer: Any = "adam"
) -> list[dict[str, Any]]:
    """Learning rates that carry over from a narrow model to this one: maximal update parametrisation.

    With the recipe ``mup`` as the start, the rate that is best at the base width is best at every width (Yang et al.,
    arXiv:2203.03466, table 3).

    Args:
        model: initialized with ``mup``.
        x: an example batch.
        learning_rate: the best one of a model of the base width.
        base_width: what that model's output layer reads.
        optimizer: that the groups are for: a name (``adam``, ``adamw``, ``rmsprop``, ``sgd``, ``momentum``), an object
            or a class. Adam and its kin divide a gradient by its size, and scale otherwise than SGD.

    Returns:
        parameter groups for the optimizer, each with its ``lr``.

    Raises:
        InputError: a width or rate that is not positive, or a model without an output layer.
        UnknownNameError: an optimizer whose scaling is not known.

    >>> import torch
    >>> import gainstage as gs
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 512), torch.nn.ReLU(), torch.nn.Linear(512, 2))
    >>> groups = gs.parameter_groups(net, torch.randn(4, 8), learning_rate=1e-2, base_width=64)
    >>> [(len(group["params"]), group["lr"]) for group in groups]
    [(3, 0.01), (1, 0.00125)]
    """
    learning_rate = require_number(learning_rate, "The learning rate")
    width = require_number(base_width, "base_width")
    base_width = int(width) if math.isfinite(width) else 0
    if not 0 < learning_rate < math.inf:
        raise InputError(f"A learning rate is positive; received {learning_rate!r}.")
    backend = backend_of(model)
    factors = planning.rate_multipliers(backend.trace(model, batch_of(x)[0]), base_width, _rate_rule(optimizer))
    return backend.parameter_groups(model, factors, learning_rate)


def _rate_rule(optimizer: Any) -> RateRule:
    named = optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", type(optimizer).__name__)
    if named.lower() not in _RATE_RULES:
        raise UnknownNameError("optimizer", named, _RATE_RULES)
    return _RATE_RULES[named.lower()]
