"""Ways through a graph, against brute force over all of them."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings

from gainstage.graph import (
    FewestWeights,
    Node,
    Operation,
    SignalGraph,
    all_after,
    ancestry,
    any_after,
    any_before,
    depths,
    nearest_after,
    nearest_before,
)

KINDS = (Operation.LINEAR, Operation.ACTIVATION, Operation.RESHAPE, Operation.ADD)


@st.composite
def graphs(draw):
    """Random acyclic graphs in order of execution."""
    nodes = [Node(0, Operation.INPUT, "input", (), (1,))]
    farthest = draw(st.sampled_from((1, 2, 9)))  # a chain, short blocks, anything
    for index in range(1, draw(st.integers(2, 9))):
        sources = draw(st.lists(st.integers(max(index - farthest, 0), index - 1), min_size=0, max_size=3, unique=True))
        nodes.append(Node(index, draw(st.sampled_from(KINDS)), "x", tuple(sources), (1,)))
    return SignalGraph(tuple(nodes), ())


def ways(graph, start, end):
    """All ways from one node to another, as tuples of nodes."""
    if start == end:
        return [(end,)]
    return [(*way, end) for source in graph.nodes[end].inputs for way in ways(graph, start, source)]


@settings(deadline=None, derandomize=True)
@given(graphs())
def test_a_node_reaches_another_where_a_way_leads(graph):
    reaches = ancestry(graph).reaches
    everything = range(len(graph.nodes))
    assert all(reaches(start, end) == bool(ways(graph, start, end)) for start in everything for end in everything)


@settings(deadline=None, derandomize=True)
@given(graphs(), st.data())
def test_the_nearest_common_ancestor_is_the_latest(graph, data):
    first, second = (data.draw(st.integers(0, len(graph.nodes) - 1)) for _ in range(2))
    common = [i for i in range(len(graph.nodes)) if ways(graph, i, first) and ways(graph, i, second)]
    assert ancestry(graph).nearest_common(first, second) == (max(common) if common else None)


@settings(deadline=None, derandomize=True)
@given(graphs(), st.data(), st.integers(0, 9))
def test_the_nodes_between(graph, data, most):
    start, *ends = (data.draw(st.integers(0, len(graph.nodes) - 1)) for _ in range(3))
    inside = tuple(
        i for i in range(len(graph.nodes)) if any(ways(graph, i, end) for end in ends) and not ways(graph, i, start)
    )
    assert ancestry(graph).between(start, *ends, most=most) == (inside if len(inside) <= most else None)


@settings(deadline=None, derandomize=True)
@given(graphs())
def test_depth_and_the_fewest_weights_are_over_all_ways(graph):
    depth, fewest = depths(graph), FewestWeights(graph)
    for end in range(len(graph.nodes)):
        starts = [i for i in range(end + 1) if not graph.nodes[i].inputs]
        weights = [sum(graph.nodes[i].operation.weighted for i in way) for s in starts for way in ways(graph, s, end)]
        assert depth[end] == max(weights)
        for start in range(end + 1):
            found = [sum(graph.nodes[i].operation.weighted for i in way[1:]) for way in ways(graph, start, end)]
            assert fewest.between(start, end) == min(found, default=0)


@settings(deadline=None, derandomize=True)
@given(graphs(), st.sampled_from(KINDS), st.sets(st.sampled_from(KINDS)))
def test_the_nearest_wanted_nodes_on_every_way(graph, wanted, through):
    def open_(node):
        return node.operation in through and node.operation is not wanted

    def is_wanted(node):
        return node.operation is wanted

    found_before = any_before(graph, is_wanted, through=through)
    found_after = any_after(graph, is_wanted, through=through)
    for here in range(len(graph.nodes)):
        hits = [i for i in range(len(graph.nodes)) if graph.nodes[i].operation is wanted]
        before = [i for i in hits if any(all(open_(graph.nodes[n]) for n in w[1:]) for w in ways(graph, i, here))]
        after = [
            i
            for i in hits
            if i != here and any(all(open_(graph.nodes[n]) for n in w[1:-1]) for w in ways(graph, here, i))
        ]
        assert list(nearest_before(graph, here, is_wanted, through=through)) == before
        assert list(nearest_after(graph, here, is_wanted, through=through)) == after
        assert (found_before[here], found_after[here]) == (bool(before), bool(after))


def certain(graph, here, wanted, through):
    """Whether every way on from a node meets a wanted operation behind nothing but passable ones."""
    readers = [graph.nodes[i] for i in graph.consumers[here]]
    return bool(readers) and all(
        r.operation is wanted or (r.operation in through and certain(graph, r.index, wanted, through)) for r in readers
    )


@settings(deadline=None, derandomize=True)
@given(graphs(), st.sampled_from(KINDS), st.sets(st.sampled_from(KINDS)))
def test_nodes_from_which_every_way_meets_a_wanted_one(graph, wanted, through):
    found = all_after(graph, lambda n: n.operation is wanted, through=through)
    assert found == {i for i in range(len(graph.nodes)) if certain(graph, i, wanted, through)}
