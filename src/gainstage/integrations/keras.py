"""A callback of Keras that watches a training, on TensorFlow, JAX and PyTorch."""

from __future__ import annotations

from typing import Any

from gainstage.backends.keras.watching import Reporting, some_examples
from gainstage.integrations.one_watch import OneWatch
from gainstage.workflows.supplying import batch_of

__all__ = ["WatchCallback"]


class WatchCallback(Reporting, OneWatch):
    """Watches a training of ``model.fit``: ``model.fit(x, y, callbacks=[WatchCallback(x, y)])``.

    The loss is that of every step. Keras shows a callback neither batches nor gradients, so that layers, gradients,
    weights and updates are measured at looks: layers and gradients on the first examples of ``x``. The same batch is
    checked before the first step.

    Args:
        x: a batch, or the data that ``fit`` gets (arrays, ``tf.data``, a ``DataLoader``), of which the first
            ``batch`` examples, or the first batch, are taken.
        y: labels; those of a loader come with it.
        batch: number of examples that are taken of arrays.
        choices: arguments of ``gs.watch`` beside model and optimizer: ``every``, ``to``, ``refuse``, ….

    Raises:
        InputError: ``gs.watch`` has no such argument, or the data cannot be read.
        TrainingError: later, from ``fit``, where ``refuse`` or ``on_finding="raise"`` asks for it.

    Keras reports no exception to its callbacks; behind one, ``close_watch()`` ends the history, and so does the next
    call of ``fit``. A watch can be pickled, and ``WatchCallback(x, y, resume=watch)`` goes on with it. On JAX every
    look compiles the measurement anew. ``examples/watch_keras.py`` is a whole program.

    >>> import keras, numpy
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> model.compile("sgd", "mean_squared_error")
    >>> x, y = numpy.random.default_rng(0).normal(size=(2, 64, 4)).astype("float32")
    >>> callback = WatchCallback(x, y[:, :2], to=None, on_finding="collect")
    >>> _ = model.fit(x, y[:, :2], epochs=2, verbose=0, callbacks=[callback])
    >>> [step.step for step in callback.watch.history.steps]
    [1, 2, 3, 4]
    """

    def __init__(self, x: Any = None, y: Any = None, *, batch: int = 64, **choices: Any) -> None:
        Reporting.__init__(self)
        x, y = some_examples(*batch_of(x, y), batch)
        OneWatch.__init__(self, x=x, y=y, **choices)

    def on_train_begin(self, logs: Any = None) -> None:
        """Check the first batch and attach the watch."""
        self.open_watch(self.model, self)

    def on_train_end(self, logs: Any = None) -> None:
        """End the history."""
        self.close_watch()
