"""The automatic recipe: levels, centring, branches, heads — each against theory's own figures."""

from __future__ import annotations

import math

import pytest

from gainstage.graph import KernelShape, Operation, Role, Use
from gainstage.planning import plan
from gainstage.planning.context import embedding_sums, survey
from gainstage.planning.products import LOGIT_SPREAD
from gainstage.records import Assignment, Plan
from gainstage.theory import activation, gate_point, gaussian_moments, odd_part, operating_point, plain_loss

RECTIFIERS = {"relu": 0.5, "leaky_relu": (1 + 0.01**2) / 2}  # E f² at level 1
WIDTH = 64


def by_path(planned: Plan) -> dict[str, Assignment]:
    return {a.parameter: a for a in planned}


def level_after(assignment: Assignment, power: float) -> float:
    """What the weight makes of a signal of that second moment (or variance)."""
    return assignment.spread**2 * assignment.kernel.fan_in * power


@pytest.mark.parametrize("depth", [1, 4, 30])
@pytest.mark.parametrize("function", ["relu", "leaky_relu", "tanh", "gelu", "sigmoid"])
def test_a_plain_run_holds_its_operating_point_at_every_layer(function, depth, sketch) -> None:
    """Follow the level through the run, layer by layer, with nothing but theory's moments."""
    planned = by_path(plan(sketch().plain(depth, function).graph))
    act = activation(function)
    paired = planned["head.weight"].mirror is not None
    assert paired == bool(plain_loss(act, depth))
    if paired:  # from two opposite units the odd part arrives
        act = odd_part(act)
    # The head ends the run: it reads the last activation.
    point = operating_point(act, depth + 1)
    moments = gaussian_moments(act, point.level)
    power = 1.0
    for index in range(depth):
        weight = planned[f"layers.{index}.weight"]
        assert level_after(weight, power) == pytest.approx(point.level, rel=1e-6)
        assert point.reason in weight.reason
        power = moments.variance if point.centred else moments.second_moment
    assert level_after(planned["head.weight"], power) == pytest.approx(LOGIT_SPREAD**2, rel=1e-6)


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "relu"])
def test_biases_centre_exactly_where_the_operating_point_says_so(function, sketch) -> None:
    planned = by_path(plan(sketch().plain(3, function).graph))
    point = operating_point(activation(function), 4)
    mean = gaussian_moments(activation(function), point.level).mean
    assert planned["layers.0.bias"].bias == "zero", "the input has no mean to take off"
    for path in ("layers.1", "layers.2", "head"):
        bias = planned[f"{path}.bias"]
        assert bias.bias == ("centre" if point.centred else "zero")
        if point.centred:
            assert (bias.weight, bias.value) == (f"{path}.weight", pytest.approx(mean))


@pytest.mark.parametrize("options", [{}, {"only": ["*.weight"]}, {"overrides": {"*.bias": "keep"}}])
def test_without_a_bias_that_can_be_set_the_weights_sum_to_zero(options, sketch) -> None:
    planned = by_path(plan(sketch().plain(3, "sigmoid", bias=bool(options)).graph, **options))
    point = operating_point(activation("sigmoid"), 4)
    power = gaussian_moments(activation("sigmoid"), point.level).variance
    assert planned["layers.0.weight"].scheme == "orthogonal", "the input has no mean to take off"
    for path in ("layers.1.weight", "layers.2.weight"):
        assert planned[path].scheme == "centred_orthogonal"
        assert "sum to zero over the inputs, since no bias can take the mean off" in planned[path].reason
        assert level_after(planned[path], power) == pytest.approx(point.level)
    head = "normal" if not options else "centred_normal"  # the head's own bias can be set unless it is left alone
    assert planned["head.weight"].scheme == head


@pytest.mark.parametrize("function", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_plain_run_is_not_centred_where_its_operating_point_does_not_ask(function, bias, sketch) -> None:
    """It would bring the growth of batch normalisation back."""
    planned = by_path(plan(sketch().plain(3, function, bias=bias).graph))
    assert not any(a.scheme.startswith("centre") for a in planned.values())


@pytest.mark.parametrize("function", ["tanh", "relu", "gelu"])
def test_orthogonal_in_plain_runs_whatever_the_activation(sketch, function) -> None:
    planned = by_path(plan(sketch().plain(3, function).graph))
    assert [planned[f"layers.{i}.weight"].scheme for i in range(3)] == ["orthogonal"] * 3
    assert planned["head.weight"].scheme == "normal"


def test_not_orthogonal_in_runs_of_two_weights(sketch) -> None:
    planned = by_path(plan(sketch().plain(1, "relu").graph))
    assert {planned[f"{name}.weight"].scheme for name in ("layers.0", "head")} == {"normal"}


def test_a_gate_in_a_run_hardly_moves_and_one_on_its_own_does(sketch) -> None:
    """1 + q E σ'² / E σ² for each of eight units, over all of them no more than two."""
    for depth in (1, 8):
        s = sketch()
        here = s.input
        for index in range(depth):
            gate = s.activation(s.linear(here, f"gates.{index}"), "sigmoid")
            here = s.add(Operation.MULTIPLY, "mul", s.linear(here, f"values.{index}"), gate)
        s.linear(here, "head")
        planned = by_path(plan(s.graph))
        level = planned["gates.0.weight"].level
        moments = gaussian_moments("sigmoid", level)
        assert (depth + 1) * math.log1p(moments.chi) <= math.log(2) * (1 + 1e-9)
        assert (level < 0.5) is (depth == 8)
        assert planned["values.0.weight"].level == 1.0
        if depth == 8:  # what the next value reads is a value of level one times a gate
            assert level_after(planned["values.1.weight"], moments.second_moment) == pytest.approx(1.0)


@pytest.mark.parametrize("first", ["value", "gate"])
def test_of_two_functions_that_are_multiplied_the_gate_is_the_one_that_is_ajar(sketch, first: str) -> None:
    """WaveNet's unit: what reads tanh(a) · σ(b) meets the product of two second moments, whichever is written first."""
    s = sketch()
    normal = s.norm(s.input, "norm")
    value = s.activation(s.linear(normal, "value"), "tanh")
    gate = s.activation(s.linear(normal, "gate"), "sigmoid")
    product = s.add(Operation.MULTIPLY, "mul", *((value, gate) if first == "value" else (gate, value)))
    s.linear(s.linear(product, "down"), "head")
    planned = by_path(plan(s.graph))
    assert planned["value.weight"].level == planned["gate.weight"].level == 1.0
    passed = gaussian_moments("tanh", 1.0).second_moment * gaussian_moments("sigmoid", 1.0).second_moment
    assert level_after(planned["down.weight"], passed) == pytest.approx(1.0)
    assert "tanh times a gate of sigmoid" in planned["down.weight"].reason


@pytest.mark.parametrize("name", ["tanh", "silu", "relu"])
def test_a_gate_that_is_shut_at_zero_gains_nothing_from_a_lower_level(name: str) -> None:
    assert gate_point(name, 1).level == gate_point(name, 20).level == 1.0


def test_dropout_is_paid_for(sketch) -> None:
    s = sketch()
    hidden = s.activation(s.linear(s.input, "first"), "relu")
    thinned = s.add(Operation.DROPOUT, "dropout", hidden, settings=(("p", 0.2),))
    s.linear(s.activation(s.linear(thinned, "second"), "relu"), "head")
    second = by_path(plan(s.graph))["second.weight"]
    assert level_after(second, 0.5 / 0.8) == pytest.approx(1.0)
    assert "keeps 0.8" in second.reason


def test_a_normalisation_ends_a_run(sketch) -> None:
    s = sketch()
    here = s.input
    for index in range(6):
        here = s.activation(s.norm(s.linear(here, f"layers.{index}"), f"norms.{index}"), "tanh")
    s.linear(here, "head")
    graph = s.graph
    assert {place.depth for place in survey(graph, ()).values()} == {1}
    weight = by_path(plan(graph))["layers.3.weight"]
    assert weight.role is Role.BEFORE_NORM
    assert level_after(weight, gaussian_moments(activation("tanh"), 1.0).second_moment) == pytest.approx(1.0)


@pytest.mark.parametrize("blocks", [1, 4, 9])
def test_residual_branches_share_one_budget(blocks, sketch) -> None:
    s = sketch()
    stream = s.linear(s.input, "stem")
    for index in range(blocks):
        branch = s.activation(s.linear(s.norm(stream, f"norms.{index}"), f"up.{index}"), "relu")
        stream = s.add(Operation.ADD, "add", stream, s.linear(branch, f"down.{index}"))
    s.linear(s.norm(stream, "norm"), "head")
    planned = by_path(plan(s.graph))
    inner = [level_after(planned[f"up.{i}.weight"], 1.0) for i in range(blocks)]
    assert inner == pytest.approx([blocks**-0.5] * blocks)  # two weights share the factor
    power = gaussian_moments("relu", blocks**-0.5).variance  # the mean is the same for all examples, and taken off
    added = [level_after(planned[f"down.{i}.weight"], power) for i in range(blocks)]
    assert sum(added) == pytest.approx(1.0)
    assert {planned[f"down.{i}.bias"].bias for i in range(blocks)} == {"centre"}
    assert {planned[f"down.{i}.weight"].role for i in range(blocks)} == {Role.BRANCH_END}
    assert all(planned[f"norms.{i}.weight"].bias == "one" for i in range(blocks))


@pytest.mark.parametrize(("function", "scheme"), [("gelu", "centred_normal"), ("tanh", "normal")])
def test_a_branch_without_biases_ends_in_weights_that_sum_to_zero(function, scheme, sketch) -> None:
    """Where there is a mean to take off, and only there."""
    s = sketch()
    stream = s.linear(s.input, "stem")
    for index in range(4):
        branch = s.linear(s.norm(stream, f"norms.{index}"), f"up.{index}", bias=False)
        end = s.linear(s.activation(branch, function), f"down.{index}", bias=False)
        stream = s.add(Operation.ADD, "add", stream, end)
    s.linear(stream, "head")
    planned = by_path(plan(s.graph))
    moments = gaussian_moments(function, planned["up.0.weight"].level)
    for index in range(4):
        down = planned[f"down.{index}.weight"]
        assert down.scheme == scheme
        assert level_after(down, moments.variance) == pytest.approx(1 / 4)
        assert planned[f"up.{index}.weight"].scheme == "normal"


@pytest.mark.parametrize("function", ["batch_norm", "layer_norm"])
def test_weights_before_a_normalisation_do_not_sum_to_zero(function, sketch) -> None:
    s = sketch()
    stream = s.linear(s.input, "stem")
    for index in range(2):
        branch = s.linear(s.activation(s.linear(stream, f"up.{index}"), "relu"), f"down.{index}", bias=False)
        stream = s.add(Operation.ADD, "add", stream, s.norm(branch, f"norms.{index}", function))
    s.linear(stream, "head")
    planned = by_path(plan(s.graph))
    assert planned["down.0.weight"].scheme == planned["down.1.weight"].scheme == "normal"


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_table_loses_its_mean_row_unless_it_is_the_only_one(rows, sketch) -> None:
    s = sketch()
    s.linear(s.embedding(s.input, "tokens", rows), "head")
    table = by_path(plan(s.graph))["tokens.weight"]
    assert table.spread == pytest.approx(1 / math.sqrt(WIDTH))
    assert table.scheme == ("pytorch_embedding" if rows == 1 else "centred_normal")
    assert ("less its mean row" in table.reason) == (rows > 1)


def test_a_branch_that_ends_in_a_normalisation_shares_through_its_scale(sketch) -> None:
    s = sketch()
    stream = s.norm(s.linear(s.input, "stem"), "first")
    for index in range(4):
        branch = s.norm(s.linear(s.activation(stream, "relu"), f"conv.{index}"), f"bn.{index}", "batch_norm")
        stream = s.add(Operation.ADD, "add", stream, branch)
    s.linear(stream, "head")
    planned = by_path(plan(s.graph))
    assert sum(planned[f"bn.{i}.weight"].value ** 2 for i in range(4)) == pytest.approx(1.0)
    assert planned["first.weight"].bias == "one"


def test_a_gate_hands_on_the_second_moment_of_its_activation(sketch) -> None:
    s = sketch()
    normal = s.norm(s.input, "norm")
    gate = s.activation(s.linear(normal, "gate"), "gelu")
    product = s.add(Operation.MULTIPLY, "mul", gate, s.linear(normal, "up"))
    s.linear(s.linear(product, "down"), "head")
    down = by_path(plan(s.graph))["down.weight"]
    assert level_after(down, gaussian_moments(activation("gelu"), 1.0).second_moment) == pytest.approx(1.0)


def test_an_unknown_activation_is_said_to_be_unknown(sketch) -> None:
    planned = by_path(plan(sketch().plain(2, "composite").graph))
    assert "'composite', taken to keep the level" in planned["layers.1.weight"].reason


def test_a_weight_that_reads_what_it_made_takes_the_use_that_repeats(sketch) -> None:
    s = sketch()
    kernel, uses = KernelShape(WIDTH, WIDTH), (Use("shared", "weight"),)
    once = s.add(Operation.LINEAR, "mm", s.input, uses=uses, kernel=kernel)
    s.parameter("shared", (WIDTH, WIDTH), once, kernel=kernel)
    twice = s.add(Operation.LINEAR, "mm", s.activation(once, "relu"), uses=uses, kernel=kernel)
    s.parameter("shared", (WIDTH, WIDTH), twice, kernel=kernel)
    s.linear(s.activation(twice, "relu"), "head")
    shared = by_path(plan(s.graph))["shared"]
    assert shared.reason.startswith("the steady state of 2 uses")
    assert level_after(shared, 0.5) == pytest.approx(1.0), "by its first use it would lose a factor of two a round"


def test_recurrent_weights_are_orthogonal_and_gates_read_unit_level(lstm) -> None:
    planned = by_path(plan(lstm))
    assert planned["weight_hh_l0"].scheme == "orthogonal"
    assert planned["weight_ih_l0"].spread == pytest.approx(1 / math.sqrt(16))


def test_a_layers_spread_follows_its_own_fan(sketch) -> None:
    for width in (16, 256):
        planned = by_path(plan(sketch(width).plain(2, "relu").graph))
        assert planned["layers.1.weight"].spread == pytest.approx(math.sqrt(2 / width))


def test_depth_of_a_run_counts_its_weights(sketch) -> None:
    places = survey(sketch().plain(5, "tanh").graph, ())
    assert [place.depth for place in places.values()] == [6] * 6


def test_only_rows_that_are_added_at_once_form_a_sum(sketch) -> None:
    s = sketch()
    first, second, third = (s.embedding(s.input, name) for name in ("a", "b", "c"))
    s.linear(s.add(Operation.ADD, "add", s.add(Operation.ADD, "add", first, second), s.linear(third, "mix")), "head")
    assert set(embedding_sums(s.graph)) == {frozenset({first, second}), frozenset({third})}
