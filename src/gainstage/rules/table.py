"""The table of rules: one record a rule, entered by a decorator, explained by its own docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gainstage.errors import UnknownNameError, require_kind
from gainstage.records import Finding, Profile, Remedy, Severity
from gainstage.rules.remedies import Edit, Phrase, Words

__all__ = ["SECTIONS", "Fault", "Lacking", "Rule", "all_rules", "get", "rule", "selected"]

SECTIONS = (
    "What it does",
    "Why it matters",
    "Null hypothesis",
    "Bound and where it comes from",
    "Example",
    "Remedy",
    "Reference",
)
"""The sections of every rule's docstring, in this order."""

_FAMILIES = {
    "1": "forward",
    "2": "gradient",
    "3": "weights",
    "4": "structure",
    "5": "output",
    "6": "inputs",
    "7": "optimisation",
    "8": "numerics",
    "9": "doubts",
}
_CODE = re.compile(r"GS([1-9])\d\d")


class Lacking(Exception):  # noqa: N818 — it is no error: the rule is listed as not judged
    """Raised by a rule that cannot speak; the message is what it would have needed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a rule found; the table adds code and title to make it a ``Finding``.

    Args:
        severity: how bad.
        path: where it originates; empty when it is about the whole model.
        evidence: the measured figure in words, with its unit.
        measured: the figure itself.
        bound: the bound it broke.
        cause: why, in words.
        remedy: what to do.
        node: the node there, if one.
    """

    severity: Severity
    path: str
    evidence: str
    measured: float
    bound: float
    cause: str | Phrase
    remedy: Remedy
    node: int | None = None

    def finding(self, code: str, title: str, words: Words, called: Mapping[str, str]) -> Finding:
        """The finding, in the words of a framework and with its names of the places."""
        cause = self.cause if isinstance(self.cause, str) else self.cause.said(words)
        remedy = self.remedy.said(words) if isinstance(self.remedy, Edit) else self.remedy
        return Finding(
            code, title, self.severity, self.path, self.evidence, self.measured, self.bound, cause, remedy, self.node,
            called=called.get(self.path, ""),
        )  # fmt: skip


Examine = Callable[[Profile], Iterator[Fault]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        code: stable, e.g. ``GS201``; the first digit is the family.
        title: in a few words.
        summary: the first sentence of its docstring.
        family: e.g. ``gradient``.
        text: the rest of its docstring, in the sections of ``SECTIONS``.
        examine: the pure function behind it.
        of_starts: whether it speaks of starts alone, and keeps silent about trained networks.
    """

    code: str
    title: str
    summary: str
    family: str
    text: str
    examine: Examine
    of_starts: bool = False

    def judge(self, profile: Profile, words: Words = MappingProxyType({})) -> tuple[Finding, ...]:
        """What this rule finds in a profile.

        Args:
            profile: measured or predicted.
            words: of the framework that causes and remedies are written for.

        Raises:
            Lacking: the profile does not hold what the rule needs.
        """
        return tuple(
            fault.finding(self.code, self.title, words, profile.graph.called) for fault in self.examine(profile)
        )


_rules: dict[str, Rule] = {}


def rule(code: str, title: str, *, of_starts: bool = False) -> Callable[[Examine], Examine]:
    """Enter a function into the table; its docstring becomes its page.

    Args:
        code: new, e.g. ``GS199``.
        title: in a few words.
        of_starts: whether the rule speaks of starts alone.

    Raises:
        ValueError: the code is malformed or taken, or the function has no docstring.
    """

    def enter(examine: Examine) -> Examine:
        form = _CODE.fullmatch(code)
        summary, _, text = inspect.cleandoc(examine.__doc__ or "").partition("\n")
        if form is None or code in _rules or not summary:
            raise ValueError(f"The rule {code!r} needs a new code such as 'GS199' and a docstring.")
        _rules[code] = Rule(code, title, summary, _FAMILIES[form[1]], text.strip(), examine, of_starts)
        return examine

    return enter


def all_rules() -> tuple[Rule, ...]:
    """Every rule, by code."""
    return tuple(_rules[code] for code in sorted(_rules))


def get(code: str) -> Rule:
    """The rule of that code.

    Raises:
        UnknownNameError: there is none.

    >>> get("GS201").title
    'The gradient vanishes towards the input'
    """
    require_kind(code, str, "The code of a rule is a text such as 'GS201'")
    try:
        return _rules[code]
    except KeyError:
        raise UnknownNameError("rule", code, _rules) from None


def selected(select: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """Split the rules into those to judge and those to leave out.

    Args:
        select: codes, or the beginnings of codes; empty for all.
        ignore: the same, of those to leave out; the longer beginning wins, and at equal lengths ``ignore``.

    Raises:
        UnknownNameError: no rule has a code that begins so.

    >>> [rule.code for rule in selected(["GS1"], ["GS10"])[0]][0]
    'GS110'
    """
    for beginning in (*select, *ignore):
        if not beginning or not any(code.startswith(beginning) for code in _rules):
            raise UnknownNameError("rule", beginning, _rules)

    def longest(beginnings: Sequence[str], code: str) -> int:
        return max((len(b) for b in beginnings if code.startswith(b)), default=0)

    every = all_rules()
    kept = tuple(r for r in every if longest(select, r.code) > longest(ignore, r.code) or not (
        select or longest(ignore, r.code)))  # fmt: skip
    return kept, tuple(rule for rule in every if rule not in kept)
