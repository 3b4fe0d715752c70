"""Run every rule over one profile."""

from __future__ import annotations

from types import MappingProxyType

from gainstage.records import Diagnosis, Finding, Profile, Unjudged
from gainstage.rules.folding import fold
from gainstage.rules.remedies import Words
from gainstage.rules.table import Lacking, all_rules

__all__ = ["judge"]


def judge(profile: Profile, words: Words = MappingProxyType({})) -> Diagnosis:
    """The verdict of all rules on a measurement, one finding a fault.

    A rule that lacks what it needs (labels, a loss, an optimizer, a backward pass) is listed as not judged.

    Args:
        profile: measured or predicted.
        words: what the users of the model's framework write (``Backend.words``); without them remedies say what to do
            and not how it is written.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> from gainstage.records import Profile, Source, Task
    >>> graph = SignalGraph((Node(0, Operation.INPUT, "input", (), (8, 4)),), ())
    >>> judge(Profile(graph, (), (), Task(), Source("measured", "torch"))).ok
    True
    """
    findings: list[Finding] = []
    passed: list[str] = []
    unjudged: list[Unjudged] = []
    for rule in all_rules():
        try:
            found = rule.judge(profile, words)
        except Lacking as lack:
            unjudged.append(Unjudged(rule.code, str(lack)))
            continue
        findings += found
        if not found:
            passed.append(rule.code)
    return Diagnosis(profile, fold(findings), tuple(passed), tuple(unjudged))
