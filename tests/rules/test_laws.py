"""Laws that hold for every rule."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable

import pytest

from gainstage import rules
from gainstage.errors import UnknownNameError
from gainstage.graph import SignalGraph
from gainstage.records import Diagnosis, Finding, Moments, Profile, Severity, Source, Task
from gainstage.rules.alternatives import ALTERNATIVES
from gainstage.rules.folding import EXPLAINS, fold
from gainstage.rules.table import Lacking, rule
from rules.builders import with_task
from rules.cases import FIRING, HEALTHY

ALL = rules.all_rules()
SICK = [(code, i) for code, builds in FIRING.items() for i in range(len(builds))]


def flat(findings: Iterable[Finding]) -> list[Finding]:
    return [f for finding in findings for f in (finding, *flat(finding.consequences))]


def profile_of(code: str, number: int = 0) -> Profile:
    return FIRING[code][number]()


def serious(diagnosis: Diagnosis) -> list[str]:
    return [f"{f.code} {f.path}: {f.evidence}" for f in diagnosis.findings if f.severity is not Severity.NOTE]


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", ALL, ids=lambda r: r.code)
def test_the_docstring_has_every_section_in_order_and_none_empty(one):
    lines = one.text.splitlines()
    places = [lines.index(f"{section}:") for section in rules.SECTIONS]
    assert places == sorted(places)
    ends = [*places[1:], len(lines)]
    bodies = ["\n".join(lines[start + 1 : end]).strip() for start, end in zip(places, ends, strict=True)]
    assert all(len(body) > 4 for body in bodies)
    assert one.summary.endswith(".")
    assert one.title
    assert not one.title.endswith(".")


@pytest.mark.parametrize("one", ALL, ids=lambda r: r.code)
def test_the_remedy_of_a_page_shows_lines_to_copy(one):
    remedy = one.text.split("Remedy:\n")[1].split("\nReference:")[0]
    assert any(line.startswith("    ") for line in remedy.splitlines())


def test_codes_are_sorted_unique_and_belong_to_their_family():
    codes = [r.code for r in ALL]
    assert codes == sorted(set(codes))
    families = {r.code[2]: r.family for r in ALL}
    assert len(set(families.values())) == len(families) == 9


def test_an_unknown_code_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'GS20"):
        rules.get("GS2O1")


@pytest.mark.parametrize("code", ["GS201", "GS0001", "101", "GS999x"])
def test_a_rule_needs_a_new_code_and_a_docstring(code):
    def documented(profile):
        """A sentence."""

    with pytest.raises(ValueError, match="new code"):
        rule(code, "Title")(documented)
    with pytest.raises(ValueError, match="docstring"):
        rule("GS999", "Title")(lambda profile: iter(()))


# -- every rule speaks, and keeps silent -------------------------------------------------------------------------------


def test_every_rule_has_a_profile_on_which_it_fires():
    assert set(FIRING) == {r.code for r in ALL}


@pytest.mark.parametrize(("code", "number"), SICK)
def test_a_rule_fires_where_it_should_and_says_all_that_a_finding_says(code, number):
    profile = profile_of(code, number)
    found = rules.get(code).judge(profile)
    assert found
    for finding in found:
        assert finding.code == code
        assert finding.title == rules.get(code).title
        assert finding.evidence.endswith(".")
        assert finding.cause.strip()
        assert finding.remedy.summary.endswith(".")
        assert finding.remedy.code.strip()
        assert finding.node is None or 0 <= finding.node < len(profile.graph.nodes)
        assert finding.consequences == ()


@pytest.mark.parametrize(("code", "number"), SICK)
def test_a_fault_is_one_finding_with_what_follows_under_it(code, number):
    diagnosis = rules.judge(profile_of(code, number))
    everywhere = flat(diagnosis.findings)
    assert code in {f.code for f in everywhere}
    # No rule speaks twice at the top, however many places it found.
    tops = Counter(f.code for f in diagnosis.findings if f.severity is not Severity.NOTE)
    assert max(tops.values(), default=1) == 1
    ranks = [f.severity.rank for f in diagnosis.findings]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("name", HEALTHY)
def test_no_rule_finds_a_fault_in_a_healthy_network(name):
    diagnosis = rules.judge(HEALTHY[name]())
    assert serious(diagnosis) == []
    assert diagnosis.ok


@pytest.mark.parametrize("one", ALL, ids=lambda r: r.code)
def test_every_rule_is_silent_on_most_healthy_networks(one):
    """Notes included: each rule stays silent where nothing of its kind is to be seen."""
    spoke = 0
    for build in HEALTHY.values():
        with contextlib.suppress(Lacking):
            spoke += bool(one.judge(build()))
    if one.code != "GS303":  # records made by hand repeat the same moments
        assert spoke <= 1


# -- passed, found, not judged -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [*HEALTHY.values(), *(b for builds in FIRING.values() for b in builds)])
def test_every_rule_is_found_passed_or_not_judged_and_only_one_of_them(build):
    diagnosis = rules.judge(build())
    found = {f.code for f in flat(diagnosis.findings)}
    passed, unjudged = set(diagnosis.passed), {u.code for u in diagnosis.unjudged}
    assert found | passed | unjudged == {r.code for r in ALL}
    assert len(found) + len(passed) + len(unjudged) == len(ALL)
    assert all(u.reason for u in diagnosis.unjudged)


def unjudged_without(**facts: object) -> set[str]:
    whole = FIRING["GS303"][0]()
    with_all = {u.code for u in rules.judge(whole).unjudged}
    return {u.code for u in rules.judge(with_task(whole, **facts)).unjudged} - with_all


def test_what_lacks_its_evidence_is_not_judged():
    assert unjudged_without(optimizer=None) == {
        "GS701", "GS702", "GS703", "GS704", "GS705", "GS706", "GS707", "GS714", "GS804",
    }  # fmt: skip
    assert unjudged_without(target=None) == {
        "GS507", "GS511", "GS512", "GS514", "GS515", "GS516", "GS522", "GS604", "GS605",
    }  # fmt: skip
    assert {"GS501", "GS502", "GS504", "GS506", "GS507", "GS508", "GS509", "GS510"} <= unjudged_without(loss=None)
    assert {"GS105", "GS109", "GS603"} <= unjudged_without(examples=1)


def test_without_a_backward_pass_no_rule_about_gradients_passes():
    whole = dataclasses.replace(FIRING["GS303"][0](), backward=False)
    assert {"GS201", "GS202", "GS203", "GS803", "GS805"} <= {u.code for u in rules.judge(whole).unjudged}


def test_a_gradient_that_is_cut_everywhere_is_an_error_and_nothing_trainable_is_not_judged():
    whole = dataclasses.replace(FIRING["GS303"][0](), backward=False)
    (found,) = rules.get("GS204").judge(whole)
    assert found.severity is Severity.ERROR
    frozen = tuple(dataclasses.replace(p, trainable=False) for p in whole.graph.parameters)
    still = dataclasses.replace(whole, graph=dataclasses.replace(whole.graph, parameters=frozen))
    with pytest.raises(Lacking, match="nothing is trainable"):
        rules.get("GS204").judge(still)


def test_an_empty_profile_is_judged():
    empty = Profile(SignalGraph((), ()), (), (), Task(), Source("measured", "none"), backward=False)
    assert rules.judge(empty).findings == ()


# -- what must not matter ----------------------------------------------------------------------------------------------


def scaled(moments: Moments | None, factor: float) -> Moments | None:
    if moments is None:
        return None
    square = factor**2
    return dataclasses.replace(moments, mean=moments.mean * factor, variance=moments.variance * square,
                               second_moment=moments.second_moment * square)  # fmt: skip


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize("code", ["GS201", "GS202", "GS203", "GS204", "GS303"])
def test_the_scale_of_the_loss_does_not_matter_to_the_gradient(code, factor):
    whole = profile_of(code)
    nodes = tuple(dataclasses.replace(n, backward=scaled(n.backward, factor)) for n in whole.nodes)
    parameters = tuple(dataclasses.replace(p, gradient=scaled(p.gradient, factor)) for p in whole.parameters)
    other = dataclasses.replace(whole, nodes=nodes, parameters=parameters)
    unjudged = {u.code for u in rules.judge(whole).unjudged}
    family = [r for r in ALL if r.family == "gradient" and r.code not in unjudged]
    before = [(f.code, f.severity, f.path) for r in family for f in r.judge(whole)]
    assert [(f.code, f.severity, f.path) for r in family for f in r.judge(other)] == before


# -- folding -----------------------------------------------------------------------------------------------------------


def test_causes_and_effects_are_rules_that_exist():
    codes = {r.code for r in ALL}
    assert set(EXPLAINS) <= codes
    assert frozenset[str]().union(*EXPLAINS.values()) <= codes


def test_nothing_is_lost_and_a_cause_is_as_severe_as_its_effects():
    everything = [f for code, number in SICK for f in rules.get(code).judge(profile_of(code, number))]
    for start in range(0, len(everything), 7):
        some = everything[start : start + 20]
        folded = fold(some)
        assert Counter(f.code for f in flat(folded)) == Counter(f.code for f in some)
        for root in flat(folded):
            assert all(root.severity.rank <= f.severity.rank for f in root.consequences)


def test_notes_explain_no_fault():
    note, fault = (rules.get(code).judge(profile_of(code, n))[0] for code, n in (("GS502", 0), ("GS501", 0)))
    assert note.severity is Severity.NOTE
    assert fault.severity is Severity.WARNING
    assert [f.code for f in fold([note, fault])] == ["GS501", "GS502"]


def test_the_order_of_rules_does_not_matter():
    found = [f for code, number in SICK for f in rules.get(code).judge(profile_of(code, number))][:40]
    one = fold(found)
    other = fold(sorted(found, key=lambda f: f.code, reverse=True))
    assert [f.code for f in one] == [f.code for f in other]


@pytest.mark.parametrize("code", sorted(set(ALTERNATIVES) - {"GS514", "GS701", "GS702", "GS703"}))
def test_two_causes_that_fit_equally_are_both_named(code):
    first = next(f for f in flat(rules.judge(FIRING[code][0]()).findings) if f.code == code)
    assert " Or: " in first.cause


def test_a_second_cause_is_left_out_where_the_figures_exclude_it():
    """A rate too large for a mean is no sum; a loss without a bound that pushes away from the targets is no critic."""
    for code in ("GS703", "GS514"):
        assert all(" Or: " not in f.cause for f in flat(rules.judge(FIRING[code][0]()).findings) if f.code == code)
    whole = FIRING["GS703"][0]()
    assert whole.task.loss is not None
    summed = with_task(whole, loss=dataclasses.replace(whole.task.loss, mean_reduced=False))
    assert any(" Or: " in f.cause for f in flat(rules.judge(summed).findings) if f.code == "GS703")
