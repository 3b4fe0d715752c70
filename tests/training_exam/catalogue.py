"""All trainings of the exam."""

from __future__ import annotations

from training_exam import sick, sick_signals, sound
from training_exam.case import REGISTER, Question

__all__ = ["questions"]

_MODULES = (sick, sick_signals, sound)


def questions() -> tuple[Question, ...]:
    """Return every question; importing the modules above entered them."""
    return tuple(REGISTER.values())
