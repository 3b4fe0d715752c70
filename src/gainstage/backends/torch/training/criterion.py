"""What a training minimises, and which guesses count as right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gainstage.backends.torch.training.objectives import Loss, loss_function
from gainstage.data import IGNORED
from gainstage.errors import InputError

__all__ = ["Criterion"]

_THRESHOLDS = {"bce": 0.5, "bce_logits": 0.0}
"""Above it a single output says yes."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """A loss, and how outputs become guesses.

    Args:
        name: of the loss, in words.
        loss: from (output, target) to the mean over the batch.
        classes: how many there are; 0 for a regression, which has no right and wrong.
        threshold: above which a single output means class 1; None where outputs are one a class.
    """

    name: str
    loss: Loss
    classes: int
    threshold: float | None = None

    @classmethod
    def of(cls, loss: str | Callable[..., Tensor] | None, classes: int) -> Criterion:
        """From a name, the user's own function, or nothing: cross-entropy for classes, the mean square for values.

        Raises:
            UnknownNameError: there is no loss of that name.
            InputError: it is neither a name nor a function.

        >>> Criterion.of(None, classes=10).name
        'cross_entropy'
        """
        if loss is None:
            loss = "cross_entropy" if classes else "mse"
        if isinstance(loss, str):
            return cls(loss, loss_function(loss), classes, _THRESHOLDS.get(loss))
        if isinstance(loss, type):
            loss = loss()
        if not callable(loss):
            raise InputError(f"A loss is a name or a function of (output, target); received {loss!r}.")
        return cls(getattr(loss, "__name__", type(loss).__name__), _scalar(loss), classes)

    def right(self, output: Tensor, target: Tensor) -> Tensor | None:
        """How many examples are guessed right; None where that cannot be told."""
        guess = self._guess(output, target)
        if guess is None or guess.shape != target.shape:
            return None
        return ((guess == target) & (target != IGNORED)).sum()

    def _guess(self, output: Tensor, target: Tensor) -> Tensor | None:
        if not self.classes:
            return None
        if self.threshold is not None:
            flat = output.squeeze(-1) if output.ndim == target.ndim + 1 and output.shape[-1] == 1 else output
            return flat > self.threshold
        if output.ndim != target.ndim + 1:
            return None
        axis = -1 if output.shape[:-1] == target.shape else 1
        return output.argmax(dim=axis) if output.shape[axis] > 1 else None


def _scalar(loss: Callable[..., Tensor]) -> Loss:
    """The user's loss, refused where it is no single number."""

    def measure(output: Tensor, target: Tensor) -> Tensor:
        value = loss(output, target)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            shape = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
            raise InputError(f"The loss returned {shape}; one number is needed: the mean over the batch.")
        return value.reshape(())

    return measure
