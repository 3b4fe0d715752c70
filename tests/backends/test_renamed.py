"""Nothing is decided by a name: of a module, of a parameter, or of an operation in the framework's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gainstage as gs
from gainstage import rules
from gainstage.backends.torch import record
from gainstage.backends.torch.tracing import graph_building, graph_from_modules
from gainstage.graph import fuse
from gainstage.planning import plan
from zoo.awkward import AWKWARD
from zoo.healthy import HEALTHY
from zoo.renamed import renamed

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

CASES = tuple(case for case in (*AWKWARD, *HEALTHY) if not case.memoryless and not case.name.startswith("lazy"))
SCHEMES = ("he_normal", "auto")


def over(table):
    return pytest.mark.parametrize("case", table, ids=str)


def roles(graph, names):
    return [
        (names(p.path), p.role, p.kernel, p.blocks, p.magnitude_of and names(p.magnitude_of)) for p in graph.parameters
    ]


def lines(graph, scheme, names):
    """Every assignment without its prose."""
    return [
        (names(a.parameter), a.role, a.scheme, a.gain, a.spread, a.level, a.bias, a.value, a.weight and names(a.weight))
        for a in plan(graph, scheme)
    ]


def levels(profile):
    return [(n.node, n.forward.second_moment, n.backward.second_moment if n.backward else None) for n in profile.nodes]


def findings(profile):
    return sorted((f.code, f.node, f.measured) for f in rules.judge(profile).findings)


def same(one, other):
    """Equal to the last bit, where NaN equals NaN."""
    return repr(one) == repr(other)


@over(CASES)
def test_a_model_under_other_names_is_the_same_model(case):
    model, twin = case.model(), case.model()
    old = renamed(twin)
    inputs, target = case.batch()
    first, second = (record(m, inputs, target, loss=case.loss, seed=0) for m in (model, twin))
    assert roles(first.graph, str) == roles(second.graph, old.__getitem__)
    for scheme in SCHEMES:
        assert same(lines(first.graph, scheme, str), lines(second.graph, scheme, old.__getitem__))
    assert same(levels(first), levels(second))
    assert same(findings(first), findings(second))
    predicted = [gs.predict(m, inputs, target, loss=case.loss) for m in (model, twin)]
    assert same(levels(predicted[0]), levels(predicted[1]))


@over(CASES)
def test_without_data_names_decide_nothing_either(case):
    model, twin = case.model(), case.model()
    old = renamed(twin)
    graphs = [graph_from_modules.structure(m) for m in (model, twin)]
    assert roles(graphs[0], str) == roles(graphs[1], old.__getitem__)


@over(CASES)
def test_the_name_of_an_operation_is_a_label(case, monkeypatch):
    model = case.model()
    inputs, target = case.batch()
    plain = gs.trace(model, inputs, target, loss=case.loss)

    def under_labels(graph):
        nodes = tuple(replace(node, name=f"operation {node.index}") for node in graph.nodes)
        return fuse(replace(graph, nodes=nodes))

    monkeypatch.setattr(graph_building, "fuse", under_labels)
    labelled = gs.trace(model, inputs, target, loss=case.loss)
    assert {node.name for node in labelled.nodes}.isdisjoint(node.name for node in plain.nodes)
    assert [replace(node, name="") for node in plain.nodes] == [replace(node, name="") for node in labelled.nodes]
    assert plain.parameters == labelled.parameters
    for scheme in SCHEMES:
        assert same(*(lines(graph, scheme, str) for graph in (plain, labelled)))
    assert same(*(levels(gs.predict(graph, plan="he_normal")) for graph in (plain, labelled)))


@over(HEALTHY)
def test_findings_do_not_depend_on_labels(case):
    profile = record(case.model(), *case.batch(), loss=case.loss, seed=0)
    nodes = tuple(replace(node, name=f"operation {node.index}") for node in profile.graph.nodes)
    labelled = replace(profile, graph=replace(profile.graph, nodes=nodes))
    assert same(findings(profile), findings(labelled))
