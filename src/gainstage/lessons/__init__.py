"""The seven questions: claims as data, experiments that measure, and verdicts that follow from criteria.

``catalogue`` lists the questions without importing a framework; ``question.answer`` runs one.
"""

from gainstage.lessons.catalogue import QUESTIONS, Entry, find, open_question

__all__ = ["QUESTIONS", "Entry", "find", "open_question"]
