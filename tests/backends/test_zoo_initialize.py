"""Laws of initialization, over every awkward model: what was planned is what is written, and no more."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import gainstage as gs
from zoo.awkward import AWKWARD

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

DRAWN = tuple(case for case in AWKWARD if not case.memoryless)
SCHEMES = ("he_normal", "auto")


def over(table):
    return pytest.mark.parametrize("case", table, ids=str)


@cache
def initialized(case, scheme: str, seed: int = 0):
    """The model and its plan; nobody changes either of them."""
    model = case.model()
    inputs, target = case.batch()
    plan = gs.initialize(model, scheme, x=inputs, y=target, loss=case.loss, seed=seed)
    return model, plan


def values_of(model: nn.Module, path: str) -> torch.Tensor:
    """The values of a parameter, without the rows of a table that stand for nothing."""
    values = model.get_parameter(path).detach()
    owner = model.get_submodule(path.rpartition(".")[0])
    padding = getattr(owner, "padding_idx", None)
    if padding is not None:
        values = values[[i for i in range(len(values)) if i != padding]]
    return values.double()


@over(DRAWN)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_weight_has_the_spread_that_was_planned(case, scheme):
    model, plan = initialized(case, scheme)
    for assignment in plan:
        if assignment.spread is None or assignment.scheme in ("keep", "match_norm") or assignment.bias:
            continue
        values = values_of(model, assignment.parameter)
        if assignment.spread == 0:
            assert not values.any(), assignment
            continue
        # Σx²/σ² of n normal draws is chi-squared, other schemes scatter less; together one chance in a million.
        low, high = stats.chi2.ppf((5e-7, 1 - 5e-7), values.numel())
        total = float(values.square().sum()) / assignment.spread**2
        slack = 2 * values.numel() * torch.finfo(model.get_parameter(assignment.parameter).dtype).eps  # casting
        assert low - slack <= total <= high + slack, assignment


@over(DRAWN)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_model_still_runs_and_everything_is_finite(case, scheme):
    model, plan = initialized.__wrapped__(case, scheme)  # a forward pass may write to buffers
    assert {a.parameter for a in plan} == {name for name, _ in model.named_parameters()}
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    inputs, _ = case.batch()
    inputs = torch.from_numpy(inputs) if isinstance(inputs, np.ndarray) else inputs
    args, keywords = (
        ((), inputs) if isinstance(inputs, dict) else (inputs if isinstance(inputs, tuple) else (inputs,), {})
    )
    model(*args, **keywords)


@over(DRAWN)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_what_the_plan_names_is_written(case, scheme):
    model, plan = initialized(case, scheme)
    before = dict(case.model().named_parameters())
    buffers = dict(case.model().named_buffers())
    for assignment in plan:
        parameter, old = model.get_parameter(assignment.parameter), before[assignment.parameter]
        assert parameter.requires_grad == old.requires_grad
        assert parameter.dtype == old.dtype
        assert assignment.reason
        if isinstance(old, nn.parameter.UninitializedParameter):
            continue
        assert parameter.shape == old.shape
        if not old.requires_grad:
            assert assignment.scheme == "keep", assignment
        if assignment.scheme == "keep":
            assert torch.equal(parameter, old), assignment
    for name, buffer in model.named_buffers():
        if not isinstance(buffers[name], nn.parameter.UninitializedBuffer) and not name.rpartition(".")[2].startswith(
            "_"
        ):
            assert torch.equal(buffer, buffers[name]), name
    assert [m.training for m in model.modules()] == [m.training for m in case.model().modules()]


@over(DRAWN)
def test_equal_seeds_give_equal_bytes_and_others_do_not(case):
    first, plan = initialized(case, "he_normal")
    again, _ = initialized.__wrapped__(case, "he_normal")
    other, _ = initialized(case, "he_normal", seed=1)
    drawn = {a.parameter for a in plan if a.spread}
    for (name, p), q, r in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q), name
        assert (
            torch.equal(p, r) == (name not in drawn) or p.numel() == 1 or "weight_g" in name or "original0" in name
        ), name


@over(DRAWN)
def test_every_drawn_kernel_fills_its_parameter(case):
    _, plan = initialized(case, "he_normal")
    for assignment in plan:
        if assignment.kernel is not None and assignment.scheme != "keep":
            assert assignment.kernel.size * assignment.blocks == math.prod(assignment.shape)
