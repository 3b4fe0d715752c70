"""The trace of an input that a model describes itself."""

from __future__ import annotations

from typing import Any

from gainstage.backends.keras.models.batch import prepare
from gainstage.backends.keras.models.described_inputs import described_batches
from gainstage.backends.keras.tracing.trace import program_of, require_model
from gainstage.errors import GainstageError
from gainstage.graph import SignalGraph

__all__ = ["own_trace"]


def own_trace(model: Any) -> SignalGraph | None:
    """Trace the first input that the model describes and runs on; None where there is none.

    >>> import keras
    >>> graph = own_trace(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    >>> [str(node.operation) for node in graph.nodes]
    ['input', 'linear']
    """
    model = require_model(model)
    for batch in described_batches(model):
        try:
            return program_of(model, prepare(batch)).graph
        except GainstageError:
            continue
    return None
