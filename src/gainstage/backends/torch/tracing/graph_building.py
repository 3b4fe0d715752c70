"""From what the interpreter wrote down to the framework-free graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from gainstage.backends.torch.tracing.axes import axis_of
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.recurrent_layers import blocks_of, slots_of
from gainstage.graph import (
    DerivationStep,
    KernelShape,
    Layout,
    Node,
    Operation,
    Parameter,
    SignalGraph,
    Use,
    assign_roles,
    fuse,
    unpacked,
)

__all__ = ["assemble", "named_parameters"]


def named_parameters(model: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, tuple[str, ...]]]:
    """Every parameter once, by its first name, and the other names of those that are tied."""
    first: dict[int, str] = {}
    parameters: dict[str, torch.Tensor] = {}
    aliases: dict[str, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known == name:
            parameters[name] = parameter
        else:
            aliases[known].append(name)
    return parameters, {name: tuple(others) for name, others in aliases.items()}


@dataclass(frozen=True, slots=True)
class _Geometry:
    """How one parameter lies in the weight of one node."""

    kernel: KernelShape | None = None
    blocks: int = 1
    layout: Layout = "out_in"


def assemble(
    drafts: Sequence[Draft],
    parameters: Mapping[str, torch.Tensor],
    aliases: Mapping[str, tuple[str, ...]],
    *,
    examples: int,
    inputs: Sequence[int],
    outputs: Sequence[int],
    loss: int | None,
) -> SignalGraph:
    """The graph, with hand-written functions recognised and every parameter's role found."""
    nodes = tuple(_node(draft, examples) for draft in drafts)
    users: dict[str, list[tuple[Draft, Use]]] = defaultdict(list)
    for draft, node in zip(drafts, nodes, strict=True):
        for use in node.uses:
            users[use.parameter].append((draft, use))
    magnitudes = _magnitudes(nodes, parameters)
    described = tuple(
        _parameter(path, tensor, aliases.get(path, ()), users[path], magnitudes.get(path))
        for path, tensor in parameters.items()
    )
    graph = SignalGraph(nodes, described, tuple(inputs), tuple(outputs), loss)
    return assign_roles(unpacked(fuse(graph)))


def _node(draft: Draft, examples: int) -> Node:
    axis = axis_of(draft.shape, draft.example_stride, examples)
    return Node(
        draft.index,
        draft.operation,
        draft.name,
        draft.inputs,
        draft.shape,
        draft.path,
        _recurrent_uses(draft) if draft.recurrent is not None else draft.uses,
        draft.kernel,
        draft.function,
        draft.settings,
        draft.stage,
        None if axis is None else axis[0],
        draft.from_input,
        unit_axis=draft.unit_axis,
    )


def _recurrent_uses(draft: Draft) -> tuple[Use, ...]:
    slots = slots_of(draft.recurrent) if draft.recurrent is not None else {}
    return tuple(Use(d.parameter, slots[name], d.chain) for name, value in draft.operands for d in value.derivations)


def _parameter(
    path: str,
    tensor: torch.Tensor,
    aliases: tuple[str, ...],
    users: Iterable[tuple[Draft, Use]],
    magnitude_of: str | None,
) -> Parameter:
    users = list(users)
    geometry = _Geometry()
    # A weight that several nodes share takes the geometry of a real layer before that of a table look-up.
    for draft, use in sorted(users, key=lambda pair: pair[0].operation is Operation.EMBEDDING):
        geometry = _geometry(draft, use, tensor)
        if geometry.kernel is not None:
            break
    shape = () if isinstance(tensor, UninitializedParameter) else tuple(tensor.shape)
    return Parameter(
        path,
        shape,
        str(tensor.dtype).removeprefix("torch."),
        kernel=None if magnitude_of else geometry.kernel,
        blocks=geometry.blocks,
        layout=geometry.layout,
        trainable=bool(tensor.requires_grad),
        aliases=aliases,
        nodes=tuple(dict.fromkeys(draft.index for draft, _ in users)),
        magnitude_of=magnitude_of,
    )


def _geometry(draft: Draft, use: Use, tensor: torch.Tensor) -> _Geometry:
    """The kernel that a parameter is, seen from one node that uses it."""
    if draft.recurrent is not None:
        if tensor.dim() != 2:
            return _Geometry()
        blocks = blocks_of(draft.recurrent, tensor.shape[0])
        return _Geometry(KernelShape(tensor.shape[0] // blocks, tensor.shape[1]), blocks)
    kernel = draft.kernel
    if use.slot != "weight" or kernel is None or tensor.dim() < 2:
        return _Geometry()
    count = tensor.numel()
    if count == kernel.size:
        return _Geometry(kernel, 1, draft.layout)
    if count > kernel.size and count % kernel.size == 0:  # a slice of it is used here
        return _Geometry(kernel, count // kernel.size, draft.layout)
    if tensor.dim() == 2:  # part of a weight put together from several
        out, in_ = tensor.shape if draft.layout == "out_in" else (tensor.shape[1], tensor.shape[0])
        return _Geometry(KernelShape(out, in_), 1, draft.layout)
    return _Geometry()


def _magnitudes(nodes: Sequence[Node], parameters: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Parameters that hold the norm of another one (weight normalisation), with that other one."""
    found: dict[str, str] = {}
    for node in nodes:
        normed = [use for use in node.uses if DerivationStep.WEIGHT_NORM in use.derivation]
        if len(normed) < 2:
            continue
        sizes = {u.parameter: parameters[u.parameter].numel() for u in normed}
        direction = max(sizes, key=lambda path: sizes[path])
        found.update({path: direction for path in sizes if path != direction})
    return found
