"""Recipes of the literature: spreads by their papers' formulas, and what they say where something is missing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import trace
from gainstage.graph import Operation, Role
from gainstage.planning import RECIPES, plan
from gainstage.planning.branches import branches, innermost, switches
from gainstage.records import Assignment, Plan
from zoo.hf import HUGGING_FACE
from zoo.networks import MLP, ResidualMLP, ResidualNet

HF = {case.name: case for case in HUGGING_FACE}
WIDTH = 32


def by_path(planned: Plan) -> dict[str, Assignment]:
    return {a.parameter: a for a in planned}


def planned_for(model: nn.Module, recipe: str, *shape: int, **options: str) -> dict[str, Assignment]:
    return by_path(plan(trace(model, torch.randn(*shape)), recipe, **options))


def planned_hf(name: str, recipe: str) -> Plan:
    return gs.plan(HF[name].model(), recipe, x=HF[name].batch()[0])


# -- branches ------------------------------------------------------------------------------------------------------


def test_branches_hold_their_weights():
    graph = trace(ResidualMLP(3, norm=False), torch.ones(4, 64))
    found = branches(graph)
    assert [b.length for b in found] == [3, 3, 3]
    paths = [[graph.nodes[i].path for i in b.weights] for b in found]
    assert paths == [[f"blocks.{i}.1", f"blocks.{i}.3"] for i in range(3)]
    assert [graph.nodes[b.last[0]].path for b in found] == [f"blocks.{i}.3" for i in range(3)]
    assert set(innermost(found)) == {i for b in found for i in b.weights}


def test_a_projected_skip_begins_a_stream_of_its_own():
    found = branches(trace(ResidualNet(4, norm=False), torch.ones(2, 1, 8, 8)))
    assert [b.length for b in found] == [2, 2, 2, 2]
    assert len({b.stream for b in found}) == 2


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (ResidualMLP(2, norm=True), (4, 64), {"blocks.0.3.weight", "blocks.1.3.weight"}),
        (ResidualNet(2, norm=True), (2, 1, 8, 8), {"blocks.0.norm2.weight", "blocks.1.norm2.weight"}),
    ],
)
def test_what_switches_a_branch_off(model, shape, expected):
    assert switches(trace(model, torch.ones(*shape))) == expected


class Multiplied(nn.Module):
    """ReZero's block: a learned multiplier ends the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.alpha * torch.relu(self.inner(x)))


@pytest.mark.parametrize("recipe", ["zero_branches", "skipinit", "ReZero"])
def test_a_learned_multiplier_starts_at_zero_and_the_weights_do_not(recipe):
    model, x = Multiplied(), torch.randn(64, 8)
    planned = by_path(gs.initialize(model, recipe, x=x))
    assert planned["alpha"].bias == "zero"
    assert model.alpha.item() == 0.0
    assert planned["inner.weight"].spread > 0
    assert torch.equal(model(x), model.head(model.stem(x)))


@pytest.mark.parametrize("norm", [True, False])
def test_branches_that_start_at_zero_hand_their_input_on(norm):
    model, x = ResidualMLP(6, norm=norm), torch.randn(32, 64)
    planned = gs.initialize(model, "auto", x=x, branch_start="zero")
    with torch.no_grad():
        assert torch.equal(model(x), model.head(model.norm(model.stem(x))))
    assert all("silent" in a.reason for a in planned if a.role is Role.BRANCH_END)


# -- formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [2, 4, 10])
def test_fixup(blocks):
    planned = planned_for(ResidualNet(blocks, norm=False), "fixup", 2, 1, 8, 8)
    assert planned["head.weight"].scheme == "zeros"
    for index in range(blocks):
        assert planned[f"blocks.{index}.conv2.weight"].scheme == "zeros"
        first = planned[f"blocks.{index}.conv1.weight"]
        # L^(-1/(2m-2)) with m = 2 weights a branch, on He's √(2/fan_in)
        assert first.spread == pytest.approx(math.sqrt(2 / first.kernel.fan_in) * blocks**-0.5)
    stem = planned["stem.weight"]
    assert stem.spread == pytest.approx(math.sqrt(2 / stem.kernel.fan_in))


def test_gpt2():
    planned = by_path(planned_hf("gpt2", "gpt2"))
    for path, assignment in planned.items():
        if path.endswith("c_proj.weight"):
            assert assignment.spread == pytest.approx(0.02 / math.sqrt(2 * 2))
        elif assignment.role.is_kernel:
            assert assignment.spread == pytest.approx(0.02)


def glorot(assignment: Assignment) -> float:
    return math.sqrt(2 / (assignment.kernel.fan_in + assignment.kernel.fan_out))


@pytest.mark.parametrize(
    ("recipe", "encoder", "decoder"),
    [
        ("t_fixup", 0.67 * 2**-0.25, (9 * 2) ** -0.25),
        ("deepnorm", 0.87 * (2**4 * 2) ** (-1 / 16), (12 * 2) ** -0.25),
    ],
)
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_encoder_and_decoder_have_their_own_factor(name, recipe, encoder, decoder):
    planned = planned_hf(name, recipe)
    seen = set()
    for assignment in planned:
        path = assignment.parameter
        if not assignment.role.is_kernel or "head" in path or "shared" in path:
            continue
        plain = assignment.role in (Role.QUERY, Role.KEY)
        factor = 1.0 if plain else decoder if "decoder" in path else encoder
        seen.add(factor)
        assert assignment.spread == pytest.approx(glorot(assignment) * factor), path
    assert seen == {1.0, encoder, decoder}


def test_deepnorm_of_one_kind():
    planned = planned_hf("bert", "deepnorm")
    factor = (8 * 2) ** -0.25
    scaled = [a for a in planned if a.spread and a.role.is_kernel and a.spread == pytest.approx(glorot(a) * factor)]
    assert len(scaled) == 2 * 4, "value, output and two feed-forward weights in each of two blocks"
    assert any(f"α = {(2 * 2) ** 0.25:.4g}" in note for note in planned.notes)


def test_packed_attention_is_said_to_be_packed():
    assert any("packed" in note for note in planned_hf("gpt2", "t_fixup").notes)


@pytest.mark.parametrize("width", [64, 256])
def test_mup_spreads_and_rates(width):
    model = MLP(16, width, width, 4)
    planned = planned_for(model, "mup", 8, 16)
    assert planned["0.weight"].spread == pytest.approx(1 / math.sqrt(16))
    assert planned["2.weight"].spread == pytest.approx(1 / math.sqrt(width))
    assert planned["4.weight"].spread == pytest.approx(1 / width)
    x, ratio = torch.randn(8, 16), width / 64

    def rates(optimizer):
        groups = gs.parameter_groups(model, x, learning_rate=0.1, base_width=64, optimizer=optimizer)
        torch.optim.SGD(groups)
        by_id = {id(p): g["lr"] / 0.1 for g in groups for p in g["params"]}
        return {name: by_id[id(p)] for name, p in model.named_parameters()}

    adam, sgd = rates("adam"), rates("sgd")
    assert adam == pytest.approx({"0.weight": 1, "0.bias": 1, "2.weight": 1 / ratio, "2.bias": 1, "4.weight": 1 / ratio,
                                  "4.bias": 1})  # fmt: skip
    assert sgd == pytest.approx({"0.weight": ratio, "0.bias": ratio, "2.weight": 1, "2.bias": ratio,
                                 "4.weight": 1 / ratio, "4.bias": ratio})  # fmt: skip


def test_delta_orthogonal_keeps_norms_and_levels():
    model, x = ResidualNet(2, norm=False), torch.randn(16, 1, 8, 8)
    planned = by_path(gs.initialize(model, "delta_orthogonal", x=x))
    weight = model.blocks[0].conv1.weight.detach()
    centre = weight[:, :, 1, 1]
    scale = float((centre @ centre.T)[0, 0])
    assert torch.allclose(centre @ centre.T, scale * torch.eye(len(centre)), atol=1e-5 * scale)
    assert float(weight.abs().sum()) == pytest.approx(float(centre.abs().sum()))
    assert planned["head.weight"].scheme == "normal"


def test_lsuv_reaches_unit_variance_where_layers_stand_in_order():
    model = MLP(64, 64, 64, 64, 10)
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0))
    planned = gs.initialize(model, "lsuv", x=x)
    with torch.no_grad():
        here = x
        for layer in model:
            here = layer(here)
            if isinstance(layer, nn.Linear):
                assert abs(float(here.var()) - 1) < 0.1
    again = MLP(64, 64, 64, 64, 10)
    gs.apply(again, planned)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))


# -- what is missing is said ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "said"),
    [("fixup", "residual branches"), ("zero_branches", "residual branches"), ("gpt2", "residual branches"),
     ("t_fixup", "transformers"), ("deepnorm", "transformers")],
)  # fmt: skip
def test_a_recipe_says_what_an_architecture_lacks(recipe, said):
    model = MLP(8, 8, 2)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(gs.GainstageError, match=said):
        gs.initialize(model, recipe, x=torch.randn(4, 8))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("recipe", ["fixup", "t_fixup"])
def test_normalisation_makes_a_recipe_against_it_pointless(recipe):
    assert any("gains nothing" in note for note in planned_hf("bert", recipe).notes)


@pytest.mark.parametrize("recipe", sorted(set(RECIPES) - {"delta_orthogonal"}))
def test_a_recipe_without_a_batch_asks_for_one(recipe):
    with pytest.raises(gs.GainstageError, match="Pass x="):
        gs.plan(MLP(8, 8, 2), recipe)


@pytest.mark.parametrize(
    "arguments",
    [{"base_width": 0}, {"base_width": 8, "learning_rate": 0.0}, {"base_width": 8, "optimizer": "lion"}],
)
def test_parameter_groups_refuses_nonsense(arguments):
    with pytest.raises(gs.GainstageError):
        gs.parameter_groups(MLP(8, 8, 2), torch.randn(4, 8), **{"learning_rate": 0.1, **arguments})


def test_an_unknown_start_of_branches_is_refused():
    with pytest.raises(gs.GainstageError, match="Unknown branch start 'half'"):
        gs.plan(ResidualMLP(2), "auto", x=torch.randn(4, 64), branch_start="half")


def test_a_name_that_is_no_scheme_is_shown_the_recipes():
    with pytest.raises(gs.GainstageError, match="fixup"):
        gs.plan(MLP(8, 8, 2), "fixupp")


# -- the output's bias ---------------------------------------------------------------------------------------------


def test_the_output_starts_at_the_log_prior():
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    model, x, loss = MLP(8, 16, 3), torch.randn(100, 8), nn.CrossEntropyLoss()
    planned = by_path(gs.initialize(model, "auto", x=x, y=labels, loss=loss))
    prior = torch.softmax(model[2].bias.detach(), 0)
    assert torch.allclose(prior, torch.tensor([61.0, 31.0, 11.0]) / 103)
    assert "log prior" in planned["2.bias"].reason
    entropy = -float((torch.tensor([0.6, 0.3, 0.1]) * torch.tensor([0.6, 0.3, 0.1]).log()).sum())
    started = float(loss(model(x), labels).detach())
    # Logits of spread s cost s²/2 on average, and their errors over 100 examples scatter by s/√100 each.
    assert started == pytest.approx(entropy, abs=0.3**2 / 2 + 4 * 0.3 / math.sqrt(100))
    assert started < math.log(3)


def test_the_output_starts_at_the_mean_of_the_targets():
    targets = torch.randn(64, 3, dtype=torch.float64) + torch.tensor([5.0, -2.0, 0.0])
    model, x = MLP(8, 16, 3), torch.randn(64, 8)
    gs.initialize(model, "auto", x=x, y=targets.float(), loss=nn.MSELoss())
    assert torch.allclose(model[2].bias.detach(), targets.mean(0).float())


def test_the_output_starts_at_the_log_odds():
    labels = (torch.arange(40) < 30).float()[:, None]
    model, x = MLP(8, 16, 1), torch.randn(40, 8)
    gs.initialize(model, "auto", x=x, y=labels, loss=nn.BCEWithLogitsLoss())
    assert model[2].bias.item() == pytest.approx(math.log(31 / 11))


@pytest.mark.parametrize("labels", [torch.arange(40) % 5, torch.full((40,), -100)])
def test_labels_that_do_not_fit_leave_the_bias_at_zero(labels):
    model = MLP(8, 16, 5)
    model.append(nn.Tanh())  # what the loss sees is not the output layer's own value
    planned = by_path(gs.plan(model, "auto", x=torch.randn(40, 8), y=labels, loss=nn.CrossEntropyLoss()))
    assert planned["2.bias"].bias == "zero"


def test_recipes_reach_the_roles_of_convolutions():
    graph = trace(ResidualNet(2, norm=False), torch.ones(2, 1, 8, 8))
    assert sum(n.operation is Operation.CONVOLUTION for n in graph.nodes) == sum(
        (a.kernel is not None and a.kernel.receptive > 1) or "shortcut" in a.parameter for a in plan(graph, "fixup")
    )
