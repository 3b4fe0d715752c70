"""A small training loop: enough to see whether a start is a good one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from gainstage.backends.protocol import Start
from gainstage.backends.torch.training.alone import train_alone
from gainstage.backends.torch.training.criterion import Criterion
from gainstage.backends.torch.training.examples import Examples
from gainstage.backends.torch.training.optimizers import Factory
from gainstage.data import Dataset
from gainstage.records.training import Schedule, TrainingCurve

__all__ = ["OnStep", "train"]

OnStep = Callable[[int, float], None]
"""Called after every step with the number of steps made and the loss of the last batch."""


def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int = 400,
    batch: int = 64,
    learning_rate: float = 1e-3,
    optimizer: str | Factory = "adam",
    loss: str | Callable[..., Tensor] | None = None,
    clip: float | None = None,
    seed: int = 0,
    evaluations: int = 20,
    watched: int = 0,
    label: str = "",
    on_step: OnStep | None = None,
) -> TrainingCurve:
    """Train a model in place, with batches drawn without replacement epoch after epoch.

    The order of examples and the model's own randomness (dropout) follow from ``seed``; random states and the model's
    training mode are put back. A loss that is not finite ends the training.

    Args:
        model: from ``(batch, *example)`` to logits ``(batch, classes)`` or values; ``.logits`` or the first
            tensor of floats is taken where it returns more.
        dataset: to train and validate on.
        steps: number of batches.
        batch: examples in one, at most as many as there are.
        learning_rate: constant.
        optimizer: a key of ``OPTIMIZERS``, or a function from (parameters, learning rate) to an optimizer.
        loss: a key of ``LOSSES``, or a function of (output, target); by default cross-entropy for classes and the mean
            square for values.
        clip: the largest norm of the whole gradient; longer ones are shortened to it. None leaves them as they are.
        seed: of the order of examples.
        evaluations: looks at the validation examples, evenly over the steps, besides the one before the first step.
        watched: of so many first steps the gradient and the update are measured.
        label: for charts.
        on_step: called after every step.

    Raises:
        InputError: a count or ``clip`` is not positive.
        ModelError: the model returns no tensor of floats.
        UnknownNameError: no such optimizer or loss.

    >>> from gainstage.data import gaussian
    >>> curve = train(nn.Linear(2, 3), gaussian(classes=3, features=2, examples=300), steps=5)
    >>> curve.steps, curve.final.step
    (5, 5)
    """
    schedule = Schedule(steps, batch, evaluations, clip, watched)
    device = next(model.parameters()).device
    return train_alone(
        Start(model, learning_rate, seed, label), Examples.of(dataset, device), schedule,
        criterion=Criterion.of(loss, dataset.classes), optimizer=optimizer, on_step=on_step,
    )  # fmt: skip
