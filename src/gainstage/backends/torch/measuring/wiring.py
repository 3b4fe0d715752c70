"""Which tensors take part in a pass, against what the model registers and the optimizer holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.tracing.traced_run import Observation
from gainstage.records import Stray, Wiring

__all__ = ["wiring_of"]


def wiring_of(
    model: nn.Module,
    seen: Observation,
    parameters: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer | None,
    versions: Mapping[str, int],
) -> Wiring:
    """Compare what takes part with what is registered and what the optimizer holds.

    Args:
        model: the model, for the tensors that its attributes hold.
        seen: the pass, with its autograd graph still alive.
        parameters: all parameters of the model by path.
        optimizer: given with the check, or None.
        versions: how often every parameter had been written before the pass.
    """
    held = (
        Counter(id(p) for group in optimizer.param_groups for p in group["params"]) if optimizer is not None else None
    )
    registered = {id(p): path for path, p in parameters.items()}
    start = seen.loss if seen.loss is not None else seen.output
    leaves = dict(_leaves(start, seen.owners))
    attributes = _attributes(model)
    used = {id(tensor) for tensor, _ in leaves.values()}
    strays = tuple(
        Stray(tuple(tensor.shape), node, None if held is None else key in held)
        for key, (tensor, node) in leaves.items()
        if key not in registered and _in_model(seen, node) and _is_weight(tensor, attributes)
    )
    written = tuple(path for path, p in parameters.items() if not p.requires_grad and p._version != versions.get(path))
    if held is None or optimizer is None:
        return Wiring(strays, moved=written)
    missing = tuple(path for path, p in parameters.items() if id(p) in leaves and id(p) not in held)
    stale = sum(1 for key in held if key not in registered and key not in used)
    repeated = tuple(path for path, p in parameters.items() if held[id(p)] > 1)
    stored = tuple(
        path for path, p in parameters.items() if not p.requires_grad and p.grad is not None and id(p) in held
    )
    decaying = {id(p) for group in optimizer.param_groups if group.get("weight_decay") for p in group["params"]}
    decayed = tuple(path for path, p in parameters.items() if p.requires_grad and id(p) in decaying)
    moved = tuple(dict.fromkeys((*written, *stored)))
    return Wiring(
        strays, missing, sum(1 for key in held if key in registered), stale, repeated, moved, decayed
    )  # fmt: skip


def _is_weight(tensor: torch.Tensor, attributes: Container[int]) -> bool:
    """Whether a leaf is a weight, and not an input that the forward pass asks a gradient for."""
    return isinstance(tensor, nn.Parameter) or id(tensor) in attributes


def _attributes(model: nn.Module) -> frozenset[int]:
    """Identities of the tensors that modules hold as attributes, or in lists, tuples and dicts among them."""
    pending: list[Any] = [value for module in model.modules() for value in vars(module).values()]
    found = set()
    while pending:
        item = pending.pop()
        if isinstance(item, torch.Tensor):
            found.add(id(item))
        elif isinstance(item, dict):
            pending += [value for value in item.values() if not isinstance(value, nn.Module)]
        elif isinstance(item, (list, tuple)):
            pending += item
    return frozenset(found)


def _in_model(seen: Observation, node: int | None) -> bool:
    return node is not None and seen.graph.nodes[node].stage == "model"


def _leaves(
    start: torch.Tensor, owners: Mapping[int, int | None]
) -> Iterator[tuple[int, tuple[torch.Tensor, int | None]]]:
    """Leaf tensors of the autograd graph, each with the node that reads it."""
    pending: list[Any] = [start.grad_fn]
    known = set(pending)
    while pending:
        here = pending.pop()
        if here is None:
            continue
        owner = owners.get(here._sequence_nr())
        for successor, _ in here.next_functions:
            if successor is None or successor in known:
                continue
            known.add(successor)
            variable = getattr(successor, "variable", None)
            if variable is not None:
                yield id(variable), (variable, owner)
            else:
                pending.append(successor)
