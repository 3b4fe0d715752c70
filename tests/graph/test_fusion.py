"""Functions written out by hand, and products that are none."""

from __future__ import annotations

import pytest

from gainstage.graph import Node, Operation, fuse


def root_mean_square(s, x):
    squared = s.act(x, "pow")
    return s.times(x, s.act(s.offset(s.reduce(squared)), "rsqrt"))


def layer_norm_by_variance(s, x):
    centred = s.less(x, s.reduce(x))
    return s.times(centred, s.act(s.offset(s.reduce(x, "var")), "rsqrt"))


def layer_norm_by_squares(s, x):
    centred = s.less(x, s.reduce(x))
    return s.times(centred, s.act(s.offset(s.reduce(s.act(centred, "pow"))), "rsqrt"))


def normalised(s, x):
    return s.over(x, s.act(s.reduce(x, "norm"), "clamp"))


def softmax(s, x):
    powers = s.act(x, "exp")
    return s.over(powers, s.reduce(powers, "sum"))


def safe_softmax(s, x):
    return softmax(s, s.less(x, s.reduce(x, "max")))


def log_softmax(s, x):
    return s.less(x, s.reduce(x, "logsumexp"))


def gelu(s, x):
    cube = s.plus(x, s.scale(s.act(x, "pow")))
    return s.times(s.scale(x), s.offset(s.act(s.scale(cube), "tanh")))


def silu(s, x):
    return s.times(x, s.act(x, "sigmoid"))


def mish(s, x):
    return s.times(x, s.act(s.act(x, "softplus"), "tanh"))


def square(s, x):
    return s.times(x, x)


WRITTEN = {
    root_mean_square: (Operation.NORMALIZATION, "rms_norm"),
    layer_norm_by_variance: (Operation.NORMALIZATION, "layer_norm"),
    layer_norm_by_squares: (Operation.NORMALIZATION, "layer_norm"),
    normalised: (Operation.NORMALIZATION, "unit_norm"),
    softmax: (Operation.SOFTMAX, "softmax"),
    safe_softmax: (Operation.SOFTMAX, "softmax"),
    log_softmax: (Operation.SOFTMAX, "log_softmax"),
    gelu: (Operation.ACTIVATION, "composite"),
    mish: (Operation.ACTIVATION, "composite"),
    silu: (Operation.ACTIVATION, "silu"),
    square: (Operation.ACTIVATION, "square"),
}


@pytest.mark.parametrize("write", WRITTEN)
def test_functions_written_by_hand_become_one_node(sketch, write):
    start = sketch.linear(sketch.input, "before")
    end = write(sketch, start)
    last = sketch.linear(end, "after")
    graph = fuse(sketch.graph(last))
    node = graph.nodes[end]
    assert (node.operation, node.function) == WRITTEN[write]
    assert node.inputs == (start,)
    steps = set(range(start + 1, end))
    assert {n.index for n in graph.nodes if n.part_of is not None} == steps
    assert graph.consumers[start] == (end,)
    assert graph.consumers[end] == (last,)


@pytest.mark.parametrize("write", WRITTEN)
def test_fusing_twice_changes_nothing(sketch, write):
    write(sketch, sketch.linear(sketch.input, "before"))
    once = fuse(sketch.graph())
    assert [n.operation for n in fuse(once).nodes] == [n.operation for n in once.nodes]


def test_a_scale_and_a_shift_belong_to_the_normalisation_before_them(sketch):
    start = sketch.linear(sketch.input, "before")
    scaled = sketch.affine(layer_norm_by_variance(sketch, start), "gamma", Operation.SCALE)
    shifted = sketch.affine(scaled, "beta", Operation.OFFSET)
    node = fuse(sketch.graph()).nodes[shifted]
    assert (node.operation, node.function, node.inputs) == (Operation.NORMALIZATION, "layer_norm", (start,))
    assert [(u.parameter, u.slot) for u in node.uses] == [("gamma", "scale"), ("beta", "shift")]
    assert sketch.roles() == {"before": "before_norm", "gamma": "norm_scale", "beta": "norm_shift"}


def test_a_scale_that_only_one_of_two_readers_sees_is_its_own(sketch):
    end = root_mean_square(sketch, sketch.linear(sketch.input, "before"))
    scaled = sketch.affine(end, "gamma", Operation.SCALE)
    sketch.plus(scaled, sketch.act(end))
    graph = fuse(sketch.graph())
    assert graph.nodes[end].operation is Operation.NORMALIZATION
    assert graph.nodes[end].part_of is None
    assert graph.nodes[scaled].operation is Operation.SCALE


def test_a_step_that_is_read_elsewhere_stays_a_node(sketch):
    start = sketch.linear(sketch.input, "before")
    gate = sketch.act(start, "sigmoid")
    product = sketch.times(start, gate)
    sketch.plus(product, gate)
    graph = fuse(sketch.graph())
    assert graph.nodes[product].function == "silu"
    assert graph.nodes[gate].part_of is None


def gate_with_weight(s, x):
    return s.times(s.act(s.linear(x, "gate"), "silu"), s.linear(x, "up"))


def two_sources(s, x):
    return s.times(s.act(x), s.act(s.add(Operation.INPUT, "input")))


def excitation(s, x):
    return s.times(x, s.act(s.linear(s.reduce(x), "squeeze"), "sigmoid"))


def attention_product(s, x):
    return s.times(x, s.add(Operation.MATMUL, "bmm", x))


@pytest.mark.parametrize("write", [gate_with_weight, two_sources, excitation, attention_product])
def test_products_of_two_signals_stay_products(sketch, write):
    end = write(sketch, sketch.linear(sketch.input, "before"))
    graph = fuse(sketch.graph())
    assert graph.nodes[end].operation is Operation.MULTIPLY
    assert all(n.part_of is None for n in graph.nodes)


def test_products_of_long_ago_are_no_activation(sketch):
    start = sketch.linear(sketch.input, "before")
    here = start
    for _ in range(20):
        here = sketch.act(here)
    end = sketch.times(start, here)
    assert fuse(sketch.graph()).nodes[end].operation is Operation.MULTIPLY


def test_a_loss_is_left_as_it_is_but_for_squares_and_log_softmax(sketch):
    start = sketch.linear(sketch.input, "before")
    gate = sketch.act(start, "sigmoid")
    nodes = {
        "silu": sketch.add(Operation.MULTIPLY, "mul", start, gate, stage="loss"),
        "square": sketch.add(Operation.MULTIPLY, "mul", start, stage="loss"),
    }
    graph = fuse(sketch.graph(start))
    assert graph.nodes[nodes["silu"]].operation is Operation.MULTIPLY
    assert graph.nodes[nodes["square"]] == Node(
        nodes["square"], Operation.ACTIVATION, "mul", (start,), (4, 8), function="square", stage="loss"
    )
