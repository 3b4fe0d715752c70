"""Train the same network from several starts, and say what can be concluded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from gainstage import planning
from gainstage.backends import trainer_of
from gainstage.errors import InputError, UnknownNameError, require_kind, require_number
from gainstage.records import Comparison, Measure, Trial
from gainstage.records.training import Schedule
from gainstage.statistics import compared
from gainstage.trials import Engine, Store
from gainstage.workflows.experiment import Experiment
from gainstage.workflows.progress import OnProgress
from gainstage.workflows.supplying import dataset_of
from gainstage.workflows.trial import Scheme
from gainstage.workflows.variant import MOST_TOGETHER, variant_of

__all__ = ["SWEEP", "compare", "concluded", "experiment"]

SWEEP = {
    "adaptive": (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0),
    "plain": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0),
}
"""Learning rates of a sweep: for optimizers that divide by the size of gradients, and for those that do not."""

_MOST_SEEDS = 1_000_000

WATCHED = 5
"""First steps whose gradient and update are measured."""

Build = Callable[[], Any]


def compare(
    build: Build | Mapping[str, Build],
    data: Any,
    schemes: Sequence[str] | Mapping[str, Scheme] = ("keep", "auto"),
    *,
    seeds: int | Sequence[int] = 5,
    learning_rates: float | Sequence[float] = 1e-3,
    sweep: Literal["lr"] | None = None,
    optimizer: str | Callable[..., Any] = "adam",
    loss: str | Callable[..., Any] | None = None,
    steps: int = 400,
    batch_size: int = 64,
    evaluations: int = 20,
    clip: float | None = None,
    measure: Measure | None = None,
    target_loss: float | None = None,
    together: int = MOST_TOGETHER,
    store: str | Path | None = None,
    resume: bool = False,
    engine: Engine = "local",
    workers: int | None = None,
    address: str | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Compare initializations by real trainings of your own model on your own data.

    Every scheme is trained with every seed (and every learning rate, and every variant of the model). Trainings of one
    seed see the same examples in the same order, so that schemes are compared pair by pair. Where the model allows it,
    trainings run together as one vectorised model, with the figures that each of them has alone.

    Args:
        build: a function that makes a new model, or several by name (with and without normalisation, say).
        data: a name (``digits``, ``mnist``), a ``.npz`` file, arrays ``(x, y)`` or
            ``(x, y, x_validation, y_validation)``, a PyTorch ``Dataset`` or ``DataLoader``, or a ``tf.data.Dataset``.
        schemes: names for :func:`initialize`; ``keep`` leaves the weights as the model was built. A mapping gives
            names to schemes, or to functions of your own that initialize a model in place. Random states are at the
            trial's seed meanwhile; a function with a parameter ``seed`` is given it, to hand on:
            ``lambda model, seed: gs.initialize(model, "he_normal", seed=seed, overrides=...)``.
        seeds: how many, or which.
        learning_rates: one, or several; with several every scheme is judged at its own best.
        sweep: ``lr`` takes nine rates from tiny to huge, and finds the largest one that still trains.
        optimizer: a name (``sgd``, ``momentum``, ``adam``, ``adamw``, ``rmsprop``), or a function that makes one, in
            PyTorch of (parameters, learning rate), in Keras of the learning rate; a class will do.
        loss: a name, or a function as in :func:`check`; by default cross-entropy for classes and the mean square for
            values.
        steps: of every training.
        batch_size: examples in one step.
        evaluations: looks at the held-back examples.
        clip: the largest norm of a gradient; None clips nothing.
        measure: ``accuracy`` or ``loss`` on the held-back examples at the end; accuracy for classes by default.
        target_loss: to count steps to; half the loss of the best constant guess by default.
        together: at most so many trainings run as one vectorised model; 1 runs them one by one.
        store: a file in which every trial is kept as soon as it ends.
        resume: go on with a store that exists: only what is missing is run.
        engine: ``local`` (processes of this machine), ``dask`` or ``ray``.
        workers: processes; by default as many as there are cores, once there is enough to do for them.
        address: of a Dask or Ray cluster.
        on_progress: called now and then, from another thread.

    Returns:
        all trials and what follows from them: printable; ``.table()``, ``.curves``, ``.best()``.

    Raises:
        InputError: model, data, loss or optimizer do not fit together, ``build`` returns one model twice, the store is
            another experiment's.
        ModelError: the model cannot be run.
        UnknownNameError: no such scheme, loss, optimizer or engine.
        MissingPackageError: the engine is not installed.

    >>> import torch
    >>> import gainstage as gs
    >>> def build():
    ...     return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
    >>> comparison = gs.compare(build, "digits", ["he_normal", "zeros"], seeds=2, steps=40)
    >>> [arm.name for arm in comparison.ranking], len(comparison.trials)
    (['he_normal', 'zeros'], 4)
    """
    planned = experiment(
        build, data, schemes, seeds=seeds, learning_rates=learning_rates, sweep=sweep, optimizer=optimizer, loss=loss,
        steps=steps, batch_size=batch_size, evaluations=evaluations, clip=clip, together=together,
    )  # fmt: skip
    with Store(store, planned.facts, resume=resume) if store is not None else nullcontext() as kept:
        trials = list(
            planned.trials(kept, engine=engine, workers=workers, address=address, on_progress=on_progress)
        )  # fmt: skip
    return concluded(planned, trials, measure=measure, target_loss=target_loss)


def experiment(
    build: Build | Mapping[str, Build],
    data: Any,
    schemes: Sequence[str] | Mapping[str, Scheme],
    *,
    seeds: int | Sequence[int] = 5,
    learning_rates: float | Sequence[float] = 1e-3,
    sweep: Literal["lr"] | None = None,
    optimizer: str | Callable[..., Any] = "adam",
    loss: str | Callable[..., Any] | None = None,
    steps: int = 400,
    batch_size: int = 64,
    evaluations: int = 20,
    clip: float | None = None,
    together: int = MOST_TOGETHER,
) -> Experiment:
    """Check everything that can be checked before the first training; takes what :func:`compare` takes."""
    schedule = Schedule(steps, batch_size, evaluations, clip, WATCHED)
    named = _schemes(schemes)
    chosen = _seeds(seeds)
    rates = _rates(learning_rates, sweep, optimizer)
    dataset = dataset_of(data, loss=loss)
    if not len(dataset.x_validation):
        raise InputError(f"The data '{dataset.name}' hold no example back; starts are compared on held-back examples.")
    builds = dict(build) if isinstance(build, Mapping) else {"": build}
    if not builds:
        raise InputError("Received no model. Pass a function that builds one.")
    if together < 1:
        raise InputError(f"At least one training runs at a time; received together={together}.")
    variants = tuple(
        variant_of(name, make, dataset, schedule, loss, optimizer, together) for name, make in builds.items()
    )
    names = trainer_of(variants[0].framework).names(loss, optimizer, dataset.classes)
    notes = tuple(
        f"{f'{v.name}: t' if v.name else 'T'}rainings ran one by one, since {v.reason}." for v in variants if v.reason
    )
    return Experiment(variants, named, rates, chosen, schedule, loss, optimizer, names, notes)


def concluded(
    planned: Experiment, trials: Iterable[Trial], *, measure: Measure | None = None, target_loss: float | None = None
) -> Comparison:
    """What follows from those trials of an experiment that have ended."""
    first = planned.variants[0]
    dataset = first.dataset
    chance_loss, chance_accuracy = dataset.chance
    loss, optimizer = planned.names
    size, held = len(dataset.x_train), len(dataset.x_validation)
    data = f"{dataset.source or dataset.name}: {size:,} to train on, {held:,} held back"
    return compared(
        trials, model=_model_words(planned), data=data, schemes=list(planned.schemes),
        variants=[v.name for v in planned.variants], learning_rates=planned.learning_rates, seeds=planned.seeds,
        steps=planned.schedule.steps, batch=planned.schedule.batch, optimizer=optimizer, loss=loss,
        chance_loss=chance_loss, chance_accuracy=chance_accuracy, measure=measure, target_loss=target_loss,
        held=held, notes=planned.notes,
    )  # fmt: skip


def _model_words(planned: Experiment) -> str:
    names = [getattr(v.build, "__name__", str(v.build)) for v in planned.variants]
    return ", ".join(
        v.name or ("a model" if name == "<lambda>" else name) for v, name in zip(planned.variants, names, strict=True)
    )


def _schemes(schemes: Sequence[str] | Mapping[str, Scheme]) -> dict[str, Scheme]:
    if isinstance(schemes, str):
        raise InputError(f"Schemes are a list; received the string {schemes!r}. Write [{schemes!r}].")
    require_kind(schemes, (Mapping, Sequence), "Schemes are a list of names, or a mapping of names to schemes")
    given: list[tuple[str, Scheme]] = (
        [*schemes.items()] if isinstance(schemes, Mapping) else [(name, name) for name in schemes]
    )
    if not given:
        raise InputError("Received no scheme to compare. Give at least one, e.g. ['keep', 'auto'].")
    found: dict[str, Scheme] = {}
    for name, scheme in given:
        known = planning.canonical_name(scheme) if isinstance(scheme, str) else scheme
        shown = str(known) if name is scheme else str(name)
        if shown in found:
            raise InputError(f"The scheme '{name}' was given twice.")
        if not isinstance(known, str) and not callable(known):
            raise InputError(
                f"The scheme '{name}' is a {type(known).__name__}; a name or a function of a model is needed."
            )
        found[shown] = known
    return found


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, bool):
        raise InputError(f"Seeds are a number of them, or whole numbers; received {seeds!r}.")
    require_kind(seeds, (int, Sequence), "Seeds are a number of them, or whole numbers")
    if isinstance(seeds, int) and seeds > _MOST_SEEDS:
        raise InputError(f"At most {_MOST_SEEDS:,} seeds are compared; received {seeds:.3g}.")
    chosen = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or any(isinstance(s, bool) or not isinstance(s, int) or not 0 <= s < 2**64 for s in chosen):
        raise InputError(f"Seeds are a number of them, at least 1, or whole numbers from 0; received {seeds!r}.")
    if len(set(chosen)) < len(chosen):
        raise InputError(f"Every seed counts once; received {seeds!r}.")
    return chosen


def _rates(rates: float | Sequence[float], sweep: str | None, optimizer: Any) -> tuple[float, ...]:
    several = isinstance(rates, Sequence)
    each = rates if isinstance(rates, Sequence) and not isinstance(rates, (str, bytes)) else (rates,)
    chosen = tuple(require_number(rate, "A learning rate") for rate in each)
    if sweep is not None and sweep != "lr":
        raise UnknownNameError("sweep", sweep, ("lr",))
    if sweep == "lr" and not (several and len(chosen) > 1):
        chosen = SWEEP["plain" if optimizer in ("sgd", "momentum") else "adaptive"]
    if not chosen or any(not 0 < rate < float("inf") for rate in chosen) or len(set(chosen)) < len(chosen):
        raise InputError(f"Learning rates are positive numbers, each once; received {rates!r}.")
    return tuple(sorted(chosen))
