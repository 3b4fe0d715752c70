"""Leave a model as it was found, also when its own code raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from gainstage.backends.keras.models.names import named_layers

__all__ = ["inlined_functions", "preserved", "random_state"]


@contextmanager
def preserved(model: Any) -> Iterator[None]:
    """Keep what Keras notes on layers when they run on symbols: which calls they took part in."""
    layers = {id(layer): layer for _, layer in named_layers(model)}
    operations = list(layers.values())
    for layer in layers.values():
        operations += [op for op in getattr(layer, "_operations", ()) if id(op) not in layers]
    before = [(op, list(op._inbound_nodes), list(op._outbound_nodes)) for op in operations]
    called = [(layer, layer._called) for layer in layers.values()]
    try:
        yield
    finally:
        for op, inbound, outbound in before:
            op._inbound_nodes[:], op._outbound_nodes[:] = inbound, outbound
        for layer, was_called in called:
            layer._called = was_called


@contextmanager
def random_state(seed: int) -> Iterator[None]:
    """Start PyTorch's generator from ``seed`` and put it back; other backends keep random states in variables."""
    if keras.config.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def inlined_functions() -> Iterator[None]:
    """Run what ``tf.function`` wraps as plain Python; other backends have nothing to inline.

    A function that is traced while weights are replaced keeps the replacements for good: the model would train other
    weights than its own afterwards, and no gradient would reach the replacements of a second pass.
    """
    if keras.config.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
