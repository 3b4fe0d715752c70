"""From the words of the command line to a model, a batch, labels, a loss and an optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gainstage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gainstage.cli.options import Request
    from gainstage.records import Diagnosis

__all__ = ["Subject", "Writer", "examine", "is_keras", "parse_overrides", "prepare", "writer"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a workflow is given.

    Args:
        model: the framework's module, on its device.
        inputs: an example batch.
        labels: for the loss, where there are any.
        loss: of (output, labels), where there are labels.
        optimizer: over the model's parameters, where one was asked for.
        synthetic: whether the batch was made up.
    """

    model: Any
    inputs: Any
    labels: Any = None
    loss: Any = None
    optimizer: Any = None
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class Writer:
    """Checks a path before the work, and writes a model's weights after it."""

    check: Callable[[Path], object]
    write: Callable[[Any, Path], Path]


def prepare(request: Request) -> Subject:
    """Load the model and make or load its batch.

    Raises:
        GainstageError: the request contradicts itself, or a part of it cannot be found, read or made.
    """
    _refuse_contradictions(request)
    if is_keras(request.model):
        return _prepare_keras(request)
    from gainstage.backends.torch.inputs import on_device
    from gainstage.backends.torch.load import load
    from gainstage.backends.torch.objectives import optimizer

    loaded = load(request.model, seed=request.seed)
    model = on_device(loaded.model, request.device)
    inputs, labels, loss = _examples(request, model, loaded.inputs)
    stepper = None
    if request.optimizer is not None and request.learning_rate is not None:
        stepper = optimizer(request.optimizer, model, request.learning_rate)
    return Subject(model, inputs, labels, loss, stepper, synthetic=request.data is None)


def is_keras(model: str) -> bool:
    """Whether the name of a model is one of Keras's collection."""
    return model.startswith("keras:")


def _prepare_keras(request: Request) -> Subject:
    """A model of ``keras.applications`` with made-up inputs; the backend is the one that Keras is set to."""
    unusable = {"--data": request.data, "--optimizer": request.optimizer, "--input": request.inputs or None}
    given = next((option for option, value in unusable.items() if value is not None), None)
    if given is not None:
        raise InputError(
            f"{given} does not go with '{request.model}' on the command line yet. "
            "From Python, gainstage.check(model, x, y) takes any Keras model, compiled or not."
        )
    import numpy as np

    from gainstage.backends.keras.load import load

    loaded = load(request.model, seed=request.seed)
    inputs = np.random.default_rng(request.seed).standard_normal((request.batch, *loaded.shape), dtype=np.float32)
    return Subject(loaded.model, inputs, synthetic=True)


def writer(model: str) -> Writer:
    """How the weights of a model of that name are written."""
    if is_keras(model):
        from gainstage.backends.keras import save

        return Writer(save.usable_path, save.save_weights)
    from gainstage.backends.torch import save as torch_save

    return Writer(torch_save.usable_path, torch_save.save_weights)


def _refuse_contradictions(request: Request) -> None:
    if (request.optimizer is None) != (request.learning_rate is None):
        given, missing = ("--lr", "--optimizer") if request.optimizer is None else ("--optimizer", "--lr")
        raise InputError(f"{given} was given without {missing}; the size of a step needs both.")
    if request.loss is not None and request.data is None:
        raise InputError(
            f"--loss {request.loss} needs labels, and gainstage does not invent any. Give --data digits, mnist, or a "
            ".npz file with arrays x and y; or call gainstage.check(model, x, y, loss=...) from Python."
        )


def _examples(request: Request, model: Any, known: Any) -> tuple[Any, Any, Any]:
    from gainstage.backends.torch.inputs import example_batch, labelled_batch, parse_input
    from gainstage.backends.torch.objectives import loss_function

    specs = tuple(parse_input(text) for text in request.inputs) or known
    if request.data is not None:
        from gainstage.data import load

        is_file = request.data.endswith(".npz")
        dataset = load(request.data, seed=request.seed, standardise=not is_file)
        inputs, labels = labelled_batch(dataset, specs, batch=request.batch, device=request.device)
        return inputs, labels, loss_function(request.loss or ("cross_entropy" if dataset.classes else "mse"))
    if specs is None:
        raise InputError(
            f"The input of '{request.model}' is not known. Give the shape of one example without the batch, e.g. "
            "--input 3,224,224, or --input ids:128 for integer tokens, or --data."
        )
    inputs = example_batch(model, specs, batch=request.batch, seed=request.seed, device=request.device)
    return inputs, None, None


def parse_overrides(given: tuple[str, ...]) -> dict[str, str]:
    """``'head.*=zeros'`` as pattern and scheme.

    Raises:
        InputError: one of them is not written so.

    >>> parse_overrides(("head.*=zeros",))
    {'head.*': 'zeros'}
    """
    chosen: dict[str, str] = {}
    for text in given:
        pattern, equals, scheme = text.rpartition("=")
        if not (pattern and equals and scheme):
            raise InputError(f"Cannot read the override '{text}'; write it like 'head.*=zeros'.")
        chosen[pattern.strip()] = scheme.strip()
    return chosen


def examine(subject: Subject) -> Diagnosis:
    """Check what was prepared."""
    from gainstage.workflows import check

    return check(
        subject.model, subject.inputs, subject.labels,
        loss=subject.loss, optimizer=subject.optimizer, synthetic=subject.synthetic,
    )  # fmt: skip
