"""Run a model once under the interpreter, with module paths, through the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as module_hooks

from gainstage.backends.torch.models.batch import Batch, only_numbers, outputs_of, own_loss
from gainstage.backends.torch.tracing.checkpoints import transparent_checkpoints
from gainstage.backends.torch.tracing.graph_building import assemble, named_parameters
from gainstage.backends.torch.tracing.interpreter import Eye, Interpreter
from gainstage.errors import GainstageError, InputError, ModelError
from gainstage.graph import SignalGraph
from gainstage.records import Refold

__all__ = ["LossFunction", "Observation", "observe", "takes_whole"]

LossFunction = Callable[[Any, Any], torch.Tensor]


@dataclass(frozen=True)
class Observation:
    """One pass: the graph, and the tensors that the caller goes on with.

    Args:
        build: makes the graph; who needs no graph (calibration) does not pay for it.
        returned: the tensors that the model returned, what the loss saw first.
        nodes: the node of each of them, if it has one.
        loss: the loss, or None where there was none to compute.
        own_loss: whether the model computed it itself.
        owners: node by autograd sequence number.
        region_gradients: autograd nodes of the outputs of recurrent layers, by node.
        whole: whether the loss saw all that the model returned, and not ``output`` alone.
        refolds: reshapes that mix the axes of the signal.
        structure: what the loss saw, where that is more than ``output``.
    """

    build: Callable[[], SignalGraph]
    returned: tuple[torch.Tensor, ...]
    nodes: tuple[int | None, ...]
    loss: torch.Tensor | None
    own_loss: bool
    owners: dict[int, int | None]
    region_gradients: dict[int, tuple[Any, ...]]
    whole: bool = False
    refolds: tuple[Refold, ...] = ()
    structure: Any = None

    @cached_property
    def graph(self) -> SignalGraph:
        """What was seen."""
        return self.build()

    @property
    def output(self) -> torch.Tensor:
        """What the loss saw."""
        return self.returned[0]

    @property
    def ends(self) -> tuple[torch.Tensor, ...]:
        """The outputs that nothing in the model reads, what the loss saw first: those of ``graph.ends``."""
        return tuple(self.returned[self.nodes.index(node)] for node in self.graph.ends) or (self.output,)


@contextmanager
def _module_paths(model: nn.Module, interpreter: Interpreter) -> Iterator[None]:
    """Tell the interpreter which module runs, without attaching anything to the user's modules."""
    paths = {id(module): name for name, module in model.named_modules()}

    def enter(module: nn.Module, _inputs: Any) -> None:
        if id(module) in paths:
            interpreter.enter(paths[id(module)], module)

    def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
        if id(module) in paths:
            interpreter.leave(module, inputs, outputs)

    handles = [
        module_hooks.register_module_forward_pre_hook(enter),
        module_hooks.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _unfused_attention() -> Iterator[None]:
    """Encoder layers take a fused path in evaluation mode that shows none of their operations."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def observe(
    model: nn.Module, batch: Batch, *, target: Any = None, loss: LossFunction | None = None, eye: Eye | None = None
) -> Observation:
    """Run ``model`` on ``batch`` once, and ``loss`` on what comes out.

    Raises:
        ModelError: the model's or the loss's own code raised (chained, with the last operation reached), or the model
            returned no floating tensor.
    """
    parameters, aliases = named_parameters(model)
    interpreter = Interpreter(parameters, batch.examples, eye)
    with _unfused_attention(), transparent_checkpoints(), _module_paths(model, interpreter), interpreter:
        for name, tensor in batch.tensors:
            interpreter.add_input(tensor, name, batch.example_axis, mask=name in batch.masks)
        inputs = tuple(range(len(interpreter.drafts)))
        output = _guarded(interpreter, "model", lambda: batch.call(model))
        value, whole = own_loss(output), takes_whole(output)
        hidden = only_numbers(output)
        returned = (value,) if hidden and value is not None else outputs_of(output)
        seen = returned[0]
        owned = value is not None and loss is None
        if loss is not None:
            interpreter.stage = "loss"
            whole, value = _loss_of(interpreter, loss, output, seen, target)
            value = _scalar(value)
    nodes: tuple[int | None, ...] = tuple(interpreter.node_of(tensor) for tensor in returned)
    if hidden and value is not None:
        returned, nodes = interpreter.heads_of(value) or (returned, nodes)
    known = nodes if nodes[0] is not None else ()  # the first output of a graph is what the loss sees
    build = partial(
        assemble,
        interpreter.drafts,
        parameters,
        aliases,
        examples=batch.examples,
        inputs=inputs,
        outputs=tuple(dict.fromkeys(node for node in known if node is not None)),
        loss=interpreter.node_of(value) if value is not None else None,
    )
    owners = interpreter.sequence.owner
    return Observation(
        build, tuple(returned), nodes, value, owned, owners, interpreter.region_gradients, whole,
        tuple(interpreter.refolds), output if whole else None,
    )  # fmt: skip


def _loss_of(
    interpreter: Interpreter, loss: LossFunction, output: Any, seen: torch.Tensor, target: Any
) -> tuple[bool, Any]:
    """The loss, and whether it took the whole output: a loss that asks a tensor for ``logits`` or ``log_prob`` does."""
    if takes_whole(output):
        return True, _guarded(interpreter, "loss", lambda: loss(output, target), seen, target)
    before = len(interpreter.drafts)
    try:
        return False, loss(seen, target)
    except AttributeError as error:
        if output is seen or len(interpreter.drafts) != before or not hasattr(output, error.name or ""):
            return False, _guarded(interpreter, "loss", lambda: loss(seen, target), seen, target)
        return True, _guarded(interpreter, "loss", lambda: loss(output, target), seen, target)
    except Exception:
        return False, _guarded(interpreter, "loss", lambda: loss(seen, target), seen, target)


def takes_whole(output: Any) -> bool:
    """Plain tuples, lists and dicts go to the loss as they are; dataclasses and tensors by what they hold."""
    return isinstance(output, (tuple, list)) or type(output) is dict


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor):
        raise InputError(f"The loss returned {type(value).__name__}. It must return a tensor with one element.")
    if value.numel() != 1:
        raise InputError(
            f"The loss returned a tensor of shape {tuple(value.shape)}. Reduce it to one number, e.g. with .mean()."
        )
    return value.reshape(())


def _what_it_compares(output: torch.Tensor, target: Any) -> str:
    """Output and labels of a loss that raised."""
    shown = f"It was given an output of {_words(output)}"
    if target is None:
        return f"{shown}, and labels are missing. Pass y."
    return (
        f"{shown}, and labels of {_words(target)}. Check that there is one label for each example, in the type and "
        "range that the loss takes."
    )


def _words(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"type {type(value).__name__}"
    return f"shape {tuple(value.shape)} and type {str(value.dtype).removeprefix('torch.')}"


def _guarded(interpreter: Interpreter, what: str, run: Callable[[], Any], *given: Any) -> Any:
    """Run the user's code; what it raises is reported with the place it had reached.

    Args:
        interpreter: knows the place.
        what: the model or the loss.
        run: the code.
        given: what a loss was given: the output and the labels.
    """
    try:
        return run()
    except GainstageError:
        raise
    except SystemExit as error:
        raise ModelError(
            f"The {what} ended the program (sys.exit, code {error.code!r}). Take the call out of its forward pass."
        ) from error
    except Exception as error:
        last = interpreter.drafts[-1] if interpreter.drafts else None
        reached = f" after {last.name}{f' in {last.path!r}' if last.path else ''}" if last is not None else ""
        if given:
            raise ModelError(
                f"The loss raised {type(error).__name__}: {str(error).rstrip('. ')}. {_what_it_compares(*given)}"
            ) from error
        shapes = ", ".join(str(d.shape) for d in interpreter.drafts if d.name == "input")
        raise ModelError(
            f"The {what} raised {type(error).__name__}{reached}: {error} (inputs of shape {shapes}). "
            f"Check the input's shape and type against what the {what} expects."
        ) from error
