"""Automatic initialization of networks that nobody wrote a scheme for: it runs, mends, and says what it left alone."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.graph import Operation, Role, residuals, stream_lengths
from zoo.invented import CLASSES, INVENTED, WIDTH

NAMED = {case.name: case for case in INVENTED}


@cache
def run(case):
    """Loss, gradients and plan after initialization, and the loss and gradients of the framework's default."""
    torch.manual_seed(0)
    model, inputs = case.build(), case.inputs()
    before = first_step(model, inputs)
    plan = gs.initialize(model, "auto", x=inputs if len(inputs) > 1 else inputs[0])
    return before, first_step(model, inputs), {a.parameter: a for a in plan}, model


def first_step(model, inputs):
    model.zero_grad()
    torch.manual_seed(0)
    output = model(*inputs)
    loss = nn.functional.cross_entropy(output, torch.arange(len(output)) % output.shape[1])
    loss.backward()
    spread = float(output.detach().var(0).mean().sqrt())
    return loss.item(), spread, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("case", INVENTED, ids=str)
def test_it_starts_at_chance_and_every_weight_learns(case):
    (default, before, _), (loss, after, gradients), plan, model = run(case)
    assert math.isfinite(loss)
    assert loss < (1.1 * math.log(CLASSES) if case.at_chance else default)
    # Outputs that tell examples apart by less than a hundredth of a logit have collapsed.
    assert after > min(before, 0.01)
    silent = {path for path, a in plan.items() if a.scheme == "zeros"}
    for path, parameter in model.named_parameters():
        assert bool(torch.isfinite(parameter).all()), path
        assert plan[path].reason, path
        if not silent and path in gradients and parameter.dim() > 1:
            assert bool(gradients[path].any()), path


@pytest.mark.parametrize("case", INVENTED, ids=str)
def test_what_has_no_measured_level_says_why(case):
    *_, plan, _ = run(case)
    for assignment in plan.values():
        if assignment.level is not None:
            said = ("calibrated by", "predicted only: ")
            assert any(words in assignment.reason for words in said), assignment


def roles(name):
    model = NAMED[name].build()
    inputs = NAMED[name].inputs()
    graph = gs.trace(model, inputs if len(inputs) > 1 else inputs[0])
    return graph, {p.path: p.role for p in graph.parameters}


def test_loops_over_time_are_recurrent_and_no_stream():
    graph, found = roles("elman by hand")
    assert (found["state.weight"], found["input.weight"]) == (Role.RECURRENT, Role.RECURRENT_INPUT)
    assert not residuals(graph)
    graph, found = roles("lstm by hand")
    assert found["state.weight"] is Role.RECURRENT
    assert {graph.parameter(f"{name}.weight").blocks for name in ("input", "state")} == {4}


def test_a_scan_over_time_is_no_stream():
    """Its state is multiplied and added to at every step; the block around it is the one residual."""
    graph, found = roles("scan")
    (around,) = residuals(graph)
    assert stream_lengths((around,)) == {around.stream: 1}
    assert found["out.weight"] is Role.BRANCH_END
    assert found["packed.weight"] is not Role.BRANCH_END


def test_depth_with_shared_weights_is_not_recurrent():
    for name in ("shared depth", "shared stream"):
        _, found = roles(name)
        assert Role.RECURRENT not in found.values()


def test_uses_of_one_weight_add_up_in_amplitude():
    """Twelve times the same step of level 1/144 is at most one whole."""
    graph, found = roles("shared stream")
    assert list(stream_lengths(residuals(graph)).values()) == [12]
    assert found["down.weight"] is Role.BRANCH_END
    *_, plan, model = run(NAMED["shared stream"])
    assert plan["down.weight"].level == pytest.approx(1 / 144)
    (x,) = NAMED["shared stream"].inputs()
    with torch.no_grad():
        start = model.stem(x)
        end = start
        for _ in range(12):
            end = end + model.down(torch.relu(model.up(end)))
        assert float(end.square().mean() / start.square().mean()) < 4  # (1 + 1)²


def test_a_factor_in_the_models_own_code_counts():
    """An Euler step of 1/20, twenty times: the step is the budget already."""
    *_, plan, _ = run(NAMED["differential equation"])
    assert plan["b.weight"].level == pytest.approx(1.0)


def test_sums_of_outputs_share_the_level_of_logits():
    for name, paths in (("splines", ("2.base.weight", "2.shapes")), ("pairs", ("linear.weight",))):
        *_, plan, _ = run(NAMED[name])
        assert {plan[path].role for path in paths} == {Role.HEAD}
        assert [plan[path].level for path in paths] == pytest.approx([0.09 / 2] * len(paths))


def test_couplings_start_as_the_identity():
    *_, plan, model = run(NAMED["flow"])
    assert {plan[f"nets.{i}.2.weight"].scheme for i in range(4)} == {"zeros"}
    (x,) = NAMED["flow"].inputs()
    assert torch.equal(model(x), x)


def test_the_first_layer_of_sines_keeps_its_frequencies_and_the_others_count_the_factor():
    torch.manual_seed(0)
    kept = NAMED["waves"].build().layers[0].weight.detach().clone()
    *_, plan, model = run(NAMED["waves"])
    assert plan["layers.0.weight"].scheme == "keep"
    assert torch.equal(kept, model.layers[0].weight)
    assert 30**2 * plan["layers.2.weight"].level < 1  # a sine's argument stays on its slope


def test_no_operation_of_these_networks_is_a_stream_by_mistake():
    for name in ("hypernetwork", "gated", "spectrum", "messages", "equilibrium", "splines", "pairs", "fused"):
        graph, _ = roles(name)
        assert not residuals(graph), name
    graph, _ = roles("modulated")
    assert list(stream_lengths(residuals(graph)).values()) == [4]


# -- projections in one weight ---------------------------------------------------------------------------------------


class TakenApart(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.packed, self.head, self.how = nn.Linear(8, 4 * WIDTH), nn.Linear(WIDTH, 2), how

    def forward(self, x):
        return self.head(self.how(self.packed(x)))


WAYS = {
    "chunk": (lambda y: torch.sigmoid(sum(y.chunk(4, -1))), 4),
    "slices, one twice as large": (lambda y: y[..., : 2 * WIDTH].view(*y.shape[:-1], 2, -1).amax(-2)
                                   + y[..., 2 * WIDTH : 3 * WIDTH] * y[..., 3 * WIDTH :], 4),
    "heads": (lambda y: torch.stack(y.view(*y.shape[:-1], 4, WIDTH).unbind(-2)).prod(0), 4),
    "glu": (lambda y: torch.nn.functional.glu(y, -1)[..., :WIDTH], 2),
    "whole": (lambda y: torch.relu(y).view(*y.shape[:-1], 4, WIDTH).mean(-2), 1),
    "positions": (lambda y: torch.stack([part.view(-1, 4, WIDTH).mean(-2) for part in y.unbind(1)], 1), 1),
    "a part alone": (lambda y: y[..., :WIDTH], 1),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_weight_that_is_taken_apart_holds_blocks(way):
    how, blocks = WAYS[way]
    model = TakenApart(how)
    graph = gs.trace(model, torch.randn(4, 3, 8))
    parameter = graph.parameter("packed.weight")
    assert parameter.blocks == blocks
    assert parameter.kernel.out * blocks == 4 * WIDTH
    plan = gs.plan(model, "glorot_normal", x=torch.randn(4, 3, 8))
    spread = next(a.spread for a in plan if a.parameter == "packed.weight")
    assert spread == pytest.approx(math.sqrt(2 / (8 + 4 * WIDTH / blocks)))


def test_gpt2_packs_three_projections_the_other_way_round():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_embd=32, n_head=4, vocab_size=50, n_positions=16, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    plan = gs.initialize(model, "orthogonal", x={"input_ids": torch.arange(21).view(3, 7)})
    packed = next(a for a in plan if a.parameter.endswith("c_attn.weight"))
    assert (packed.blocks, packed.layout, packed.kernel.out) == (3, "in_out", 32)
    for block in model.transformer.h[0].attn.c_attn.weight.detach().chunk(3, 1):
        torch.testing.assert_close(block.T @ block, torch.eye(32), atol=1e-5, rtol=0)


def test_experts_weights_are_layers():
    graph, found = roles("experts")
    assert found["router.weight"] is Role.GATE
    assert found["down"] is Role.BRANCH_END
    assert all(n.operation is not Operation.UNKNOWN for n in graph.nodes)
