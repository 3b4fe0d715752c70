"""The exam of starts: ``gs.initialize(model, x=batch)`` against the start that authors give, by real trainings.

Every training is stored at once under its case, rate, seed and a fingerprint of the weights it starts from, so that a
run that was stopped goes on where it was, and only what changed is trained again. The unseen half prints totals alone.

    python benchmarks/long/exam_of_starts.py --half seen --quick
    python benchmarks/long/exam_of_starts.py --only 'gpt-*' --seeds 5
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import torch
from starts_exam import Case, Half, half_of, keras_cases, torch_cases
from starts_exam.running import train
from starts_exam.starts import AUTO, STARTS, fingerprint, restore, start, weights
from starts_exam.store import Result, Store
from starts_exam.tables import FACTORS, Table, at_best_rate, at_own_rate, details, totals

PAGE = Path(__file__).parents[2] / "docs" / "exam-of-starts.md"
MARK = "<!-- results: below this line everything is written by the command -->"

HALVES: tuple[Half, ...] = get_args(Half)


def run(case: Case, seed: int, factors: Sequence[float], store: Store) -> list[Result]:
    """Train one case from both starts at some rates, unless an equal training is stored."""
    data, results = case.data(seed), []
    for name in STARTS:
        try:
            model = start(case, name, data, seed)
        except Exception as refused:
            if name != AUTO:
                raise
            message = f"{type(refused).__name__}: {refused}"[:300]
            results.append(Result(case.name, name, 1.0, seed, "", error=message))
            store.add(results[-1])
            continue
        kept = weights(case, model)
        mark = fingerprint(kept)
        for factor in factors:
            found = store.get(case.name, name, factor, seed, mark)
            if found is None or found.start != name:
                found = _copied(found, name) if found else _trained(case, name, model, kept, data, factor, seed)
                store.add(found)
            results.append(found)
    return results


def _trained(case, name, model, kept, data, factor, seed) -> Result:
    restore(case, model, kept)
    ended = train(case, model, data, case.rate * factor, seed)
    before, value, loss = (v if math.isfinite(v) else None for v in (ended.before, ended.value, ended.loss))
    return Result(case.name, name, factor, seed, fingerprint(kept), before, value, loss, round(ended.seconds, 2))


def _copied(found: Result, name: str) -> Result:
    return Result(found.case, name, found.factor, found.seed, found.fingerprint, found.before, found.value, found.loss)


def report(cases: Sequence[Case], results: dict[Half, list[Result]], *, quick: bool, reveal: bool) -> str:
    """Print what was found in each half, and the totals of both side by side."""
    choices = {"author's": at_own_rate} if quick else {"author's": at_own_rate, "best of four": at_best_rate}
    tables: dict[tuple[str, Half], Table] = {}
    lines: list[str] = []
    for name, choice in choices.items():
        for half in HALVES:
            members = [case for case in cases if half_of(case.name) == half]
            if not members or not results[half]:
                continue
            tables[name, half] = Table(members, results[half], choice)
            if half == "seen" or reveal:
                lines += [f"## {half} half, {name} rate", "", *details(tables[name, half]), ""]
                errors = {r.case: r.error for r in results[half] if r.error}
                lines += [f"- {case}: {error}" for case, error in errors.items()] + [""] * bool(errors)
    return "\n".join([*lines, "## Totals", "", *totals(tables)])


def chosen(given: argparse.Namespace) -> list[Case]:
    """The cases that were asked for."""
    everything = torch_cases() + (() if given.torch else keras_cases())
    return [
        case for case in everything
        if given.half in ("both", half_of(case.name)) and any(fnmatchcase(case.name, p) for p in given.only)
    ]  # fmt: skip


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=(*HALVES, "both"), default="both")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="names, with * and ?")
    parser.add_argument("--quick", action="store_true", help="train at the author's rate alone")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--torch", action="store_true", help="leave the Keras cases out")
    parser.add_argument("--reveal", action="store_true", help="print the unseen half case by case")
    parser.add_argument("--report", action="store_true", help="print what is stored, and train nothing")
    parser.add_argument("--write", action="store_true", help="write what is printed into docs/exam-of-starts.md too")
    parser.add_argument("--store", type=Path, default=Path(".starts_exam"), help="folder of results")
    return parser.parse_args()


def main() -> None:
    warnings.filterwarnings("ignore", category=UserWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    given = options()
    torch.set_num_threads(1)
    given.store.mkdir(parents=True, exist_ok=True)
    cases, stores = chosen(given), {half: Store(given.store / f"{half}.jsonl") for half in HALVES}
    factors = (1.0,) if given.quick else FACTORS
    results: dict[Half, list[Result]] = {half: [] for half in HALVES}
    for i, case in enumerate(cases, 1):
        half = half_of(case.name)
        if given.report:
            results[half] += [r for r in stores[half].latest() if r.case == case.name and r.factor in factors]
            continue
        name = case.name if half == "seen" or given.reveal else half
        print(f"{i}/{len(cases)} {name}", file=sys.stderr, flush=True)
        for seed in range(given.seeds):
            results[half] += run(case, seed, factors, stores[half])
    printed = report(cases, results, quick=given.quick, reveal=given.reveal)
    print(printed)
    if given.write:
        page, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
        PAGE.write_text(f"{page}{MARK}\n\n{printed.replace('## ', '### ')}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
