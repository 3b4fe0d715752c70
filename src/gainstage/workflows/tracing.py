"""Look at what a model does, without measuring anything."""

from __future__ import annotations

from typing import Any

from gainstage.backends import backend_of
from gainstage.graph import SignalGraph
from gainstage.workflows.supplying import batch_of
from gainstage.workflows.task import Loss

__all__ = ["trace"]


def trace(model: Any, x: Any, y: Any = None, *, loss: Loss = None) -> SignalGraph:
    """List the operations that a batch passes through, with every parameter tied to those that use it.

    Runs without memory where the model's own code allows it; the model is left as it was found.

    Args:
        model: a module of a supported framework, also on the meta device.
        x: a batch: a tensor, a tuple of positional arguments or a dict of keyword ones.
        y, loss: labels and loss (a name, or a function of (output, labels)); the graph then runs through the loss.

    Raises:
        InputError: the batch cannot be used.
        UnknownNameError: there is no loss of that name.
        ModelError: the model's own code raised.

    >>> import torch
    >>> import gainstage as gs
    >>> graph = gs.trace(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()), torch.ones(2, 4))
    >>> [str(node.operation) for node in graph.nodes]
    ['input', 'linear', 'activation']
    """
    backend = backend_of(model)
    x, y = batch_of(x, y)
    return backend.trace(model, x, y, loss=backend.loss_of(loss, labelled=y is not None))
