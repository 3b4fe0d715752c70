"""The seven questions: claims that are data, experiments that measure, verdicts that follow from the criterion.

``catalogue`` lists them without importing a framework; ``question.answer`` runs one.
"""

from gainstage.lessons.catalogue import QUESTIONS, Entry, find, open_question

__all__ = ["QUESTIONS", "Entry", "find", "open_question"]
