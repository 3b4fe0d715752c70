"""One fault, one finding: what follows from another finding is folded under it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from gainstage.records import Finding, Severity

__all__ = ["EXPLAINS", "fold"]

_TRENDS = frozenset({"GS101", "GS102", "GS201", "GS202"})
_SCALE = frozenset({"GS103", "GS104"})
_LOST = frozenset({"GS105", "GS106", "GS109", "GS110", "GS114", "GS203", "GS606"})
_START = frozenset({"GS501", "GS502", "GS503"})
_STEP = frozenset({"GS701", "GS702", "GS703"})
_FORM = frozenset({"GS514", "GS515", "GS516"})
_HALF = frozenset({"GS802", "GS803", "GS804"})

EXPLAINS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "GS301": _TRENDS | _SCALE | _LOST | _START | _STEP | {"GS302", "GS303", "GS402"},
        "GS403": _TRENDS | _LOST | {"GS402"},
        "GS601": _START | _STEP | {"GS109", "GS602"},
        "GS112": _START,
        "GS117": frozenset({"GS111"}),
        "GS404": _START | _STEP | _LOST | _SCALE,
        "GS602": _START | _STEP | {"GS105", "GS106", "GS109", "GS404", "GS802"},
        "GS604": _STEP | {"GS501", "GS507"},
        "GS102": _SCALE | _START | _STEP | _LOST | _HALF | {"GS201", "GS202", "GS801", "GS805"},
        "GS509": _START | _FORM | {"GS203", "GS801", "GS805"},
        "GS108": _TRENDS | _START | _STEP | _LOST | _HALF | {"GS801", "GS805"},
        "GS805": _STEP | {"GS203"},
        "GS801": _TRENDS | _SCALE | _LOST | _START | _STEP | _HALF | {"GS402", "GS805"},
        "GS101": _SCALE | _LOST | _HALF | {"GS201", "GS402", "GS702"},
        "GS107": _LOST | {"GS101", "GS201", "GS702"},
        "GS202": _SCALE | _STEP | _HALF | {"GS105", "GS106", "GS109", "GS501"},
        "GS104": _START | _STEP | _LOST | {"GS103", "GS402"},
        "GS103": _START | _STEP | _LOST | _TRENDS | {"GS402"},
        "GS106": _LOST | {"GS201", "GS501", "GS702"},
        "GS105": _LOST | {"GS101", "GS201", "GS501", "GS702"},
        "GS201": _SCALE | _LOST | _HALF | {"GS702"},
        "GS402": frozenset({"GS203", "GS606"}),
        "GS517": _START | {"GS203", "GS516", "GS606"},
        "GS518": frozenset({"GS203", "GS801", "GS805"}),
        "GS109": _HALF | {"GS110", "GS203"},
        "GS110": _HALF | {"GS109", "GS203"},
        "GS803": frozenset({"GS203", "GS702"}),
        "GS505": _START | _FORM | {"GS203", "GS504", "GS606", "GS702"},
        "GS512": _START | _FORM,
        "GS504": _START | {"GS515"},
        "GS506": _START | {"GS203"},
        "GS507": _START | {"GS516"},
        "GS508": _START,
        "GS510": _START,
        "GS511": _START | {"GS504"},
        "GS204": frozenset({"GS203", "GS606"}),
        "GS606": _START | {"GS109", "GS203", "GS602", "GS702"},
        "GS514": _START | _STEP | {"GS604"},
        "GS522": _START | _FORM,
        "GS605": _START | {"GS513"},
        "GS608": _START,
        "GS515": _START | {"GS511"},
        "GS516": _START | {"GS203", "GS702"},
        "GS502": frozenset({"GS501", "GS503", "GS703", "GS513"}),
        "GS503": frozenset({"GS501", "GS513"}),
        "GS501": frozenset({"GS513"}),
        "GS709": _STEP,
        "GS710": _STEP,
        "GS708": _STEP,
        "GS703": frozenset({"GS701"}),
        "GS701": frozenset({"GS804"}),
    }
)
"""What each rule's finding can bring about, the deepest causes first."""

_OUTCOME = frozenset({"GS711"})
"""Codes of the rules whose findings any other fault can cause."""

_ORDER = {code: position for position, code in enumerate(EXPLAINS)}


def fold(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The causes, each with what follows from it; the worst first, and among equals the deepest cause.

    A cause takes over the severity of what follows from it. Trends over depth are folded only under a finding that is
    as severe by itself: a cause of another kind would leave their remedy untried.
    """
    pending = sorted(findings, key=lambda f: (_depth(f), f.severity.rank))
    roots: list[Finding] = []
    while pending:
        root, pending = _gather(pending[0], pending[1:])
        roots.append(root)
    return tuple(sorted(roots, key=lambda f: (f.severity.rank, _depth(f), f.code)))


def _gather(root: Finding, others: list[Finding]) -> tuple[Finding, list[Finding]]:
    """A finding with all that follows from it, and what is left."""
    direct = [f for f in others if _follows(f, root)]
    left = [f for f in others if not _follows(f, root)]
    consequences = []
    for finding in direct:
        gathered, left = _gather(finding, left)
        consequences.append(gathered)
    worst = min((root, *consequences), key=lambda f: f.severity.rank).severity
    return replace(root, severity=worst, consequences=(*root.consequences, *consequences)), left


def _depth(finding: Finding) -> int:
    return _ORDER.get(finding.code, len(_ORDER))


def _follows(finding: Finding, root: Finding) -> bool:
    if finding.code == root.code:
        return finding.severity is not Severity.NOTE
    if finding.code in _OUTCOME:
        return root.severity is not Severity.NOTE
    if finding.code not in EXPLAINS.get(root.code, frozenset()):
        return False
    milder = root.severity.rank > finding.severity.rank
    return not milder or (root.severity is not Severity.NOTE and finding.code not in _TRENDS)
