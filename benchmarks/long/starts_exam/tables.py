"""From results to tables: at the author's rate, and each start at its best of four."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, median

from starts_exam import Half
from starts_exam.case import Case
from starts_exam.starts import AUTHOR, AUTO
from starts_exam.store import Result
from starts_exam.verdicts import Contrast, contrasts, score

__all__ = ["FACTORS", "Table", "at_best_rate", "at_own_rate", "details", "totals"]

FACTORS = (1 / 3, 1.0, 3.0, 9.0)
"""Rates in units of the author's: steps of 3, as people search, so that the best rate is off by a factor √3 at most.

Authors choose rates for long trainings; short ones are best at rates that are higher rather than lower, so two of the
rates lie above the author's and one below.
"""

Chosen = dict[int, tuple[float, Result]]
"""By seed: the factor and the result that stand for a start."""
Choice = Callable[[Case, Sequence[Result]], Chosen]


class Table:
    """All contrasts of some cases under one choice of rates."""

    def __init__(self, cases: Sequence[Case], results: Iterable[Result], choice: Choice) -> None:
        found: dict[tuple[str, str], list[Result]] = {}
        for result in results:
            found.setdefault((result.case, result.start), []).append(result)
        self.cases = cases
        self.sides: dict[str, tuple[Chosen, Chosen]] = {}
        pairs, kept, refused = {}, {}, []
        for case in cases:
            author, auto = (choice(case, found.get((case.name, start), [])) for start in (AUTHOR, AUTO))
            seeds = sorted(author.keys() & auto.keys())
            self.sides[case.name] = author, auto
            values = [(score(case.metric, author[s][1].value), score(case.metric, auto[s][1].value)) for s in seeds]
            pairs[case.name] = values
            kept[case.name] = bool(seeds) and all(author[s][1].fingerprint == auto[s][1].fingerprint for s in seeds)
            if any(result.error for result in found.get((case.name, AUTO), [])):
                refused.append(case.name)
        self.contrasts = contrasts(pairs, kept, refused)

    def count(self, verdict: str) -> int:
        """Return how many cases have this verdict."""
        return sum(contrast.verdict == verdict for contrast in self.contrasts)


def at_own_rate(_: Case, results: Sequence[Result]) -> Chosen:
    """Take the author's rate."""
    return {r.seed: (r.factor, r) for r in results if r.factor == 1.0 and not r.error}


def at_best_rate(case: Case, results: Sequence[Result]) -> Chosen:
    """Take for every seed the rate with the best mean score on the other seeds, so that no start is flattered."""
    table: dict[float, dict[int, Result]] = {}
    for result in results:
        if not result.error:
            table.setdefault(result.factor, {})[result.seed] = result
    seeds = {seed for row in table.values() for seed in row}
    if len(table) < len(FACTORS) or any(row.keys() != seeds for row in table.values()):
        return {}
    chosen = {}
    for seed in seeds:
        others = seeds - {seed} or seeds
        best = max(sorted(table), key=lambda f: fmean(score(case.metric, table[f][s].value) for s in others))
        chosen[seed] = best, table[best][seed]
    return chosen


def details(table: Table) -> list[str]:
    """One row for each case."""
    rows = [
        "| case | field | metric | author | auto | auto − author | rates × | verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, contrast in zip(table.cases, table.contrasts, strict=True):
        author, auto = table.sides[case.name]
        rates = " · ".join("/".join(sorted({f"{f:.2g}" for f, _ in side.values()})) for side in (author, auto))
        verdict = contrast.verdict + (" (kept)" if contrast.kept and contrast.verdict == "alike" else "")
        figures = f"{contrast.difference:+.2f} [{contrast.low:+.2f}, {contrast.high:+.2f}]"
        rows.append(
            f"| {case.name} | {case.field} | {case.metric.name} | {_middle(author)} | {_middle(auto)} | {figures} | "
            f"{rates} | {verdict} |"
        )
    return rows


def _middle(chosen: Chosen) -> str:
    values = [float("nan") if r.value is None else r.value for _, r in chosen.values()]
    return f"{median(values):.4g}" if values else "–"


def totals(tables: dict[tuple[str, Half], Table]) -> list[str]:
    """Both halves side by side: a row for each choice of rates and half."""
    rows = [
        "| rates | half | cases | better | alike | worse | refused | leaning better | leaning worse | mean |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (rates, half), table in tables.items():
        known = [c for c in table.contrasts if c.verdict in ("better", "alike", "worse")]
        if not known:
            continue
        counts = " | ".join(str(table.count(verdict)) for verdict in ("better", "alike", "worse", "refused"))
        leaning = " | ".join(str(sum(c.leaning == sign for c in known)) for sign in (1, -1))
        rows.append(f"| {rates} | {half} | {len(table.contrasts)} | {counts} | {leaning} | {_mean(known)} |")
    return rows


def _mean(known: Sequence[Contrast]) -> str:
    """Mean difference over cases, each bounded by ±2, with its standard error."""
    bounded = [max(-2.0, min(2.0, c.difference)) for c in known]
    middle = fmean(bounded)
    error = (sum((b - middle) ** 2 for b in bounded) / max(len(bounded) - 1, 1) / len(bounded)) ** 0.5
    return f"{middle:+.3f} ± {error:.3f}"
