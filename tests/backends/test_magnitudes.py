"""Predicted shares of overflow and underflow against real casts, over twenty networks."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.backends.torch import record
from gainstage.backends.torch.measuring.moments import magnitudes_of
from gainstage.statistics import FORMATS, lost_updates, number_format, shares_in
from zoo.healthy import HEALTHY

CASTS = {
    "float16": torch.float16, "bfloat16": torch.bfloat16,
    "float8_e4m3": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2,
}  # fmt: skip
MOST_ROUNDED = {"float8_e4m3": 16.0}
"""Half of the distance between the two largest numbers."""
NETWORKS = HEALTHY[:20]
SAMPLED = 65536
SIGMAS = 4.5  # some thousand comparisons
TENSORS = 8  # of every network


def cast(values: torch.Tensor, name: str) -> tuple[float, float]:
    """Shares of elements that a real cast makes infinite, and of those that it makes zero.

    E4M3 has no infinity: PyTorch makes a NaN or the largest number of it, depending on its version.
    """
    rounded = values.float().to(CASTS[name]).float()
    over = (~torch.isfinite(rounded) | (values.abs() - rounded.abs() > MOST_ROUNDED.get(name, math.inf))).float().mean()
    under = ((rounded == 0) & (values != 0)).float().mean()
    return float(over), float(under)


def tolerance(share: float, count: int) -> float:
    return SIGMAS * math.sqrt(share * (1 - share) / min(count, SAMPLED)) + 1.5 / min(count, SAMPLED)


def kept_tensors(case, monkeypatch) -> dict:
    """Every tensor that a measurement of the case reads, with the distribution that it found."""
    kept = {}

    def add(self, kind, key, values, dtype=""):
        flat = values.detach().double().flatten().clone()
        kept[kind, key] = flat, magnitudes_of(values)

    monkeypatch.setattr(MagnitudeLog, "add", add)
    torch.manual_seed(0)
    model = case.build()
    target = case.targets() if case.targets is not None else None
    record(model, case.inputs(), target, loss=case.loss if target is not None else None, detail="magnitudes")
    return kept


@pytest.mark.parametrize("case", NETWORKS, ids=lambda c: c.name)
def test_shares_agree_with_real_casts(case, monkeypatch):
    compared = 0
    kept = [*kept_tensors(case, monkeypatch).values()]
    for values, found in kept[:: len(kept) // TENSORS + 1]:
        distinct = len(values.unique())
        if not found.shares or distinct < 0.2 * len(values):
            continue  # a handful of distinct values has no density inside a bin
        middle = found.quantile(0.3)
        for name, form in FORMATS.items():
            # Scales that put a part of the tensor below the format, a part above it, and where it is used.
            for aim in (form.to_zero / middle, form.overflow / middle, 1.0, form.largest / found.largest):
                scale = 2.0 ** round(math.log2(aim)) if not form.scaled else aim
                if not 1e-30 < scale * middle < 1e38 or not scale * found.largest < 3e38:
                    continue  # not a number of single precision, from which is cast
                over, under = cast(values * scale, name)
                shares = shares_in(found, form, scale)
                assert shares.overflow == pytest.approx(over, abs=tolerance(over, distinct)), (name, scale)
                assert shares.underflow == pytest.approx(under, abs=tolerance(under, distinct)), (name, scale)
                compared += 1
    assert compared >= 20


def test_lost_updates_agree_with_real_additions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 96), nn.Tanh(), nn.Linear(96, 10))
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))
    for rate in (1e-4, 1e-3, 3e-2):
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        profile = record(model, x, y, loss=nn.functional.cross_entropy, optimizer=optimizer, detail="magnitudes")
        found = {one.path: one.magnitudes for one in profile.magnitudes if one.kind == "step"}
        before = {path: p.detach().clone() for path, p in model.named_parameters()}
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        for path, p in model.named_parameters():
            moved = p.detach() - before[path]
            for name in ("float16", "bfloat16"):
                old = before[path].to(CASTS[name])
                new = (old.float() + moved).to(CASTS[name])
                lost = float((new == old).float().mean())
                share = lost_updates(found[path], number_format(name))
                # Below a power of two numbers are half as far apart: one weight in 2^(bits - 1), half of the updates.
                edge = 2.0 ** -FORMATS[name].bits
                assert share == pytest.approx(lost, abs=tolerance(lost, p.numel()) + edge)
        with torch.no_grad():
            for path, p in model.named_parameters():
                p.copy_(before[path])
                p.grad = None


def test_a_pass_keeps_the_number_format_of_every_tensor():
    class Autocast(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 10))

        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return self.net(x).float()

    profile = record(Autocast(), torch.randn(16, 32), detail="magnitudes")
    assert profile.source.dtype == "float32"
    assert {profile.dtype(at) for at in profile.nodes} == {"bfloat16"}
    assert {one.dtype for one in profile.magnitudes if one.kind in ("output", "gradient")} == {"bfloat16"}
    assert {one.dtype for one in profile.magnitudes if one.kind == "weight"} == {"float32"}


def test_distributions_are_measured_only_where_they_are_asked_for():
    model, x = nn.Linear(8, 4), torch.randn(16, 8)
    assert record(model, x).magnitudes == ()
    found = gs.check(model, x, detail="magnitudes").profile.magnitudes
    assert [one.kind for one in found] == ["output", "gradient", *2 * ["weight"], *2 * ["weight_gradient"]]
