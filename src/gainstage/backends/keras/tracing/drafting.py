"""Read a tape from beginning to end: every step becomes a node, a part of one, or nothing that carries the signal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from gainstage.backends.keras.tracing import operations as table
from gainstage.backends.keras.tracing.call import Call, Draft, channel_axis
from gainstage.backends.keras.tracing.classify import classify
from gainstage.backends.keras.tracing.provenance import STATIC, Value, join
from gainstage.backends.keras.tracing.tape import Step, is_symbol, symbols_in
from gainstage.graph import Operation
from gainstage.graph.groups import MIXING

__all__ = ["Drafting"]


class Drafting:
    """The nodes of a tape.

    Args:
        examples: how many the batch holds.
        paths: of all weights, by the id of the variable.
        standins: the weight behind every symbol that stands for one.
    """

    def __init__(self, examples: int, paths: Mapping[int, str], standins: Mapping[int, Any]) -> None:
        self.drafts: list[Draft] = []
        self.values: dict[int, Value] = {}
        self._examples = examples
        self._paths = paths
        for symbol, variable in standins.items():
            self.values[symbol] = Value(derivations=((paths[id(variable)], ()),))

    def add_input(self, symbol: Any, name: str) -> None:
        """Declare an input of the model."""
        shape = tuple(symbol.shape)
        unit = channel_axis(None, len(shape)) if len(shape) in (4, 5) else max(len(shape) - 1, 0)
        leading = bool(shape) and shape[0] == self._examples
        draft = Draft(Operation.INPUT, "input", shape, function=name, leading=leading, unit_axis=unit)
        node = self._append(draft, symbol)
        discrete = not str(symbol.dtype).startswith(("float", "bfloat", "complex"))
        self.values[id(symbol)] = Value(node, (), discrete, True, leading, unit)

    def add_loss(self, output: int, kind: str) -> int:
        """Write down a loss as one operation, with the number of its terms."""
        terms = (("terms", float(math.prod(self.drafts[output].shape))),)
        draft = Draft(Operation.LOSS, kind, (), (output,), kind, terms, stage="loss", index=len(self.drafts))
        self.drafts.append(draft)
        return draft.index

    def node_of(self, symbol: Any) -> int | None:
        """The node whose output a symbol is."""
        return self.values.get(id(symbol), STATIC).node

    def read(self, step: Step) -> None:
        """Learn what one step did."""
        operands = [leaf for leaf in keras.tree.flatten((step.args, dict(step.kwargs))) if _is_array(leaf)]
        values = [self._value(operand) for operand in operands]
        outputs = symbols_in(step.outputs)
        if not outputs:
            return
        call = Call(step, operands, values, outputs[0], self._paths)
        carried = self._carried(call)
        if carried is not None:
            self.values.update({id(symbol): carried for symbol in outputs})
            return
        if self._folded(call):
            return
        draft = classify(call)
        lead = next((v for v in values if v.node is not None and not v.discrete), None)
        lead = lead or next((v for v in values if v.node is not None), STATIC)
        if draft is not None and draft.operation in MIXING and not lead.ordered:
            draft = replace(draft, settings=(*draft.settings, ("unordered", 1.0)))
        if draft is None:  # discrete: masks and indices keep pointing at the node they came from
            for symbol in outputs:
                leading, unit = self._axes(call, lead, symbol)
                self.values[id(symbol)] = replace(lead, discrete=True, leading=leading, unit_axis=unit)
            return
        draft = replace(draft, path=step.path or _home(draft), stage=step.stage)
        parts = len(outputs) > 1 and draft.operation is Operation.RESHAPE
        node = -1
        for position, symbol in enumerate(outputs):
            leading, unit = self._axes(call, lead, symbol)
            unit = draft.unit_axis if draft.unit_axis is not None else unit
            if position == 0 or parts:  # split and unstack: every part is a node of its own
                shape = tuple(symbol.shape)
                node = self._append(replace(draft, shape=shape, leading=leading, unit_axis=unit), symbol)
            ordered = lead.ordered or draft.operation in MIXING
            self.values[id(symbol)] = Value(node, (), False, draft.from_input, leading, unit, ordered)

    def _value(self, operand: Any) -> Value:
        if is_symbol(operand):
            return self.values.get(id(operand), STATIC)
        if id(operand) in self._paths:
            return Value(derivations=((self._paths[id(operand)], ()),))
        return STATIC

    def _carried(self, call: Call) -> Value | None:
        """The value of an output that needs no node: what derives from weights alone, and moved signals."""
        signals = [v for v in call.values if v.node is not None]
        if not signals:
            enters = call.name in ("BroadcastTo", "Tile", "Repeat") and self._examples > 1
            if (
                enters
                and call.output.shape
                and call.output.shape[0] == self._examples
                and any(v.derivations for v in call.values)
            ):
                return None
            if call.name == "Take" and call.values and call.values[0].derivations:
                return None
            return Value(derivations=join(call.values, table.step(call.name)))
        if call.name in table.TRANSPARENT and call.values[0].node is not None:
            lead = call.values[0]
            leading, unit = self._axes(call, lead, call.output)
            ordered = lead.ordered and call.name not in table.TRANSPOSING
            return replace(lead, leading=leading, unit_axis=unit, ordered=ordered)
        return None

    def _folded(self, call: Call) -> bool:
        """Whether a step only adds the bias of the layer before it, in Keras's own layers."""
        if call.name != "Add" or not call.step.builtin or len(call.values) != 2 or not self.drafts:
            return False
        signal, static = call.values
        last = self.drafts[-1]
        if signal.node != last.index or last.operation not in MIXING or last.path != call.step.path:
            return False
        if static.node is not None or not static.derivations or last.uses_bias:
            return False
        (path, chain), *_ = static.derivations
        self.drafts[-1] = last.with_bias(path, chain, id(call.output))
        self.values[id(call.output)] = signal
        return True

    def _axes(self, call: Call, lead: Value, output: Any) -> tuple[bool, int | None]:
        """Whether examples still lead, and where the units are, in an output of an operation on ``lead``."""
        shape = tuple(output.shape)
        leading = lead.leading and bool(shape) and shape[0] % self._examples == 0 and _keeps_first(call)
        source = next((tuple(o.shape) for o, v in zip(call.operands, call.values, strict=True) if v is lead), ())
        unit = lead.unit_axis
        same = unit is not None and len(source) == len(shape) and source[unit] == shape[unit]
        if not same or call.name in ("Matmul", "Einsum", "Take", "Transpose"):
            unit = len(shape) - 1 if shape else None
        return leading, unit

    def _append(self, draft: Draft, symbol: Any) -> int:
        node = len(self.drafts)
        self.drafts.append(replace(draft, index=node, symbol=id(symbol), dtype=str(symbol.dtype)))
        return node


def _is_array(leaf: Any) -> bool:
    return is_symbol(leaf) or isinstance(leaf, keras.Variable) or len(getattr(leaf, "shape", ())) > 0


def _home(draft: Draft) -> str:
    """The layer of the first weight that takes part."""
    return draft.uses[0].parameter.rpartition(".")[0] if draft.uses else ""


def _keeps_first(call: Call) -> bool:
    """Whether the first axis of the signal is the first axis (or its slowest part) of the result."""
    operation, rank = call.step.operation, max((len(o.shape) for o in call.operands), default=0)
    match call.name:
        case "Transpose":
            axes = call.setting("axes")
            return axes is not None and axes[0] == 0
        case "Swapaxes":
            return 0 not in (call.setting("axis1") % rank, call.setting("axis2") % rank)
        case "Moveaxis":
            moved = keras.tree.flatten((call.setting("source"), call.setting("destination")))
            return all(axis % rank for axis in moved)
        case "Einsum":
            operands, _, result = call.setting("subscripts", "").replace(" ", "").partition("->")
            return any(part[:1] == result[:1] for part in operands.split(","))
        case "Stack" | "Concatenate" | "ExpandDims" | "Unstack" | "Split":
            axis = call.setting("axis", -1)
            size = rank + (call.name in ("Stack", "ExpandDims"))
            return not isinstance(axis, int) or axis % max(size, 1) != 0
        case "GetItem":
            key = call.step.args[1] if len(call.step.args) > 1 else None
            first = key[0] if isinstance(key, tuple) and key else key
            return first is Ellipsis or (isinstance(first, slice) and first == slice(None))
    if table.STRUCTURAL.get(call.name) is Operation.REDUCTION:
        axis = getattr(operation, "axis", None)
        return axis is not None and all(a % rank for a in ([axis] if isinstance(axis, int) else axis))
    return True
