"""The seven questions: claims that are data, experiments that measure, verdicts that follow from the criterion."""

from gainstage.lessons.catalogue import QUESTIONS, Entry, find, open_question
from gainstage.lessons.question import Measured, Question, Setting, Study, answer

__all__ = ["QUESTIONS", "Entry", "Measured", "Question", "Setting", "Study", "answer", "find", "open_question"]
