"""Derives a verdict from a criterion and figures; the wording of a claim has no influence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gainstage.records import Bound, Check, Claim, Evidence, Figure, Outcome, Picture, Verdict

__all__ = ["for_each", "judge"]


def for_each(
    cases: Iterable[str], figure: str, *, above: float | None = None, below: float | None = None
) -> tuple[Bound, ...]:
    """Return the same bound on a figure for every case.

    >>> [bound.case for bound in for_each(["tanh", "relu"], "growth", below=1.0)]
    ['tanh', 'relu']
    """
    return tuple(Bound(figure, above, below, case) for case in cases)


def judge(
    claim: Claim,
    figures: Iterable[Figure],
    *,
    absent: Mapping[str, str] | None = None,
    picture: Picture | None = None,
) -> Evidence:
    """Compare measured figures with a claim's criterion.

    Args:
        claim: the claim to judge.
        figures: all measured figures, in any order.
        absent: cases that could not be measured here, with the reasons.
        picture: the picture to show with the claim.

    Raises:
        KeyError: the criterion names a figure that was neither measured nor declared absent.

    >>> from gainstage.records import Bound
    >>> claim = Claim("0.1", "it shrinks", (Bound("a", below=1, case="tanh"), Bound("b", below=1, case="relu")), "")
    >>> evidence = judge(claim, [Figure("a", 0.5, 0.4, 0.6, case="tanh"), Figure("b", 1.0, 0.9, 1.1, case="relu")])
    >>> evidence.verdict, evidence.conditions
    ('holds under conditions', 'Holds for: tanh. Not shown for: relu.')
    """
    absent = absent or {}
    found = {(figure.name, figure.case): figure for figure in figures}
    checks = tuple(
        Check(b, "not measured" if b.case in absent else b.outcome(found[b.figure, b.case])) for b in claim.criterion
    )
    cases: dict[str, Outcome] = {}
    for check in checks:
        cases[check.bound.case] = _worse(cases.get(check.bound.case, "met"), check.outcome)
    wanted = [(b.figure, b.case) for b in claim.criterion]
    wanted += [key for name in claim.shows for key in found if key[0] == name]
    shown = tuple(found[key] for key in dict.fromkeys(wanted) if key in found)
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
