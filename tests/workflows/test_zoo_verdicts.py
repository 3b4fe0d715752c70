"""Laws of checking real networks: no healthy one is flagged, every seeded fault is named at its place."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from functools import cache

import pytest

import gainstage as gs
from gainstage.records import Severity
from zoo.faults import FAULTS
from zoo.healthy import HEALTHY

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


@cache
def verdict(case):
    model = case.model()
    inputs, target = case.batch()
    optimizer = case.optimizer(model) if case.optimizer else None
    return gs.check(model, inputs, target, loss=case.loss, optimizer=optimizer)


def flagged(diagnosis) -> list:
    return [f for f in diagnosis.findings if f.severity is not Severity.NOTE]


def told(findings) -> list[str]:
    return [f"{f.severity} {f.code} at {f.path!r}: {f.evidence}" for f in findings]


@pytest.mark.parametrize("case", HEALTHY, ids=str)
def test_a_healthy_network_gives_no_error_and_no_warning(case):
    diagnosis = verdict(case)
    assert told(flagged(diagnosis)) == []
    assert diagnosis.ok
    assert diagnosis.passed


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_seeded_fault_is_named_at_its_place(fault):
    found = flagged(verdict(fault.case))
    assert not all(f.severity is Severity.NOTE for f in found)
    named = [f for f in found if f.code.startswith(fault.codes)]
    assert named, told(found)
    assert any(fnmatchcase(f.path, p) for f in named for p in fault.place.split("|")), told(found)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_nothing_else_is_called_an_error(fault):
    found = flagged(verdict(fault.case))
    true = fault.codes + fault.also
    assert told(f for f in found if f.severity is Severity.ERROR and not f.code.startswith(true)) == []
    # One fault is one finding: what follows from it is folded under it.
    most, times = max(Counter(f.code for f in found).items(), key=lambda item: item[1], default=("", 0))
    assert times <= 2, (most, told(found))


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_finding_says_what_to_do(fault):
    diagnosis = verdict(fault.case)
    for finding in diagnosis.findings:
        assert finding.code in str(diagnosis)
        assert finding.cause
        assert finding.remedy.summary
        assert gs.rule(finding.code).title == finding.title


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_remedy_that_draws_weights_cures(fault):
    case = fault.case
    model = case.model()
    optimizer = case.optimizer(model) if case.optimizer else None
    inputs, target = case.batch()
    fixed = gs.fix(model, inputs, target, loss=case.loss, optimizer=optimizer, diagnosis=verdict(case))
    for change in fixed.changes:
        if change.finding.remedy.action == "initialize":
            assert change.applied, change
            assert change.cured, change
        else:
            assert not change.applied, change
            assert change.finding.remedy.code, change


def test_the_tables_cover_every_family():
    families = {code[:3] for fault in FAULTS for code in fault.codes}
    assert families == {f"GS{i}" for i in range(1, 9)}
    assert len({case.name for case in HEALTHY}) == len(HEALTHY)
    assert len({fault.case.name for fault in FAULTS}) == len(FAULTS)
