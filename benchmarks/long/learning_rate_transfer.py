"""Real trainings: the best learning rate of a small model against that of one eight times as wide.

    python benchmarks/long/learning_rate_transfer.py                     # all; what ended is kept and gone on from
    python benchmarks/long/learning_rate_transfer.py --only MLP --seeds 2
    python benchmarks/long/learning_rate_transfer.py --write             # the table into docs/scaling.md

Trainings that ended are kept in ``build/transfer``.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

from transfer.networks import KINDS
from transfer.training import PARAMETRISATIONS, Trained, train

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- transfer -->\n", "<!-- /transfer -->\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=200)
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    store = Trained(ROOT / "build" / "transfer" / "trained.jsonl")
    lines = []
    for name in given.only:
        for parametrisation in PARAMETRISATIONS:
            lines.append(row(name, parametrisation, given.steps, given.seeds, store))
            print(lines[-1], flush=True)
    if given.write:
        page = ROOT / "docs" / "scaling.md"
        text = page.read_text(encoding="utf-8")
        block = BEGIN + table(lines, given.steps, given.seeds) + END
        page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


def row(name: str, parametrisation: str, steps: int, seeds: int, store: Trained) -> str:
    """The best rates at both widths, and the loss of the wide one at the small one's best rate, as a row."""
    kind = KINDS[name]
    best, found = {}, {}
    for width in (kind.width, 8 * kind.width):
        losses = {}
        for rate in kind.rates:
            losses[rate] = math.fsum(
                once(store, name, parametrisation, width, rate, steps, seed) for seed in range(seeds)
            ) / seeds  # fmt: skip
        best[width], found[width] = min(losses, key=losses.__getitem__), losses
    small, large = best[kind.width], best[8 * kind.width]
    apart = round(math.log2(large / small))
    carried, own = found[8 * kind.width][small], found[8 * kind.width][large]
    cells = [name, parametrisation, f"{kind.width} → {8 * kind.width}", f"2^{math.log2(small):.0f}",
             f"2^{math.log2(large):.0f}", f"{apart:+d}", f"{carried:.3g}", f"{own:.3g}"]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def once(store: Trained, name: str, parametrisation: str, width: int, rate: float, steps: int, seed: int) -> float:
    """The loss of one training; from the store where it ended before."""
    key = f"{name}/{parametrisation}/{width}/{rate}/{steps}/{seed}"
    known = store.losses()
    if key not in known:
        loss = train(KINDS[name], parametrisation, width, rate, steps, seed)
        store.add(key, loss)
        return loss
    return known[key]


def table(lines: list[str], steps: int, seeds: int) -> str:
    """The rows under their head."""
    head = (
        f"Adam, {steps} steps, {seeds} seeds, rates in factors of two; a loss is the mean over the last tenth.\n\n"
        "| network | parametrisation | widths | best rate, small | best rate, wide | steps of the grid apart "
        "| loss of the wide one at the small one's rate | at its own best |\n|---|---|---|--:|--:|--:|--:|--:|\n"
    )
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
