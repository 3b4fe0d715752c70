"""Put a callback into every call of ``fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

__all__ = ["every_fit"]


@contextmanager
def every_fit(make: Callable[[Any, Any], Any], ended: Callable[[Any], None]) -> Iterator[None]:
    """Add a callback to every call of ``keras.Model.fit``.

    Args:
        make: makes the callback of the data that ``fit`` was given; of None where reading them would use them up.
        ended: receives the callback behind ``fit``, exceptions included.
    """
    own, original = "fit" in vars(keras.Model), keras.Model.fit

    def fit(self: Any, x: Any = None, y: Any = None, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
        # An iterator is used up by whoever reads it, so that its first batch is left to the training.
        callback = make(None, None) if hasattr(x, "__next__") else make(x, y)
        listed = [] if callbacks is None else callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        try:
            return original(self, x, y, *args, callbacks=[*listed, callback], **kwargs)
        finally:
            ended(callback)

    keras.Model.fit = fit
    try:
        yield
    finally:
        if own:
            keras.Model.fit = original
        else:
            del keras.Model.fit
