"""gs.predict: the public face, its refusals, its bands, and verdicts on what it predicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage import rules
from gainstage.backends.torch import record
from gainstage.errors import InputError, ModelError
from gainstage.records import InputMoments, Severity
from zoo.healthy import HEALTHY

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")


def perceptron(depth: int = 6, width: int = 256, activation=nn.ReLU) -> nn.Sequential:
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def levels(profile) -> list[float]:
    return [node.forward.second_moment for node in profile.nodes]


@pytest.mark.parametrize("case", HEALTHY, ids=str)
def test_a_healthy_network_is_healthy_in_theory_too(case):
    model = case.model()
    inputs, target = case.batch()
    profile = gs.predict(model, inputs, target, loss=case.loss)
    found = [f for f in rules.judge(profile).findings if f.severity is not Severity.NOTE]
    assert [f"{f.code} at {f.path}: {f.evidence}" for f in found] == []
    assert all(math.isfinite(level) and level >= 0 for level in levels(profile))


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
def test_theory_names_a_vanishing_gradient_before_anything_runs(activation):
    with torch.device("meta"):
        net = perceptron(20, activation=activation)
    diagnosis = rules.judge(gs.predict(net, input_shape=(64, 256), plan="pytorch_default"))
    assert any(f.code in ("GS201", "GS109", "GS101") for f in diagnosis.findings if f.severity is not Severity.NOTE)


def test_a_plan_that_is_not_applied_is_predicted_as_if_it_were():
    torch.manual_seed(0)
    net, x = perceptron(), torch.randn(256, 256)
    plan = gs.plan(net, "he_normal", x=x)
    before = [p.clone() for p in net.parameters()]
    promised = gs.predict(net, input_shape=(256, 256), plan=plan)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    gs.apply(net, plan)
    held = gs.predict(net, input_shape=(256, 256))
    # The mean of one draw of n x n weights is off by σ/n, which shifts a pre-activation by 0.564/√n of its standard
    # deviation (0.564: mean over root mean square of relu), and changes E relu² by 2 √(2/π) times that, layer by layer.
    layers, width = 6, 256
    scatter = math.sqrt(layers) * 2 * math.sqrt(2 / math.pi) * 0.564 / math.sqrt(width)
    np.testing.assert_allclose(levels(promised), levels(held), rtol=3 * scatter)
    assert levels(promised)[:2] == pytest.approx([2.0, 1.0])


def test_nothing_of_the_model_is_touched():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 2))
    state, generator = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    gs.predict(net, torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in state.items())
    assert torch.equal(generator, torch.get_rng_state())
    assert net.training


def test_the_band_holds_nine_draws_of_ten():
    inside, draws, net = np.zeros(4), 120, perceptron(3, 128)
    predicted = gs.predict(net, input_shape=(32, 128), plan="he_normal")
    told = [n for n in predicted.nodes if predicted.graph.nodes[n.node].operation.weighted]
    for seed in range(draws):
        torch.manual_seed(seed)
        measured = record(gs_initialized(net, seed), torch.randn(32, 128))
        for place, node in enumerate(told):
            ratio = measured.by_node[node.node].forward.second_moment / node.forward.second_moment
            low, high = node.forward.band
            inside[place] += low <= ratio <= high
    share = inside / draws
    assert (share >= 0.78).all(), share
    assert (share <= 0.99).all(), share


def gs_initialized(net: nn.Module, seed: int) -> nn.Module:
    gs.initialize(net, "he_normal", seed=seed)
    return net


def test_moments_of_the_input_matter():
    net = perceptron(2)
    loud = gs.predict(net, input_shape=(8, 256), input_moments=InputMoments(second_moment=4.0))
    plain = gs.predict(net, input_shape=(8, 256))
    weighted = plain.nodes[0].node
    ratio = loud.by_node[weighted].forward.second_moment / plain.by_node[weighted].forward.second_moment
    assert 3.5 < ratio < 4.0  # the default bias does not grow with the input
    alike = gs.predict(net, torch.ones(8, 256))
    assert alike.nodes[-1].forward.example_share == pytest.approx(0.0, abs=1e-6)


def test_moments_are_taken_of_a_batch():
    draws = np.random.default_rng(0)
    common = draws.standard_normal((1, 3, 1, 1))
    told = InputMoments.of(common + draws.standard_normal((64, 3, 8, 8)))
    assert told.second_moment == pytest.approx((common**2).mean() + 1, rel=0.05)
    for pair in (told.positions, told.examples, told.neighbour, told.across_both):
        assert pair == pytest.approx((common**2).mean(), abs=0.02)


def test_tokens_and_unknown_operations_are_told():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(50, 16), nn.Linear(16, 4)

        def forward(self, ids):
            return self.head(torch.cumsum(self.embed(ids), 1))

    profile = gs.predict(Odd(), torch.randint(0, 50, (4, 6)))
    assert profile.task.inputs[0].kind == "tokens"
    assert [note.code for note in profile.notes] == ["GS903"]
    assert profile.by_node[profile.graph.outputs[0]].doubt
    assert profile.nodes[0].doubt.startswith("its gradient comes back through")


def test_a_predicted_profile_prints_and_survives_json():
    profile = gs.predict(perceptron(), input_shape=(8, 256))
    assert gs.loads(gs.dumps(profile)) == profile
    assert "nine of ten draws" in str(profile)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Pass one of x"),
        ({"x": torch.ones(2, 256), "input_shape": (2, 256)}, "Pass one of x"),
        ({"input_shape": ()}, "shape of an input"),
        ({"input_shape": (0, 256)}, "shape of an input"),
        ({"input_shape": (2, 256), "input_moments": [InputMoments()] * 2}, "moments were given for 2"),
        ({"x": torch.full((2, 256), math.nan)}, "NaN"),
        ({"input_shape": (2, 256), "plan": "he_norml"}, "he_norml"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(arguments, words):
    with pytest.raises((InputError, gs.GainstageError), match=words):
        gs.predict(perceptron(), **arguments)


def test_a_shape_that_the_model_refuses_says_so():
    with pytest.raises(ModelError, match="raised"):
        gs.predict(perceptron(), input_shape=(2, 7))


def test_weights_without_values_want_a_plan():
    with torch.device("meta"):
        net = perceptron()
    with pytest.raises(InputError, match="plan='auto'"):
        gs.predict(net, input_shape=(2, 256))
    with pytest.raises(InputError, match="plan='auto'"):
        gs.predict(gs.trace(net, torch.empty(2, 256, device="meta")))


@pytest.mark.parametrize(
    "moments",
    [{"second_moment": -1.0}, {"second_moment": math.inf}, {"mean": 2.0}, {"examples": 1.5}, {"positions": -3.0}],
)
def test_moments_that_cannot_be_are_refused(moments):
    with pytest.raises(InputError, match="Moments of an input"):
        InputMoments(**moments)
