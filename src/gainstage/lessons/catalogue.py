"""The table of questions. The module of a question is imported on demand, since experiments require a framework."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gainstage.errors import UnknownNameError

if TYPE_CHECKING:
    from gainstage.lessons.question import Question

__all__ = ["QUESTIONS", "Entry", "find", "open_question"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table: ``slug`` is also the name of the question's module."""

    number: int
    slug: str
    question: str


QUESTIONS = (
    Entry(1, "vanishing", "Vanishing gradients: what are they, and how do they hurt training?"),
    Entry(2, "xavier", "How does Xavier initialization address vanishing gradients?"),
    Entry(3, "activations", "Which activation functions are prone to vanishing gradients, and why?"),
    Entry(4, "exploding", "Exploding gradients: what are they, and how do they hurt training?"),
    Entry(5, "initialization", "What does proper initialization do for training?"),
    Entry(6, "batchnorm", "What is batch normalization, and what does it change for initialization?"),
    Entry(7, "he", "He initialization in practice: how is it done, and what is questionable about it?"),
)


def find(name: str) -> Entry:
    """Return the row of a question, by its number or short name.

    Raises:
        UnknownNameError: no question has that number or name.

    >>> find("2").slug, find("he").number
    ('xavier', 7)
    """
    for entry in QUESTIONS:
        if name.strip().lower() in (str(entry.number), entry.slug):
            return entry
    raise UnknownNameError("question", name, [word for e in QUESTIONS for word in (str(e.number), e.slug)])


def open_question(entry: Entry) -> Question:
    """Import the experiments of a question.

    Raises:
        MissingPackageError: the required framework is not installed.
    """
    module = importlib.import_module(f"gainstage.lessons.{entry.slug}")
    question: Question = module.QUESTION
    return question
