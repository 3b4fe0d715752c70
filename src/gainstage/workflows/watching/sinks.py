"""Destinations of a watch's readings: JSON lines, TensorBoard, or anything with ``log(values, step)``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from gainstage.errors import InputError
from gainstage.records import Alert, Diagnosis, History, LayerReading, Look, StepReading
from gainstage.report.history_lines import line_of

__all__ = ["JsonLines", "Logger", "Sink", "TensorBoard", "fresh_file", "sink_of"]


class Sink(Protocol):
    """Receives everything that a watch sees, as it sees it."""

    def begin(self, history: History) -> None:
        """The watch begins; the history holds what is watched."""
        ...

    def start(self, diagnosis: Diagnosis) -> None:
        """The first batch was checked."""
        ...

    def step(self, reading: StepReading) -> None:
        """One step was made."""
        ...

    def look(self, look: Look) -> None:
        """Every layer was looked at."""
        ...

    def alert(self, alert: Alert) -> None:
        """A finding was raised."""
        ...

    def note(self, note: str) -> None:
        """Something could not be seen."""
        ...

    def end(self, history: History) -> None:
        """The watch ends."""
        ...


class JsonLines:
    """A file with one JSON object a line, written as the training goes, so that a killed run keeps what it saw.

    Args:
        path: of the file; it must not exist.

    Raises:
        InputError: the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("x", encoding="utf-8", newline="\n")
        except OSError as error:
            raise InputError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error

    def _write(self, kind: str, record: Any) -> None:
        if not self._file.closed:
            self._file.write(line_of(kind, record) + "\n")
            self._file.flush()

    def begin(self, history: History) -> None:
        """Write what is watched."""
        self._write("history", history)

    def start(self, diagnosis: Diagnosis) -> None:
        """Write the check of the first batch."""
        self._write("start", diagnosis)

    def step(self, reading: StepReading) -> None:
        """Write one step."""
        self._write("step", reading)

    def look(self, look: Look) -> None:
        """Write one look."""
        self._write("look", look)

    def alert(self, alert: Alert) -> None:
        """Write one finding."""
        self._write("alert", alert)

    def note(self, note: str) -> None:
        """Write one remark."""
        self._write("note", note)

    def end(self, history: History) -> None:
        """Write when findings ended, and close the file."""
        self._write("end", history)
        self._file.close()


class Logger:
    """Anything with ``log(values, step=…)``, such as a run of wandb, Trackio, MLflow's ``log_metrics`` or Aim.

    Args:
        log: takes a dict of numbers and, as ``step``, the number of the step.
    """

    def __init__(self, log: Any) -> None:
        self._log = log

    def begin(self, history: History) -> None:
        """Nothing is logged."""

    def start(self, diagnosis: Diagnosis) -> None:
        """Log how many findings the start has."""
        self._log({"gainstage/start_findings": float(len(diagnosis.findings))}, step=0)

    def step(self, reading: StepReading) -> None:
        """Log the numbers of a step."""
        self._log(dict(_numbers(reading)), step=reading.step)

    def look(self, look: Look) -> None:
        """Log level, gradient, dead share and sharpness of every layer."""
        values = {f"gainstage/{name}/{layer.path}": value for layer in look.layers for name, value in _layer(layer)}
        self._log(values, step=look.step)

    def alert(self, alert: Alert) -> None:
        """Log the finding's code as a number that is one at its step."""
        self._log({f"gainstage/{alert.finding.code}": 1.0}, step=alert.step)

    def note(self, note: str) -> None:
        """Nothing is logged."""

    def end(self, history: History) -> None:
        """Nothing is logged."""


class TensorBoard:
    """A ``SummaryWriter``, or anything with ``add_scalar``, ``add_histogram_raw`` and ``add_text``.

    Args:
        writer: of ``torch.utils.tensorboard``, ``tensorboardX`` or the like.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def begin(self, history: History) -> None:
        """Nothing is written."""

    def start(self, diagnosis: Diagnosis) -> None:
        """Write the findings before the first step as text."""
        for finding in diagnosis.findings:
            self._writer.add_text("gainstage/start", f"{finding.code} {finding.title}: {finding.evidence}", 0)

    def step(self, reading: StepReading) -> None:
        """Write the numbers of a step."""
        for name, value in _numbers(reading):
            self._writer.add_scalar(name, value, reading.step)

    def look(self, look: Look) -> None:
        """Write level, gradient, dead share and sharpness over depth, one bin a layer."""
        for name in ("level", "gradient", "dead", "sharpness"):
            values = [value for layer in look.layers for n, value in _layer(layer) if n == name]
            if values:
                self._writer.add_histogram_raw(
                    f"gainstage/{name}_over_depth", min=0.0, max=float(len(values)), num=len(values),
                    sum=float(sum(values)), sum_squares=float(sum(v * v for v in values)),
                    bucket_limits=[float(i + 1) for i in range(len(values))], bucket_counts=values,
                    global_step=look.step,
                )  # fmt: skip

    def alert(self, alert: Alert) -> None:
        """Write the finding as text."""
        finding = alert.finding
        told = f"{finding.code} {finding.title}: {finding.evidence} {finding.cause} {finding.remedy.summary}"
        self._writer.add_text("gainstage/findings", told, alert.step)

    def note(self, note: str) -> None:
        """Write the remark as text."""
        self._writer.add_text("gainstage/notes", note, 0)

    def end(self, history: History) -> None:  # noqa: ARG002
        """Flush, where the writer can."""
        getattr(self._writer, "flush", lambda: None)()


def _on_own_axis(run: Any) -> Callable[..., None]:
    """The ``log`` of a run that numbers its calls itself, as wandb does, and refuses steps behind the last one.

    Numbers of a step are known when the next gradient is there, so they come late; they get an axis of their own.
    """
    run.define_metric("gainstage/*", step_metric="gainstage/step")

    def log(values: dict[str, float], step: int) -> None:
        run.log({**values, "gainstage/step": step})

    return log


def sink_of(target: Any) -> Sink:
    """Turn a file, a writer of TensorBoard, a logger or a function into a sink.

    Raises:
        InputError: it is none of these, or the file exists.

    >>> seen = []
    >>> sink_of(lambda values, step: seen.append((step, values))).step(StepReading(3, loss=0.5))
    >>> seen
    [(3, {'gainstage/loss': 0.5})]
    """
    if isinstance(target, str | Path):
        return JsonLines(target)
    if all(hasattr(target, name) for name in ("begin", "step", "look", "alert", "end")):
        sink: Sink = target
        return sink
    if hasattr(target, "add_scalar") and hasattr(target, "add_histogram_raw"):
        return TensorBoard(target)
    if callable(getattr(target, "define_metric", None)):
        return Logger(_on_own_axis(target))
    for name in ("log", "log_metrics", "track"):
        if callable(getattr(target, name, None)):
            return Logger(getattr(target, name))
    if callable(target):
        return Logger(target)
    raise InputError(
        f"Cannot write a history to a {type(target).__name__}. Pass a path, a SummaryWriter, something with "
        "log(values, step), or such a function."
    )


def fresh_file(path: str | Path) -> JsonLines:
    """A file of JSON lines at the path, or at the first numbered one beside it that does not exist.

    A run never overwrites another, nor do processes of one run that begin at the same moment.

    Raises:
        InputError: the file cannot be written.
    """
    wanted = Path(path)
    for number in itertools.count(1):
        free = wanted if number == 1 else wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        if not free.exists():
            try:
                return JsonLines(free)
            except InputError:
                if not free.exists():  # else another process has just made it
                    raise
    raise AssertionError("unreachable")


def _numbers(reading: StepReading) -> Iterator[tuple[str, float]]:
    for name in ("loss", "gradient", "kept", "update", "rate", "scale"):
        value = getattr(reading, name)
        if value is not None:
            yield f"gainstage/{name}", float(value)


def _layer(layer: LayerReading) -> Iterator[tuple[str, float]]:
    for name in ("level", "spread", "gradient", "dead", "stuck", "sharpness"):
        value = getattr(layer, name)
        if value is not None:
            yield name, float(value)
