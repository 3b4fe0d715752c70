"""From a model and an example input to a SignalGraph, without memory where the model's own code allows it."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from gainstage.backends.torch.models.batch import Batch, copied, labels_for, prepare
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.memoryless import memoryless
from gainstage.backends.torch.tracing.traced_run import LossFunction, observe
from gainstage.errors import GainstageError, InputError, ModelError
from gainstage.graph import SignalGraph

__all__ = ["materialise", "materialised", "trace", "unwrap"]


def trace(model: nn.Module, inputs: Any, target: Any = None, *, loss: LossFunction | None = None) -> SignalGraph:
    """The operations that the signal of ``inputs`` passes through in ``model``, and in ``loss`` if there is one.

    The model runs once on tensors that have a shape but no memory; where its own code asks for values (``.item()``),
    on meta tensors and then on real ones. It is left as it was found.

    Args:
        model: any module; weights may be on the meta device.
        inputs: a tensor, a tuple of positional arguments or a dict of keyword arguments, with the batch.
        target: labels, handed to ``loss``.
        loss: called as ``loss(output, target)``.

    Raises:
        ModelError: the model's own forward raised.
        InputError: the batch cannot be used.

    >>> import torch
    >>> from torch import nn
    >>> graph = trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), torch.ones(3, 4))
    >>> [str(node.operation) for node in graph.nodes]
    ['input', 'linear', 'activation', 'linear']
    """
    model = materialised(unwrap(model), inputs)
    target = labels_for(model, target)
    batch = fitting_batch(inputs, model, target)
    failure: Exception | None = None
    memoryless = any(t.is_meta for t in model.parameters())
    attempts: tuple[Callable[..., SignalGraph], ...] = (_trace_fake, _trace_meta if memoryless else _trace_real)
    for attempt in attempts:
        try:
            return attempt(model, batch, target, loss)
        except InputError:
            raise
        except Exception as error:  # the model's code may reject tensors without values in any way it likes
            failure = error
    assert failure is not None
    raise failure


def unwrap(model: Any) -> nn.Module:
    """The module itself: without ``torch.compile``'s wrapper, which hides the operations.

    Raises:
        InputError: it is no module.
    """
    model = getattr(model, "_orig_mod", model)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"Expected a torch.nn.Module, received {type(model).__name__}. "
            "Pass a model object (call the class or function that builds it)."
        )
    return model


def materialised(model: nn.Module, inputs: Any) -> nn.Module:
    """The model itself, or a copy whose lazy layers know their sizes, so that the original stays lazy."""
    if not any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        return model
    # Buffers without a size refuse to be copied.
    lazy = [b for b in model.buffers() if isinstance(b, UninitializedBuffer)]
    made = {id(b): UninitializedBuffer(device=b.device, dtype=b.dtype) for b in lazy}  # type: ignore[call-arg]
    model = copy.deepcopy(model, made)
    materialise(model, inputs)
    return model


def materialise(model: nn.Module, inputs: Any) -> None:
    """Let lazy layers find their sizes by one pass of a batch; a model without any is not run.

    Raises:
        InputError: the batch cannot be used.
        ModelError: the model's own forward raised.
    """
    model = unwrap(model)
    if not any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        prepare(inputs, model)  # a batch that cannot be used is refused before anything is written
        return
    modes = [(module, module.training) for module in model.modules()]
    with torch.no_grad(), random_state(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lazy modules announce that they are new
        try:
            batch = prepare(inputs, model.eval()).copied()  # in evaluation mode, running statistics do not move
            batch.map(lambda t: torch.zeros(t.shape, dtype=t.dtype) if t.is_meta else t).call(model)
        except GainstageError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"The model raised {type(error).__name__} while its lazy layers took their sizes: {error}"
            ) from error
        finally:
            for module, training in modes:
                module.training = training


def _trace_fake(model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None) -> SignalGraph:
    with memoryless(model, batch.loose, target, loss) as fake:
        labels = fake(target) if isinstance(target, torch.Tensor) else target
        return observe(model, batch.map(fake), target=labels, loss=loss).graph


def _trace_meta(model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None) -> SignalGraph:
    with preserved(model, None, batch.loose, target, loss):
        return observe(model, batch.map(lambda t: t.to("meta")), target=_to_meta(target), loss=loss).graph


def _trace_real(model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None) -> SignalGraph:
    with preserved(model, None, batch.loose, target, loss), torch.no_grad():
        return observe(model, batch.copied(), target=copied(target), loss=loss).graph


def _to_meta(target: Any) -> Any:
    return target.to("meta") if isinstance(target, torch.Tensor) else target
