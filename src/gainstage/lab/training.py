"""Trainings side by side: one step of each in turn, watched, and stopped, held or stepped from the page."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gainstage.backends import Start, trainer_of
from gainstage.errors import GainstageError, InputError
from gainstage.lab.pictures import bare
from gainstage.lab.state import State
from gainstage.lab.subject import Given, Prepared
from gainstage.records.training import Schedule
from gainstage.report.charts import Series, curves
from gainstage.report.wording import figure

__all__ = ["MOST_STARTS", "Trained", "Trainings", "charts", "labels", "summary"]

MOST_STARTS = 4
LOOKS = 25  # looks at the validation examples, over a whole training
POINTS = 400  # of a line that is sent to the page


class _Stopped(Exception):  # noqa: N818
    """The page stopped the trainings, or went away."""


@dataclass
class Trained:
    """The progress of one training: its losses and its layers so far.

    Args:
        label: of its lines.
        steps: numbers of the steps made.
        losses: on the batch of each step.
        moved: ‖change‖ / ‖weight‖ of the first layer after each step.
        gradients: norm of the gradient of the first weight in each step.
        looks: step, loss and accuracy on the validation examples.
        error: why the training could not be run.
        ended: whether it is over.
    """

    label: str
    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    gradients: list[float] = field(default_factory=list)
    looks: list[tuple[int, float, float]] = field(default_factory=list)
    error: str = ""
    ended: bool = False


class Trainings:
    """Two or more trainings, each in a thread of its own; they take turns, one step each.

    Args:
        states: one for each training; steps, batch and data are those of the first.
        given: the model that the lab was started with.

    Raises:
        InputError: there are no states, or too many.
    """

    def __init__(self, states: Sequence[State], given: Given | None = None) -> None:
        if not 1 <= len(states) <= MOST_STARTS:
            raise InputError(f"A training compares one to {MOST_STARTS} starts; received {len(states)}.")
        first = states[0]
        self.states = [replace(s, steps=first.steps, batch=first.batch, data=first.data) for s in states]
        self.trained = [Trained(label) for label in labels(self.states)]
        self._given = given
        self._turn = threading.Condition()
        self._at = 0
        self._allowed: float = math.inf
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start all trainings; a second call does nothing."""
        if self._threads:
            return
        for place in range(len(self.states)):
            run = threading.Thread(target=self._run, args=(place,), name=f"lab-training-{place}", daemon=True)
            self._threads.append(run)
            run.start()

    @property
    def started(self) -> bool:
        """Report whether ``start`` was called."""
        return bool(self._threads)

    @property
    def over(self) -> bool:
        """Report whether all trainings have ended."""
        return all(one.ended for one in self.trained)

    @property
    def held(self) -> bool:
        """Report whether the trainings wait for the page."""
        return self._allowed < math.inf

    def stop(self) -> None:
        """End all trainings before their next step."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()

    def hold(self) -> None:
        """Let all trainings wait after the step that they are at."""
        self._allow(max((len(one.steps) for one in self.trained), default=0))

    def step(self, steps: int = 1) -> None:
        """Let every training make some steps more, and wait again."""
        self._allow(max(len(one.steps) for one in self.trained) + steps)

    def go_on(self) -> None:
        """Let all trainings run."""
        self._allow(math.inf)

    def join(self, timeout: float | None = None) -> None:
        """Wait until all trainings have ended."""
        for thread in self._threads:
            thread.join(timeout)

    def _allow(self, steps: float) -> None:
        with self._turn:
            self._allowed = steps
            self._turn.notify_all()

    def _run(self, place: int) -> None:
        one = self.trained[place]
        try:
            self._wait(place, 0)
            self._train(place)
        except _Stopped:
            pass
        except GainstageError as error:
            one.error = str(error)
        except Exception as error:
            one.error = f"{type(error).__name__}: {error}"
        finally:
            with self._turn:
                one.ended = True
                self._pass_on(place)

    def _train(self, place: int) -> None:
        state, one = self.states[place], self.trained[place]
        subject = Prepared(state, self._given).subject
        if subject.dataset is None:
            raise InputError("A training needs labels, and this model came without any.")
        trainer = trainer_of(subject.framework)
        loss = subject.loss if self._given is not None and state.model else None
        dataset = trainer.fitted(subject.model, subject.dataset, loss)
        look = subject.bench.watch_training(subject.model, dataset, loss)
        schedule = Schedule(state.steps, min(state.batch, len(dataset.x_train)), 1)
        shown = set(Schedule(state.steps, evaluations=min(LOOKS, state.steps)).looks)
        first = look(True)
        one.looks.append((0, first.loss, first.accuracy))

        def on_steps(step: int, losses: Sequence[float]) -> None:
            seen = look(step in shown)
            one.losses.append(float(losses[0]))
            one.moved.append(seen.moved_first)
            one.gradients.append(seen.gradient_first)
            if step in shown:
                one.looks.append((step, seen.loss, seen.accuracy))
            one.steps.append(step)
            with subject.bench.give_way():
                self._wait(place, step)

        start = Start(subject.model, state.rate, state.seed, one.label)
        curve = trainer.train_alone(start, dataset, schedule, loss, state.optimizer, on_steps)
        if curve.diverged:
            one.error = f"The loss is not finite after {len(curve.losses)} steps: the training diverged."

    def _wait(self, place: int, step: int) -> None:
        """Pass the turn on, and wait for the next one."""
        with self._turn:
            if step:
                self._pass_on(place)
            self._turn.wait_for(lambda: self._stopped or (self._at == place and step < self._allowed))
            if self._stopped:
                raise _Stopped

    def _pass_on(self, place: int) -> None:
        """Give the turn to the next training that has not ended."""
        count = len(self.trained)
        others = [(place + i) % count for i in range(1, count + 1)]
        self._at = next((i for i in others if not self.trained[i].ended), place)
        self._turn.notify_all()


def labels(states: Sequence[State]) -> list[str]:
    """Name trainings by what sets them apart.

    >>> labels([State(), State(scheme="auto")])
    ['glorot_normal', 'auto']
    """
    apart = {name for other in states[1:] for name, _, _ in states[0].differences(other)} or {"scheme"}
    told = []
    for state in states:
        words = [state.scheme] if "scheme" in apart else []
        told.append(
            ", ".join([*words, *(f"{name} {_word(getattr(state, name))}" for name in sorted(apart - {"scheme"}))])
        )
    return [f"{label} ({i + 1})" if told.count(label) > 1 else label for i, label in enumerate(told)]


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def charts(trainings: Trainings, width: float) -> dict[str, str]:
    """Draw what the trainings have shown so far: four charts by name, those without a point left out."""
    drawn: dict[str, Callable[[Trained], tuple[Sequence[float], Sequence[float]]]] = {
        "loss": lambda one: (one.steps, one.losses),
        "accuracy": lambda one: ([look[0] for look in one.looks], [look[2] for look in one.looks]),
        "moved": lambda one: (one.steps, one.moved),
        "gradient": lambda one: (one.steps, one.gradients),
    }
    titles = {
        "loss": ("Loss of each batch", "loss"), "accuracy": ("Accuracy", "on validation examples"),
        "moved": ("Change of the first layer", "‖change since the start‖ / ‖weight‖"),
        "gradient": ("Gradient of the first layer", "norm, logarithmic"),
    }  # fmt: skip
    found = {}
    for name, points in drawn.items():
        lines, styles = [], []
        for place, one in enumerate(trainings.trained):
            line = _line(one.label, *points(one))
            if line is not None:
                lines.append(line)
                styles.append((place, f"d{place % 6}" if place >= 2 else ""))
        if lines:
            title, y_label = titles[name]
            found[name] = bare(
                curves(
                    lines, title=title, x_label="step", y_label=y_label, log_y=name in ("moved", "gradient"),
                    styles=styles, width=width, height=260,
                )
            )  # fmt: skip
    return found


def _line(label: str, x: Sequence[float], y: Sequence[float]) -> Series | None:
    """Return a line of at most some hundred points; None where none of them is finite."""
    count = min(len(x), len(y))  # a thread may be between two lists
    stride = max(math.ceil(count / POINTS), 1)
    at = range(0, count, stride)
    if not any(math.isfinite(y[i]) for i in at):
        return None
    return Series(label, tuple(float(x[i]) for i in at), tuple(y[i] for i in at))


def summary(trainings: Trainings) -> list[dict[str, Any]]:
    """Return one row for each training: label, steps, loss, accuracy, what went wrong."""
    return [
        {
            "label": one.label,
            "steps": len(one.steps),
            "loss": figure(one.losses[-1]) if one.losses else "",
            "accuracy": f"{one.looks[-1][2]:.1%}" if one.looks and math.isfinite(one.looks[-1][2]) else "",
            "error": one.error,
            "ended": one.ended,
        }
        for one in trainings.trained
    ]
