"""Predicted against measured on the second list, the seen and the unseen half side by side.

    python benchmarks/long/unseen_agreement.py                  # both halves
    python benchmarks/long/unseen_agreement.py --half seen      # the half to work on, architecture by architecture
    python benchmarks/long/unseen_agreement.py --only "class token" --every  # every operation that is off

What was measured is kept in ``build/second_list`` and gone on from; predictions are made anew.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import argparse
import json
from pathlib import Path

from second_list import CASES, Case
from second_list.figures import by_case, figures, table
from second_list.halves import FILE, HALVES, Half, frozen, parted
from second_list.measuring import compared, measured
from second_list.page import written
from second_list.rows import Row

from gainstage.errors import GainstageError

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "second_list"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--half", choices=HALVES, help="one half alone; both are compared without it")
    options.add_argument("--only", nargs="*", help="architectures of these names")
    options.add_argument("--sizes", type=int, nargs="*", default=[8, 64], help="examples of a batch")
    options.add_argument("--draws", type=int, default=6)
    options.add_argument("--every", action="store_true", help="print every operation that is off by more than 10 %%")
    options.add_argument("--write", metavar="WHEN", help="add the tables to docs/unseen.md under this heading")
    options.add_argument("--measure", action="store_true", help="measure what is missing, and compare nothing")
    options.add_argument("--freeze", action="store_true", help="write down what the coin fell on")
    given = options.parse_args()
    if given.freeze:
        FILE.write_text(json.dumps(parted(case.name for case in CASES), indent=1) + "\n", encoding="utf-8")
        return
    if given.measure:
        for half, case in chosen(given):
            for examples in given.sizes:
                measure(case, half, examples, given.draws)
        return
    rows, missing = compare(given)
    print(table({half: found for half, found in rows.items() if found}))
    if missing:
        print("Not compared:", *(f"  {name}: {why}" for name, why in missing), sep="\n")
    if given.write:
        page = ROOT / "docs" / "unseen.md"
        page.write_text(written(page.read_text(encoding="utf-8"), given.write, rows, missing), encoding="utf-8")


def compare(given: argparse.Namespace) -> tuple[dict[str, list[Row]], list[tuple[str, str]]]:
    """Rows by half, and what could not be compared with the reason."""
    rows: dict[str, list[Row]] = {half: [] for half in HALVES}
    missing: list[tuple[str, str]] = []
    for half, case in chosen(given):
        for examples in given.sizes:
            found, wrong, seconds = compared(case, examples, given.draws, KEPT)
            if wrong:
                missing.append((f"{case.name}, batch of {examples}", wrong[:160]))
            rows[half] += found
            report(found, seconds, quiet=half == "unseen", every=given.every)
    return rows, missing


def chosen(given: argparse.Namespace) -> list[tuple[Half, Case]]:
    """The cases asked for, the seen half first."""
    halves: dict[Half, list[str]] = frozen()
    wanted = [half for half in HALVES if given.half in (None, half)]
    return [
        (half, case)
        for half in wanted
        for case in CASES
        if case.name in halves[half] and (not given.only or case.name in given.only)
    ]


def measure(case: Case, half: Half, examples: int, draws: int) -> None:
    """Measure one case; what its code raises is shown and passed over."""
    try:
        measured(case, examples, draws, KEPT)
    except (GainstageError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
        print(f"{half} {case.name} {examples}: {type(error).__name__}: {error}", flush=True)


def report(rows: list[Row], seconds: float, *, quiet: bool, every: bool) -> None:
    """Print one architecture; the unseen half shows nothing but that it was measured."""
    for (name, examples), chosen in by_case(rows).items():
        if quiet:
            print(".", end="", flush=True)
            continue
        parts = []
        for way in ("forward", "backward"):
            f = figures([row for row in chosen if row.direction == way])
            parts.append(
                f"{way[:4]} {f.median:7.1%} {f.near:4.0%} doubt {f.doubted:4.0%} silent {f.silent:4.0%} {f.held:4.0%}"
            )
        print(f"{name[:34]:34} {examples:3} {'   '.join(parts)}  {seconds:.2f} s", flush=True)
        if every:
            print(*(line(row) for row in chosen if not row.within(0.1)), sep="\n")


def line(row: Row) -> str:
    """One operation in a line."""
    figure = f"predicted {row.predicted:10.4g}  measured {row.measured:10.4g} ± {row.error:.2g}"
    return f"    {row.direction:8} {row.label:52} {figure} {row.predicted / row.measured - 1:+8.1%}  {row.doubt[:60]}"


if __name__ == "__main__":
    main()
