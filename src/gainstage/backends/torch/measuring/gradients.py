"""The gradient of every parameter, and on the way to it, of every measured node's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.tracing.provenance import dense
from gainstage.backends.torch.tracing.traced_run import Observation
from gainstage.errors import ModelError
from gainstage.records import Moments, NodeProfile

__all__ = ["gradients_of"]

_Hook = Callable[[tuple[torch.Tensor | None, ...]], None]


def gradients_of(
    seen: Observation,
    parameters: Mapping[str, torch.Tensor],
    measured: Mapping[int, NodeProfile],
    examples: int,
    seed: int = 0,
    log: MagnitudeLog | None = None,
) -> tuple[dict[str, torch.Tensor], dict[int, Moments]] | None:
    """Gradients of the loss by every parameter, and their moments at the outputs of the measured nodes.

    Without a loss, random signs of that seed stand in for its gradient at the output. None where no gradient reaches
    it.

    Raises:
        ModelError: the backward pass raised.
    """
    scalar = seen.loss if seen.loss is not None else _surrogate(seen.ends, examples, seed)
    wanted = {path: p for path, p in parameters.items() if p.requires_grad}
    if not scalar.requires_grad or not wanted:
        return None
    moments: dict[int, Moments] = {}
    hooks = [
        node.register_prehook(_reader(moments, index, node, measured[index].forward.count, log))
        for index, node in _autograd_nodes(seen, scalar, measured)
    ]
    try:
        found = torch.autograd.grad(scalar, list(wanted.values()), allow_unused=True)
    except Exception as error:
        raise ModelError(
            f"The backward pass raised {type(error).__name__}: {error} "
            "Check that loss.backward() works on this batch without gainstage."
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    return {path: g.detach() for path, g in zip(wanted, found, strict=True) if g is not None}, moments


def _autograd_nodes(
    seen: Observation, scalar: torch.Tensor, measured: Mapping[int, NodeProfile]
) -> Iterator[tuple[int, Any]]:
    """The autograd node whose incoming gradient is that of a measured node's output."""
    latest: dict[int, Any] = {}
    sequence: dict[int, int] = {}
    pending, known = [scalar.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in known:
            continue
        known.add(node)
        pending += [successor for successor, _ in node.next_functions]
        number = node._sequence_nr()
        owner = seen.owners.get(number)
        if owner is None or owner not in measured or owner in seen.region_gradients:
            continue
        if number > sequence.get(owner, -1):
            latest[owner], sequence[owner] = node, number
    for owner, outputs in seen.region_gradients.items():
        used = [node for node in outputs if node in known]  # of some layers only the last state is used
        if owner in measured and used:
            latest[owner] = used[0]
    yield from latest.items()


def _reader(moments: dict[int, Moments], index: int, node: Any, count: int, log: MagnitudeLog | None) -> _Hook:
    whole = not node.name().endswith("CopySlices")  # written into a part of a tensor: the gradient is that of all of it

    def read(gradients: tuple[torch.Tensor | None, ...]) -> None:
        gradient = next((dense(g) for g in gradients if g is not None), None)
        if gradient is None or gradient.layout is not torch.strided:
            return
        seen = moments_of(gradient)
        if whole or seen.count == count:
            moments[index] = seen
            if log is not None:
                log.add("gradient", index, gradient)

    return read


def _surrogate(ends: Sequence[torch.Tensor], examples: int, seed: int) -> torch.Tensor:
    """A loss whose gradient at every output is a random sign everywhere."""
    generator = torch.Generator().manual_seed(seed)

    def signed(output: torch.Tensor) -> torch.Tensor:
        signs = torch.randint(0, 2, tuple(output.shape), generator=generator).to(output.device) * 2 - 1
        values = torch.view_as_real(output).sum(-1) if output.is_complex() else output
        return (values.float() * signs).sum()

    return torch.stack([signed(output) for output in ends]).sum() / max(examples, 1)
