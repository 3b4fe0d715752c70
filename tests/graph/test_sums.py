"""Sums of several weights' outputs."""

from __future__ import annotations

from gainstage.graph import Operation, fuse, terms


def counted(sketch, *outputs):
    graph = fuse(sketch.graph(*outputs))
    return {graph.nodes[i].uses[0].parameter: count for i, count in terms(graph).items()}


def test_two_and_three_terms(sketch):
    s = sketch
    first = s.plus(s.linear(s.input, "a"), s.offset(s.linear(s.input, "b")))
    s.act(s.plus(first, s.pass_(s.linear(s.input, "c"), Operation.DROPOUT)))
    assert counted(s) == {"a": 3, "b": 3, "c": 3}


def test_what_is_no_weights_output_counts_too(sketch):
    s = sketch
    s.plus(s.act(s.linear(s.input, "a")), s.linear(s.input, "b"))
    assert counted(s) == {"b": 2}


def test_an_activation_ends_a_term(sketch):
    s = sketch
    x = s.act(s.plus(s.linear(s.input, "a"), s.linear(s.input, "b")))
    s.linear(x, "c")
    assert counted(s) == {"a": 2, "b": 2}


def test_residual_adds_and_rotations_are_no_such_sums(sketch):
    s = sketch
    stream = s.linear(s.input, "stem")
    stream = s.plus(stream, s.linear(s.act(stream), "branch"))
    turned = s.plus(s.scale(stream), s.scale(s.pass_(stream, Operation.RESHAPE)))
    s.linear(turned, "head")
    assert counted(s) == {}


def test_positions_are_no_term(sketch):
    s = sketch
    table = s.add(Operation.EMBEDDING, "embedding", from_input=False)
    s.linear(s.plus(s.linear(s.input, "a"), table), "head")
    assert counted(s) == {}
