"""Residual adds by the shape of the graph, and adds that are none."""

from __future__ import annotations

import pytest

from gainstage.graph import Operation, fuse, residuals, stream_lengths


def found(sketch, *outputs):
    graph = fuse(sketch.graph(*outputs))
    paths = {n.index: n.uses[0].parameter for n in graph.nodes if n.uses}
    return [(r.add, r.skip, r.branch, [paths.get(e) for e in r.ends]) for r in residuals(graph)]


def branch(s, x, *paths):
    for path in paths:
        x = s.linear(s.act(x), path)
    return x


def test_pre_norm_blocks_share_one_stream(sketch):
    x = start = sketch.linear(sketch.input, "stem")
    adds = []
    for i in range(3):
        x = sketch.plus(x, branch(sketch, sketch.norm(x), f"{i}.in", f"{i}.out"))
        adds.append(x)
    graph = sketch.graph()
    streams = residuals(graph)
    assert [r.add for r in streams] == adds
    assert {r.stream for r in streams} == {start}
    assert stream_lengths(streams) == {start: 3}
    assert [ends for *_, ends in found(sketch)] == [["0.out"], ["1.out"], ["2.out"]]


def test_post_norm_blocks_share_one_stream_too(sketch):
    x = start = sketch.linear(sketch.input, "stem")
    for i in range(3):
        x = sketch.norm(sketch.plus(branch(sketch, x, f"{i}.out"), x))
    assert stream_lengths(residuals(sketch.graph())) == {start: 3}


def test_a_projected_skip_is_a_skip_and_starts_a_stream(sketch):
    start = sketch.linear(sketch.input, "stem")
    first = sketch.plus(start, branch(sketch, start, "a1", "a2"))
    skip = sketch.linear(first, "projection")
    second = sketch.plus(branch(sketch, first, "b1", "b2"), skip)
    third = sketch.plus(second, branch(sketch, second, "c1", "c2"))
    adds = residuals(sketch.graph())
    assert [(r.add, r.skip) for r in adds] == [(first, start), (second, skip), (third, second)]
    assert stream_lengths(adds) == {start: 1, first: 2}


def test_attention_and_mlp_in_parallel_end_in_both(sketch):
    start = sketch.linear(sketch.input, "stem")
    normed = sketch.norm(start)
    both = sketch.plus(branch(sketch, normed, "q", "o"), branch(sketch, normed, "up", "down"))
    add = sketch.plus(start, both)
    assert found(sketch) == [(add, start, both, ["o", "down"])]


def test_two_sums_in_a_row_are_two_branches(sketch):
    start = sketch.linear(sketch.input, "stem")
    first = sketch.plus(start, branch(sketch, start, "o"))
    second = sketch.plus(first, branch(sketch, start, "up", "down"))
    assert [(a, s) for a, s, *_ in found(sketch)] == [(first, start), (second, first)]


def test_highway_layers_are_gated_residuals(sketch):
    start = sketch.linear(sketch.input, "stem")
    gate = sketch.act(sketch.linear(start, "gate"), "sigmoid")
    changed = sketch.times(sketch.act(sketch.linear(start, "hidden")), gate)
    kept = sketch.times(start, sketch.offset(gate))
    add = sketch.plus(changed, kept)
    sketch.linear(add, "head")
    assert found(sketch) == [(add, kept, changed, ["gate", "hidden"])]
    roles = sketch.roles()
    assert (roles["gate"], roles["hidden"]) == ("gate", "branch_end")


def test_an_excited_branch_ends_in_its_convolution(sketch):
    start = sketch.linear(sketch.input, "stem")
    hidden = sketch.linear(sketch.act(start), "convolution")
    gate = sketch.act(sketch.linear(sketch.act(sketch.linear(sketch.reduce(hidden), "squeeze")), "excite"), "sigmoid")
    sketch.linear(sketch.plus(start, sketch.times(hidden, gate)), "head")
    roles = sketch.roles()
    assert (roles["convolution"], roles["excite"], roles["squeeze"]) == ("branch_end", "gate", "hidden")


# -- no residual adds --------------------------------------------------------------------------------------------------


def two_equal_branches(s, x):
    return s.plus(s.linear(x, "a"), s.linear(x, "b"))


def an_activation(s, x):
    return s.times(x, s.offset(s.act(s.plus(x, s.act(x, "pow")), "tanh")))


def rotation(s, x):
    q = s.linear(x, "q")
    return s.plus(s.scale(q), s.scale(s.pass_(q, Operation.RESHAPE)))


def a_position(s, x):
    table = s.add(Operation.EMBEDDING, "embedding", from_input=False)
    return s.plus(x, table)


def a_broadcast_mask(s, x):
    mask = s.add(Operation.OFFSET, "sub", s.input, shape=(4, 1))
    scores = s.add(Operation.MATMUL, "bmm", s.linear(s.times(x, mask), "q"), s.linear(x, "k"))
    return s.add(Operation.ADD, "add", scores, mask)


def two_inputs(s, x):
    return s.plus(x, s.linear(s.add(Operation.INPUT, "input"), "other"))


def twice_the_same(s, x):
    return s.add(Operation.ADD, "add", x)


def dense_connection(s, x):
    return s.add(Operation.CONCATENATION, "cat", x, s.linear(x, "a"))


def a_mixture_of_gates(s, x):
    gate = s.act(s.linear(x, "gate"), "sigmoid")
    return s.plus(s.times(gate, s.linear(x, "left")), s.times(s.offset(gate), s.linear(x, "right")))


def in_the_loss(s, x):
    return s.plus(x, s.linear(x, "a"), stage="loss")


NONE = [two_equal_branches, an_activation, rotation, a_position, a_broadcast_mask, two_inputs, twice_the_same,
        dense_connection, a_mixture_of_gates, in_the_loss]  # fmt: skip


@pytest.mark.parametrize("write", NONE)
def test_adds_that_join_no_stream(sketch, write):
    last = write(sketch, sketch.linear(sketch.input, "stem"))
    assert found(sketch, last) == []


def test_a_long_skip_over_blocks_with_residuals_of_their_own(sketch):
    start = sketch.linear(sketch.input, "stem")
    inner = sketch.linear(start, "down")
    block = sketch.plus(inner, branch(sketch, inner, "inside"))
    outer = sketch.plus(start, sketch.linear(block, "up"))
    assert [(a, s, e) for a, s, _, e in found(sketch)] == [(block, inner, ["inside"]), (outer, start, ["up"])]
