"""Look at a model: measure, judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gainstage import rules
from gainstage.backends import backend_of
from gainstage.records import Diagnosis

__all__ = ["check"]


def check(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
    optimizer: Any = None,
    detail: Literal["lean", "standard"] = "standard",
    seed: int = 0,
    synthetic: bool = False,
) -> Diagnosis:
    """Say whether a model's signal and gradient survive, and if not, where, why, and what cures it.

    One forward and one backward pass (one more forward with ``optimizer``); the model is left exactly as it was
    found. It is judged in the mode it is in: call ``model.train()`` first to judge it as it will train.

    Args:
        model: a module of a supported framework.
        x: a batch: a tensor, a tuple of positional arguments or a dict of keyword ones. A batch of one blinds half of
            the rules.
        y: labels, handed to ``loss``.
        loss: called as ``loss(output, y)``. Models that return their own loss need none; without any, random signs
            stand in for the gradient at the output and the rules about losses are listed as not judged.
        optimizer: its first step is measured and taken back.
        detail: ``lean`` is faster and leaves out normalisations, sums and extremes.
        seed: random state of the pass (dropout).
        synthetic: say that ``x`` was made up, so that nothing is concluded from its values.

    Raises:
        InputError: the batch, labels, loss or optimizer cannot be used.
        ModelError: the model's own code raised.

    >>> import torch
    >>> import gainstage as gs
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(*[m for _ in range(20) for m in (torch.nn.Linear(64, 64), torch.nn.Sigmoid())])
    >>> gs.check(net, torch.randn(32, 64)).ok
    False
    """
    profile = backend_of(model).record(
        model, x, y, loss=loss, optimizer=optimizer, detail=detail, seed=seed, synthetic=synthetic
    )
    return rules.judge(profile)
