"""Inputs that a built model describes itself: by its symbols, or by the shapes that it was built with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

__all__ = ["described_batches"]

_EXAMPLES, _PIXELS, _STEPS = 2, 224, 16  # where a model leaves a size open; these arrays take no memory


def described_batches(model: Any) -> Iterator[Any]:
    """Arrays without content of the shapes that the model knows, in its own structure.

    A functional or sequential model keeps symbols of its inputs. Any other one keeps the shapes of its first call, and
    not whether they held values or tokens: both are tried.

    >>> [batch.shape for batch in described_batches(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))]
    [(2, 4)]
    """
    known = getattr(model, "inputs", None)  # of sequential and functional models
    if known:
        known = known[0] if isinstance(model, keras.Sequential) else model.input
        yield keras.tree.map_structure(lambda symbol: _placeholder(symbol.shape, str(symbol.dtype)), known)
        return
    built = model.get_build_config() or {}
    shapes = built.get("input_shape")
    if shapes is not None:
        for dtype in (str(keras.config.floatx()), "int32"):
            yield keras.tree.map_shape_structure(lambda shape, dtype=dtype: _placeholder(shape, dtype), shapes)


def _placeholder(shape: Any, dtype: str) -> np.ndarray[Any, Any]:
    open_size = _PIXELS if len(shape) >= 4 else _STEPS
    sizes = tuple(open_size if size is None else size for size in shape[1:])
    return np.broadcast_to(np.zeros((), dtype=dtype), (_EXAMPLES, *sizes))
