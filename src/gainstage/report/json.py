"""Stores records as versioned JSON, which contains everything that text and pages show.

A document is ``{"schema_version": 3, "kind": "diagnosis", "record": {...}}``. It is strict JSON (see ``codec`` for
floats that are not finite).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar, overload

from gainstage.errors import InputError, require_kind
from gainstage.records import (
    Answer,
    Answers,
    Comparison,
    Diagnosis,
    Finding,
    Fixed,
    Formats,
    History,
    Plan,
    Preflight,
    Profile,
    Scaling,
)
from gainstage.report.carried import is_page, taken_out
from gainstage.report.codec import decode, encode
from gainstage.report.files import write_whole
from gainstage.report.history_lines import history_of_lines, is_lines

__all__ = ["KINDS", "SCHEMA_VERSION", "Document", "dumps", "load", "loads", "save"]

SCHEMA_VERSION = 3
"""The version increases with every change that an older reader would refuse.

Fields are only ever added, with a default for older files. Version 2 added histograms, comparisons and bands; version 3
added the framework of a plan.
"""

Document = Answer | Answers | Comparison | Diagnosis | Fixed | Formats | History | Plan | Preflight | Profile | Scaling
"""The types of records that have a document of their own."""

KINDS: dict[str, type[Document]] = {
    "answer": Answer, "answers": Answers, "comparison": Comparison, "diagnosis": Diagnosis, "fixed": Fixed,
    "formats": Formats, "history": History, "plan": Plan, "preflight": Preflight, "profile": Profile,
    "scaling": Scaling,
}  # fmt: skip

D = TypeVar("D", Answer, Answers, Comparison, Diagnosis, Fixed, Formats, History, Plan, Preflight, Profile, Scaling)


def dumps(record: Document, *, indent: int | None = None, lean: bool = False) -> str:
    """Return the record as one JSON document.

    Args:
        record: a record of one of the ``KINDS``.
        indent: spaces per level; None for one line.
        lean: leave out fields that have their default; ``loads`` restores them.

    Raises:
        InputError: the record is of another type.

    >>> from gainstage.records import Plan
    >>> dumps(Plan(assignments=(), seed=3), lean=True)
    '{"schema_version": 3, "kind": "plan", "record": {"assignments": [], "seed": 3}}'
    """
    names = {kind: name for name, kind in KINDS.items()}
    if type(record) not in names:
        raise InputError(f"Only {', '.join(KINDS)} have a JSON document; received a {type(record).__name__}.")
    document = {"schema_version": SCHEMA_VERSION, "kind": names[type(record)], "record": encode(record, lean=lean)}
    return json.dumps(document, indent=indent, allow_nan=False)


@overload
def loads(text: str) -> Document: ...
@overload
def loads(text: str, kind: type[D]) -> D: ...
def loads(text: str, kind: type[Any] | None = None) -> Any:
    """Return the record in a JSON document.

    Args:
        text: a document that ``dumps`` wrote.
        kind: the expected type; None for any type.

    Raises:
        InputError: the text is no JSON document of gainstage, has a newer schema or another kind, or is damaged.

    >>> from gainstage.records import Plan
    >>> loads(dumps(Plan(assignments=(), seed=3)), Plan).seed
    3
    """
    require_kind(text, str, "A document is a text")
    return _read(text, kind, "text")


def _read(text: str, expected: type[Any] | None, where: str) -> Any:
    if is_lines(text):
        if expected not in (None, History):
            raise InputError(f"The {where} holds a history; a {expected.__name__.lower()} was expected.")
        return history_of_lines(text, where)
    document = _parse(taken_out(text, where) if is_page(text) else text, where)
    version, name = document.get("schema_version"), document.get("kind")
    if type(version) is not int or version < 1 or not isinstance(name, str) or "record" not in document:
        raise InputError(
            f"The {where} is JSON, but not a gainstage document, which has schema_version, kind and record. "
            f"Received the keys {sorted(document)[:8]}."
        )
    if version > SCHEMA_VERSION:
        raise InputError(
            f"The {where} has schema_version {version}; this gainstage reads up to {SCHEMA_VERSION}. "
            "Update it with: pip install --upgrade gainstage"
        )
    if name not in KINDS:
        raise InputError(f"The {where} holds the kind {name!r}; known are {', '.join(KINDS)}.")
    if expected is not None and KINDS[name] is not expected:
        raise InputError(f"The {where} holds a {name}; a {expected.__name__.lower()} was expected.")
    try:
        record = decode(document["record"], KINDS[name])
        _check_references(record)
    except InputError as error:
        raise InputError(f"The {where} is damaged or was edited, at {error}") from None
    return record


def _parse(text: str, where: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("<"):
            raise InputError(f"The {where} is a page, but none that gainstage wrote: it carries no record.") from None
        begun = text.lstrip().startswith("{")
        end = " It ends too early: was it cut off?" if begun and not text.rstrip().endswith("}") else ""
        raise InputError(f"The {where} is not valid JSON ({error}).{end}") from None
    if not isinstance(document, dict):
        raise InputError(f"The {where} is JSON, but not a gainstage document: received a {type(document).__name__}.")
    return document


def _check_references(record: Document) -> None:
    """Check that a record refers only to nodes and parameters that it contains."""
    match record:
        case Fixed():
            _check_references(record.before)
            _check_references(record.after)
        case Diagnosis():
            _check_references(record.profile)
            _check_findings(record.findings, len(record.profile.graph.nodes))
        case Profile():
            _check_profile(record)
        case History():
            if record.start is not None:
                _check_references(record.start)
        case Answer() | Answers() | Comparison() | Formats() | Plan() | Preflight() | Scaling():
            pass


def _check_findings(findings: tuple[Finding, ...], nodes: int) -> None:
    for finding in findings:
        if finding.node is not None and not 0 <= finding.node < nodes:
            raise InputError(f"finding {finding.code}: there is no node {finding.node}.")
        _check_findings(finding.consequences, nodes)


def _check_profile(profile: Profile) -> None:
    size = len(profile.graph.nodes)
    for place, node in enumerate(profile.graph.nodes):
        if node.index != place or any(not 0 <= i < size for i in node.inputs):
            raise InputError(
                f"graph.nodes[{place}]: its index {node.index} or its inputs {node.inputs[:8]} do not fit."
            )
    for place, measured in enumerate(profile.nodes):
        if not 0 <= measured.node < size:
            raise InputError(f"nodes[{place}]: there is no node {measured.node}.")
    for place, parameter in enumerate(profile.parameters):
        if parameter.path not in profile.graph.by_path:
            raise InputError(f"parameters[{place}]: the graph has no parameter {parameter.path!r}.")


def save(path: str | os.PathLike[str], record: Document) -> None:
    """Write the record to a file; at any moment the file holds the complete old content or the complete new one.

    Raises:
        InputError: the path cannot be written.
    """
    write_whole(path, dumps(record, indent=1) + "\n")


@overload
def load(path: str | os.PathLike[str]) -> Document: ...
@overload
def load(path: str | os.PathLike[str], kind: type[D]) -> D: ...
def load(path: str | os.PathLike[str], kind: type[Any] | None = None) -> Any:
    """Read the record from a file that its ``save`` wrote, from a page that its ``save_html`` wrote, or from a history.

    Raises:
        InputError: the file cannot be read, or ``loads`` refuses its content.
    """
    require_kind(path, (str, os.PathLike), "The path of a record is a text or a Path")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"Cannot read {str(path)!r}: it is not text in UTF-8 ({error.reason}).") from error
    return _read(text, kind, f"file {str(path)!r}")
