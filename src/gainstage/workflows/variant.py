"""One network of a comparison: tried before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gainstage.backends import Framework, Start, framework_of, trainer_of
from gainstage.data import Dataset
from gainstage.errors import GainstageError, InputError
from gainstage.records.training import Schedule
from gainstage.workflows.trial import in_a_line

__all__ = ["MOST_TOGETHER", "Variant", "variant_of"]

MOST_TOGETHER = 32
"""Beyond this a training gains next to nothing by company, and ends later."""

MOST_NUMBERS = 1 << 24
"""Of all models of a piece: their weights, gradients and the optimizer's memory have to stay near the processor."""


@dataclass(frozen=True)
class Variant:
    """One network of a comparison.

    Args:
        name: empty where there is only one.
        build: makes it anew.
        framework: it is of.
        dataset: as it takes it.
        fingerprint: of its architecture.
        together: how many of it are trained as one.
        reason: why they are not; empty where they are.
    """

    name: str
    build: Callable[[], Any]
    framework: Framework
    dataset: Dataset
    fingerprint: str
    together: int
    reason: str = ""


def variant_of(
    name: str,
    build: Callable[[], Any],
    dataset: Dataset,
    schedule: Schedule,
    loss: Any,
    optimizer: Any,
    most: int = MOST_TOGETHER,
) -> Variant:
    """Try a function that builds a network; at most ``most`` of it are trained as one.

    Raises:
        InputError: it is no such function, returns the same object twice, or model, data, loss and optimizer do not
            fit together.
        ModelError: the model cannot be run.
    """
    model, again = _built(build), _built(build)
    if model is again:
        raise InputError(
            f"{_called(build)} returned the same model twice. Trainings would go on from each other's weights: build a "
            "new one in every call, e.g. compare(lambda: Net(), …) or compare(Net, …)."
        )
    framework = _framework(model)
    trainer = trainer_of(framework)
    fitted = trainer.fitted(model, dataset, loss)
    starts = [Start(model, 1e-3), Start(again, 1e-3, 1)]
    reason = trainer.obstacle(starts, fitted, schedule, loss, optimizer) if most > 1 else ""
    room = max(MOST_NUMBERS // max(trainer.size(model), 1), 1)
    together = 1 if reason else min(most, room)
    return Variant(name, build, framework, fitted, trainer.fingerprint(model), together, reason)


def _built(build: Callable[[], Any]) -> Any:
    if framework_of(build) is not None:
        raise InputError(
            f"Received a {type(build).__name__}, one model. Every training needs a new one: pass a function that "
            "builds it, e.g. compare(lambda: Net(), …)."
        )
    if not callable(build):
        raise InputError(f"Received a {type(build).__name__}. Pass a function that builds the model.")
    try:
        model = build()
    except GainstageError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{_called(build)} could not build a model: {in_a_line(error)}") from error
    _framework(model)
    return model


def _framework(model: Any) -> Framework:
    framework = framework_of(model)
    if framework is None:
        raise InputError(f"The function that builds the model returned {model!r:.60}. It has to return the model.")
    return framework


def _called(build: Any) -> str:
    return f"'{getattr(build, '__name__', type(build).__name__)}'"
