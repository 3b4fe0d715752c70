"""From the words of the command line to a model, a batch, labels, a loss and an optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gainstage.errors import GainstageError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gainstage.backends.load import Loaded
    from gainstage.backends.protocol import Framework
    from gainstage.cli.options import Request
    from gainstage.data import Dataset, InputSpec
    from gainstage.records import Diagnosis, Profile

__all__ = ["Subject", "Writer", "examine", "forecast", "parse_overrides", "prepare", "refuse_unusable", "writer"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a workflow is given.

    Args:
        model: the framework's module, on its device.
        framework: whose model it is.
        inputs: an example batch.
        labels: for the loss, where there are any.
        loss: of (output, labels), where there are labels.
        optimizer: over the model's parameters, where one was asked for.
        synthetic: whether the batch was made up.
    """

    model: Any
    framework: Framework
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
    from gainstage.backends.load import load

    loaded = load(request.model, seed=request.seed, memoryless=request.device == "meta")
    return _of_keras(request, loaded) if loaded.framework == "keras" else _of_torch(request, loaded)


def _of_torch(request: Request, loaded: Loaded) -> Subject:
    from gainstage.backends.torch.models.inputs import example_batch, labelled_batch, on_device
    from gainstage.backends.torch.training.objectives import loss_function, optimizer

    device = "cpu" if request.device == "meta" else request.device  # of the batch, which is small
    model = loaded.model if request.device == "meta" else on_device(loaded.model, device)
    stepper = None
    if request.optimizer is not None and request.learning_rate is not None:
        stepper = optimizer(request.optimizer, model, request.learning_rate)
    specs = _specs(request, loaded)
    if request.data is not None:
        dataset = _dataset(request)
        inputs, labels = labelled_batch(dataset, specs, batch=request.batch_size, device=device)
        loss = loss_function(request.loss or ("cross_entropy" if dataset.classes else "mse"))
        return Subject(model, "torch", inputs, labels, loss, stepper)
    specs, size = _needed(specs, request.model), request.batch_size
    batch = example_batch(model, specs, batch=size, seed=request.seed, device=device)
    return Subject(model, "torch", batch, optimizer=stepper, synthetic=True)


def _of_keras(request: Request, loaded: Loaded) -> Subject:
    from gainstage.backends.keras.models.inputs import example_batch, labelled_batch
    from gainstage.backends.keras.training.objectives import default_loss, loss_named, optimizer_named

    if request.device != "cpu":
        raise InputError(
            f"--device {request.device} does not go with a Keras model: Keras and its backend choose where it runs. "
            "Leave it out."
        )
    model, specs, stepper = loaded.model, _specs(request, loaded), None
    if request.optimizer is not None and request.learning_rate is not None:
        stepper = optimizer_named(request.optimizer, request.learning_rate)
    if request.data is not None:
        dataset = _dataset(request)
        inputs, labels = labelled_batch(dataset, specs, batch=request.batch_size)
        loss = loss_named(request.loss) if request.loss is not None else None
        if loss is None and getattr(model, "loss", None) is None:  # a compiled model brings its own
            loss = default_loss(model, inputs, dataset.classes)
        return Subject(model, "keras", inputs, labels, loss, stepper)
    batch = example_batch(model, _needed(specs, request.model), batch=request.batch_size, seed=request.seed)
    return Subject(model, "keras", batch, optimizer=stepper, synthetic=True)


def _specs(request: Request, loaded: Loaded) -> tuple[InputSpec, ...] | None:
    from gainstage.data import parse_input

    return tuple(parse_input(text) for text in request.inputs) or loaded.inputs


def _needed(specs: tuple[InputSpec, ...] | None, model: str) -> tuple[InputSpec, ...]:
    if specs is None:
        raise InputError(
            f"The input of '{model}' is not known. Give the shape of one example without the batch, e.g. "
            "--input 3,224,224, or --input ids:128 for integer tokens, or --data."
        )
    return specs


def _dataset(request: Request) -> Dataset:
    from gainstage.data import load

    data = request.data or ""
    return load(data, seed=request.seed, standardise=not data.endswith(".npz"))


def writer(framework: Framework) -> Writer:
    """How the weights of a model of that framework are written."""
    if framework == "keras":
        from gainstage.backends.keras.writing import save

        return Writer(save.usable_path, save.save_weights)
    from gainstage.backends.torch.writing import save as torch_save

    return Writer(torch_save.usable_path, torch_save.save_weights)


def refuse_unusable(path: Path, framework: Framework | None) -> None:
    """Say that weights cannot be written there before anything is computed; nothing where only the model will tell.

    Raises:
        InputError: they cannot.
    """
    if framework is not None:
        writer(framework).check(path)


def _refuse_contradictions(request: Request) -> None:
    if (request.optimizer is None) != (request.learning_rate is None):
        given, missing = ("--lr", "--optimizer") if request.optimizer is None else ("--optimizer", "--lr")
        raise InputError(f"{given} was given without {missing}; the size of a step needs both.")
    if request.loss is not None and request.data is None:
        raise InputError(
            f"--loss {request.loss} needs labels, and gainstage does not invent any. Give --data digits, mnist, or a "
            ".npz file with arrays x and y; or call gainstage.check(model, x, y, loss=...) from Python."
        )


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


def forecast(subject: Subject, scheme: str | None) -> Profile:
    """Predict what was prepared: from its weights, or as a scheme or recipe would set them.

    Raises:
        GainstageError: as ``gainstage.predict``.
    """
    from gainstage.workflows import predict

    return predict(subject.model, subject.inputs, subject.labels, loss=subject.loss, plan=scheme)


def examine(subject: Subject) -> Diagnosis:
    """Check what was prepared."""
    from gainstage.workflows import check

    return check(
        subject.model, subject.inputs, subject.labels,
        loss=subject.loss, optimizer=subject.optimizer, synthetic=subject.synthetic,
    )  # fmt: skip


def expected(subject: Subject) -> Profile | None:
    """What theory says of the same model and batch; None where it cannot say anything."""
    from gainstage.workflows import predict

    try:
        return predict(subject.model, subject.inputs, subject.labels, loss=subject.loss)
    except GainstageError:
        return None
