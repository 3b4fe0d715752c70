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
from gainstage.workflows.mending import examples_needed, is_worse


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


def words() -> nn.Sequential:
    torch.manual_seed(0)
    table = nn.Embedding(50, 16, padding_idx=0)
    return nn.Sequential(table, nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


TOKENS = torch.randint(1, 50, (64, 4), generator=torch.Generator().manual_seed(0))


def test_a_default_table_is_drawn_at_the_pace_of_hidden_weights_and_nothing_else() -> None:
    model = words()
    paths, plan = changed(model, TOKENS)
    assert paths == ["0.weight"]
    assert any("default N(0, 1)" in note for note in plan.notes)
    assert model[0].weight.detach()[1:].std() == pytest.approx(1 / 4, rel=0.05)
    assert not model[0].weight[0].any()  # padding
    again = words()
    gs.apply(again, plan)
    assert torch.equal(again[0].weight, model[0].weight)


@pytest.mark.parametrize(("rate", "steps"), [(1e-4, 10), (1e-3, 1)])
def test_a_table_that_was_trained_stays(rate: float, steps: int) -> None:
    model = words()
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(TOKENS) - 1).square().mean().backward()
        optimizer.step()
    assert changed(model, TOKENS)[0] == []


@pytest.mark.parametrize("how", ["chosen", "frozen", "another spread"])
def test_a_table_stays_where_somebody_was_at_work(how: str) -> None:
    model = words()
    if how == "frozen":
        model[2].weight.requires_grad_(False)
    elif how == "chosen":
        for layer in (model[2], model[4]):
            nn.init.kaiming_normal_(layer.weight)
    else:
        nn.init.normal_(model[0].weight, std=0.5)
    assert changed(model, TOKENS)[0] == []


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


def test_biases_do_not_hide_that_examples_become_one() -> None:
    model, x = plain(5), torch.randn(64, 32)
    plan = gs.plan(model, x=x)
    assert any("difference between examples changes by a factor of" in note for note in plan.notes)
    assert all(a.scheme != "keep" for a in plan)
    assert {a.scheme for a in gs.plan(designed(5), x=x)} == {"keep"}


class Stream(nn.Module):
    """Rows of a table on a residual stream."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.inner, self.outer, self.head = nn.Linear(16, 64), nn.Linear(64, 16), nn.Linear(16, 4)

    def forward(self, tokens):
        x = self.table(tokens)
        x = x + self.outer(self.inner(x).relu())
        return self.head(x.mean(1))


def test_a_table_whose_rows_a_stream_carries_stays() -> None:
    torch.manual_seed(0)
    assert changed(Stream(), TOKENS)[0] == []


class Codebook(nn.Module):
    """Replaces a code by the nearest row of a small table."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))
        self.table = nn.Embedding(24, 8)
        self.decode = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, x):
        code = self.encode(x)
        rows = self.table(torch.cdist(code, self.table.weight).argmin(-1))
        return self.decode(code + (rows - code).detach())


def test_a_table_whose_rows_a_signal_chooses_keeps_the_scale_that_it_is_compared_at() -> None:
    torch.manual_seed(0)
    assert changed(Codebook(), torch.randn(64, 16))[0] == []


def test_a_check_reads_as_many_examples_as_tell_the_levels() -> None:
    wide = gs.trace(nn.Sequential(nn.Linear(8, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 4)), torch.randn(64, 8))
    assert examples_needed(wide) == 16
    small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4096, 6), nn.BatchNorm2d(4096))
    assert examples_needed(gs.trace(small, torch.randn(128, 3, 8, 8))) == 64  # of one place each


class FixedBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 4096), nn.Linear(4096, 4))
        for layer in self.body:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)

    def forward(self, x):
        return self.body(x.view(64, 8))


def test_a_model_for_batches_of_one_size_is_checked_on_all_of_it() -> None:
    plan = gs.initialize(FixedBatch(), x=torch.randn(64, 8))
    assert "found nothing at fault" in plan.notes[0]
