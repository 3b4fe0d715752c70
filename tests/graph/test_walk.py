"""Ways through a graph, against brute force over all of them."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from gainstage.graph import (
    Node,
    Operation,
    SignalGraph,
    ancestors,
    depths,
    fewest_weights,
    nearest_after,
    nearest_before,
    nearest_common_ancestor,
)

KINDS = (Operation.LINEAR, Operation.ACTIVATION, Operation.RESHAPE, Operation.ADD)


@st.composite
def graphs(draw):
    """Random acyclic graphs in order of execution."""
    nodes = [Node(0, Operation.INPUT, "input", (), (1,))]
    for index in range(1, draw(st.integers(2, 9))):
        sources = draw(st.lists(st.integers(0, index - 1), min_size=0, max_size=3, unique=True))
        nodes.append(Node(index, draw(st.sampled_from(KINDS)), "x", tuple(sources), (1,)))
    return SignalGraph(tuple(nodes), ())


def ways(graph, start, end):
    """All ways from one node to another, as tuples of nodes."""
    if start == end:
        return [(end,)]
    return [(*way, end) for source in graph.nodes[end].inputs for way in ways(graph, start, source)]


@settings(deadline=None, derandomize=True)
@given(graphs())
def test_sets_of_ancestors(graph):
    sets = ancestors(graph)
    for end in range(len(graph.nodes)):
        assert {i for i in range(len(graph.nodes)) if sets[end] >> i & 1} == {
            start for start in range(len(graph.nodes)) if ways(graph, start, end)
        }


@settings(deadline=None, derandomize=True)
@given(graphs(), st.data())
def test_the_nearest_common_ancestor_is_the_latest(graph, data):
    first, second = (data.draw(st.integers(0, len(graph.nodes) - 1)) for _ in range(2))
    common = [i for i in range(len(graph.nodes)) if ways(graph, i, first) and ways(graph, i, second)]
    assert nearest_common_ancestor(ancestors(graph), first, second) == (max(common) if common else None)


@settings(deadline=None, derandomize=True)
@given(graphs())
def test_depth_and_the_fewest_weights_are_over_all_ways(graph):
    depth = depths(graph)
    for end in range(len(graph.nodes)):
        starts = [i for i in range(end + 1) if not graph.nodes[i].inputs]
        weights = [sum(graph.nodes[i].operation.weighted for i in way) for s in starts for way in ways(graph, s, end)]
        assert depth[end] == max(weights)
        for start in range(end + 1):
            found = [sum(graph.nodes[i].operation.weighted for i in way[1:]) for way in ways(graph, start, end)]
            assert fewest_weights(graph, start, end) == min(found, default=0)


@settings(deadline=None, derandomize=True)
@given(graphs(), st.sampled_from(KINDS), st.sets(st.sampled_from(KINDS)))
def test_the_nearest_wanted_nodes_on_every_way(graph, wanted, through):
    def open_(node):
        return node.operation in through and node.operation is not wanted

    for here in range(len(graph.nodes)):
        hits = [i for i in range(len(graph.nodes)) if graph.nodes[i].operation is wanted]
        before = [i for i in hits if any(all(open_(graph.nodes[n]) for n in w[1:]) for w in ways(graph, i, here))]
        after = [
            i
            for i in hits
            if i != here and any(all(open_(graph.nodes[n]) for n in w[1:-1]) for w in ways(graph, here, i))
        ]
        found = nearest_before(graph, here, lambda n: n.operation is wanted, through=through)
        assert list(found) == before
        assert list(nearest_after(graph, here, lambda n: n.operation is wanted, through=through)) == after
