"""From a criterion and figures to a verdict; the words of a claim play no part in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gainstage.records import Check, Claim, Evidence, Figure, Outcome, Picture, Verdict

__all__ = ["judge"]


def judge(
    claim: Claim,
    figures: Mapping[str, Figure],
    *,
    absent: Mapping[str, str] | None = None,
    picture: Picture | None = None,
) -> Evidence:
    """Hold measured figures against a claim's criterion.

    Args:
        claim: whose criterion it is.
        figures: by name.
        absent: cases that could not be measured here, and why.
        picture: what to show with it.

    Raises:
        KeyError: the criterion speaks of a figure that was neither measured nor said to be absent.

    >>> from gainstage.records import Bound
    >>> claim = Claim("0.1", "it shrinks", (Bound("a", below=1, case="tanh"), Bound("b", below=1, case="relu")), "")
    >>> evidence = judge(claim, {"a": Figure("a", 0.5, 0.4, 0.6), "b": Figure("b", 1.0, 0.9, 1.1)})
    >>> evidence.verdict, evidence.conditions
    ('holds under conditions', 'Holds for: tanh. Not shown for: relu.')
    """
    absent = absent or {}
    checks = tuple(
        Check(b, "not measured" if b.case in absent else b.outcome(figures[b.figure])) for b in claim.criterion
    )
    cases: dict[str, Outcome] = {}
    for check in checks:
        cases[check.bound.case] = _worse(cases.get(check.bound.case, "met"), check.outcome)
    wanted = dict.fromkeys((*(b.figure for b in claim.criterion), *claim.shows))
    shown = tuple(figures[name] for name in wanted if name in figures)
    return Evidence(claim, shown, checks, _verdict(cases.values()), _conditions(cases, absent), picture)


_RANK: tuple[Outcome, ...] = ("met", "open", "broken", "not measured")


def _worse(first: Outcome, second: Outcome) -> Outcome:
    return max(first, second, key=_RANK.index)


def _verdict(outcomes: Iterable[Outcome]) -> Verdict:
    measured = [outcome == "met" for outcome in outcomes if outcome != "not measured"]
    if measured and all(measured):
        return "holds"
    return "holds under conditions" if any(measured) else "does not hold"


def _conditions(cases: Mapping[str, Outcome], absent: Mapping[str, str]) -> str:
    words = {"met": "Holds for", "broken": "Does not hold for", "open": "Not shown for"}
    named = {outcome: [case for case, found in cases.items() if found == outcome and case] for outcome in words}
    told = [f"{words[outcome]}: {'; '.join(list_)}." for outcome, list_ in named.items() if list_]
    if not any(case for case in cases):
        told = ["Not shown: the interval reaches across the bound."] if "open" in cases.values() else []
    elif set(cases.values()) == {"met"}:
        told = []
    return " ".join([*told, *(f"Not measured for: {case} ({absent[case]})." for case in cases if case in absent)])
