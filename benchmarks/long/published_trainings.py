"""Published networks: the start of their library's own code against ``auto`` and the default, by real trainings.

Every start has its own best of four rates, chosen by the mean score of two seeds; five fresh seeds at that rate then
decide. Every training is stored at once, so that a run that was stopped goes on where it was.

    python benchmarks/long/published_trainings.py
    python benchmarks/long/published_trainings.py --only 'vit' 'keras-*'
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean, median

import torch
from published_nets import hugging_face_cases, keras_cases
from starts_exam.case import Case, arguments
from starts_exam.running import train
from starts_exam.starts import fingerprint, restore, weights
from starts_exam.store import Result, Store
from starts_exam.verdicts import contrasts, score

import gainstage as gs

OWN, STARTS = "own", ("own", "auto", "mend")
FACTORS = (0.3, 1.0, 3.0, 10.0)
"""Rates in units of Adam's usual one, 1e-3."""
CHOOSING, FRESH = (0, 1), (2, 3, 4, 5, 6)
CALIBRATION = 64
NAMES = {"auto": "`auto`", "mend": "default"}


def started(case: Case, start: str, data, seed: int):
    """Build a network; its own code starts it, or gainstage does from 64 training examples."""
    model = case.model(seed)
    if start != OWN:
        x = tuple(part[:CALIBRATION] for part in arguments(data.x))
        gs.initialize(model, start, x=x if isinstance(data.x, tuple) else x[0], seed=seed)
    return model


def trained(case: Case, start: str, factors: Iterable[float], seed: int, store: Store) -> list[Result]:
    """Train from one start at some rates, unless an equal training is stored."""
    data = case.data(seed)
    model = started(case, start, data, seed)
    kept = weights(case, model)
    mark, results = fingerprint(kept), []
    for factor in factors:
        found = store.get(case.name, start, factor, seed, mark)
        if found is None:
            restore(case, model, kept)
            end = train(case, model, data, case.rate * factor, seed)
            before, value, loss = (v if math.isfinite(v) else None for v in (end.before, end.value, end.loss))
            found = Result(case.name, start, factor, seed, mark, before, value, loss, round(end.seconds, 2))
            store.add(found)
        elif found.start != start:
            found = Result(case.name, start, factor, seed, mark, found.before, found.value, found.loss, found.seconds)
            store.add(found)
        results.append(found)
    return results


def best_rate(case: Case, results: Sequence[Result]) -> float | None:
    """Return the rate whose mean score over the two choosing seeds is highest; None while trainings are missing."""
    means = {}
    for factor in FACTORS:
        scores = [score(case.metric, r.value) for r in results if r.factor == factor and r.seed in CHOOSING]
        if len(scores) < len(CHOOSING):
            return None
        means[factor] = fmean(scores)
    return max(means, key=lambda factor: means[factor])


def sit(case: Case, starts: Sequence[str], store: Store) -> None:
    """Run all trainings of one network."""
    for start in starts:
        found = [r for seed in CHOOSING for r in trained(case, start, FACTORS, seed, store)]
        rate = best_rate(case, found)
        assert rate is not None
        for seed in FRESH:
            trained(case, start, (rate,), seed, store)


class Table:
    """Fresh trainings from one start and from the networks' own, where both are complete in a store."""

    def __init__(self, start: str, cases: Sequence[Case], results: Sequence[Result]) -> None:
        self.fresh: dict[str, tuple[Fresh, Fresh]] = {}
        pairs, kept = {}, {}
        for case in cases:
            mine = [r for r in results if r.case == case.name]
            own, other = (_fresh(case, [r for r in mine if r.start == name]) for name in (OWN, start))
            if own is None or other is None:
                continue
            self.fresh[case.name] = own, other
            pairs[case.name] = [
                (score(case.metric, own.results[s].value), score(case.metric, other.results[s].value)) for s in FRESH
            ]
            kept[case.name] = all(own.results[s].fingerprint == other.results[s].fingerprint for s in FRESH)
        self.contrasts = {found.case: found for found in contrasts(pairs, kept)} if pairs else {}

    def cells(self, name: str) -> str:
        """Return median and verdict of a network, as two cells of a table."""
        if name not in self.fresh:
            return "– | –"
        found = self.contrasts[name]
        told = f"{found.verdict}{' (kept)' if found.kept else ''}"
        return f"{self.fresh[name][1]} | {told} {found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"

    def total(self) -> str:
        """Count the verdicts."""
        found = self.contrasts.values()
        counts = ", ".join(f"{sum(c.verdict == v for c in found)} {v}" for v in ("better", "alike", "worse"))
        return f"{counts} of {len(found)}; all weights kept on {sum(c.kept for c in found)}"


@dataclass(frozen=True, slots=True)
class Fresh:
    """The five trainings that decide, at the rate that the two others chose."""

    rate: float
    results: Mapping[int, Result]

    def __str__(self) -> str:
        values = [r.value if r.value is not None else math.nan for r in self.results.values()]
        return f"{median(values):.4g} at {self.rate * 1e-3:.2g}"


def _fresh(case: Case, results: Sequence[Result]) -> Fresh | None:
    rate = best_rate(case, results)
    found = {r.seed: r for r in results if r.factor == rate and r.seed in FRESH}
    return Fresh(rate, found) if rate is not None and len(found) == len(FRESH) else None


def report(cases: Sequence[Case], results: Sequence[Result], starts: Sequence[str] = STARTS) -> str:
    """Print one row for each network, and the totals."""
    tables = {name: Table(name, cases, results) for name in starts if name != OWN}
    shown = {name: table for name, table in tables.items() if table.fresh}
    heads = "".join(f" {NAMES[name]} | against it |" for name in shown)
    rows = [f"| network | metric | own start |{heads}", "|---|---|---|" + "---|---|" * len(shown)]
    for case in cases:
        own = next((t.fresh[case.name][0] for t in shown.values() if case.name in t.fresh), None)
        if own is not None:
            cells = " | ".join(table.cells(case.name) for table in shown.values())
            rows.append(f"| {case.name} | {case.metric.name} | {own} | {cells} |")
    return "\n".join([*rows, "", *(f"- {NAMES[name]}: {table.total()}." for name, table in shown.items())])


def main() -> None:
    warnings.filterwarnings("ignore")
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="names, with * and ?")
    parser.add_argument(
        "--starts", nargs="+", choices=STARTS, default=list(STARTS), help="the networks' own among them"
    )
    parser.add_argument("--torch", action="store_true", help="leave the Keras networks out")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--report", action="store_true", help="print what is stored, and train nothing")
    parser.add_argument("--store", type=Path, default=Path(".published_trainings.jsonl"), help="file of results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    everything = hugging_face_cases() + (() if given.torch else keras_cases())
    cases = [case for case in everything if any(fnmatchcase(case.name, p) for p in given.only)]
    if given.list:
        print("\n".join(case.name for case in cases))
        return
    store = Store(given.store)
    for i, case in enumerate([] if given.report else cases, 1):
        print(f"{i}/{len(cases)} {case.name}", file=sys.stderr, flush=True)
        sit(case, given.starts, store)
    print(report(cases, store.latest(), given.starts))


if __name__ == "__main__":
    main()
