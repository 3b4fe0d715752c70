"""gs.scaling: slopes that follow from the algebra, verdicts, and movement that is measured."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch.training.movements import movements
from gainstage.errors import InputError, UnknownNameError
from gainstage.records import Slope, Trend
from gainstage.report import render
from gainstage.rules.scaling import judged
from gainstage.statistics import power_law

WIDTHS = (64, 256, 1024)


def build(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


def deep(depth: int, width: int = 64) -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, width), *(Block(width) for _ in range(depth)), nn.LayerNorm(width), nn.Linear(width, 10)
    )


def slopes(found: gs.Scaling, quantity: str) -> list[float]:
    return [round(m.trend(quantity).slope.value, 1) for m in found.modules if m.trend(quantity)]


@pytest.mark.parametrize(
    ("optimizer", "standard"),
    [("adam", [0.0, 1.0, 1.0]), ("sgd", [-0.5, 0.5, 1.0]), ("muon", [0.0, 0.0, 1.0])],
)
def test_updates_by_optimizer_and_their_cure(optimizer, standard):
    given = {"widths": WIDTHS, "input_shape": (64, 16), "optimizer": optimizer}
    found = gs.scaling(build, plan="lecun_normal", **given)
    assert slopes(found, "signal") == [0.0, 0.0, 0.0]
    assert slopes(found, "update") == standard
    assert not found.ok
    assert "a readout that is neither zero nor scaled" in found.modules[-1].verdict
    cured = gs.scaling(build, plan="mup", rates="scaled", **given)
    assert cured.ok, [(m.path, m.verdict) for m in cured.modules]
    assert slopes(cured, "signal") == [0.0, 0.0, -0.5]


def test_depth_is_cured_by_complete_p():
    given = {"depths": (2, 8, 32), "input_shape": (32, 16)}
    found = gs.scaling(deep, plan="mup", **given)
    ends = next(m for m in found.modules if m.role == "branch_end")
    assert ends.path == "*.down.weight"
    assert ends.trend("update").slope.value == pytest.approx(1.0, abs=0.2)
    assert "updates of all blocks add up" in ends.verdict
    assert gs.scaling(deep, plan="complete_p", rates="scaled", **given).ok


def test_predicted_and_real_first_update():
    torch.manual_seed(0)
    x, y = torch.randn(64, 16), torch.randint(0, 10, (64,))
    loss = nn.functional.cross_entropy
    for optimizer, rate in (("adam", 1e-5), ("sgd", 1e-2)):  # small, but above the rounding of the outputs
        real: dict[str, float] = {}
        for seed in range(4):
            torch.manual_seed(seed)
            net = build(256)
            gs.initialize(net, "lecun_normal", seed=seed)
            found = movements(net, x, y, loss=loss, optimizer=optimizer, settings={}, learning_rate=rate, steps=1)
            real = {path: real.get(path, 0.0) + value / rate / 4 for path, value in found.items()}
        predicted = gs.scaling(
            build, x, y, loss="cross_entropy", widths=(256, 512), plan="lecun_normal", optimizer=optimizer
        )
        # The first update moves later outputs through earlier layers as well: only the first layer is alone.
        expected = predicted.modules[0].trend("update").values[0]
        assert expected == pytest.approx(real["0.weight"], rel=0.25), optimizer


def test_movement_is_measured_and_the_page_is_kept(tmp_path):
    torch.manual_seed(0)
    x, y = torch.randn(32, 16), torch.randint(0, 10, (32,))
    found = gs.scaling(
        build, x, y, loss="cross_entropy", widths=(32, 64, 128), plan="mup", rates="scaled", steps=3, seeds=2
    )
    assert all(abs(m.trend("movement").slope.value) < 1 / 3 for m in found.modules)
    assert all(m.trend("movement").measured and not m.trend("update").measured for m in found.modules)
    assert gs.loads(gs.dumps(found)) == found
    found.save_html(tmp_path / "page.html")
    assert gs.load(tmp_path / "page.html") == found
    text = render(found, width=160)
    assert "A RATE CARRIES OVER" in text
    assert "measured over 3 steps and 2 draws" in " ".join(text.split())
    assert "<svg" in found._repr_mimebundle_()["text/html"]


def test_as_built_takes_the_models_own_start():
    found = gs.scaling(build, widths=(32, 128), input_shape=(16, 16))
    assert found.start == "keep"
    assert found.modules[0].trend("signal").slope.value == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"widths": (64,)}, "at least two widths"),
        ({"widths": (128, 64)}, "increasing order"),
        ({"widths": (64, 128), "steps": 1, "plan": "mup"}, "Steps of training need x"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(InputError, match=message):
        gs.scaling(build, input_shape=(8, 16), **given)


def test_unknown_rates():
    with pytest.raises(UnknownNameError):
        gs.scaling(build, input_shape=(8, 16), widths=(64, 128), rates="maximal")


def test_a_slope_within_its_interval_is_no_verdict():
    uncertain = Trend("update", (1.0, 2.0), Slope(0.9, 0.1, 1.7))
    assert judged("width", "hidden", [uncertain], "adam") == ("", "")
    assert power_law([64, 64], [[1.0], [2.0]]) is None
    assert power_law([1, 2], [[0.0], [2.0]]) is None
