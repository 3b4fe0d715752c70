"""A verdict follows from bounds and intervals alone, and every claim of every question can come out the other way."""

from __future__ import annotations

import math

import pytest

from gainstage.lessons import QUESTIONS, open_question
from gainstage.lessons.criterion import judge
from gainstage.records import Bound, Claim, Figure

CLAIMS = [claim for entry in QUESTIONS for claim in open_question(entry).claims]


def figure(name: str, low: float, high: float, case: str = "") -> Figure:
    return Figure(name, (low + high) / 2, low, high, n=3, case=case)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (1.1, 1.9, "met"),
        (0.5, 1.5, "open"),
        (1.5, 2.5, "open"),
        (0.5, 2.5, "open"),
        (0.1, 1.0, "broken"),
        (2.0, 3.0, "broken"),
        (-math.inf, math.inf, "open"),
        (math.nan, math.nan, "open"),
    ],
)
def test_the_whole_interval_has_to_keep_a_bound(low: float, high: float, outcome: str) -> None:
    assert Bound("x", above=1.0, below=2.0).outcome(figure("x", low, high)) == outcome


CASES = Claim("0.1", "a claim", (Bound("x", below=1.0, case="a"), Bound("x", below=1.0, case="b")), "")


@pytest.mark.parametrize(
    ("a", "b", "verdict", "conditions"),
    [
        ((0.1, 0.2), (0.3, 0.4), "holds", ""),
        ((0.1, 0.2), (2.0, 3.0), "holds under conditions", "Holds for: a. Does not hold for: b."),
        ((0.1, 2.0), (0.3, 0.4), "holds under conditions", "Holds for: b. Not shown for: a."),
        ((2.0, 3.0), (2.0, 3.0), "does not hold", "Does not hold for: a; b."),
        ((0.1, 3.0), (2.0, 3.0), "does not hold", "Does not hold for: b. Not shown for: a."),
    ],
)
def test_cases_make_the_verdict(a, b, verdict, conditions) -> None:
    evidence = judge(CASES, [figure("x", *a, "a"), figure("x", *b, "b")])
    assert (evidence.verdict, evidence.conditions) == (verdict, conditions)


def test_a_case_holds_only_with_all_its_bounds() -> None:
    claim = Claim("0.1", "a claim", (Bound("x", below=1.0), Bound("y", below=1.0)), "")
    assert judge(claim, [figure("x", 0, 0.1), figure("y", 0, 0.1)]).verdict == "holds"
    assert judge(claim, [figure("x", 0, 0.1), figure("y", 2, 3)]).verdict == "does not hold"


def test_what_could_not_be_measured_is_said_and_does_not_count() -> None:
    evidence = judge(CASES, [figure("x", 0.1, 0.2, "a")], absent={"b": "it is not installed"})
    assert evidence.verdict == "holds"
    assert evidence.conditions == "Holds for: a. Not measured for: b (it is not installed)."
    assert judge(CASES, [], absent=dict.fromkeys("ab", "why")).verdict == "does not hold"


def test_a_figure_that_is_missing_without_a_reason_is_a_defect() -> None:
    with pytest.raises(KeyError):
        judge(CASES, [figure("x", 0.1, 0.2, "a")])


def satisfying(claim: Claim) -> list[Figure]:
    """Figures inside of every bound, made up from the bounds alone."""
    limits: dict[tuple[str, str], list[float]] = {}
    for bound in claim.criterion:
        low, high = limits.setdefault((bound.figure, bound.case), [-math.inf, math.inf])
        low = low if bound.above is None else max(low, bound.above)
        high = high if bound.below is None else min(high, bound.below)
        limits[bound.figure, bound.case] = [low, high]
    figures = []
    for (name, case), (low, high) in limits.items():
        low = low if math.isfinite(low) else high - 2
        high = high if math.isfinite(high) else low + 2
        middle, room = (low + high) / 2, (high - low) / 4
        figures.append(figure(name, middle - room, middle + room, case))
    return figures


def violating(claim: Claim) -> list[Figure]:
    """Figures outside of every bound."""
    figures: dict[tuple[str, str], Figure] = {}
    for bound in claim.criterion:
        far = bound.above - 1 if bound.above is not None else (bound.below or 0.0) + 1
        figures[bound.figure, bound.case] = figure(bound.figure, far, far, bound.case)
    return list(figures.values())


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_every_claim_can_hold_and_can_fail(claim: Claim) -> None:
    good, bad = satisfying(claim), violating(claim)
    assert judge(claim, good).verdict == "holds"
    assert judge(claim, bad).verdict == "does not hold"
    cases = list(dict.fromkeys(bound.case for bound in claim.criterion))
    if len(cases) > 1:
        mixed = [*(f for f in good if f.case == cases[0]), *(f for f in bad if f.case != cases[0])]
        assert judge(claim, mixed).verdict == "holds under conditions"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_one_broken_bound_is_enough_to_lose_the_verdict(claim: Claim) -> None:
    good, bad = satisfying(claim), {(f.name, f.case): f for f in violating(claim)}
    for place, kept in enumerate(good):
        changed = [*good[:place], bad[kept.name, kept.case], *good[place + 1 :]]
        assert judge(claim, changed).verdict != "holds"
