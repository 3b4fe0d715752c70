"""Facts about a graph are computed once per graph, and a call makes few graphs."""

from __future__ import annotations

import copy
import pickle
import sys
from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.graph import SignalGraph, ancestry, depths, residuals, terms
from gainstage.graph.patterns.fusion import fuse
from gainstage.graph.patterns.recurrence import recurrences, scans
from gainstage.graph.roles import assign_roles
from gainstage.planning.branches import branches, budgets, stream_levels
from gainstage.planning.dense import dense_streams
from gainstage.planning.products import factors
from gainstage.planning.scores import score_spreads
from gainstage.rules.flow import bypassed, scale_invariant, scores

FACTS = (
    ancestry, residuals, recurrences, scans, depths, terms, branches, budgets, stream_levels, dense_streams, factors,
    score_spreads, scale_invariant, scores, bypassed,
)  # fmt: skip
GRAPHS_WITH_NODES_OF_THEIR_OWN = 2  # the operations as they ran, and with hand-written functions recognised


class Block(nn.Module):
    """A gated residual block."""

    def __init__(self):
        super().__init__()
        self.norm, self.inner, self.gate, self.outer = nn.LayerNorm(8), *(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x):
        y = self.norm(x)
        return x + self.outer(torch.tanh(self.inner(y)) * torch.sigmoid(self.gate(y)))


def network():
    return nn.Sequential(*(Block() for _ in range(3)), nn.Linear(8, 4))


@contextmanager
def counted():
    """How often each function's own code runs on each graph's nodes; graphs are kept, so that no identity is reused."""
    watched = {fact.__wrapped__.__code__: fact.__name__ for fact in FACTS}
    watched |= {function.__code__: function.__name__ for function in (fuse, assign_roles)}
    calls, kept = Counter(), []

    def look(frame, event, _argument):
        if event == "call" and frame.f_code in watched:
            graph = frame.f_locals["graph"]
            kept.append(graph.nodes)
            calls[watched[frame.f_code], id(graph.nodes)] += 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield calls
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("call", ["initialize", "plan", "predict", "check"])
def test_every_fact_is_computed_once_per_graph(call):
    x, y = torch.randn(16, 8), torch.randint(0, 4, (16,))
    asked = {
        "initialize": lambda: gs.initialize(network(), "auto", x=x),
        "plan": lambda: gs.plan(network(), "auto", x=x),
        "predict": lambda: gs.predict(network(), x),
        "check": lambda: gs.check(network(), x, y, loss=nn.functional.cross_entropy),
    }
    with counted() as calls:
        asked[call]()
    repeated = {key: count for key, count in calls.items() if count > 1}
    assert not repeated
    assert {"residuals", "ancestry", "recurrences", "scans"} <= {name for name, _ in calls}
    assert len({nodes for _, nodes in calls}) <= GRAPHS_WITH_NODES_OF_THEIR_OWN


def test_graphs_of_the_same_nodes_share_facts_about_them():
    graph = gs.trace(network(), torch.randn(4, 8))
    other = graph.with_parameters(graph.parameters[:1])
    assert other.parameters == graph.parameters[:1]
    assert other.nodes is graph.nodes
    assert residuals(other) is residuals(graph)
    assert other.by_path.keys() == {graph.parameters[0].path}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda graph: pickle.loads(pickle.dumps(graph))])
def test_a_copy_holds_the_graph_and_computes_its_own_facts(copied):
    graph = gs.trace(network(), torch.randn(4, 8))
    assert graph.consumers
    assert residuals(graph)
    found = copied(graph)
    assert isinstance(found, SignalGraph)
    assert found == graph
    assert residuals(found) == residuals(graph)
    assert found.node_facts is not graph.node_facts


def test_a_chain_of_thousands_of_layers_meets_no_recursion_limit():
    net = nn.Sequential(*(m for _ in range(600) for m in (nn.Linear(2, 2), nn.Tanh())))
    graph = gs.trace(net, torch.ones(2, 2))
    assert depths(graph)[graph.outputs[0]] == 600
    assert ancestry(graph).reaches(graph.inputs[0], graph.outputs[0])
    assert len(gs.predict(graph, plan=gs.plan(net, "he_normal")).nodes) == 1200
