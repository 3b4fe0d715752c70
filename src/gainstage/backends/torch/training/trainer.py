"""What comparisons need of PyTorch, under the names of the protocol ``Trainer``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gainstage.backends.protocol import OnSteps, Start
from gainstage.backends.torch import training
from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.training import Criterion, Examples
from gainstage.backends.torch.training.objectives import OPTIMIZERS
from gainstage.backends.torch.training.optimizers import optimizer_name
from gainstage.data import Dataset
from gainstage.errors import GainstageError, InputError, ModelError, UnknownNameError
from gainstage.records import TrainingCurve
from gainstage.records.training import Schedule

__all__ = ["batch", "build", "fingerprint", "fitted", "names", "obstacle", "size", "train_alone", "train_together"]

_LOOK = 8
"""Examples of the first try."""


def build(make: Callable[[], Any], seed: int) -> Any:
    """Call the user's function with all random states at ``seed``, and put them back.

    >>> one, other = (build(lambda: nn.Linear(2, 2), seed=3) for _ in range(2))
    >>> torch.equal(one.weight, other.weight)
    True
    """
    with random_state(seed):
        return make()


def fitted(model: nn.Module, dataset: Dataset, loss: Any) -> Dataset:
    """The dataset as the model takes it: as stored, or every example in its natural shape.

    Raises:
        ModelError: the model can take it in neither form.
        InputError: the loss cannot compare output and labels.
    """
    shaped = [dataset]
    if not dataset.is_tokens and dataset.x_train.shape[1:] != dataset.shape:
        shaped.append(dataset.reshape(*dataset.shape))
    failures: list[Exception] = []
    for form in shaped:
        try:
            output = _tried(model, form)
        except Exception as error:
            failures.append(error)
            continue
        _compare(output, form, loss)
        return form
    if isinstance(failures[0], GainstageError):
        raise failures[0]
    shapes = " or ".join(str(("batch", *form.x_train.shape[1:])) for form in shaped).replace("'", "")
    reason = str(failures[0]).strip().splitlines() or [type(failures[0]).__name__]
    raise ModelError(
        f"'{type(model).__name__}' cannot run on the data '{dataset.name}' of shape {shapes}: {reason[0]}"
    ) from failures[0]


def _tried(model: nn.Module, dataset: Dataset) -> Tensor:
    examples = _placed(model, dataset.x_train[:_LOOK])
    with preserved(model, 0), torch.no_grad():
        model.train(len(examples) > 1)
        return first_output(model(examples))


def _compare(output: Tensor, dataset: Dataset, loss: Any) -> None:
    criterion = Criterion.of(loss, dataset.classes)
    labels = torch.tensor(dataset.y_train[:_LOOK], device=output.device)
    counted = dataset.y_train[dataset.y_train >= 0] if dataset.classes else dataset.y_train[:0]
    if criterion.name in ("cross_entropy", "nll"):
        _check_classes(output, counted)
    try:
        value = criterion.loss(output, labels)
    except GainstageError:
        raise
    except Exception as error:
        raise InputError(
            f"The loss '{criterion.name}' cannot compare an output of shape {tuple(output.shape)} with labels of shape "
            f"{tuple(labels.shape)} and type {str(labels.dtype).removeprefix('torch.')}: "
            f"{(str(error).strip().splitlines() or [type(error).__name__])[0]}"
        ) from error
    if not value.is_floating_point():
        raise InputError(f"The loss '{criterion.name}' returned {value.dtype}; a floating-point number is needed.")


def _check_classes(output: Tensor, labels: np.ndarray[Any, np.dtype[Any]]) -> None:
    sizes = {output.shape[1], output.shape[-1]} if output.ndim > 1 else {1}
    if len(labels) and int(labels.max()) >= max(sizes):
        raise InputError(
            f"Labels go from {int(labels.min())} to {int(labels.max())}, and the model's output has {max(sizes)} "
            "classes. Labels count from 0 and stay below the number of outputs."
        )


def batch(model: nn.Module, dataset: Dataset, examples: int) -> Tensor:
    """The first training examples, on the model's device."""
    return _placed(model, dataset.x_train[:examples])


def _placed(model: nn.Module, x: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
    return torch.tensor(x, device=_device(model))


def _device(model: nn.Module) -> torch.device:
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def fingerprint(model: nn.Module) -> str:
    """The modules and the shapes of all tensors, without addresses in memory.

    >>> fingerprint(nn.Linear(2, 1))
    'Linear(in_features=2, out_features=1, bias=True) weight:1x2 bias:1'
    """
    modules = re.sub(r" at 0x[0-9a-f]+", "", str(model))
    shapes = (f"{path}:{'x'.join(map(str, tensor.shape))}" for path, tensor in model.state_dict().items())
    return " ".join((modules, *shapes))


def size(model: nn.Module) -> int:
    """How many numbers are trained.

    >>> size(nn.Linear(2, 1))
    3
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def obstacle(starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any) -> str:
    """Why trainings cannot be made together; empty where they can."""
    examples = Examples.of(dataset, _device(starts[0].model))
    criterion = Criterion.of(loss, dataset.classes)
    return training.obstacle(starts, examples, schedule, criterion=criterion, optimizer=optimizer)


def train_together(
    starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
) -> list[TrainingCurve]:
    """Train models for which there is no obstacle, all as one."""
    examples = Examples.of(dataset, _device(starts[0].model))
    criterion = Criterion.of(loss, dataset.classes)
    return training.train_together(
        starts, examples, schedule, criterion=criterion, optimizer=optimizer, on_step=on_steps
    )


def train_alone(
    start: Start, dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
) -> TrainingCurve:
    """Train one model."""
    return training.train_alone(
        start, Examples.of(dataset, _device(start.model)), schedule,
        criterion=Criterion.of(loss, dataset.classes), optimizer=optimizer,
        on_step=lambda step, value: on_steps(step, (value,)),
    )  # fmt: skip


def names(loss: Any, optimizer: Any, classes: int) -> tuple[str, str]:
    """Loss and optimizer in words.

    Raises:
        InputError: one of them is neither a name nor a function.
        UnknownNameError: there is none of that name.

    >>> names(None, "adam", 10)
    ('cross_entropy', 'adam')
    """
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise InputError(
            f"A comparison makes an optimizer for every training. Pass a name such as 'adam', or a function of "
            f"(parameters, learning rate) such as torch.optim.SGD; received a {type(optimizer).__name__}."
        )
    return Criterion.of(loss, classes).name, optimizer_name(optimizer)
