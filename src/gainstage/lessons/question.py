"""A question: studies that measure, and the claims that are held against their figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gainstage.backends import lesson_workbench
from gainstage.errors import InputError
from gainstage.lessons.criterion import judge
from gainstage.records import Answer, Claim, Evidence, Figure, Picture, Slider

__all__ = ["Experiment", "Measured", "Play", "Progress", "Question", "Setting", "Study", "answer", "evidence"]

Progress = Callable[[str, int, int], None]
"""Called with a stage in words, the steps made in it, and how many there are."""


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a question is to be answered.

    Args:
        seed: all randomness follows from it.
        quick: fewer and shorter trainings, for a first look.
        progress: told how far it is.

    Raises:
        InputError: the seed is negative.
    """

    seed: int = 0
    quick: bool = False
    progress: Progress = _silent

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"A seed is a whole number from 0; received {self.seed}.")

    def seeds(self, full: int, quick: int) -> tuple[int, ...]:
        """So many seeds of independent draws; other ones for another seed of the setting.

        >>> Setting(seed=2).seeds(3, 2)
        (2000, 2001, 2002)
        """
        return tuple(range(1000 * self.seed, 1000 * self.seed + self.of(full, quick)))

    def of(self, full: int, quick: int) -> int:
        """A size that depends on the kind of look."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Measured:
    """What an experiment returns.

    Args:
        figures: name and case together unique.
        pictures: by the id of the claim they belong to.
        absent: cases that could not be measured here, and why.
    """

    figures: tuple[Figure, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


Experiment = Callable[[Setting], Measured]


@dataclass(frozen=True, slots=True)
class Study:
    """An experiment and the claims that its figures decide."""

    title: str
    experiment: Experiment
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Play:
    """A network to begin with, in a notebook whose reader goes on.

    Args:
        hint: what to change, and what to look for.
        activation, layers, norm: of the network.
        scheme, gain: of its start.
    """

    hint: str
    activation: str
    layers: int
    scheme: str
    gain: float = 1.0
    norm: str = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """Everything about one question; fields as in ``Answer``."""

    number: int
    slug: str
    question: str
    text: tuple[str, ...]
    studies: tuple[Study, ...]
    try_it: tuple[str, ...]
    references: tuple[str, ...]
    setting: str = ""
    slider: Callable[[Setting], Slider] | None = None
    play: Play | None = None

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Of all studies, in order."""
        return tuple(claim for study in self.studies for claim in study.claims)


def evidence(claim: Claim, measured: Measured) -> Evidence:
    """Hold a claim against what an experiment measured."""
    return judge(claim, measured.figures, absent=measured.absent, picture=measured.pictures.get(claim.id))


def answer(question: Question, setting: Setting) -> Answer:
    """Run all experiments of a question and judge its claims.

    Raises:
        MissingPackageError: the data cannot be loaded.
    """
    started = time.perf_counter()
    found: list[Evidence] = []
    stages = len(question.studies) + 1
    with lesson_workbench().one_thread():
        for place, study in enumerate(question.studies):
            setting.progress(f"{question.number}. {study.title}", place, stages)
            measured = study.experiment(setting)
            found += [evidence(claim, measured) for claim in study.claims]
        setting.progress(f"{question.number}. the slider", stages - 1, stages)
        slider = question.slider(setting) if question.slider is not None else None
    setting.progress(f"{question.number}. done", 1, 1)
    return Answer(
        question.number, question.slug, question.question, question.text, tuple(found), question.try_it,
        question.references, question.setting, setting.seed, setting.quick, time.perf_counter() - started, slider,
    )  # fmt: skip
