"""gs.preflight and the commands: one page for the decision before a run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.errors import InputError, UnknownNameError
from gainstage.report import render
from gainstage.report.preflight_rows import amount


def build(width: int = 128) -> nn.Module:
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def on_meta() -> nn.Module:
    with torch.device("meta"):
        return build()


def test_a_healthy_model_is_ready(tmp_path):
    page = gs.preflight(on_meta(), input_shape=(32, 16), plan="he_normal")
    assert page.ok
    assert page.parameters == sum(p.numel() for p in build().parameters())
    states = {decision.question: decision.state for decision in page.decisions}
    assert states["Will the signal hold?"] == "good"
    assert states["What changes with width?"] == "open"
    weights = next(cost for cost in page.costs if cost.name == "weights")
    assert weights.value == 2 * page.parameters  # bytes of bfloat16
    page.save_html(tmp_path / "page.html")
    assert gs.load(tmp_path / "page.html") == page
    assert "READY" in render(page, width=120)


def test_a_run_that_would_be_lost_is_named():
    with torch.device("meta"):
        net = nn.Sequential(*(m for _ in range(40) for m in (nn.Linear(64, 64), nn.Sigmoid())), nn.Linear(64, 10))
    page = gs.preflight(net, input_shape=(32, 64), plan="glorot_normal", dtype="float16")
    assert not page.ok
    signal, form = page.decisions[:2]
    assert signal.state == "error"
    assert form.state == "warning"
    assert page.findings


def test_sizes_say_which_rates_carry_over():
    given = {"input_shape": (32, 16), "build": build, "widths": (64, 256, 1024)}
    standard = gs.preflight(on_meta(), plan="lecun_normal", **given)
    scaled = gs.preflight(on_meta(), plan="mup", rates="scaled", **given)
    assert [d.state for d in standard.decisions if "rates" in d.question] == ["warning"]
    assert [d.state for d in scaled.decisions if "rates" in d.question] == ["good"]
    assert gs.loads(gs.dumps(scaled)) == scaled


def test_refusals():
    with pytest.raises(InputError, match="Sizes need build"):
        gs.preflight(on_meta(), input_shape=(32, 16), widths=(64, 128))
    with pytest.raises(UnknownNameError):
        gs.preflight(on_meta(), input_shape=(32, 16), dtype="float12")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1.5e12, "bytes", "1.5 TB"), (2e6, "bytes", "2.0 MB"), (900.0, "bytes", "0.9 kB"), (120.0, "seconds", "2.0 min")],
)
def test_amounts_read_well(value, unit, text):
    assert amount(value, unit) == text
