"""Find the page of a rule by its code, whether it judges a start or a training."""

from __future__ import annotations

from gainstage.errors import UnknownNameError, require_kind
from gainstage.rules import table
from gainstage.rules.table import Rule
from gainstage.rules.training.table import TrainingRule, training_rules

__all__ = ["Page", "get"]

Page = Rule | TrainingRule
"""A rule, with the text of its page."""


def get(code: str) -> Page:
    """The rule of that code: ``GS…`` for a start, ``GT…`` for a training.

    Raises:
        UnknownNameError: there is none.

    >>> get("GT301").title
    'The steps are too large'
    """
    require_kind(code, str, "The code of a rule is a text such as 'GS201'")
    found: dict[str, Page] = {rule.code: rule for rule in table.all_rules()}
    found |= {rule.code: rule for rule in training_rules()}
    if code not in found:
        raise UnknownNameError("rule", code, found)
    return found[code]
