"""Questions to a graph about itself."""

from __future__ import annotations

import pytest

from gainstage.errors import UnknownNameError
from gainstage.graph import Node, Operation, Parameter, Role, SignalGraph, Use


def test_readers_are_the_inverse_of_inputs(sketch):
    left = sketch.linear(sketch.input, "a")
    right = sketch.act(left)
    sketch.plus(left, right)
    graph = sketch.graph()
    for node in graph.nodes:
        assert all(node.index in graph.consumers[source] for source in node.inputs)
    assert sum(map(len, graph.consumers.values())) == sum(len(n.inputs) for n in graph.nodes)
    with pytest.raises(TypeError):
        graph.consumers[0] = ()


def test_steps_of_a_recognised_function_read_nothing():
    nodes = (
        Node(0, Operation.INPUT, "input", (), (1,)),
        Node(1, Operation.REDUCTION, "mean", (0,), (1,), part_of=2),
        Node(2, Operation.NORMALIZATION, "mul", (0,), (1,)),
    )
    assert SignalGraph(nodes, ()).consumers[0] == (2,)


def test_parameters_answer_to_all_their_names():
    tied = Parameter("head.weight", (3, 3), "float32", aliases=("embed.weight",), nodes=(1,))
    alone = Parameter("other", (3,), "float32")
    graph = SignalGraph((), (tied, alone))
    assert graph.parameter("embed.weight") is graph.parameter("head.weight") is tied
    assert graph.unreached == (alone,)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'head\.weight'"):
        graph.parameter("head.wieght")


def test_weighted_nodes_are_those_of_the_model_that_see_the_input(sketch):
    first = sketch.linear(sketch.input, "a")
    table = sketch.add(Operation.EMBEDDING, "embedding", from_input=False)
    sketch.add(Operation.LINEAR, "mm", first, stage="loss")
    graph = sketch.graph()
    assert [n.index for n in graph.weighted()] == [first]
    assert [n.index for n in graph.weighted(from_input=False)] == [first, table]


def test_labels_and_slots():
    node = Node(0, Operation.LINEAR, "addmm", (), (1,), "blocks.0", (Use("w", "weight"), Use("b", "bias")))
    assert node.label == "blocks.0 (addmm)"
    assert [u.parameter for u in node.uses_of("bias")] == ["b"]
    assert Node(0, Operation.ACTIVATION, "relu", (), (1,), function="relu").label == "relu"


def test_every_operation_and_role_is_in_one_class():
    assert {o for o in Operation if o.weighted} == {
        Operation.LINEAR, Operation.BILINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.EMBEDDING
    }  # fmt: skip
    assert not any(o.weighted and o.passive for o in Operation)
    assert not any(r.is_kernel for r in (Role.BIAS, Role.NORM_SCALE, Role.OTHER, Role.EMBEDDING, Role.MAGNITUDE))
