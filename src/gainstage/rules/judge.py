"""Run every rule over one profile."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from gainstage.records import Diagnosis, Finding, Profile, Unjudged
from gainstage.rules.alternatives import with_alternative
from gainstage.rules.folding import fold
from gainstage.rules.remedies import Words
from gainstage.rules.table import Lacking, selected
from gainstage.rules.trained import trained_evidence

__all__ = ["judge"]


def judge(
    profile: Profile, words: Words = MappingProxyType({}), *, select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> Diagnosis:
    """Judge a measurement by every rule, with one finding for each fault.

    Where two causes explain the figures of a finding equally, its cause names both and what tells them apart. Rules
    about starts keep silent where the network was trained: where the caller says so, or the profile holds evidence of
    it. A rule that lacks what it needs (labels, a loss, an optimizer, a backward pass) is listed as not judged.

    Args:
        profile: measured or predicted.
        words: what the users of the model's framework write (``Backend.words``); without them remedies say what to do
            and not how it is written.
        select: codes of rules, or the beginnings of codes; by default all.
        ignore: the same, of those to leave out. The longer of two beginnings wins: ``select=["GS101"]`` with
            ``ignore=["GS1"]`` judges GS101.

    Raises:
        UnknownNameError: no rule has a code that begins so.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> from gainstage.records import Profile, Source, Task
    >>> graph = SignalGraph((Node(0, Operation.INPUT, "input", (), (8, 4)),), ())
    >>> judge(Profile(graph, (), (), Task(), Source("measured", "torch"))).ok
    True
    """
    findings: list[Finding] = []
    passed: list[str] = []
    unjudged: list[Unjudged] = []
    kept, left_out = selected(select, ignore)
    evidence = trained_evidence(profile) if profile.trained is None else profile.trained
    for rule in kept:
        if evidence and rule.of_starts:
            unjudged.append(Unjudged(rule.code, "it speaks of starts, and this network was trained"))
            continue
        try:
            found = rule.judge(profile, words)
        except Lacking as lack:
            unjudged.append(Unjudged(rule.code, str(lack)))
            continue
        findings += [with_alternative(finding, profile) for finding in found]
        if not found:
            passed.append(rule.code)
    return Diagnosis(
        profile,
        fold(findings),
        tuple(passed),
        tuple(unjudged),
        left_out=tuple(rule.code for rule in left_out),
        trained=evidence,
    )
