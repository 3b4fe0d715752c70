"""Healthy starts stay, faulty ones are drawn anew, harmful draws are taken back, and proofs compare trainings."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.planning import Override
from gainstage.records import Diagnosis, Finding, Proof, Remedy, Severity, TrainingCurve
from gainstage.workflows import initializing
from gainstage.workflows.mending import is_worse


def plain(depth: int, width: int = 32, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), act())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def designed(depth: int) -> nn.Sequential:
    """He's rule, which somebody chose for relu."""
    model = plain(depth)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    return model


def values(model: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def test_a_healthy_start_stays_to_the_byte_and_the_plan_says_why() -> None:
    model, x = designed(2), torch.randn(64, 32)
    before = values(model)
    planned = gs.plan(model, x=x)
    plan = gs.initialize(model, x=x)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert {a.scheme for a in plan} == {"keep"}
    assert "found nothing at fault" in plan.notes[0]
    assert plan == planned
    assert plan.scheme == "mend"


def test_what_overrides_name_is_drawn_in_a_healthy_start_and_nothing_else() -> None:
    model, x = designed(2), torch.randn(64, 32)
    before = values(model)
    plan = gs.initialize(model, x=x, overrides={"4.weight": "auto", "2.weight": Override(gain=0.5)})
    changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert changed == [a.scheme != "keep" for a in plan] == [False, False, True, False, True, False]
    assert sum("found nothing at fault" in a.reason for a in plan) == 4


def test_a_start_that_depth_takes_down_is_drawn_as_auto_draws_it() -> None:
    model, same, x = plain(8, act=nn.Tanh), plain(8, act=nn.Tanh), torch.randn(64, 32)
    plan = gs.initialize(model, x=x, seed=3)
    gs.initialize(same, "auto", x=x, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(same.parameters(), model.parameters(), strict=True))
    assert any(note.startswith("Drawn anew (all), since ") for note in plan.notes)
    again = plain(8, act=nn.Tanh)
    gs.apply(again, gs.loads(gs.dumps(plan)))
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_where_mirrored_pairs_pay_no_check_is_needed() -> None:
    model = designed(12)  # no check finds a fault here
    plan = gs.initialize(model, x=torch.randn(64, 32))
    assert any("mirrored pairs pay here" in note for note in plan.notes)
    assert all(a.mirror is not None for a in plan if a.kernel is not None)


def test_what_holds_no_values_or_is_asked_for_is_drawn() -> None:
    with torch.device("meta"):
        empty = plain(2)
    plan = gs.plan(empty, x=torch.randn(64, 32, device="meta"))
    assert any("could not be checked" in note for note in plan.notes)
    assert all(a.scheme != "keep" for a in plan)
    asked = gs.plan(plain(2), x=torch.randn(64, 32), branch_start="zero")
    assert any("as asked" in note for note in asked.notes)


def test_new_weights_whose_gradients_drift_further_are_taken_back(monkeypatch) -> None:
    def exploding(backend, model, decided, x):
        backend.apply(model, decided)
        with torch.no_grad():
            for module in model[:-1]:
                if isinstance(module, nn.Linear):
                    module.weight.mul_(2.5)
        return replace(decided, written=True)

    monkeypatch.setattr(initializing, "_carried_out", exploding)
    model = plain(5)
    nn.init.normal_(model[2].weight, std=0.01)  # one weight is off scale, and nothing drifts
    before = values(model)
    plan = gs.initialize(model, x=torch.randn(64, 32))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert {a.scheme for a in plan} == {"keep"}
    assert any("tried and taken back" in note for note in plan.notes)


def changed(model: nn.Module, x: torch.Tensor) -> tuple[list[str], gs.Plan]:
    before = values(model)
    plan = gs.initialize(model, x=x)
    named = zip(before, model.named_parameters(), strict=True)
    return [path for old, (path, new) in named if not torch.equal(old, new)], plan


def test_default_numbers_of_hidden_weights_are_drawn_anew_and_nothing_else() -> None:
    model, x = plain(3), torch.randn(64, 32)
    nn.init.kaiming_normal_(model[2].weight)  # one of them was chosen
    paths, plan = changed(model, x)
    assert paths == ["0.weight", "4.weight"]
    assert any("default numbers" in note for note in plan.notes)
    assert any("found at fault" in a.reason for a in plan if a.parameter == "6.weight")
    again = plain(3)
    gs.apply(again, plan)
    assert torch.equal(again[0].weight, model[0].weight)


@pytest.mark.parametrize(("rate", "steps"), [(1e-4, 10), (1e-3, 1)])
def test_a_short_training_makes_default_numbers_a_choice(rate: float, steps: int) -> None:
    model, x = plain(2, 64), torch.randn(64, 64)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    assert changed(model, x)[0] == []


def test_beside_frozen_weights_default_numbers_stay() -> None:
    model, x = plain(3), torch.randn(64, 32)
    model[0].weight.requires_grad_(False)
    assert changed(model, x)[0] == []


class LastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 24, num_layers=2, batch_first=True), nn.Linear(24, 4)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def test_default_numbers_of_a_recurrent_layer_are_drawn_anew() -> None:
    torch.manual_seed(0)
    model = LastState()
    paths, _ = changed(model, torch.randn(64, 12, 8))
    assert {"gru.weight_ih_l0", "gru.weight_hh_l0", "gru.weight_ih_l1", "gru.weight_hh_l1"} <= set(paths)
    assert not any(path.startswith("head") for path in paths)
    square = model.gru.weight_hh_l0.detach()[:24]
    torch.testing.assert_close(square @ square.T, torch.eye(24), rtol=0, atol=1e-5)


def test_default_tables_are_drawn_at_the_pace_of_hidden_weights_beside_other_defaults_alone() -> None:
    def build() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Embedding(50, 16, padding_idx=0), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)
        )  # fmt: skip

    model, tokens = build(), torch.randint(1, 50, (64, 4))
    paths, _ = changed(model, tokens)
    assert paths == ["0.weight", "2.weight"]
    assert model[0].weight.detach()[1:].std() == pytest.approx(1 / 4, rel=0.05)
    chosen = build()
    for layer in (chosen[2], chosen[4]):
        nn.init.kaiming_normal_(layer.weight)
    assert changed(chosen, tokens)[0] == []


def test_one_spread_for_all_widths_is_no_healthy_start() -> None:
    model = plain(3)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    plan = gs.initialize(model, "mend", x=torch.randn(64, 32))
    assert any("times 1/√fan_in" in note for note in plan.notes)
    assert {a.scheme for a in plan} & {"orthogonal", "normal"}


def finding(code: str, path: str = "", severity: Severity = Severity.ERROR) -> Finding:
    return Finding(code, "", severity, path, "", 0.0, 0.0, "", Remedy("", ""))


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ((), (), False),
        (("GS101",), (), False),
        (("GS109",), ("GS101",), True),  # as many caused as cured
        (("GS109", "GS201"), ("GS101",), False),
        ((), ("GS101",), True),
        (("GS101",), ("GS101",), False),
    ],
)
def test_worse_is_what_causes_as_many_errors_as_it_cures(before, after, worse) -> None:
    profile = gs.check(plain(1), torch.randn(8, 32)).profile
    looks = (Diagnosis(profile, tuple(map(finding, codes))) for codes in (before, after))
    assert (is_worse(*looks) is not None) is worse


# -- fix -------------------------------------------------------------------------------------------------------------


def data(examples: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(examples, 32, generator=torch.Generator().manual_seed(1))
    return x, x[:, :4].argmax(1)


def test_a_proof_trains_before_and_after_and_leaves_the_model_alone() -> None:
    torch.manual_seed(0)
    layers = [m for _ in range(12) for m in (nn.Linear(32, 32), nn.Sigmoid())]
    model = nn.Sequential(*layers, nn.Linear(32, 4))
    x, y = data()
    fixed = gs.fix(model, x, y, loss="cross_entropy", optimizer="adam", learning_rate=3e-3, prove=True)
    assert fixed.proof is not None
    assert fixed.proof.verdict == "better"
    assert "it trains better" in str(fixed)
    assert gs.loads(gs.dumps(fixed)).proof == fixed.proof
    plan = gs.fix(model, x, y, loss="cross_entropy")
    assert plan.proof is None


def test_a_remedy_that_was_just_applied_is_not_offered_again() -> None:
    class Constant(nn.Module):
        """Its own code takes the differences between examples away, whatever the weights."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(12))
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            for layer in self.layers:
                x = torch.tanh(layer(x)) * 0.2
            return self.head(x * 1e-3)

    model = Constant()
    x, y = torch.randn(64, 16), torch.randint(4, (64,))
    for layer in model.layers:
        nn.init.normal_(layer.weight, std=1e-3)
    fixed = gs.fix(model, x, y, loss="cross_entropy")
    assert fixed.changes
    assert not any(f.remedy.action == "initialize" and not f.remedy.patterns for f in fixed.after.findings)


def curve(*losses: float) -> TrainingCurve:
    return TrainingCurve("", losses, ())


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (curve(*[2.3] * 40), curve(*[0.5] * 40), "better"),
        (curve(*[0.5] * 40), curve(*[2.3] * 40), "worse"),
        (curve(*[2.3, 2.2] * 20), curve(*[2.2, 2.3] * 20), "alike"),
        (curve(2.3, float("nan")), curve(*[2.3] * 40), "better"),
        (curve(*[2.3] * 40), curve(2.3, float("nan")), "worse"),
    ],
)
def test_a_difference_counts_only_where_it_exceeds_its_scatter(before, after, verdict) -> None:
    assert Proof(before, after).verdict == verdict
    assert replace(Proof(before, after), before=after, after=before).losses == Proof(before, after).losses[::-1]
