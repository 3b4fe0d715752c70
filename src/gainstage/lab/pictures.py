"""Charts and cards as fragments of the lab's page: no fragment carries a style of its own or a script."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from gainstage.backends.protocol import LayerLevel
from gainstage.lab.state import CHOICES
from gainstage.records import Diagnosis, Finding, Plan, Profile, Severity
from gainstage.report.charts import Place, histogram_strip, phase_diagram
from gainstage.report.charts.depth_profile import Through, depth_chart
from gainstage.report.charts.svg import STYLE, escaped
from gainstage.report.depth import Depth, distributions, through_depth
from gainstage.report.html.parts import card, code, definitions, folded_away, paragraph
from gainstage.report.html.tables import every_assignment
from gainstage.report.standing import standing
from gainstage.report.text.diagnosis import headline
from gainstage.report.wording import count
from gainstage.theory import phase_diagram as phase_of

__all__ = ["bare", "findings", "histograms", "levels_chart", "phase", "plan_table", "through"]

_OWN_STYLE = f"<style>{STYLE}</style>"
_OWN_SIZE = ' style="max-width:100%;height:auto"'
GRID = (22, 12)  # points of the phase diagram, across and up
SQUARE = 560.0


def bare(svg: str) -> str:
    """Return a chart without its own style sheet and size, which the page's style sheet replaces."""
    return svg.replace(_OWN_STYLE, "").replace(_OWN_SIZE, "").rstrip()


def _height(width: float) -> float:
    return 460.0 if width >= 560 else 420.0


def levels_chart(levels: Sequence[LayerLevel], width: float) -> str:
    """Draw signal and gradient of a quick pass."""
    depth = Depth(
        tuple(range(len(levels))),
        tuple(level.path for level in levels),
        tuple(level.spread for level in levels),
        tuple(level.gradient for level in levels),
        (None,) * len(levels),
    )
    return bare(depth_chart([Through("", depth)], width=width, height=_height(width)))


def through(measured: Profile, predicted: Profile | None, found: Sequence[Finding], width: float) -> str:
    """Draw signal and gradient of a record, with findings as flags and the prediction with its band."""
    lines = [Through("", through_depth(measured))]
    if predicted is not None:
        lines.append(Through("predicted", through_depth(predicted)))
    return bare(depth_chart(lines, findings=found, width=width, height=_height(width)))


def findings(diagnosis: Diagnosis) -> str:
    """Return the verdict and a card for every finding, with a button for a remedy that draws new weights."""
    parts = [f'<p class="verdict {_kind(diagnosis)}"><strong>{escaped(headline(diagnosis))}</strong></p>']
    parts += [_finding(finding, place) for place, finding in enumerate(diagnosis.findings)]
    if diagnosis.unjudged:
        told = "; ".join(f"{rule.code}: {rule.reason}" for rule in diagnosis.unjudged)
        parts.append(folded_away(f"{count(len(diagnosis.unjudged), 'rule')} not judged", paragraph(told)))
    return "".join(parts)


def _kind(diagnosis: Diagnosis) -> str:
    worst = min((f.severity for f in diagnosis.findings), key=lambda s: s.rank, default=Severity.NOTE)
    return "good" if worst is Severity.NOTE and diagnosis.judged else worst.value


def _finding(finding: Finding, place: int) -> str:
    fields = [
        ("where", escaped(finding.place or "the whole model")),
        ("measured", escaped(finding.evidence)),
        ("cause", escaped(finding.cause)),
        ("remedy", escaped(finding.remedy.summary) + _apply(finding) + folded_away("code", code(finding.remedy.code))),
    ]
    badge = f"{finding.severity.value} {finding.code}"
    followed = "".join(_finding(f, place) for f in finding.consequences)
    more = folded_away(f"Brings {count(len(finding.consequences), 'more finding')}", followed) if followed else ""
    return card(finding.severity.value, badge, finding.title, definitions(fields), more)


def _apply(finding: Finding) -> str:
    scheme = finding.remedy.scheme
    if finding.remedy.action != "initialize" or scheme not in CHOICES["scheme"]:
        return ""
    told = f"Apply: start with {scheme}"
    return f' <button type="button" class="apply" data-scheme="{escaped(scheme)}">{escaped(told)}</button>'


def plan_table(plan: Plan) -> str:
    """Return the plan as a table, with its notes."""
    return "".join((*(paragraph(note) for note in plan.notes), every_assignment(plan)))


def histograms(profile: Profile, width: float) -> str:
    """Draw the distribution of each layer's values; empty where it was not recorded."""
    return bare(histogram_strip(profile, width=width)) if distributions(profile) else ""


def phase(profile: Profile, width: float) -> str:
    """Draw the phase diagram with the network's place in it, or say why it has none."""
    at = standing(profile)
    if at is None:
        return paragraph(
            "Only plain networks of one activation (three hidden layers or more, no normalisation, skips or dropout) "
            "have a place in the phase diagram.",
            "soft",
        )
    reach_w, reach_b = _reach(1.25 * max(2.0, at.sigma_w)), _reach(1.25 * max(0.4, at.sigma_b))
    diagram = _phase(at.activation, reach_w, reach_b)
    drawn = phase_diagram(
        diagram.sigma_w, diagram.sigma_b, diagram.chi_1, [Place("you are here", at.sigma_w, at.sigma_b)], title="",
        width=min(width, SQUARE), subtitle=f"{at.activation}, layer upon layer without end; up: σ_b, the biases",
    )  # fmt: skip
    return bare(drawn)


def _reach(wanted: float) -> float:
    """Return the end of an axis, in steps of a quarter of a power of two, so that few diagrams are computed."""
    return float(2 ** (np.ceil(4 * np.log2(wanted)) / 4))


@lru_cache(maxsize=32)
def _phase(activation: str, reach_w: float, reach_b: float) -> Any:
    return phase_of(activation, np.linspace(reach_w / GRID[0], reach_w, GRID[0]), np.linspace(0.0, reach_b, GRID[1]))
