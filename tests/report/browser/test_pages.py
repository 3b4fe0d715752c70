"""Pages as a reader meets them: from disk, offline, on any screen, with a keyboard, with names nobody should trust."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from gainstage.records import Answers, Diagnosis, Fixed
from gainstage.report.html import html_page
from gainstage.report.wording import figure

Open = Callable[..., Any]
RECORDS = ("sick", "healthy", "fixed", "plan", "profile", "answers", "comparison")
WIDTHS = (360, 760, 1600)

# Texts of charts that leave their picture, or touch one another: by the boxes that the browser itself measured.
BADLY_SET = """() => {
  const found = [];
  const apart = (a, b, x, y) => a.x + x >= b.x + b.width || b.x + x >= a.x + a.width
    || a.y + y >= b.y + b.height || b.y + y >= a.y + a.height;
  for (const svg of document.querySelectorAll('svg.gs')) {
    if (!svg.getClientRects().length) continue;
    const {width, height} = svg.viewBox.baseVal;
    const texts = [...svg.querySelectorAll('text')].map(t => [t.firstChild?.textContent ?? '', t.getBBox()]);
    texts.forEach(([told, a], i) => {
      if (a.x < -1 || a.y < -1 || a.x + a.width > width + 1 || a.y + a.height > height + 1) found.push(told);
      for (const [other, b] of texts.slice(0, i)) if (!apart(a, b, 1, 3)) found.push([told, other]);
    });
  }
  return found;
}"""


@pytest.fixture(params=RECORDS)
def record(request: pytest.FixtureRequest, sick: Diagnosis) -> Any:
    return sick.profile if request.param == "profile" else request.getfixturevalue(request.param)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overlaps_and_nothing_scrolls_sideways(record: Any, width: int, visit: Open) -> None:
    page = visit(html_page(record), width=width)
    assert page.evaluate(BADLY_SET) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_names_stay_text(hostile: str, distrusted: Callable[..., Any], visit: Open) -> None:
    fixed, plan = distrusted(hostile)
    for shown, width in ((fixed, 360), (fixed.before, 1600), (plan, 360)):
        page = visit(html_page(shown), width=width)
        assert page.locator("script").count() == 2  # the record and the page's own
        assert page.locator("a[href^=http], img, iframe, form").count() == 0
        assert page.evaluate(BADLY_SET) == []


def test_the_whole_of_a_hostile_name_is_in_the_table(visit: Open, distrusted: Callable[..., Any]) -> None:
    fixed, _ = distrusted("<b onclick=alert(1)>name</b>")
    page = visit(html_page(fixed.after))
    assert page.get_by_role("cell", name="<b onclick=alert(1)>name</b>", exact=True).count() > 0


def column(page: Any, table: int, place: int) -> list[str]:
    rows = page.locator("table.sortable").nth(table).locator("tbody tr:visible")
    return list(rows.locator(f"td:nth-child({place})").all_inner_texts())


def test_tables_sort_by_keyboard(visit: Open, sick: Diagnosis) -> None:
    page = visit(html_page(sick))
    heads = page.locator("table.sortable").first.locator("th")
    place = heads.all_inner_texts().index("spread") + 1
    before = column(page, 0, place)
    button = heads.nth(place - 1).get_by_role("button")
    button.focus()
    seen = {}
    for _ in range(3):
        page.keyboard.press("Enter")
        seen[heads.nth(place - 1).get_attribute("aria-sort")] = column(page, 0, place)
    assert [float(v) for v in seen["ascending"]] == sorted(map(float, before))
    assert [float(v) for v in seen["descending"]] == sorted(map(float, before), reverse=True)
    assert seen[None] == before  # the third press gives the order of execution back


def test_tables_filter_by_keyboard(visit: Open, sick: Diagnosis) -> None:
    page = visit(html_page(sick))
    rows = column(page, 0, 2)
    page.get_by_role("searchbox", name="Filter rows").first.focus()
    page.keyboard.type("LAYERS.1 linear")
    assert column(page, 0, 2) == [r for r in rows if "layers.1" in r]
    assert page.get_by_role("status").first.inner_text() == f"3 of {len(rows)} rows"
    for _ in range(15):
        page.keyboard.press("Backspace")
    assert column(page, 0, 2) == rows


def test_figures_that_are_no_numbers_sort_last(visit: Open, profile_of: Callable[..., Any]) -> None:
    odd = profile_of([1.0, float("nan"), 0.5, float("inf"), 1e-9], [None, 1.0, 2.0, None, 3.0])
    page = visit(html_page(odd))
    heads = page.locator("table.sortable").first.locator("th").all_inner_texts()
    for name, expected in (
        ("spread", ["1.0e-9", "0.5", "1", "inf", "NaN"]),
        ("gradient norm", ["90.5", "181", "272", "", ""]),
    ):
        page.get_by_role("button", name=name, exact=True).first.click()
        assert column(page, 0, heads.index(name) + 1) == expected


def test_a_slider_moves_the_lines_by_keyboard_and_says_where_it_is(answers: Answers, visit: Open) -> None:
    page = visit(html_page(answers))
    slider = answers.answers[0].slider
    assert slider is not None
    handle = page.get_by_role("slider", name=slider.setting)
    assert page.locator(".slide output").inner_text() == "1"
    shown = page.locator(".sliding .at-wide .place:not([display=none])")

    def drawn() -> list[str]:
        return [path.get_attribute("d") for path in shown.locator("path.line").all()]

    seen = {handle.get_attribute("aria-valuetext"): drawn()}
    for key in ("ArrowRight", "Home"):
        handle.press(key)
        assert shown.count() == 1
        seen[handle.get_attribute("aria-valuetext")] = drawn()
    assert set(seen) == {f"{place:g}" for place in slider.places}
    assert len({tuple(paths) for paths in seen.values()}) == len(slider.places)


def test_without_javascript_a_slider_is_a_picture(answers: Answers, visit: Open) -> None:
    page = visit(html_page(answers), scripts=False)
    assert page.locator(".sliding .at-wide .place:not([display=none])").count() == 1
    assert not page.locator(".slide").is_visible()
    assert "gain on Xavier's weights: 1" in page.locator(".sliding").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_their_own_ground_and_enough_contrast(scheme: str, sick: Diagnosis, visit: Open) -> None:
    page = visit(html_page(sick), scheme=scheme)

    def luminance(colour: str) -> float:
        parts = [int(v) / 255 for v in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    style = "e => { const s = getComputedStyle(e); return [s.color, s.fill, s.backgroundColor] }"
    ground = luminance(page.locator("body").evaluate(style)[2])
    assert (ground > 0.8) == (scheme == "light")
    chart = luminance(page.locator("svg .ground").first.evaluate(style)[1])
    assert chart == pytest.approx(ground, abs=0.02)
    inks = [page.locator(q).first.evaluate(style)[0] for q in ("body", ".soft", ".error .badge", ".warning .badge")]
    inks += [page.locator(f"svg {q}").first.evaluate(style)[1] for q in ("text.title", "text.flag")]
    for ink in map(luminance, inks):
        low, high = sorted((ink, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG 2.1, level AA


@pytest.mark.parametrize("width", WIDTHS)
def test_one_of_the_two_drawings_is_shown(width: int, fixed: Fixed, visit: Open) -> None:
    page = visit(html_page(fixed), width=width)
    for drawn in page.locator("figure").all():
        shown = [svg for svg in drawn.locator("svg").all() if svg.is_visible()]
        assert len(shown) == 1
        box = shown[0].bounding_box()
        size = shown[0].locator("text").last.evaluate("e => e.getBoundingClientRect().height")
        assert box["width"] <= width
        assert size >= 9  # pixels: it can be read


def test_everything_can_be_read_without_javascript(sick: Diagnosis, visit: Open) -> None:
    page = visit(html_page(sick), scripts=False)
    text = page.locator("main").inner_text()
    for finding in sick.findings:
        assert finding.evidence in text
        assert finding.remedy.code.splitlines()[-1] in text
    assert page.locator("table.sortable tbody tr").count() == len(sick.profile.nodes) + len(sick.profile.parameters)


def test_charts_say_to_a_screen_reader_what_they_show(fixed: Fixed, visit: Open) -> None:
    page = visit(html_page(fixed))
    told = [e.get_attribute("aria-label") for e in page.get_by_role("img").all() if e.is_visible()]
    first, last = (n.backward.norm for n in (fixed.before.profile.nodes[0], fixed.before.profile.nodes[-1]))
    assert any(f"Gradient norm before from {figure(first)} to {figure(last)}" in (label or "") for label in told)
    assert page.get_by_role("heading", level=1).count() == 1


def test_a_page_prints_without_its_tools(sick: Diagnosis, visit: Open) -> None:
    page = visit(html_page(sick), width=794)  # A4
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 794
    assert not page.get_by_role("searchbox").first.is_visible()
    assert len(page.pdf(format="A4")) > 10_000


def test_a_notebook_shows_tables_and_charts_without_scripts(record: Any, visit: Open) -> None:
    bundle = record._repr_mimebundle_()
    fragment = bundle["text/html"]
    assert "<script" not in fragment
    page = visit(f"<!doctype html><meta charset=utf-8><body>{fragment}", scripts=False)
    assert page.evaluate(BADLY_SET) == []
    assert page.locator("table, svg").count() >= 1
    json.dumps(bundle)
