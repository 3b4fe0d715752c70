"""What takes longer than a test may: healthy networks do learn, and verdicts do not hang on one draw (``make zoo``)."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
import torch

import gainstage as gs
from gainstage.records import Severity
from zoo.architectures import ARCHITECTURES
from zoo.case import Case
from zoo.faults import FAULTS
from zoo.healthy import HEALTHY
from zoo.levels import drawn_levels, off_level
from zoo.starts import compared

STEPS = 60
LEARNING = tuple(
    case for case in HEALTHY if case.name not in ("no labels, no loss", "vgg with batch norm in evaluation")
)

seeds = pytest.mark.parametrize("seed", range(1, 6))


def loss_of(case: Case, model, inputs, target) -> torch.Tensor:
    args, keywords = (
        ((), inputs) if isinstance(inputs, dict) else (inputs if isinstance(inputs, tuple) else (inputs,), {})
    )
    output = model(*args, **keywords)
    return output.loss if case.loss is None else case.loss(output, target)


@pytest.mark.parametrize("case", LEARNING, ids=str)
def test_a_healthy_network_learns_its_batch(case):
    model = case.model()
    inputs, target = case.batch()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = case.optimizer(model) if case.optimizer else torch.optim.Adam(weights, lr=2e-3)
    losses = []
    torch.manual_seed(0)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(case, model, inputs, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # A tenth of the start is far more than a network that stands still would gain by its noise.
    assert losses[-1] < 0.9 * losses[0]


@seeds
@pytest.mark.parametrize("case", HEALTHY, ids=str)
def test_a_healthy_network_is_healthy_with_other_draws(case, seed):
    model = case.model(seed)
    optimizer = case.optimizer(model) if case.optimizer else None
    diagnosis = gs.check(model, *case.batch(seed), loss=case.loss, optimizer=optimizer)
    assert [f"{f.code} {f.path} {f.evidence}" for f in diagnosis.findings if f.severity is not Severity.NOTE] == []


@seeds
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_is_named_with_other_draws(fault, seed):
    case = fault.case
    model = case.model(seed)
    optimizer = case.optimizer(model) if case.optimizer else None
    diagnosis = gs.check(model, *case.batch(seed), loss=case.loss, optimizer=optimizer)
    found = [f for f in diagnosis.findings if f.severity is not Severity.NOTE]
    named = [f for f in found if f.code.startswith(fault.codes)]
    assert any(fnmatchcase(f.path, p) for f in named for p in fault.place.split("|")), found


@pytest.mark.parametrize("case", ARCHITECTURES, ids=str)
def test_automatic_initialization_of_an_architecture(case):
    """What docs/architectures.md states."""
    row = compared(case)
    assert row.off_level <= 0.01
    assert all(why for start in row.auto for why in start.left.values())
    assert row.loss is None or abs(row.loss - 1) <= 0.1
    assert not row.shares_fall
    assert not row.gradients_worse


@pytest.mark.parametrize("case", [case for case in ARCHITECTURES if case.loss is not None], ids=str)
def test_the_predicted_level_of_an_architecture(case):
    """Of the means of many weights one in 370 lies beyond three standard errors by chance; a wrong rule meets all."""
    model = case.model(0)
    plan = gs.plan(model, "auto", x=case.batch(0))
    found = drawn_levels(model, plan, case.batch, 20)
    off = off_level(plan, found, 0.05)
    assert len(off) <= len(found) // 40, off


def test_gradients_are_ten_times_more_even_on_half_of_those_without_normalisation():
    plain = [compared(case) for case in ARCHITECTURES if not case.normalised]
    assert 2 * sum(row.gradients_ten_times_better for row in plain) >= len(plain)
