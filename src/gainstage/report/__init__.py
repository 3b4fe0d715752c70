"""Pictures of records: terminal text, JSON, charts, and the formats that machines read. Records in, text out.

Importing this package gives records their looks: ``print`` shows a page of text, a notebook tables and a chart.
"""

from __future__ import annotations

import sys

from gainstage.records import Answer, Answers, Diagnosis, Fixed, Plan, Profile, register_renderer
from gainstage.report.json import dumps, load, loads, save
from gainstage.report.notebook import diagnosis_html, fixed_html, plan_html, profile_html
from gainstage.report.text import Shown, print_to, render

__all__ = ["dumps", "load", "loads", "print_to", "render", "save"]


def _plain(record: Shown) -> str:
    """For ``print``, which fails on characters that the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return render(record, unicode=encoding.lower().startswith("utf")).rstrip("\n")


for _kind in (Answer, Answers, Diagnosis, Fixed, Plan, Profile):
    register_renderer(_kind, "text/plain", _plain)
register_renderer(Diagnosis, "text/html", diagnosis_html)
register_renderer(Fixed, "text/html", fixed_html)
register_renderer(Plan, "text/html", plan_html)
register_renderer(Profile, "text/html", profile_html)
