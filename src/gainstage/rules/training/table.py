"""The table of rules about a training while it runs; each is explained by its own docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

from gainstage.records import Finding
from gainstage.rules.remedies import Words
from gainstage.rules.table import Fault
from gainstage.rules.training.window import Window

__all__ = ["Patience", "TrainingRule", "training_rule", "training_rules"]

_FAMILIES = {"1": "gradient", "2": "layers", "3": "steps", "4": "loss", "5": "loop"}
_CODE = re.compile(r"GT([1-5])\d\d")


@dataclass(frozen=True, slots=True)
class Patience:
    """The number of judgements that have to agree before a finding is raised.

    Args:
        times: how many of the last ``of`` judgements have to find the fault.
        of: judgements that are counted. The rule is re-armed when none of the last ``of`` found the fault.
    """

    times: int
    of: int


Examine = Callable[[Window], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class TrainingRule:
    """One rule about a training.

    Args:
        code: stable, e.g. ``GT101``; the first digit is the family.
        title: in a few words.
        cause: the fault that a finding of this rule names, in the words of the exam of trainings.
        patience: how many judgements have to agree.
        looks: whether it reads looks at layers, and is judged only behind one.
        summary: the first sentence of its docstring.
        family: e.g. ``gradient``.
        text: the rest of its docstring, in the sections of ``gainstage.rules.SECTIONS``.
        examine: the pure function behind it.
    """

    code: str
    title: str
    cause: str
    patience: Patience
    looks: bool
    summary: str
    family: str
    text: str
    examine: Examine

    def judge(self, window: Window, words: Words = MappingProxyType({})) -> tuple[Finding, ...]:
        """Judge the last steps of a training, each step by itself.

        Raises:
            Lacking: the window does not hold what the rule needs.
        """
        return tuple(fault.finding(self.code, self.title, words, {}) for fault in self.examine(window))


_rules: dict[str, TrainingRule] = {}


def training_rule(
    code: str, title: str, *, cause: str, times: int = 1, of: int = 1, looks: bool = False
) -> Callable[[Examine], Examine]:
    """Enter a function into the table; its docstring becomes its page.

    Args:
        code: new, such as ``GT199``.
        title: in a few words.
        cause: the fault that it names.
        times, of: how many of the last judgements have to find the fault.
        looks: whether it is judged behind looks only.

    Raises:
        ValueError: the code is malformed or taken, or the function has no docstring.
    """

    def enter(examine: Examine) -> Examine:
        form = _CODE.fullmatch(code)
        summary, _, text = inspect.cleandoc(examine.__doc__ or "").partition("\n")
        if form is None or code in _rules or not summary:
            raise ValueError(f"The rule {code!r} needs a new code such as 'GT199' and a docstring.")
        family = _FAMILIES[form[1]]
        _rules[code] = TrainingRule(
            code, title, cause, Patience(times, of), looks, summary, family, text.strip(), examine
        )
        return examine

    return enter


def training_rules() -> tuple[TrainingRule, ...]:
    """Every rule about trainings, by code."""
    return tuple(_rules[code] for code in sorted(_rules))
