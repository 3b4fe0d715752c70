"""What every parameter is for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gainstage.graph import DerivationStep, KernelShape, Operation, Role, Use, assign_roles

ADDED, NOISY = DerivationStep.SUM, DerivationStep.NOISE


def test_a_plain_stack(sketch):
    x = sketch.act(sketch.linear(sketch.input, "a"))
    sketch.linear(sketch.act(sketch.linear(x, "b")), "c")
    assert sketch.roles() == {"a": "hidden", "b": "hidden", "c": "head"}


HEADS = {
    "softmax": lambda s, x: s.add(Operation.SOFTMAX, "_softmax", x, function="softmax"),
    "sigmoid": lambda s, x: s.act(x, "sigmoid"),
    "temperature": lambda s, x: s.scale(x),
    "pooled": lambda s, x: s.reduce(x),
    "upsampled": lambda s, x: s.pass_(x, Operation.RESAMPLE),
    "reshaped": lambda s, x: s.pass_(x, Operation.RESHAPE),
}


@pytest.mark.parametrize("ending", HEADS)
def test_the_head_is_behind_every_shaping(sketch, ending):
    HEADS[ending](sketch, sketch.linear(sketch.act(sketch.linear(sketch.input, "a")), "head"))
    assert sketch.roles() == {"a": "hidden", "head": "head"}


def test_further_outputs_have_heads_of_their_own_but_hand_out_what_goes_on_inside(sketch):
    inner = sketch.linear(sketch.input, "inner")
    first = sketch.linear(sketch.act(inner), "first")
    second = sketch.act(sketch.linear(sketch.act(inner), "second"), "tanh")
    assert sketch.roles(first, second, inner) == {"inner": "hidden", "first": "head", "second": "head"}
    assert sketch.graph(first, second, inner).ends == (first, second)


def test_what_scales_noise_is_no_weight(sketch):
    """Of a weight drawn anew around another one that one is the weight; noise alone on a weight is dropout."""
    centre, width = Use("centre", "weight", (ADDED,)), Use("width", "weight", (NOISY, ADDED))
    node = sketch.linear(sketch.input, "centre")
    sketch.nodes[node] = replace(sketch.nodes[node], uses=(centre, width))
    sketch.use(node, width, kernel=KernelShape(8, 8))
    dropped = sketch.linear(sketch.act(node), "dropped")
    sketch.nodes[dropped] = replace(sketch.nodes[dropped], uses=(Use("dropped", "weight", (NOISY,)),))
    assert sketch.roles() == {"centre": "hidden", "width": "other", "dropped": "head"}


def test_before_a_normalisation_on_every_way(sketch):
    x = sketch.linear(sketch.input, "scaled_away")
    x = sketch.norm(sketch.pass_(sketch.pass_(x, Operation.POOLING), Operation.DROPOUT))
    x = sketch.act(sketch.linear(x, "hidden"))
    kept = sketch.linear(x, "also_read_raw")
    sketch.linear(sketch.add(Operation.CONCATENATION, "cat", kept, sketch.norm(kept)), "head")
    roles = sketch.roles()
    assert roles == {"scaled_away": "before_norm", "hidden": "hidden", "also_read_raw": "hidden", "head": "head"}


def test_an_activation_between_keeps_the_scale_alive(sketch):
    sketch.linear(sketch.norm(sketch.act(sketch.linear(sketch.input, "a"))), "head")
    assert sketch.roles()["a"] == "hidden"


def attention(s, x, *, fused, mask=False):
    q, k, v = (s.linear(x, name) for name in "qkv")
    if fused:
        return s.add(Operation.ATTENTION, "sdpa", q, k, v)
    scores = s.scale(s.add(Operation.MATMUL, "bmm", q, k))
    if mask:
        scores = s.pass_(s.offset(scores), Operation.MASK)
    weights = s.pass_(s.add(Operation.SOFTMAX, "_softmax", scores, function="softmax"), Operation.DROPOUT)
    return s.add(Operation.MATMUL, "bmm", weights, v)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("mask", [True, False])
def test_attention(sketch, fused, mask):
    x = sketch.linear(sketch.input, "stem")
    out = sketch.linear(attention(sketch, sketch.norm(x), fused=fused, mask=mask), "o")
    sketch.linear(sketch.norm(sketch.plus(x, out)), "head")
    assert sketch.roles() == {
        "stem": "hidden",
        "q": "query",
        "k": "key",
        "v": "value",
        "o": "branch_end",
        "head": "head",
    }


def test_rotated_and_normalised_queries_are_queries(sketch):
    x = sketch.linear(sketch.input, "stem")
    q, k = (sketch.norm(sketch.linear(x, name)) for name in "qk")
    q = sketch.plus(sketch.scale(q), sketch.scale(sketch.pass_(q, Operation.RESHAPE)))
    sketch.linear(sketch.add(Operation.ATTENTION, "sdpa", q, k, sketch.linear(x, "v")), "head")
    assert sketch.roles() == {"stem": "hidden", "q": "query", "k": "key", "v": "value", "head": "head"}


def test_packed_projections(sketch):
    packed = sketch.linear(sketch.input, "qkv")
    parts = [sketch.pass_(packed, Operation.RESHAPE) for _ in range(3)]
    sketch.linear(sketch.add(Operation.ATTENTION, "sdpa", *parts), "head")
    assert sketch.roles() == {"qkv": "packed_attention", "head": "head"}


def test_gates(sketch):
    x = sketch.linear(sketch.input, "stem")
    gated = sketch.times(sketch.act(sketch.linear(x, "gate"), "silu"), sketch.linear(x, "up"))
    sketch.linear(sketch.plus(x, sketch.linear(gated, "down")), "head")
    assert sketch.roles() == {"stem": "hidden", "gate": "gate", "up": "hidden", "down": "branch_end", "head": "head"}


def test_a_branch_that_ends_before_its_own_norm_may_have_any_scale(sketch):
    x = sketch.linear(sketch.input, "stem")
    sketch.linear(sketch.plus(x, sketch.norm(sketch.linear(sketch.act(x), "conv"))), "head")
    assert sketch.roles()["conv"] == "before_norm"


def test_depthwise_and_grouped(sketch):
    x = sketch.linear(sketch.input, "depthwise", groups=8)
    x = sketch.linear(sketch.act(x), "grouped", groups=2)
    sketch.linear(sketch.act(x), "head")
    assert sketch.roles() == {"depthwise": "depthwise", "grouped": "hidden", "head": "head"}


def test_tables_of_tokens_and_of_positions(sketch):
    def table(path, *inputs):
        use = Use(path, "weight")
        return sketch.use(
            sketch.add(Operation.EMBEDDING, "embedding", *inputs, uses=(use,), from_input=bool(inputs)), use
        )

    sketch.linear(sketch.plus(table("tokens", sketch.input), table("positions")), "head")
    assert sketch.roles() == {"tokens": "embedding", "positions": "other", "head": "head"}


def test_a_tied_weight_takes_the_strictest_of_its_uses(sketch):
    use = Use("table", "weight")
    x = sketch.use(sketch.add(Operation.EMBEDDING, "embedding", sketch.input, uses=(use,)), use)
    sketch.linear(sketch.act(sketch.linear(x, "hidden")), "table")
    assert sketch.roles() == {"table": "head", "hidden": "hidden"}


def test_biases_scales_and_everything_else(sketch):
    x = sketch.linear(sketch.input, "a")
    x = sketch.affine(x, "bias", Operation.OFFSET)
    x = sketch.affine(sketch.norm(x), "gain", Operation.SCALE)
    x = sketch.affine(sketch.act(x), "layer_scale", Operation.SCALE)
    use = Use("operand", "operand")
    x = sketch.use(sketch.add(Operation.MATMUL, "bmm", x, uses=(use,)), use)
    sketch.linear(x, "head")
    roles = sketch.roles()
    assert roles["bias"] == "bias"
    assert roles["gain"] == "norm_scale"
    assert roles["layer_scale"] == roles["operand"] == "other"


def test_recurrent_slots(sketch):
    uses = (Use("ih", "weight"), Use("hh", "state"), Use("b", "bias"))
    index = sketch.add(Operation.RECURRENT, "lstm", sketch.input, uses=uses)
    sketch.use(index, *uses, kernel=KernelShape(8, 8))
    assert sketch.roles() == {"ih": "recurrent_input", "hh": "recurrent", "b": "recurrent_bias"}


def test_a_kernel_without_geometry_and_an_unused_parameter_are_left_alone(sketch):
    use = Use("odd", "weight")
    sketch.use(sketch.add(Operation.LINEAR, "mm", sketch.input, uses=(use,)), use)
    assert sketch.roles() == {"odd": str(Role.OTHER)}


def test_outputs_are_not_needed(sketch):
    sketch.linear(sketch.input, "a")
    assert assign_roles(replace(sketch.graph(), outputs=())).parameters[0].role is Role.HIDDEN
