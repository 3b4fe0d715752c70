"""What can be told of a model's weights without running it: named schemes need no batch.

Only modules of PyTorch's own kinds are understood. A weight that a module uses in a way of its own stays ``OTHER``,
so that no scheme touches it; tracing with a batch tells more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import UninitializedParameter

from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.recurrent_layers import (
    RECURRENT,
    blocks_of,
    function_of,
    settings_of,
    slots_of,
)
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.errors import InputError
from gainstage.graph import KernelShape, Layout, Node, Operation, Parameter, Role, SignalGraph, Slot, Use

__all__ = ["structure"]

_NORMS = (
    (_InstanceNorm, "instance_norm"), (_NormBase, "batch_norm"), (nn.LayerNorm, "layer_norm"),
    (nn.GroupNorm, "group_norm"), (nn.RMSNorm, "rms_norm"),
)  # fmt: skip


@dataclass(slots=True)
class _Found:
    """What one module says of one of its parameters."""

    role: Role
    slot: Slot
    kernel: KernelShape | None = None
    blocks: int = 1
    layout: Layout = "out_in"


@dataclass(slots=True)
class _Layer:
    operation: Operation
    function: str = ""
    kernel: KernelShape | None = None
    parameters: dict[str, _Found] = field(default_factory=dict)
    settings: tuple[tuple[str, float], ...] = ()


def structure(model: nn.Module) -> SignalGraph:
    """The weights of a model with their geometry, from its modules alone.

    Nodes stand in the order of definition and are not connected.

    Raises:
        InputError: it is no module, or a lazy layer of it has no size yet.

    >>> from torch import nn
    >>> graph = structure(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    >>> [(p.path, str(p.role)) for p in graph.parameters]
    [('0.weight', 'hidden'), ('0.bias', 'bias'), ('2.weight', 'hidden'), ('2.bias', 'bias')]
    """
    model = unwrap(model)
    tensors, aliases = named_parameters(model)
    lazy = next((path for path, tensor in tensors.items() if isinstance(tensor, UninitializedParameter)), None)
    if lazy is not None:
        raise InputError(
            f"'{lazy}' belongs to a lazy layer, which has no size yet. Pass a batch, from which it takes it."
        )
    paths = {id(tensor): path for path, tensor in tensors.items()}
    nodes: list[Node] = []
    found: dict[str, tuple[_Found, tuple[int, ...]]] = {}
    for name, module in model.named_modules():
        layer = _layer(module)
        if layer is None:
            continue
        uses = []
        for local, fact in layer.parameters.items():
            path = paths[id(getattr(module, local))]
            uses.append(Use(path, fact.slot))
            found[path] = _together(found.get(path), fact, len(nodes))
        nodes.append(
            Node(
                len(nodes),
                layer.operation,
                layer.function or str(layer.operation),
                (),
                (),
                name,
                tuple(uses),
                layer.kernel,
                layer.function,
                layer.settings,
            )
        )
    parameters = []
    for path, tensor in tensors.items():
        fact, users = found.get(path, (_Found(Role.OTHER, "operand"), ()))
        parameters.append(
            Parameter(
                path,
                tuple(tensor.shape),
                str(tensor.dtype).removeprefix("torch."),
                fact.role,
                fact.kernel,
                fact.blocks,
                fact.layout,
                bool(tensor.requires_grad),
                aliases.get(path, ()),
                users,
            )
        )
    return SignalGraph(tuple(nodes), tuple(parameters))


def _together(before: tuple[_Found, tuple[int, ...]] | None, fact: _Found, node: int) -> tuple[_Found, tuple[int, ...]]:
    """One more use of a weight: a table that a layer uses too is an output layer, since tied weights are those."""
    if before is None:
        return fact, (node,)
    first, users = before
    tables = [one for one in (first, fact) if one.role is Role.EMBEDDING]
    layers = [one for one in (first, fact) if one.role in {Role.HIDDEN, Role.HEAD}]
    if tables and layers:
        first = replace(layers[0], role=Role.HEAD)
    return first, (*users, node)


def _layer(module: nn.Module) -> _Layer | None:
    own = {name for name, p in module.named_parameters(recurse=False)}
    if isinstance(module, nn.Linear):
        return _mixing(Operation.LINEAR, KernelShape(module.out_features, module.in_features), own, "out_in")
    if isinstance(module, _ConvTransposeNd):
        taps = prod(module.kernel_size)
        kernel = KernelShape(
            module.out_channels, module.in_channels, taps, module.groups, overlap=taps / prod(module.stride)
        )
        return _mixing(Operation.CONVOLUTION, kernel, own, "in_out", "transposed")
    if isinstance(module, _ConvNd):
        kernel = KernelShape(module.out_channels, module.in_channels, prod(module.kernel_size), module.groups)
        return _mixing(Operation.CONVOLUTION, kernel, own, "out_in")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        kernel = KernelShape(module.embedding_dim, module.num_embeddings)
        return _Layer(
            Operation.EMBEDDING, "", kernel, {"weight": _Found(Role.EMBEDDING, "weight", kernel, 1, "in_out")}
        )
    if isinstance(module, nn.Bilinear):  # every output sums the products of two inputs' elements
        return _mixing(
            Operation.LINEAR, KernelShape(module.out_features, module.in1_features * module.in2_features), own, "out_in"
        )
    if isinstance(module, nn.PReLU):
        return _Layer(Operation.ACTIVATION, "prelu", None, {"weight": _Found(Role.OTHER, "operand")})
    if isinstance(module, nn.MultiheadAttention):
        return _attention(module, own)
    if isinstance(module, RECURRENT):
        return _recurrent(module)
    norm = next((function for kind, function in _NORMS if isinstance(module, kind)), "")
    if norm:
        facts = {"weight": _Found(Role.NORM_SCALE, "scale"), "bias": _Found(Role.NORM_SHIFT, "shift")}
        return _Layer(Operation.NORMALIZATION, norm, None, {k: v for k, v in facts.items() if k in own})
    return None


def _mixing(operation: Operation, kernel: KernelShape, own: set[str], layout: Layout, function: str = "") -> _Layer:
    depthwise = kernel.groups == kernel.in_ > 1
    facts = {
        "weight": _Found(Role.DEPTHWISE if depthwise else Role.HIDDEN, "weight", kernel, 1, layout),
        "bias": _Found(Role.BIAS, "bias"),
    }
    return _Layer(operation, function, kernel, {k: v for k, v in facts.items() if k in own})


def _attention(module: nn.MultiheadAttention, own: set[str]) -> _Layer:
    width = module.embed_dim
    facts = {
        "in_proj_weight": _Found(Role.PACKED_ATTENTION, "weight", KernelShape(width, width), 3),
        "q_proj_weight": _Found(Role.QUERY, "weight", KernelShape(width, width)),
        "k_proj_weight": _Found(Role.KEY, "weight", KernelShape(width, module.kdim or width)),
        "v_proj_weight": _Found(Role.VALUE, "weight", KernelShape(width, module.vdim or width)),
        "in_proj_bias": _Found(Role.BIAS, "bias"),
        "bias_k": _Found(Role.OTHER, "operand"),
        "bias_v": _Found(Role.OTHER, "operand"),
    }
    return _Layer(Operation.LINEAR, "attention", None, {k: v for k, v in facts.items() if k in own})


def _recurrent(module: nn.Module) -> _Layer:
    facts: dict[str, _Found] = {}
    for name, slot in slots_of(module).items():
        tensor = getattr(module, name)
        if slot == "bias":
            facts[name] = _Found(Role.RECURRENT_BIAS, slot)
        elif tensor.dim() == 2:
            blocks = blocks_of(module, tensor.shape[0])
            kernel = KernelShape(tensor.shape[0] // blocks, tensor.shape[1])
            role = Role.RECURRENT if slot == "state" else Role.RECURRENT_INPUT
            facts[name] = _Found(role if slot in _DRAWN else Role.OTHER, slot, kernel, blocks)
    return _Layer(Operation.RECURRENT, function_of(module), None, facts, settings_of(module))


_DRAWN = ("weight", "state")
