"""Converts a Diagnosis to formats that continuous-integration systems read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

from gainstage.errors import UnknownNameError
from gainstage.records import Diagnosis, Finding, Severity
from gainstage.report.charts.svg import element, escaped
from gainstage.report.wording import clean

__all__ = ["FORMATS", "Format", "github", "junit", "render_as", "sarif"]

Format = Literal["github", "junit", "sarif"]

GITHUB_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def _place(finding: Finding) -> str:
    return clean(finding.path) or "model"


def _message(finding: Finding) -> str:
    return clean(f"{finding.place or 'The model'}: {finding.evidence} {finding.cause} Remedy: {finding.remedy.summary}")


def _all(findings: tuple[Finding, ...]) -> Iterator[Finding]:
    """Yield all findings, with the findings that follow from them."""
    for finding in findings:
        yield finding
        yield from _all(finding.consequences)


def github(diagnosis: Diagnosis) -> str:
    r"""Return workflow commands, one line per finding, which GitHub shows as annotations.

    >>> _property("a:b,c%"), _data("50 %\n")
    ('a%3Ab%2Cc%25', '50 %25%0A')
    """
    lines = [
        f"::{GITHUB_COMMANDS[f.severity]} title={_property(clean(f'{f.code} {f.title}'))}::{_data(_message(f))}"
        for f in diagnosis.findings
    ]
    return "".join(f"{line}\n" for line in lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def junit(diagnosis: Diagnosis) -> str:
    """Return JUnit XML: findings fail, notes and passed rules pass, accepted findings and unjudged rules are skips."""
    cases = [_case(f"{f.code} {f.title} [{_place(f)}]", _outcome(f)) for f in diagnosis.findings]
    cases += [
        _case(f"{a.finding.code} {a.finding.title} [{_place(a.finding)}]", _skipped(f"Accepted: {a.reason}"))
        for a in diagnosis.accepted
    ]
    cases += [_case(code) for code in diagnosis.passed]
    cases += [_case(u.code, _skipped(u.reason)) for u in diagnosis.unjudged]
    failures = sum(f.severity is not Severity.NOTE for f in diagnosis.findings)
    counts: dict[str, str | float] = {
        "name": "gainstage", "tests": str(len(cases)), "failures": str(failures),
        "errors": "0", "skipped": str(len(diagnosis.unjudged) + len(diagnosis.accepted)),
    }  # fmt: skip
    suite = element("testsuite", counts, *(f"\n{case}" for case in cases), "\n")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{suite}\n'


def _case(name: str, *children: str) -> str:
    return element("testcase", {"classname": "gainstage", "name": name}, *children)


def _skipped(reason: str) -> str:
    return element("skipped", {"message": clean(reason)})


def _outcome(finding: Finding) -> str:
    if finding.severity is Severity.NOTE:
        return element("system-out", {}, escaped(_message(finding)))
    attributes: dict[str, str | float] = {"type": finding.severity.value, "message": finding.evidence}
    lines = (finding.cause, f"Remedy: {finding.remedy.summary}", *finding.remedy.code.splitlines())
    return element("failure", attributes, "\n".join(escaped(line) for line in lines))


def sarif(diagnosis: Diagnosis) -> str:
    """Return SARIF 2.1.0, one result per finding; a layer is a logical location, since no file is at fault."""
    rules = {f.code: f for f in _all((*diagnosis.findings, *(a.finding for a in diagnosis.accepted)))}
    driver = {"name": "gainstage", "rules": [_sarif_rule(finding) for finding in rules.values()]}
    places = {code: index for index, code in enumerate(rules)}
    results = [_sarif_result(f, places) for f in diagnosis.findings]
    results += [
        _sarif_result(a.finding, places) | {"suppressions": [{"kind": "external", "justification": clean(a.reason)}]}
        for a in diagnosis.accepted
    ]
    log = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(log, indent=1, allow_nan=False) + "\n"


def _sarif_rule(finding: Finding) -> dict[str, Any]:
    return {"id": finding.code, "shortDescription": {"text": clean(finding.title)}}


def _sarif_result(finding: Finding, places: dict[str, int]) -> dict[str, Any]:
    location = {"fullyQualifiedName": _place(finding), "kind": "module"}
    return {
        "ruleId": finding.code,
        "ruleIndex": places[finding.code],
        "level": finding.severity.value,
        "message": {"text": _message(finding)},
        "locations": [{"logicalLocations": [location]}],
        "partialFingerprints": {"gainstage/v1": f"{finding.code}:{_place(finding)}"},
    }


FORMATS: dict[Format, Callable[[Diagnosis], str]] = {"github": github, "junit": junit, "sarif": sarif}


def render_as(name: str, diagnosis: Diagnosis) -> str:
    """Return the diagnosis in the format of that name.

    Raises:
        UnknownNameError: no format has that name.
    """
    for known, write in FORMATS.items():
        if known == name:
            return write(diagnosis)
    raise UnknownNameError("format", name, FORMATS)
