"""One pass through a model, seen as operations.

``Interpreter`` is a dispatch mode: PyTorch hands it every operation below autograd, also those of functional calls, of
packed attention weights and of plain tensors. It keeps a ``Value`` for every tensor, writes down a ``Draft`` for every
operation that touches the signal, and shows each output to an *eye*, which measures it (recording), changes it
(calibration), or does nothing (tracing).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode

from gainstage.backends.torch.tracing import operations as table
from gainstage.backends.torch.tracing.autograd_order import Sequence, sequence_number
from gainstage.backends.torch.tracing.axes import axis_of, mixes_axes, permuted, remap_axis, stride_at
from gainstage.backends.torch.tracing.axis_tracking import follow, order_of
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.classify import classify
from gainstage.backends.torch.tracing.heads import behind, last_weighted
from gainstage.backends.torch.tracing.provenance import (
    STATIC,
    Derivation,
    Value,
    Values,
    dense,
    is_square,
    join,
    merged,
    orders,
    pads,
)
from gainstage.backends.torch.tracing.recurrent_layers import RECURRENT, function_of, settings_of
from gainstage.graph import DerivationStep, Operation, Stage
from gainstage.records import Refold

__all__ = ["Eye", "Interpreter"]

_REMEMBERED = 8  # outputs of weighted operations, in case the model returns nothing but its loss

Eye = Callable[[Draft, torch.Tensor], None]
"""Sees every node of the graph right after it ran, with its first output."""


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """All tensors in nested arguments, in order."""
    if isinstance(tree, torch.Tensor):
        return [dense(tree)]
    if isinstance(tree, PackedSequence):
        return [tree.data]
    if isinstance(tree, (list, tuple)):
        return [t for item in tree for t in tensors_in(item)]
    if isinstance(tree, dict):
        return [t for item in tree.values() for t in tensors_in(item)]
    return []


class Interpreter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs a model while writing down its operations.

    Args:
        parameters: every parameter tensor with its path.
        examples: how many examples the batch holds.
        eye: sees every node's output.
    """

    def __init__(self, parameters: dict[str, torch.Tensor], examples: int, eye: Eye | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.drafts: list[Draft] = []
        self.stage: Stage = "model"
        self.sequence = Sequence(last=sequence_number())
        self.region_gradients: dict[int, tuple[Any, ...]] = {}
        self.refolds: list[Refold] = []
        self._latest: deque[tuple[int, torch.Tensor]] = deque(maxlen=_REMEMBERED)
        self._values = Values(examples)
        self._examples = examples
        self._eye = eye
        self._modules: list[str] = []
        self._names: dict[Any, str] = {}
        self._region: nn.Module | None = None
        for path, parameter in parameters.items():
            self._values.set(parameter, Value(derivations=(Derivation(path),)))

    # -- what the caller tells ---------------------------------------------------------------------------------------

    def add_input(self, tensor: torch.Tensor, name: str, example_axis: int = 0, *, mask: bool = False) -> None:
        """Declare an input of the model; a mask carries no signal, whatever its type."""
        unit = (1 if tensor.dim() in (4, 5) else tensor.dim() - 1) if tensor.dim() > 1 else None
        shape = tuple(tensor.shape)
        known = example_axis < len(shape) and shape[example_axis] == self._examples
        stride = stride_at(shape, example_axis) if known else None
        draft = Draft(Operation.INPUT, "input", shape=shape, function=name, example_stride=stride, unit_axis=unit)
        node = self._append(draft, tensor)
        discrete = mask or not (tensor.is_floating_point() or tensor.is_complex())
        value = Value(node, (), discrete, False, True, stride, unit, padding=discrete and not is_square(tensor))
        self._values.overwrite(tensor, value)

    def node_of(self, tensor: torch.Tensor) -> int | None:
        """The node whose output a tensor is."""
        return self._values[tensor].node

    def value_of(self, tensor: torch.Tensor) -> Value:
        """All that is known of a tensor."""
        return self._values[tensor]

    def heads_of(self, loss: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], tuple[int, ...]] | None:
        """The last weighted operations before a loss, for a model that returns nothing else.

        What lies behind them becomes the stage of the loss. None where their outputs are not known any more.
        """
        end = self.node_of(loss)
        heads = () if end is None else last_weighted(self.drafts, end)
        known = dict(self._latest)
        if not heads or any(index not in known for index in heads):
            return None
        for index in behind(self.drafts, heads):
            self.drafts[index] = replace(self.drafts[index], stage="loss")
        return tuple(known[index] for index in heads), heads

    # -- module paths and regions ------------------------------------------------------------------------------------

    def enter(self, path: str, module: nn.Module) -> None:
        """A module begins its forward."""
        self._modules.append(path)
        if self._region is None and isinstance(module, RECURRENT):
            self._region = module
            self.sequence.previous = None  # what is written in place inside belongs to nothing outside

    def leave(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """A module ends its forward; a recurrent one becomes one node here."""
        if self._region is module:
            self._region = None
            if outputs is not None:  # it did not raise
                self._close_region(module, tensors_in(inputs), tensors_in(outputs))
        self._modules.pop()

    def _close_region(self, module: nn.Module, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        values = [self._values[t] for t in inputs]
        sources = tuple(dict.fromkeys(v.node for v in values if v.node is not None))
        lead = next((v for v in values if v.node is not None), STATIC)
        out = outputs[0]
        lead_shape = next((tuple(t.shape) for t, v in zip(inputs, values, strict=True) if v.node is not None), ())
        found = axis_of(lead_shape, lead.example_stride, self._examples)
        example = found[0] if found is not None and found[0] < out.dim() - 1 else None
        draft = Draft(
            Operation.RECURRENT,
            type(module).__name__.lower(),
            inputs=sources,
            shape=tuple(out.shape),
            function=function_of(module),
            settings=settings_of(module),
            from_input=lead.from_input,
            example_stride=None if example is None else stride_at(out.shape, example),
            unit_axis=out.dim() - 1,
            recurrent=module,
            operands=tuple((name, self._values[p]) for name, p in module.named_parameters(recurse=False)),
        )
        node = self._append(draft, out)
        for position, tensor in enumerate(outputs):
            axis = example if position == 0 or isinstance(module, nn.RNNCellBase) else tensor.dim() - 2
            stride = None if axis is None or axis < 0 else stride_at(tensor.shape, axis)
            value = Value(node=node, from_input=lead.from_input, example_stride=stride, unit_axis=tensor.dim() - 1)
            self._values.overwrite(tensor, value)
        self.region_gradients[node] = tuple(t.grad_fn for t in outputs if t.grad_fn is not None)
        self.sequence.last = sequence_number()
        self.sequence.previous = None

    # -- every operation ---------------------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        made = self.sequence.open(sequence_number())
        operands = tensors_in(args) + tensors_in(kwargs)
        before = [self._values[t] for t in operands]
        result = func(*args, **kwargs)
        if self._region is not None:
            return result
        if torch._C._current_autograd_node() is not None:
            self._differentiated(tensors_in(result), overwrite=func._schema.is_mutable)
            self.sequence.close(made, None)
            return result
        node = self._learn(func, args, kwargs, operands, before, result)
        self.sequence.close(made, node)
        return result

    def _learn(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        operands: list[torch.Tensor],
        before: list[Value],
        result: Any,
    ) -> int | None:
        """Find out what an operation did and remember it for its outputs; returns its node, if it has one."""
        name = self._names.get(func) or self._names.setdefault(func, table.base_name(func))
        outputs = tensors_in(result)
        if not outputs:
            return None
        overwrite = func._schema.is_mutable
        carried = self._carried(name, args, operands, before, outputs[0], in_place=overwrite)
        if carried is not None:
            for tensor in outputs:
                self._remember(tensor, carried, overwrite)
            return None
        draft = classify(func, name, args, kwargs, operands, before, outputs[0])

        def axes(tensor: torch.Tensor) -> tuple[int | None, int | None]:
            return _axes_of(draft, tensor, *follow(name, args, operands, before, tensor, self._examples))

        if draft is None:  # masks and indices keep pointing at the node they came from
            lead = next((v for v in before if v.node is not None), STATIC)
            for tensor in outputs:
                stride, unit = axes(tensor)
                padding = pads(name, operands, before)
                value = replace(lead, discrete=True, example_stride=stride, unit_axis=unit, padding=padding)
                self._remember(tensor, value, overwrite)
            return None
        sources = [v for v in before if v.node is not None]
        fixed = bool(sources) and all(v.discrete for v in sources) and not draft.uses
        parts = draft.operation is Operation.RESHAPE
        first = node = len(self.drafts)
        for position, tensor in enumerate(outputs):
            if not position or tensor.shape != outputs[position - 1].shape:
                stride, unit = axes(tensor)
            if not position or parts:  # split and unbind: every part is a node of its own
                shape = tuple(tensor.shape) if position else draft.shape
                axis = unit if shape == tuple(tensor.shape) else draft.unit_axis  # examples unfolded in the node alone
                shaped = replace(draft, shape=shape, example_stride=stride, unit_axis=axis, part=position)
                node = self._append(shaped, tensor)
            discrete = fixed or not (tensor.is_floating_point() or tensor.is_complex())
            padding = discrete and pads(name, operands, before)
            value = Value(node, (), discrete, False, draft.from_input, stride, unit, padding=padding)
            self._remember(tensor, value, overwrite)
        return first

    def _differentiated(self, outputs: list[torch.Tensor], *, overwrite: bool) -> None:
        """Remember what a backward pass inside the forward pass makes.

        Its operations are no uses of the weights, whose scale the forward uses decide. A derivative stands for the
        signal that was differentiated: the last one before.
        """
        node = self.drafts[-1].index if self.drafts else None
        for tensor in outputs:
            known = tensor.dim() > 0 and tensor.shape[0] == self._examples
            stride = stride_at(tensor.shape, 0) if known else None
            unit = tensor.dim() - 1 if tensor.dim() > 1 else None
            self._remember(tensor, Value(node, from_input=True, example_stride=stride, unit_axis=unit), overwrite)

    def _remember(self, tensor: torch.Tensor, value: Value, overwrite: bool) -> None:
        """Note what an output is; one written into a part of another tensor makes a new node of the whole."""
        if not overwrite:
            self._values.set(tensor, value)
            return
        around = self._values.around(tensor)
        if around is None:
            self._values.overwrite(tensor, value)
        elif value.node is None:
            rest = around if around.signal else replace(value, derivations=merged(around, value))
            self._values.overwrite(tensor, value, rest)
        elif around.node in (None, value.node) or around.discrete or value.discrete:
            self._values.overwrite(tensor, value)
        else:
            nodes = (around.node, value.node)
            live = value.from_input or around.from_input
            whole = Draft(Operation.RESHAPE, "slice_scatter", tuple(tensor.shape), nodes, from_input=live)
            rest = replace(around, node=self._append(whole, tensor), from_input=live)
            self._values.overwrite(tensor, value, rest)

    def _carried(
        self,
        name: str,
        args: tuple[Any, ...],
        operands: list[torch.Tensor],
        before: list[Value],
        out: torch.Tensor,
        *,
        in_place: bool,
    ) -> Value | None:
        """The value of an output that needs no node: constants, what derives from parameters, and moved signals."""
        if name in table.CREATION:
            return Value(random=name in table.RANDOM, keep=_share_of_ones(name, args, in_place))
        signals = [v for v in before if v.node is not None]
        if not signals:
            if _enters(name, before, out, self._examples):
                return None
            keep = next((v.keep for v in before if v.keep is not None), None)
            random = any(v.random for v in before) or name in table.RANDOM
            wave = name if name in ("cos", "sin") else next((v.wave for v in before if v.wave), "")
            drawn = name == "mul" and any(v.random and not v.derivations for v in before)
            step = DerivationStep.NOISE if drawn else table.step(name)
            compared = sum(v.orders for v in before) + orders(name, operands)
            return Value(derivations=join(before, step), random=random, keep=keep, wave=wave, orders=compared)
        if name in table.TRANSPARENT and before and before[0].node is not None:
            order = order_of(name, args, operands[0].dim())
            shape, source = tuple(operands[0].shape), before[0]
            after = tuple(out.shape)
            stride = source.example_stride
            if order is not None:
                stride = permuted(shape, stride, self._examples, order)
            elif out.numel() != operands[0].numel():  # expand
                stride, _ = follow(name, args, operands, before, out, self._examples)
            unit = remap_axis(source.unit_axis, shape, after, order)
            made = self.drafts[source.node] if source.node is not None else None
            if source.unit_axis is None and order is None and made is not None and made.shape == after:
                unit = made.unit_axis  # a view back to the shape that the node has by itself
            moved = replace(source, example_stride=stride, unit_axis=unit)
            if order is None and self.stage == "model" and source.node is not None and mixes_axes(shape, after):
                self.refolds.append(Refold(source.node, shape, after))
            if source.discrete or out.is_floating_point() or out.is_complex():
                return moved
            return replace(moved, discrete=True, padding=pads(name, operands, before))
        return None

    def _append(self, draft: Draft, output: torch.Tensor) -> int:
        node = len(self.drafts)
        path = self._modules[-1] if self._modules else ""
        draft = replace(draft, index=node, path=path, stage=self.stage, dtype=str(output.dtype).removeprefix("torch."))
        self.drafts.append(draft)
        if draft.operation.weighted and self.stage == "model":
            self._latest.append((node, output))
        if self._eye is not None:
            self._eye(draft, output)
        return node


def _axes_of(
    draft: Draft | None, out: torch.Tensor, stride: int | None, unit: int | None
) -> tuple[int | None, int | None]:
    """Example stride and unit axis where the kind of node says more than its operands do."""
    if draft is None:
        return stride, unit
    if draft.operation is Operation.CONVOLUTION:
        return stride, 1
    if draft.operation in (Operation.LINEAR, Operation.EMBEDDING, Operation.MATMUL):
        return stride, draft.unit_axis if draft.unit_axis is not None else out.dim() - 1
    if draft.operation is Operation.INPUT:  # learned, and the same for every example
        return stride_at(out.shape, 0), out.dim() - 1
    return stride, unit


def _share_of_ones(name: str, args: tuple[Any, ...], in_place: bool) -> float | None:
    """The probability that a mask is drawn with; one half, the default, is left out of the call."""
    if name != "bernoulli":
        return None
    if len(args) < 2:
        return 0.5 if in_place else None
    return float(args[1]) if isinstance(args[1], (int, float)) else None


def _enters(name: str, before: list[Value], out: torch.Tensor, examples: int) -> bool:
    """Whether a learned array enters the stream here: looked up by position, or handed to every example."""
    if not (before and before[0].derivations):
        return False
    if name in ("expand", "repeat"):
        return out.dim() >= 2 and examples > 1 and out.shape[0] == examples
    return name == "embedding"
