"""Looks at a model while it is trained: how far its weights have moved, and how well it does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.keras.training.given import loss_of
from gainstage.backends.keras.training.objectives import default_loss, loss_named
from gainstage.backends.protocol import Watched
from gainstage.data import Dataset

__all__ = ["watch_training"]

EXAMPLES = 512
"""Validation examples of one look; they come shuffled."""


def watch_training(model: Any, dataset: Dataset, loss: Any) -> Callable[[bool], Watched]:
    """Remember the first and the last kernel, and return a function that compares them with what they are then.

    Keras's compiled step keeps no gradients, so that looks hold none.

    Args:
        model: about to be trained.
        dataset: whose validation examples are run where a look asks for it.
        loss: as a training takes it.
    """
    weights = [v for v in model.trainable_variables if len(v.shape) > 1]
    before = [(v, values_of(v).copy()) for v in (weights[0], weights[-1])]
    x, y = dataset.x_validation[:EXAMPLES], dataset.y_validation[:EXAMPLES]
    if loss is None:
        criterion = default_loss(model, dataset.x_train[:2], dataset.classes)
    else:
        criterion = loss_named(loss) if isinstance(loss, str) else loss_of(loss)

    def look(validate: bool) -> Watched:
        moved = [float(np.linalg.norm(values_of(v) - was) / np.linalg.norm(was)) for v, was in before]
        if not validate:
            return Watched(moved[0], moved[1])
        output = np.asarray(model.predict_on_batch(x))
        value = as_array(criterion(ops.convert_to_tensor(y), ops.convert_to_tensor(output)))
        right = float((output.argmax(-1) == y).mean()) if dataset.classes else math.nan
        return Watched(moved[0], moved[1], loss=float(value.mean()), accuracy=right)

    return look
