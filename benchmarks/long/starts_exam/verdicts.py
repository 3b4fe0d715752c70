"""Whether ``auto`` trained better, alike or worse: paired differences over few seeds, for many cases at once.

Three seeds hardly show their own variance, so that of each case is drawn towards what is usual among all cases: a
scaled inverse χ² prior whose parameters come from the sample variances (Smyth 2004, Linear models and empirical Bayes
methods, section 6.2). Verdicts are corrected for their number by Benjamini and Hochberg's step-up procedure at 5 %,
and intervals have the level 1 - 0.05 · verdicts / cases that goes with it (Benjamini and Yekutieli 2005): an interval
excludes zero exactly where there is a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import polygamma, psi, stdtr, stdtrit

from starts_exam.case import Metric

__all__ = ["Contrast", "Prior", "contrasts", "prior", "score"]

Verdict = Literal["better", "alike", "worse", "refused", "open"]

LEVEL = 0.05
NEGLIGIBLE = 0.01
"""Standard deviation that every difference has at least: one part in a hundred of an error."""

MOST = 3.0
"""Degrees of freedom that the prior is worth at most.

Forty variances of two degrees of freedom often look alike by chance. Without a bound a fifth of all tables in which
nothing differs had a verdict in simulations; with three it is 0 to 9 %, whatever the true prior, 3 % on average.
"""


def score(metric: Metric, value: float | None) -> float:
    """Put a held-out figure on a scale of logarithms (or nats) on which larger is better.

    What is worse than a constant guess, or not finite, counts as the guess. An accuracy becomes its log odds as though
    two of 404 examples more were right and two more wrong.
    """
    chance = metric.chance
    if value is None or not math.isfinite(value):
        value = chance
    if metric.scale == "share":
        share = (max(value, chance) * 400 + 2) / 404
        return math.log(share / (1 - share))
    value = min(value, chance)
    return -value if metric.scale == "plain" else -math.log(max(value, 1e-9))


@dataclass(frozen=True, slots=True)
class Contrast:
    """``auto`` minus the author's start in one case.

    Args:
        case: its name.
        difference: mean over seeds of the difference of scores; positive where ``auto`` is better.
        low, high: the corrected interval.
        verdict: ``refused`` where ``auto`` raised an error, ``open`` where there are fewer than two pairs.
        leaning: +1 or -1 where all seeds agree in sign and the mean exceeds a twentieth, else 0; not corrected.
        kept: whether ``auto`` left all weights as the author made them.
    """

    case: str
    difference: float
    low: float
    high: float
    verdict: Verdict
    leaning: int = 0
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Prior:
    """Usual variance of a difference, worth so many degrees of freedom."""

    variance: float
    freedom: float


def prior(variances: Sequence[float], freedom: int) -> Prior:
    """Fit the prior to sample variances of equal degrees of freedom, by the first two moments of their logarithms."""
    logs = np.log(np.asarray(variances, np.float64))
    if len(logs) < 2:
        return Prior(float(np.exp(logs.mean())) if len(logs) else 1.0, 0.0)
    excess = float(logs.var(ddof=1)) - float(polygamma(1, freedom / 2))
    centre = float(logs.mean()) - float(psi(freedom / 2)) + math.log(freedom / 2)
    half = MOST / 2
    if excess > float(polygamma(1, half)):
        half = float(brentq(lambda h: float(polygamma(1, h)) - excess, 1e-3, half))
    return Prior(math.exp(centre + float(psi(half)) - math.log(half)), 2 * half)


def contrasts(
    pairs: Mapping[str, Sequence[tuple[float, float]]], kept: Mapping[str, bool], refused: Sequence[str] = ()
) -> list[Contrast]:
    """Compare all cases of one table.

    Args:
        pairs: by case, the scores (author, auto) of each seed.
        kept: by case, whether ``auto`` left all weights alone.
        refused: cases in which ``auto`` raised an error.
    """
    differences = {case: np.array([auto - author for author, auto in both]) for case, both in pairs.items()}
    judged = {case: d for case, d in differences.items() if len(d) > 1 and case not in refused}
    spread = {case: float(d.var(ddof=1)) + NEGLIGIBLE**2 for case, d in judged.items()}
    moved = [case for case in judged if not kept.get(case, False)]
    freedom = min((len(judged[case]) for case in judged), default=2) - 1
    usual = prior([spread[case] for case in moved], freedom)
    errors, degrees, chances = {}, {}, {}
    for case, d in judged.items():
        degrees[case] = usual.freedom + len(d) - 1
        variance = (usual.freedom * usual.variance + (len(d) - 1) * spread[case]) / degrees[case]
        errors[case] = math.sqrt(variance / len(d))
        chances[case] = 2 * float(stdtr(degrees[case], -abs(float(d.mean())) / errors[case]))
    number = _step_up(list(chances.values()))
    level = LEVEL * max(number, 1) / max(len(judged), 1)
    found = []
    for case, d in differences.items():
        if case in refused or case not in judged:
            found.append(Contrast(case, math.nan, math.nan, math.nan, "refused" if case in refused else "open"))
            continue
        middle, half = float(d.mean()), float(stdtrit(degrees[case], 1 - level / 2)) * errors[case]
        verdict: Verdict = "alike" if chances[case] > level or not number else "better" if middle > 0 else "worse"
        same = bool((d > 0).all() or (d < 0).all()) and abs(middle) > 0.05
        leaning = int(math.copysign(1, middle)) if same else 0
        found.append(Contrast(case, middle, middle - half, middle + half, verdict, leaning, kept.get(case, False)))
    return found


def _step_up(chances: Sequence[float]) -> int:
    """Number of hypotheses that Benjamini and Hochberg's procedure rejects."""
    ordered = sorted(chances)
    passed = [i for i, p in enumerate(ordered, 1) if p <= LEVEL * i / len(ordered)]
    return max(passed, default=0)
