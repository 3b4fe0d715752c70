"""Named schemes: every role gets what belongs to it, and nothing is touched that should not be."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gainstage import schemes
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.graph import DerivationStep, KernelShape, Operation, Parameter, Role, SignalGraph, Use
from gainstage.planning import Override, plan
from gainstage.records import Assignment, Plan


def by_path(planned: Plan) -> dict[str, Assignment]:
    return {a.parameter: a for a in planned}


@pytest.mark.parametrize("scheme", [*schemes.names(), "auto", "keep"])
def test_every_parameter_gets_one_assignment_with_a_reason_in_the_models_order(scheme, sketch, lstm) -> None:
    for graph in (sketch().plain(3, "relu").graph, lstm):
        planned = plan(graph, scheme)
        assert [a.parameter for a in planned] == [p.path for p in graph.parameters]
        assert [a.shape for a in planned] == [p.shape for p in graph.parameters]
        assert all(a.reason for a in planned)
        assert planned.scheme == scheme


@pytest.mark.parametrize("scheme", schemes.names())
def test_weights_get_the_scheme_and_its_spread(scheme, sketch) -> None:
    graph = sketch().plain(2, "relu").graph
    for path, assignment in by_path(plan(graph, scheme)).items():
        if path.endswith("weight"):
            assert (assignment.scheme, assignment.gain) == (scheme, 1.0)
            assert assignment.spread == schemes.get(scheme).spread(graph.by_path[path].kernel)


def test_aliases_of_a_scheme_are_resolved(sketch) -> None:
    planned = plan(sketch().plain(1, "relu").graph, "kaiming_normal_")
    assert (planned.scheme, planned.assignments[0].scheme) == ("he_normal", "he_normal")


def test_normalisations_and_biases_start_neutral(sketch) -> None:
    s = sketch()
    s.linear(s.activation(s.norm(s.linear(s.input, "first"), "norm"), "relu"), "head")
    rules = {path: a.bias for path, a in by_path(plan(s.graph, "he_normal")).items() if a.bias}
    assert rules == {"first.bias": "zero", "norm.weight": "one", "norm.bias": "zero", "head.bias": "zero"}


def test_a_scale_that_the_model_adds_one_to_is_kept(sketch) -> None:
    s = sketch()
    s.linear(s.norm(s.input, "norm", derivation=(DerivationStep.SUM,)), "head")
    assert by_path(plan(s.graph, "he_normal"))["norm.weight"].scheme == "keep"


def test_frozen_parameters_are_kept_whatever_is_asked(sketch) -> None:
    s = sketch()
    s.linear(s.linear(s.input, "base", trainable=False), "head")
    planned = plan(s.graph, "he_normal", overrides={"base": "zeros"})
    assert by_path(planned)["base.weight"].scheme == by_path(planned)["base.bias"].scheme == "keep"
    assert "frozen" in by_path(planned)["base.weight"].reason
    assert planned.notes == ("Frozen, and kept although an override names them: base.weight, base.bias.",)


@pytest.mark.parametrize(
    ("parameter", "reason"),
    [
        (Parameter("token", (1, 64), "float32", Role.OTHER, nodes=(0,)), "left as the model made it"),
        (Parameter("spare", (64,), "float32", Role.OTHER), "no operation that was seen"),
        (Parameter("spectrum", (4, 4), "complex64", Role.HIDDEN, KernelShape(4, 4)), "complex64"),
        (Parameter("odd", (4, 5), "float32", Role.HIDDEN, KernelShape(4, 4), nodes=(1,)), "geometry"),
        (Parameter("bare", (4, 4), "float32", Role.HIDDEN, nodes=(1,)), "geometry"),
        (Parameter("g", (4, 1), "float32", Role.MAGNITUDE, nodes=(1,)), "direction is unknown"),
    ],
)
@pytest.mark.parametrize("scheme", ["he_normal", "auto"])
def test_what_cannot_be_told_is_kept_and_said(parameter, reason, scheme, sketch) -> None:
    assignment = plan(sketch().plain(1, "relu").with_parameter(parameter), scheme).assignments[-1]
    assert assignment.scheme == "keep"
    assert reason in assignment.reason


def test_a_kernel_that_the_batch_does_not_reach_is_drawn_and_noted(sketch) -> None:
    spare = Parameter("spare.weight", (4, 4), "float32", Role.HIDDEN, KernelShape(4, 4))
    planned = plan(sketch().plain(1, "relu").with_parameter(spare), "he_normal")
    assert planned.assignments[-1].scheme == "he_normal"
    assert "no operation that was seen" in planned.assignments[-1].reason
    assert planned.notes == ("No operation that was seen uses spare.weight.",)


def test_a_magnitude_follows_its_weight(sketch) -> None:
    magnitude = Parameter("g", (64, 1), "float32", Role.MAGNITUDE, nodes=(1,), magnitude_of="head.weight")
    assignment = plan(sketch().plain(1, "relu").with_parameter(magnitude), "he_normal").assignments[-1]
    assert (assignment.scheme, assignment.weight) == ("match_norm", "head.weight")


@pytest.mark.parametrize("scheme", ["he_normal", "keras_default", "auto"])
def test_one_of_two_lstm_biases_opens_the_forget_gate(scheme, lstm) -> None:
    rules = {path: a.bias for path, a in by_path(plan(lstm, scheme)).items() if "bias" in path}
    assert rules == {"bias_ih_l0": "forget_one", "bias_hh_l0": "zero", "bias_ih_l1": "forget_one", "bias_hh_l1": "zero"}


def test_three_gates_are_no_lstm(lstm) -> None:
    gru = tuple(
        dataclasses.replace(p, blocks=3, shape=(48, 16)) if p.kernel else dataclasses.replace(p, shape=(48,))
        for p in lstm.parameters
    )
    planned = plan(SignalGraph(lstm.nodes, gru, lstm.inputs, lstm.outputs), "he_normal")
    assert {a.bias for a in planned if a.bias} == {"zero"}


def test_recurrent_weights_get_the_named_scheme_in_blocks(lstm) -> None:
    state = by_path(plan(lstm, "glorot_uniform"))["weight_hh_l0"]
    assert (state.scheme, state.blocks) == ("glorot_uniform", 4)
    assert state.spread == pytest.approx(math.sqrt(2 / (16 + 16)))


def test_pytorch_draws_all_of_an_rnn_within_one_over_root_hidden(lstm) -> None:
    wide = tuple(
        dataclasses.replace(p, shape=(64, 50), kernel=KernelShape(16, 50)) if p.role is Role.RECURRENT_INPUT else p
        for p in lstm.parameters
    )
    planned = by_path(plan(SignalGraph(lstm.nodes, wide, lstm.inputs, lstm.outputs), "pytorch_default"))
    assert planned["weight_ih_l0"].spread == pytest.approx(1 / math.sqrt(3 * 16))
    assert planned["weight_hh_l0"].spread == pytest.approx(1 / math.sqrt(3 * 16))
    assert (planned["bias_ih_l1"].bias, planned["bias_ih_l1"].weight) == ("uniform_fan_in", "weight_hh_l1")


def test_pytorch_takes_packed_attention_for_one_matrix(sketch) -> None:
    packed = Parameter("qkv", (192, 64), "float32", Role.PACKED_ATTENTION, KernelShape(64, 64), blocks=3)
    assignment = plan(sketch().plain(1, "relu").with_parameter(packed), "pytorch_default").assignments[-1]
    assert assignment.spread * math.sqrt(3) == pytest.approx(math.sqrt(6 / (64 + 192)))  # .153 at a width of 64


def test_framework_biases_and_embeddings(sketch) -> None:
    s = sketch()
    s.linear(s.embedding(s.input, "table"), "head")
    torch_like, keras_like = by_path(plan(s.graph, "pytorch_default")), by_path(plan(s.graph, "keras_default"))
    assert torch_like["table.weight"].spread == 1.0
    assert (torch_like["head.bias"].bias, torch_like["head.bias"].weight) == ("uniform_fan_in", "head.weight")
    assert keras_like["table.weight"].spread == pytest.approx(0.05 / math.sqrt(3))
    assert keras_like["head.bias"].bias == "zero"


@pytest.mark.parametrize("scheme", ["he_normal", "auto"])
def test_rows_of_embeddings_share_what_one_table_has_alone(scheme, sketch) -> None:
    alone = sketch()
    alone.linear(alone.embedding(alone.input, "table"), "head")
    whole = by_path(plan(alone.graph, scheme))["table.weight"]
    assert whole.spread == pytest.approx(1.0 if scheme == "he_normal" else 1 / math.sqrt(whole.shape[1]))
    added = sketch()
    tokens, segments = added.embedding(added.input, "tokens"), added.embedding(added.input, "segments")
    places = added.embedding(None, "places")
    both = added.add(Operation.ADD, "add", tokens, segments)
    added.linear(added.add(Operation.OFFSET, "add", both, places), "head")
    planned = by_path(plan(added.graph, scheme))
    spreads = [planned[f"{name}.weight"].spread for name in ("tokens", "segments")]
    if scheme == "auto":  # places, which are the same for all examples, share with the others
        spreads.append(planned["places.weight"].spread)
    else:
        assert planned["places.weight"].scheme == "keep"
    assert math.sqrt(sum(spread**2 for spread in spreads)) == pytest.approx(whole.spread)


# -- overrides -------------------------------------------------------------------------------------------------------


def test_later_overrides_win(sketch) -> None:
    overrides = {"*": "orthogonal", "layers.1": "zeros", "layers.1.weight": Override("he_uniform", gain=2.0)}
    planned = by_path(plan(sketch().plain(2, "relu").graph, "he_normal", overrides=overrides))
    assert planned["layers.0.weight"].scheme == "orthogonal"
    assert planned["layers.0.bias"].bias == "zero"
    assert (planned["layers.1.weight"].scheme, planned["layers.1.weight"].gain) == ("he_uniform", 2.0)
    assert planned["layers.1.weight"].spread == pytest.approx(2 * math.sqrt(2 / 64))


def test_a_gain_alone_keeps_the_scheme_of_the_plan(sketch) -> None:
    graph = sketch().plain(2, "relu").graph
    for scheme in ("he_normal", "auto"):
        plain, louder = (
            by_path(plan(graph, scheme, overrides=o))["head.weight"] for o in (None, {"head": Override(gain=3)})
        )
        assert louder.spread == pytest.approx(3 * plain.spread)
        assert louder.scheme == plain.scheme


@pytest.mark.parametrize(
    ("scheme", "rule", "value"), [("zeros", "zero", 0.5), ("ones", "constant", 0.5), ("constant", "constant", 0.5)]
)
def test_constants_go_to_whatever_the_pattern_means(scheme, rule, value, sketch) -> None:
    s = sketch()
    s.linear(s.norm(s.input, "norm"), "head")
    planned = plan(s.graph, "he_normal", overrides={"*": Override(scheme, gain=0.5)})
    assert {(a.bias, a.value) for a in planned} == {(rule, value)}


def test_keep_and_only_leave_the_rest(sketch) -> None:
    graph = sketch().plain(2, "relu").graph
    planned = by_path(plan(graph, "he_normal", overrides={"layers.0": "keep"}, only=["layers", "head.weight"]))
    kept = {path for path, a in planned.items() if a.scheme == "keep"}
    assert kept == {"layers.0.weight", "layers.0.bias", "head.bias"}
    assert "not among" in planned["head.bias"].reason


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scheme": "he_norml"}, UnknownNameError, "Did you mean 'he_normal'"),
        ({"overrides": {"head": "he_norml"}}, UnknownNameError, "Received for 'head'. Did you mean 'he_normal'"),
        ({"overrides": {"haed": "zeros"}}, InputError, "'haed' in overrides matches none"),
        ({"overrides": {"head": {"scheme": "zeros"}}}, InputError, r"Override\(scheme=…, gain=…\)"),
        ({"overrides": "zeros"}, InputError, "must map patterns to schemes"),
        ({"only": ["haed"]}, InputError, "'haed' in only matches none"),
        ({"only": "head"}, InputError, r"Write only=\('head',\)"),
        ({"seed": -1}, InputError, "seed must be"),
        ({"seed": 2**64}, InputError, "seed must be"),
        ({"seed": 1.5}, InputError, "seed must be"),
        ({"seed": True}, InputError, "seed must be"),
    ],
)
def test_what_cannot_be_planned_is_refused(options, error, message, sketch) -> None:
    with pytest.raises(error, match=message):
        plan(sketch().plain(1, "relu").graph, **options)


@pytest.mark.parametrize(
    "options", [{}, {"gain": 0.0}, {"gain": -1.0}, {"gain": math.nan}, {"gain": "2"}, {"gain": True}]
)
def test_an_override_that_says_nothing_sensible_is_refused(options) -> None:
    with pytest.raises(InputError, match="override"):
        Override(**options)


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(ModelError, match="no parameters"):
        plan(SignalGraph((), ()))


@pytest.mark.parametrize("scheme", ["he_normal", "auto"])
def test_tables_added_to_one_that_is_tied_to_the_output_follow_it(scheme, sketch) -> None:
    s = sketch()
    tokens, segments = s.embedding(s.input, "tokens"), s.embedding(s.input, "segments")
    stream = s.norm(s.add(Operation.ADD, "add", tokens, segments), "norm")
    kernel = KernelShape(100, 64)
    head = s.add(
        Operation.LINEAR,
        "mm",
        stream,
        uses=(Use("tokens.weight", "weight", (DerivationStep.TRANSPOSE,)),),
        kernel=kernel,
    )
    s.parameter("tokens.weight", (100, 64), head, kernel=kernel)
    planned = by_path(plan(s.graph, scheme))
    assert planned["tokens.weight"].role is Role.HEAD
    assert planned["segments.weight"].spread == pytest.approx(planned["tokens.weight"].spread)
    assert "tied to the output" in planned["segments.weight"].reason
    assert "reads the input" not in planned["tokens.weight"].reason


@pytest.mark.parametrize("scheme", ["he_normal", "auto"])
@pytest.mark.parametrize("frozen", [True, False])
def test_the_last_weight_of_an_adapter_is_zero_beside_frozen_weights_only(frozen, scheme, sketch) -> None:
    s = sketch()
    base = s.linear(s.input, "base", bias=False, trainable=not frozen)
    low = s.linear(s.linear(s.input, "down", bias=False), "up", bias=False)
    s.linear(s.activation(s.add(Operation.ADD, "add", base, low), "relu"), "head")
    planned = by_path(plan(s.graph, scheme))
    assert (planned["up.weight"].scheme == "zeros") == frozen
    assert planned["down.weight"].scheme != "zeros"


def test_a_residual_block_on_a_frozen_stem_is_no_adapter(sketch) -> None:
    s = sketch()
    stem = s.linear(s.input, "stem", trainable=False)
    branch = s.linear(s.activation(s.linear(stem, "up"), "relu"), "down")
    s.linear(s.norm(s.add(Operation.ADD, "add", stem, branch), "norm"), "head")
    assert by_path(plan(s.graph, "he_normal"))["down.weight"].scheme == "he_normal"
