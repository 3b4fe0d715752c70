"""How a batch goes into a model and what comes out of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from gainstage.backends.shared.selection import require_finite
from gainstage.errors import InputError, ModelError

__all__ = [
    "Batch", "as_called", "copied", "first_examples", "first_output", "labels_for", "only_numbers", "outputs_of",
    "own_loss", "prepare",
]  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """The arguments of one call of the model.

    Args:
        args, kwargs: as the model gets them.
        tensors: all tensors among them with a name, in order.
        examples: how many examples there are.
        example_axis: along which axis of the inputs.
        masks: names of the tensors that hold nothing but zeros and −inf, as attention masks do.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: tuple[tuple[str, torch.Tensor], ...]
    examples: int
    example_axis: int = 0
    masks: frozenset[str] = frozenset()

    def call(self, model: nn.Module) -> Any:
        """Run the model.

        Raises:
            ModelError: the model's own code raised; its exception is chained.
        """
        return model(*self.args, **self.kwargs)

    def copied(self) -> Batch:
        """The same batch in memory of its own, so that a model that writes into its input leaves the caller's alone."""
        return self.map(_copy)

    @property
    def loose(self) -> list[Any]:
        """Return the inputs that the model receives uncopied: everything except tensors and containers."""
        return [leaf for leaf in _leaves((self.args, self.kwargs)) if not isinstance(leaf, torch.Tensor)]

    def map(self, change: Any) -> Batch:
        """The same batch with every tensor changed."""
        args = _map(self.args, change)
        kwargs = _map(self.kwargs, change)
        return dataclasses.replace(self, args=args, kwargs=kwargs, tensors=tuple(_named(args, kwargs)))


def prepare(inputs: Any, model: nn.Module, target: Any = None) -> Batch:
    """Arguments from a tensor or array, a tuple or list of positional ones, or a mapping of keyword ones.

    Inputs go to the device of the model; the batch is the first axis, unless the labels fit the second one only.

    Raises:
        InputError: no tensor, an empty one, or non-finite values.
    """
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))

    def place(value: Any) -> Any:
        tensor = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
        if not isinstance(tensor, torch.Tensor):
            return tensor
        if tensor.numel() == 0:
            raise InputError(
                f"The batch is empty: received an input of shape {tuple(tensor.shape)}. Pass at least one example."
            )
        return tensor.to(device) if tensor.device != device and not tensor.is_meta else tensor

    args: tuple[Any, ...]
    if isinstance(inputs, Mapping):
        args, kwargs = (), _map(dict(inputs), place)
    elif isinstance(inputs, (tuple, list)):
        args, kwargs = _map(tuple(inputs), place), {}
    else:
        args, kwargs = (place(inputs),), {}
    tensors = tuple(_named(args, kwargs))
    if not tensors:
        raise InputError(
            f"The batch holds no tensor: received {type(inputs).__name__}. Pass a tensor, an array, a tuple of them "
            "for positional arguments, or a dict of them for keyword arguments."
        )
    masks = frozenset(name for name, t in tensors if _is_mask(t))
    require_finite((n, tuple(t.shape), _first_nonfinite(t)) for n, t in tensors if n not in masks)
    first = tensors[0][1]
    axis = 0
    labels = getattr(target, "shape", None)
    if labels and first.dim() > 1 and first.shape[0] != labels[0] and first.shape[1] == labels[0]:
        axis = 1
    examples = first.shape[axis] if first.dim() else 1
    return Batch(args, kwargs, tensors, examples, axis, masks)


def first_examples(inputs: Any, count: int) -> Any:
    """Cut a batch to its first examples: every tensor or array whose first axis is as long as that of the first one.

    Args:
        inputs: as ``prepare`` takes them.
        count: of examples that are kept.

    >>> first_examples({"x": torch.zeros(8, 3), "scale": torch.zeros(3)}, 2)["x"].shape
    torch.Size([2, 3])
    """
    whole = dict(inputs) if isinstance(inputs, Mapping) else inputs
    sizes = [leaf.shape[0] for leaf in _leaves(whole) if isinstance(leaf, (torch.Tensor, np.ndarray)) and leaf.ndim]
    if not sizes or sizes[0] <= count:
        return inputs
    return _map(whole, lambda tensor: tensor[:count] if tensor.ndim and tensor.shape[0] == sizes[0] else tensor)


def as_called(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Batch:
    """The arguments of a call that was made, unchecked and in place; the examples are along the first axis.

    Raises:
        InputError: there is no tensor among them.
    """
    tensors = tuple(_named(args, kwargs))
    if not tensors:
        raise InputError("The model was called without any tensor, so there is no batch to look at.")
    first = tensors[0][1]
    return Batch(args, kwargs, tensors, first.shape[0] if first.dim() else 1)


def labels_for(model: nn.Module, target: Any) -> Any:
    """Labels on the model's device, in the types that losses take: int64 for classes, the weights' own for values."""
    if isinstance(target, np.ndarray):
        target = torch.from_numpy(np.ascontiguousarray(target))
    if not isinstance(target, torch.Tensor):
        return target
    own = {p.dtype for p in model.parameters() if p.is_floating_point()}
    dtype = target.dtype
    if dtype in (torch.int8, torch.int16, torch.int32):
        dtype = torch.int64
    elif dtype == torch.float64 and len(own) == 1:
        (dtype,) = own
    device = next((p.device for p in model.parameters()), target.device)
    return target.to(device, dtype)


def _first_nonfinite(tensor: torch.Tensor) -> tuple[int, ...] | None:
    """The index of the first NaN or infinity."""
    if tensor.is_meta or not (tensor.is_floating_point() or tensor.is_complex()) or tensor.is_nested:
        return None
    bad = ~torch.isfinite(tensor)
    if not bool(bad.any()):
        return None
    return tuple(int(i) for i in torch.unravel_index(bad.flatten().int().argmax(), bad.shape))


def _is_mask(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.is_meta:
        return False
    low, high = torch.aminmax(tensor)
    return bool(low == -torch.inf) and bool(high <= 0) and bool(((tensor == 0) | (tensor == -torch.inf)).all())


def copied(tree: Any) -> Any:
    """Nested tensors and arrays in memory of their own, in containers of their own."""
    return _map(tree, _copy)


def _copy(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return part.copy()
    return part if part.is_meta else part.detach().clone().requires_grad_(part.requires_grad)


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (tuple, list)):
        for item in tree:
            yield from _leaves(item)
    elif isinstance(tree, dict):
        yield from _leaves(list(tree.values()))
    else:
        yield tree


def _map(tree: Any, change: Any) -> Any:
    if isinstance(tree, (torch.Tensor, np.ndarray)):
        return change(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_map(item, change) for item in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(_map(item, change) for item in tree)
    if isinstance(tree, dict):
        return {key: _map(item, change) for key, item in tree.items()}
    return tree


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, torch.Tensor]]:
    found: list[tuple[str, torch.Tensor]] = []

    def visit(name: str, tree: Any) -> None:
        if isinstance(tree, torch.Tensor):
            found.append((name, tree))
        elif isinstance(tree, (tuple, list)):
            for position, item in enumerate(tree):
                visit(f"{name}.{position}" if name else str(position), item)
        elif isinstance(tree, dict):
            for key, item in tree.items():
                visit(f"{name}.{key}" if name else str(key), item)

    visit("", args)
    visit("", kwargs)
    return found


def own_loss(output: Any) -> torch.Tensor | None:
    """The loss that a model returns itself, if it does.

    It is ``output.loss`` or ``output["loss"]``, the single number that a model returns and nothing else, or the sum of
    a dict that holds nothing but single numbers, as detectors in training mode return their terms.
    """
    loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(loss, torch.Tensor) and _is_number(loss):
        return loss
    if isinstance(output, torch.Tensor):
        return output if _is_number(output) else None
    terms = _terms(output)
    return torch.stack([term.float() for term in terms]).sum() if terms else None


def only_numbers(output: Any) -> bool:
    """Report whether a model returns only scalars: its loss, or the terms of its loss, without the predictions."""
    return all(tensor.dim() == 0 for tensor in _floating(output))


def _terms(output: Any) -> list[torch.Tensor]:
    """The single numbers of a dict that holds nothing else, those that carry a gradient where some do."""
    if not isinstance(output, Mapping) or not output or not all(_is_number(v) for v in output.values()):
        return []
    terms = list(output.values())
    return [term for term in terms if term.requires_grad] or terms


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() == 0 and value.is_floating_point()


def first_output(output: Any) -> torch.Tensor:
    """What the loss would see: ``logits`` if there are any, else the first floating tensor.

    Raises:
        ModelError: the model returned no floating tensor.
    """
    found = next(_floating(output), None)
    if found is None:
        raise ModelError(
            f"The model returned no floating tensor: received {type(output).__name__}. Return a tensor, "
            "or a tuple, dict or dataclass that holds one."
        )
    return found


def outputs_of(output: Any) -> tuple[torch.Tensor, ...]:
    """All floating tensors that the model returned: what the loss would see first, then the others but for
    single numbers and what is empty.

    Raises:
        ModelError: the model returned none.
    """
    first = first_output(output)
    return first, *(tensor for tensor in _floating(output) if tensor.dim() and tensor.numel() and tensor is not first)


def _floating(output: Any) -> Iterator[torch.Tensor]:
    """The floating tensors of an output, whatever structure holds them."""
    if isinstance(output, torch.Tensor):
        if output.is_floating_point() or output.is_complex():
            yield output
        return
    if isinstance(output, Mapping):
        items = [output[k] for k in ("logits", "out", "output") if k in output] + [
            v for k, v in output.items() if k != "loss"
        ]
    elif dataclasses.is_dataclass(output):
        names = [f.name for f in dataclasses.fields(output)]
        items = [getattr(output, n) for n in ("logits", *names) if n != "loss" and n in names]
    elif isinstance(output, (tuple, list)):
        items = list(output)
    elif hasattr(output, "data") and isinstance(output.data, torch.Tensor):  # PackedSequence
        items = [output.data]
    else:
        items = list(vars(output).values()) if hasattr(output, "__dict__") else []
    for item in items:
        yield from _floating(item)
