"""From the words of the command line to a model, a batch, labels, a loss and an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gainstage.errors import GainstageError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from gainstage.backends import Framework
    from gainstage.backends.load import Loaded
    from gainstage.cli.options import Request
    from gainstage.data import Dataset, InputSpec
    from gainstage.records import Diagnosis, Profile

__all__ = ["Subject", "examine", "forecast", "parse_overrides", "prepare", "refuse_unusable"]


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

    def builder(self, request: Request) -> Callable[..., Any]:
        """Return a function from a width, a depth or both to a new model of the same name."""

        def build(**sizes: int) -> Any:
            from gainstage.backends.load import load

            return load(request.model, sizes=sizes).model

        return build


def sized(request: Request, widths: tuple[int, ...], depths: tuple[int, ...]) -> Request:
    """Return the request for the model that tells the input: on the meta device, whatever its size.

    Raises:
        InputError: there are no two sizes along any axis.
    """
    if len(widths) < 2 and len(depths) < 2:
        raise InputError("Give at least two --widths or two --depths, e.g. --widths 256,1024,4096.")
    sizes = {axis: found[0] for axis, found in (("width", widths), ("depth", depths)) if found}
    return replace(request, optimizer=None, learning_rate=None, sizes=tuple(sizes.items()))


def prepare(request: Request) -> Subject:
    """Load the model and make or load its batch.

    Raises:
        GainstageError: the request contradicts itself, or a part of it cannot be found, read or made.
    """
    _refuse_contradictions(request)
    from gainstage.backends import workbench_of
    from gainstage.backends.load import load

    memoryless = request.device == "meta"
    loaded = load(request.model, seed=request.seed, memoryless=memoryless, sizes=dict(request.sizes))
    bench = workbench_of(loaded.framework)
    device = "cpu" if memoryless else request.device  # of the batch, which is small
    in_place = memoryless and bench.MEMORYLESS
    model = loaded.model if in_place else bench.on_device(loaded.model, request.device)
    if request.weights is not None:
        bench.load_weights(model, request.weights)
    stepper = None
    if request.optimizer is not None and request.learning_rate is not None:
        stepper = bench.optimizer(request.optimizer, model, request.learning_rate)
    specs = _specs(request, loaded)
    if request.data is not None:
        dataset = _dataset(request)
        inputs, labels = bench.labelled_batch(dataset, specs, batch=request.batch_size, device=device)
        loss = bench.loss(model, inputs, dataset.classes, request.loss)
        return Subject(model, loaded.framework, inputs, labels, loss, stepper)
    needed = _needed(specs, request.model)
    batch = bench.example_batch(model, needed, batch=request.batch_size, seed=request.seed, device=device)
    if not memoryless:
        batch = bench.with_own_labels(model, batch)
    return Subject(model, loaded.framework, batch, optimizer=stepper, synthetic=True)


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


def refuse_unusable(path: Path, framework: Framework | None) -> None:
    """Say that weights cannot be written there before anything is computed; nothing where only the model will tell.

    Raises:
        InputError: they cannot.
    """
    if framework is not None:
        from gainstage.backends import workbench_of

        workbench_of(framework).usable_path(path)


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


def examine(
    subject: Subject,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    *,
    trained: bool | None = None,
    on_progress: Callable[[int, float], None] | None = None,
) -> Diagnosis:
    """Check what was prepared; with ``on_progress``, also whether the batch can be learned by heart."""
    from gainstage.workflows import check

    return check(
        subject.model, subject.inputs, subject.labels,
        loss=subject.loss, optimizer=subject.optimizer, synthetic=subject.synthetic,
        select=select, ignore=ignore, overfit=on_progress is not None, trained=trained,
        on_progress=on_progress,
    )  # fmt: skip


def expected(subject: Subject) -> Profile | None:
    """What theory says of the same model and batch; None where it cannot say anything."""
    from gainstage.workflows import predict

    try:
        return predict(subject.model, subject.inputs, subject.labels, loss=subject.loss)
    except GainstageError:
        return None
