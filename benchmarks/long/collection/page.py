"""The page of agreement, and its picture."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from collection.rows import Row, covered, share_off, worst
from gainstage.report.charts.scatter import Pair, agreement

__all__ = ["page", "picture"]

STRICT = ("fully connected", "convolutional", "residual", "normalised")
LOOSE = ("attention", "gated", "recurrent")

INTRODUCTION = """# Predicted against measured

`gs.predict` computes the second moment of the signal and of the gradient at every operation from theory alone. Here its
figures stand beside measured ones, for {cases} architectures. `make agreement` makes this page again.

Every architecture is drawn and fed {seeds} times: weights and batch anew each time, the batch independent standard
normal values (uniform tokens for text), random signs as the gradient at the output. What is compared is the mean over
those draws at every weighted operation. A prediction counts as **off** when its error exceeds three standard errors of
that mean *and* the family's tolerance: 2 % for fully connected, convolutional, residual and normalised networks, 15 %
for attention, gated units and recurrence. The printed 90 % band is held against the single draws.

The rules of prediction were developed on these architectures; how well they do on others is on the page
[unseen](unseen.md).

![Every weighted operation, predicted against measured](agreement.svg)
"""

WHY = """
## Where it is worse, and why

- **Inception**: of maxima over windows that overlap, two share their winner by chance as if the places were equally
  alike. Where the map is smooth, as behind other maxima, the largest lies at a window's edge more often, fewer windows
  share it, and the gradient there is told about 7 % too large.
- **Fully connected, orthogonal**: the draws of this page lie low by chance. A hundred others have 0.0626 ± 0.0006 at
  the fifth layer, where 0.0625 is told.
- **Causal attention**: about a tenth at the queries of layers behind the first, whose rows share what the rows before
  them have averaged; the angles of rotary positions, which a trace does not see, are taken to have base 10⁴.
- **Bands at values of causal attention**: single draws scatter up to half as much again as told. Their gradient weighs
  the first tokens most, and a band knows how far the mean over all tokens scatters, not that of the first ones alone;
  nor does it know that few heads look at few keys, some of which all rows prefer.
"""

REAL = """
## On real images

The same networks on images of handwritten digits instead of noise. Theory is told their mean, their second moment, how
the level runs along both axes, and how alike neighbours, places and examples are. It takes images to be Gaussian and
pixels further apart to be alike by a factor a place. What is missed most are tokens of plain background, which are all
the same behind a norm: attention averages less away than is told (forward), and how unlike tokens are that later norms
divide is told too small without attention and too large with it (backward).
"""


def page(rows: Sequence[Row], seeds: int) -> str:
    """All of it, in Markdown."""
    noise, real = [row for row in rows if not row.real], [row for row in rows if row.real]
    cases = len({row.case for row in noise})
    parts = [INTRODUCTION.format(cases=cases, seeds=seeds), "\n## By family\n\n", _families(noise)]
    parts += ["\n## By architecture\n\n", _architectures(noise), _worst(noise), WHY]
    if real:
        parts += [REAL, "\n", _architectures(real)]
    return "".join(parts)


def picture(rows: Sequence[Row]) -> str:
    """Every operation as a point, noise alone."""
    pairs = [
        Pair(f"{row.case}: {row.label}", row.predicted, row.measured, row.direction)
        for row in rows
        if not row.real and math.isfinite(row.predicted)
    ]
    return agreement(pairs, title="Second moments, predicted against measured", within=0.15)


def _families(rows: Sequence[Row]) -> str:
    groups = [
        ("fully connected, convolutional, residual, normalised", [row for row in rows if row.family in STRICT]),
        ("attention, gated, recurrent", [row for row in rows if row.family in LOOSE]),
    ]
    return _table("families", [(name, chosen) for name, chosen in groups if chosen])


def _architectures(rows: Sequence[Row]) -> str:
    groups = [(name, list(chosen)) for name, chosen in itertools.groupby(rows, key=lambda row: row.case)]
    return _table("architecture", groups)


def _table(what: str, groups: Sequence[tuple[str, Sequence[Row]]]) -> str:
    lines = [
        f"| {what} | tolerance | operations | off, forward | off, backward | worst, forward | worst, backward "
        "| band holds, forward | band holds, backward |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, rows in groups:
        ways = [[row for row in rows if row.direction == way] for way in ("forward", "backward")]
        cells = [
            name,
            f"{rows[0].tolerance:.0%}",
            str(len(ways[0])),
            *_each(ways, share_off, ".1%"),
            *_each(ways, worst, "+.1%"),
            *_each(ways, covered, ".0%"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _each(ways: Sequence[Sequence[Row]], figure: Callable[[Sequence[Row]], float], form: str) -> list[str]:
    return ["–" if math.isnan(value := figure(rows)) else format(value, form) for rows in ways]


def _worst(rows: Sequence[Row]) -> str:
    """The operations that are off, the farthest of each architecture and direction first."""
    off = [row for row in rows if row.off]
    if not off:
        return "\nNothing is off.\n"
    lines = ["\n### What is off\n\n", f"{len(off)} of {len(rows)} figures; the farthest of each architecture:\n\n"]
    lines += [
        "| architecture | direction | operation | predicted | measured | standard error |\n",
        "|---|---|---|--:|--:|--:|\n",
    ]
    for (case, direction), chosen in itertools.groupby(
        sorted(off, key=lambda row: (row.case, row.direction)), key=lambda row: (row.case, row.direction)
    ):
        row = max(chosen, key=lambda row: abs(row.relative) if math.isfinite(row.relative) else math.inf)
        figures = " | ".join(f"{value:.4g}" for value in (row.predicted, row.measured, row.error))
        lines.append(f"| {case} | {direction} | {row.label} | {figures} |\n")
    return "".join(lines)
