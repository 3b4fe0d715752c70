"""Writes docs/architectures.md: what automatic initialization makes of every architecture of the tests' zoo."""

from __future__ import annotations

import logging
import math
import os
import sys
import warnings
from pathlib import Path
from statistics import fmean

os.environ.setdefault("HF_HUB_OFFLINE", "1")
DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from zoo.architectures import ARCHITECTURES, EXAMPLES  # noqa: E402
from zoo.starts import SEEDS, Row, compared  # noqa: E402

HEAD = f"""# Architectures: where automatic initialization starts

`make architectures` makes this page. Every architecture of the tests, and of the Hugging Face library in a small
configuration, with its normalisation layers and with every one of them taken out, is drawn {SEEDS} times as its own
code draws it, and then initialized with `gs.initialize(model, "auto", x=x)` on {EXAMPLES} examples of noise (or random
tokens). Both are looked at on the same batch, in the same mode and random state.

- **levels**: weights that were calibrated, and the largest relative error of any level over all draws; **left**: those
  that have a target and kept the predicted value, with the reason below.
- **loss**: mean over draws, over the loss at equal probabilities.
- **share** of variance across examples at what the head reads, its own code's start → auto.
- **gradients**: largest over smallest norm of a gradient at the outputs of the weighted layers before the head (behind
  the normalisation, where one follows), geometric mean over draws, its own code's start → auto.

"""


REMARKS = """## What some figures rest on

- Where no bias can take a mean off (the last weights of branches in Falcon and T5), weights do that sum to zero, and
  tables of words lose their mean row: a vocabulary of 64 words makes tokens of two examples alike in one case of 61
  to begin with, and attention would bring that out.
- Gradients of dense nets and U-Nets: what is set beside the signal it comes from has a budget. With every part at
  level one the gradient of the first layer, which all later ones read, would grow with the square root of their number.
- A ratio of a million in ConvNeXt is its layer scale of 1e-6, which is left as the model's own code has it: gradients
  inside of a branch are that much smaller than those along the stream. Among the ones, and among the others, they
  differ by a factor below three.
- The smallest gradients of a transformer are mostly those of queries and keys, which the loss reaches through the
  softmax alone.

"""


def line(row: Row) -> str:
    """One row of the table."""
    default, auto = row.ratios
    loss = "" if row.loss is None else f"{row.loss:.3f}"
    shares = "" if row.shares is None else " → ".join(f"{fmean(s):.3f}" for s in row.shares)
    ratios = " → ".join(f"{math.exp(fmean(logs)):.3g}" for logs in (default, auto))
    first = row.auto[0]
    cells = (row.case.name, f"{len(first.levels)}, {row.off_level:.1e}", str(len(first.left)), loss, shares, ratios,
             remark(row))  # fmt: skip
    return f"| {' | '.join(cells)} |"


def remark(row: Row) -> str:
    """What of the page's statements does not hold here."""
    told = []
    if row.off_level > 0.01:
        told.append("a level is off")
    if row.loss is not None and abs(row.loss - 1) > 0.1:
        told.append("loss not at chance")
    if row.shares_fall:
        told.append("share below")
    if row.gradients_worse:
        told.append("gradients wider")
    return ", ".join(told)


def summary(rows: list[Row]) -> str:
    """The statements, counted."""
    plain = [row for row in rows if not row.case.normalised]
    at_chance = [row for row in rows if row.loss is not None]
    shared = [row for row in rows if row.shares is not None]
    better = [row for row in plain if row.gradients_ten_times_better]
    lines = (
        f"{len(rows)} architectures, {len(plain)} of them without normalisation.",
        f"Levels within 1 % of their target at every calibrated weight: {sum(r.off_level <= 0.01 for r in rows)} of "
        f"{len(rows)}; the worst is {max(r.off_level for r in rows):.1e} off.",
        f"Loss within 10 % of chance: {sum(abs(r.loss - 1) <= 0.1 for r in at_chance)} of {len(at_chance)}.",
        f"Share across examples not below the own code's start, beyond three standard errors of the difference: "
        f"{sum(not r.shares_fall for r in shared)} of {len(shared)}.",
        f"Gradients no wider, beyond three standard errors: {sum(not r.gradients_worse for r in rows)} of {len(rows)}; "
        f"at most a tenth as wide on {len(better)} of the {len(plain)} without normalisation.",
    )
    return "\n".join(f"- {one}" for one in lines)


def reasons(rows: list[Row]) -> str:
    """The weights that kept their predicted value, by the reason, which may be the beginning of a sentence."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for why in row.auto[0].left.values():
            found.setdefault(why, []).append(row.case.name)
    return "\n".join(
        f"- *{why} …*: {len(names)} weights of {', '.join(dict.fromkeys(names))}" for why, names in found.items()
    )


def main() -> None:
    """Print every row as it is there, and write the page."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rows = []
    for case in ARCHITECTURES:
        rows.append(compared(case))
        print(line(rows[-1]), flush=True)
    table = ["| architecture | levels | left | loss | share | gradients | |", "|---|---|--:|--:|--:|--:|---|"]
    left = f"## Left to the predicted value\n\n{reasons(rows)}\n"
    parts = (HEAD, summary(rows), "\n\n", "\n".join((*table, *map(line, rows))), "\n\n", REMARKS, left)
    (DOCS / "architectures.md").write_text("".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
