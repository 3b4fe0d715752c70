import dataclasses
import json
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

import gainstage.report as report
from gainstage.errors import UnknownNameError
from gainstage.records import Diagnosis, Fixed, Plan, Severity
from gainstage.report.formats import FORMATS, github, junit, render_as, sarif

Distrusted = Callable[[str], tuple[Fixed, Plan]]


def test_github_has_one_command_a_finding(sick: Diagnosis) -> None:
    lines = github(sick).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("::error title=GS201 The gradient vanishes towards the input::layers.0: The norm")
    assert lines[1].startswith("::warning title=GS502 The loss starts above chance::The model: The loss is 4.71")
    assert lines[1].endswith("Remedy: Start the head at zero.")


def test_junit_counts_what_it_holds(sick: Diagnosis) -> None:
    suite = ElementTree.fromstring(junit(sick))
    cases = list(suite.iter("testcase"))
    assert int(suite.attrib["tests"]) == len(cases) == 2 + len(sick.passed) + len(sick.unjudged)
    assert int(suite.attrib["failures"]) == len(list(suite.iter("failure"))) == 2
    assert int(suite.attrib["skipped"]) == len(list(suite.iter("skipped"))) == len(sick.unjudged)
    failure = next(suite.iter("failure"))
    assert failure.attrib["message"] == sick.findings[0].evidence
    assert failure.text is not None
    assert sick.findings[0].remedy.code in failure.text


def test_sarif_points_at_its_rules(sick: Diagnosis) -> None:
    run = json.loads(sarif(sick))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in run["results"]] == ["GS201", "GS502"]
    assert [r["level"] for r in run["results"]] == ["error", "warning"]
    names = [r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for r in run["results"]]
    assert names == ["layers.0", "model"]


def test_notes_fail_nothing(sick: Diagnosis) -> None:
    note = dataclasses.replace(sick, findings=(dataclasses.replace(sick.findings[1], severity=Severity.NOTE),))
    assert github(note).startswith("::notice ")
    assert ElementTree.fromstring(junit(note)).attrib["failures"] == "0"
    assert json.loads(sarif(note))["runs"][0]["results"][0]["level"] == "note"


def test_hostile_names_are_only_text_in_every_format(hostile: str, distrusted: Distrusted) -> None:
    diagnosis = distrusted(hostile)[0].before
    lines = github(diagnosis).splitlines()
    assert len(lines) == len(diagnosis.findings)
    assert all(line.startswith("::error title=GS201 ") and line.isprintable() for line in lines)
    cases = list(ElementTree.fromstring(junit(diagnosis)).iter("testcase"))
    assert len(cases) == 8 + 1 + 1
    assert json.loads(sarif(diagnosis))["version"] == "2.1.0"
    for write in FORMATS.values():
        write(diagnosis).encode("utf-8")


def test_a_title_cannot_end_its_command() -> None:
    from gainstage.report.formats import _property

    assert not set(_property("a::b,c%0A\n")) & set(":,\n")


def test_formats_by_name(sick: Diagnosis) -> None:
    assert render_as("junit", sick) == junit(sick)
    with pytest.raises(UnknownNameError, match=r"Unknown format 'junitt'.*'junit'"):
        render_as("junitt", sick)


class Tags(HTMLParser):
    """Opens and closes every tag, and collects them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


ALLOWED = {
    "div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "pre", "br",
    "svg", "style", "rect", "path", "circle", "text", "title",
}  # fmt: skip


def assert_harmless(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert not tags.open
    assert tags.seen <= ALLOWED
    assert not [name for name in tags.attributes if name.startswith("on") or name in {"href", "src"}]


def test_notebooks_get_text_and_harmless_html(sick: Diagnosis, fixed: Fixed, plan: Plan, healthy: Diagnosis) -> None:
    for record in (sick, healthy, fixed, plan, sick.profile):
        bundle = record._repr_mimebundle_()
        assert set(bundle) == {"text/plain", "text/html"}
        assert bundle["text/plain"] == str(record)
        assert_harmless(bundle["text/html"])
    html = sick._repr_mimebundle_()["text/html"]
    assert "GS201 The gradient vanishes towards the input" in html
    assert "gs.initialize(model, &quot;he_normal&quot;, x=x)" in html
    assert "<svg" in html


def test_hostile_names_are_only_text_in_notebooks(hostile: str, distrusted: Distrusted) -> None:
    fixed, plan = distrusted(hostile)
    for record in (fixed, fixed.before, fixed.before.profile, plan):
        assert_harmless(record._repr_mimebundle_()["text/html"])


def test_the_public_names(sick: Diagnosis) -> None:
    assert report.loads(report.dumps(sick)) == sick
    assert report.render(sick, width=80).startswith("2 FINDINGS")
