"""A question consists of studies, whose figures are compared with the criteria of claims."""

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
"""A function that receives the description of a stage, the steps made in it, and their total number."""


def _silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The conditions under which a question is answered.

    Args:
        seed: seed of all random numbers.
        quick: run fewer and shorter trainings, for a first look.
        progress: a function that receives the progress.

    Raises:
        InputError: the seed is negative.
    """

    seed: int = 0
    quick: bool = False
    progress: Progress = _silent

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"`seed` must be a non-negative int; received {self.seed}.")

    def seeds(self, full: int, quick: int) -> tuple[int, ...]:
        """Return seeds of independent draws, which differ for different seeds of the setting.

        >>> Setting(seed=2).seeds(3, 2)
        (2000, 2001, 2002)
        """
        return tuple(range(1000 * self.seed, 1000 * self.seed + self.of(full, quick)))

    def of(self, full: int, quick: int) -> int:
        """Return ``quick`` for a first look, else ``full``."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of an experiment.

    Args:
        figures: the figures; name and case together are unique.
        pictures: pictures, by the id of their claim.
        absent: cases that could not be measured here, with the reasons.
    """

    figures: tuple[Figure, ...]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


Experiment = Callable[[Setting], Measured]


@dataclass(frozen=True, slots=True)
class Study:
    """An experiment, and the claims that its figures decide."""

    title: str
    experiment: Experiment
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Play:
    """The network with which a notebook's reader begins to experiment.

    Args:
        hint: what to change, and what to observe.
        activation, layers, norm: the architecture of the network.
        scheme, gain: the start of the network.
    """

    hint: str
    activation: str
    layers: int
    scheme: str
    gain: float = 1.0
    norm: str = "none"


@dataclass(frozen=True, slots=True)
class Question:
    """One question with its studies; fields as in ``Answer``."""

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
        """Return the claims of all studies, in order."""
        return tuple(claim for study in self.studies for claim in study.claims)


def evidence(claim: Claim, measured: Measured) -> Evidence:
    """Judge a claim by what an experiment measured."""
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
