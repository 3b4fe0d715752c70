"""Charts and pages as stored, word for word; GAINSTAGE_UPDATE_GOLDEN=1 writes them anew, to be looked at."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from gainstage.records import Diagnosis, Fixed
from gainstage.report.charts import Estimate, Pair, Series, agreement, curves, depth_profile, intervals, update_ratio
from gainstage.report.html import html_page

Golden = Callable[[str, str], None]
STYLE = re.compile("<style>.*?</style>", re.DOTALL)  # looked at in the browser, not here
CARRIED = re.compile('(id="record">)[^<]*')  # its bytes are the compressor's


@pytest.mark.parametrize("width", [360, 920])
def test_charts(width: int, fixed: Fixed, sick: Diagnosis, golden: Golden) -> None:
    x = (0.0, 100.0, 200.0)
    lines = [
        Series("he_normal", x, (2.3, 0.4, 0.1), (2.2, 0.3, 0.08), (2.4, 0.5, 0.12)),
        Series("default", x, (2.3, 2.3, float("nan"))),
    ]
    drawn = {
        "before_after": depth_profile(fixed.before.profile, fixed.after.profile, findings=sick.findings, width=width),
        "updates": update_ratio(sick.profile, width=width),
        "curves": curves(lines, title="Loss", x_label="step", guides=[("guessing", 2.3)], width=width),
        "agreement": agreement([Pair("layer 1", 1.0, 1.1), Pair("layer 2", 1e-6, 0.0)], within=0.1, width=width),
        "intervals": intervals(
            [Estimate("he", 0.95, 0.9, 0.97), Estimate("zero", 0.1, 0.1, 0.1)], title="Score", width=width
        ),
    }
    for name, svg in drawn.items():
        golden(f"{name}_{width}.svg", STYLE.sub("", svg))


@pytest.mark.parametrize("name", ["sick", "fixed", "plan", "answers", "comparison"])
def test_pages(name: str, request: pytest.FixtureRequest, golden: Golden) -> None:
    record: Any = request.getfixturevalue(name)
    page = re.sub("<svg.*?</svg>", "<svg></svg>", html_page(record), flags=re.DOTALL)  # charts are stored by themselves
    page = re.sub(r"<script>.*?</script>|content=\"default-src[^>]*", "", STYLE.sub("", page), flags=re.DOTALL)
    golden(f"{name}.html", CARRIED.sub(r"\1", page).replace("<tr>", "\n<tr>"))
