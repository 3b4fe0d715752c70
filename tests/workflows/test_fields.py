"""Networks of many fields: no false alarm as their literature starts them, and none after automatic initialization."""

from __future__ import annotations

import math

import pytest
import torch

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.planning.products import LOGIT_SPREAD
from gainstage.records import Severity
from zoo.fields import EXAMPLES, FIELDS, ActorCritic, Field

fields = pytest.mark.parametrize("field", FIELDS, ids=str)


def drawn(field: Field):
    torch.manual_seed(0)
    return field.build(), field.inputs(), field.labels()


def bad(diagnosis: gs.Diagnosis) -> list[str]:
    return [f"{f.code} {f.path}: {f.evidence}" for f in diagnosis.findings if f.severity is not Severity.NOTE]


@fields
def test_the_start_of_its_own_literature_is_healthy(field: Field) -> None:
    model, x, y = drawn(field)
    assert not bad(gs.check(model, x, y, loss=field.loss))


@fields
def test_the_automatic_start_is_healthy_and_leaves_no_weight_out_of_scale(field: Field) -> None:
    model, x, y = drawn(field)
    before = {path: p.clone() for path, p in model.named_parameters()}
    plan = gs.initialize(model, "auto", x=x)
    assert not bad(gs.check(model, x, y, loss=field.loss))
    for assignment in plan.assignments:
        if assignment.spread is not None and assignment.role.is_kernel:
            fan = math.prod(before[assignment.parameter].shape[1:])
            assert assignment.spread * math.sqrt(fan) < 30, assignment


@fields
def test_without_a_loss_every_part_of_the_model_still_gets_its_gradient(field: Field) -> None:
    model, x, _ = drawn(field)
    unused = [f for f in gs.check(model, x).findings if f.code == "GS204"]
    assert not unused, unused[0].evidence


@pytest.mark.parametrize("name", ["two towers", "matrix factorization", "operator"])
def test_products_of_two_signals_start_at_chance(name: str) -> None:
    """The root mean square of the output over draws; of one it scatters with what few rows and units there are."""
    field = next(field for field in FIELDS if field.name == name)
    levels = []
    for seed in range(12):
        torch.manual_seed(seed)
        model, x = field.build(), field.inputs()
        gs.initialize(model, "auto", x=x, seed=seed)
        with torch.no_grad():
            levels.append(float(model(*x if isinstance(x, tuple) else (x,)).square().mean()))
    mean, scatter = sum(levels) / 12, torch.tensor(levels).std().item() / math.sqrt(12)
    # A trunk's tanh takes a little of its level of 0.05 off.
    assert abs(mean - LOGIT_SPREAD**2) < 4 * scatter + 0.1 * LOGIT_SPREAD**2


def test_every_output_is_one_that_starts_small() -> None:
    torch.manual_seed(0)
    model, x = ActorCritic(), torch.randn(EXAMPLES, 17)
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=x).assignments}
    assert plan["actor.4.weight"].role.value == plan["critic.4.weight"].role.value == "head"
    with torch.no_grad():
        for output in model(x):
            assert float(output.square().mean().sqrt()) == pytest.approx(LOGIT_SPREAD, rel=0.02)


class Handed(torch.nn.Module):
    """Hands something out beside its own output."""

    def __init__(self, beside: str) -> None:
        super().__init__()
        self.body, self.head, self.beside = torch.nn.Linear(16, 32), torch.nn.Linear(32, 4), beside
        self.scale = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        hidden = torch.relu(self.body(x))
        y = self.head(hidden)
        given = {
            "nothing": hidden[:0],
            "inside": hidden,
            "itself": y,
            "detached": y.detach(),
            "zeros": torch.zeros(2, 3),
        }
        return (self.scale, y) if self.beside == "a parameter first" else (y, given[self.beside])


@pytest.mark.parametrize("beside", ["nothing", "inside", "itself", "detached", "zeros", "a parameter first"])
def test_what_is_handed_out_beside_the_output_changes_nothing(beside: str) -> None:
    torch.manual_seed(0)
    model, x = Handed(beside), torch.randn(EXAMPLES, 16)
    profile = record(model, x)
    assert not bad(gs.check(model, x))
    if beside == "a parameter first":  # no node is what a loss would see
        assert profile.graph.outputs == ()
        return
    alone = record(torch.nn.Sequential(model.body, torch.nn.ReLU(), model.head), x)
    assert profile.by_node[profile.graph.ends[0]].backward == alone.by_node[alone.graph.ends[0]].backward
    assert {p.path: p.role.value for p in profile.graph.parameters}["head.weight"] == "head"
