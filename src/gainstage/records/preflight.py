"""Preflight records what is known of a large model before it is trained: one page for the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gainstage.records.diagnosis import Finding
from gainstage.records.formats import Formats
from gainstage.records.profile import Note
from gainstage.records.rendering import Rendered
from gainstage.records.scaling import Scaling

__all__ = ["Cost", "Decision", "Preflight"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One question before the run, and its answer.

    Args:
        question: in words.
        answer: in words.
        state: ``good``; ``warning`` where something is to be changed first; ``error`` where the run would be lost;
            ``open`` where the answer takes something that was not given.
    """

    question: str
    answer: str
    state: Literal["good", "warning", "error", "open"] = "good"


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost of the start or of the training: an amount and the way it is known.

    Args:
        name: what takes it.
        value: in ``unit``.
        unit: ``bytes`` or ``seconds``.
        basis: how it is known.
    """

    name: str
    value: float
    unit: Literal["bytes", "seconds"]
    basis: str


@dataclass(frozen=True)
class Preflight(Rendered):
    """The answers to the questions that a model poses before it is trained.

    Args:
        model: its name.
        parameters: number of values.
        dtype: number format of the run.
        start: the recipe or scheme that draws the weights.
        decisions: every question with its answer, in the order in which they matter.
        findings: of the predicted signal, the worst first.
        costs: memory and time.
        formats: what number formats do to every tensor.
        scaling: what width and depth do to every module; None where no sizes were given.
        seconds: that this page took.
        framework: of the model.
        notes: doubts of the predictions.
    """

    model: str
    parameters: int
    dtype: str
    start: str
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]
    costs: tuple[Cost, ...]
    formats: Formats
    scaling: Scaling | None = None
    seconds: float = 0.0
    framework: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def ok(self) -> bool:
        """Report whether nothing is to be changed before the run."""
        return all(decision.state in ("good", "open") for decision in self.decisions)
