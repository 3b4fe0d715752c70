"""gs.formats: measured and predicted shares agree; what cannot be answered is said."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.errors import InputError, UnknownNameError
from gainstage.report import json
from gainstage.statistics import FORMATS
from zoo.networks import MLP

WIDTHS = (64, 128, 192, 256)
SMALL = (2.0**-16, 2.0**-20)
NETWORKS = [
    (width, activation, smallness)
    for width in WIDTHS
    for activation, smallness in ((nn.ReLU, SMALL[0]), (nn.Tanh, SMALL[0]), (nn.GELU, SMALL[0]), (nn.ReLU, SMALL[1]),
                                  (nn.Tanh, SMALL[1]))
]  # fmt: skip
EXAMPLES = 64


class Scaled(nn.Module):
    """A network whose input is large and whose output, and with it every gradient, is small."""

    def __init__(self, width: int, activation: type[nn.Module], smallness: float) -> None:
        super().__init__()
        self.net, self.smallness = MLP(width, width, width, width, width, activation=activation), smallness

    def forward(self, x):
        return self.smallness * self.net(x)


def shares(found: gs.Formats) -> dict[tuple[str, int], float]:
    return {(t.kind, t.node): t.of("float16").underflow for t in found.tensors if t.node is not None}


def test_predicted_shares_agree_with_real_casts_of_twenty_networks():
    """The share of zeros that a cast to float16 makes of gradients, against the share predicted from moments alone.

    The prediction is that of a typical draw: a second moment differs from draw to draw, and with it the share. So the
    measured share has to lie between those of a second moment at both ends of the band that holds nine of ten draws,
    widened by the sampling error. At least nine of ten do; the tolerance of that count is its own sampling error.
    """
    inside = total = 0
    for width, activation, smallness in NETWORKS:
        torch.manual_seed(width)
        model, x = Scaled(width, activation, smallness), torch.randn(EXAMPLES, width)
        measured = gs.formats(model, x, formats=["float16"])
        profile = gs.predict(model, x)
        real = shares(measured)
        low, high = (shares(at_edge(profile, end)) for end in (1, 0))
        for key, share in real.items():
            if key[0] != "gradient" or key not in low:
                continue
            room = 4 * math.sqrt(share * (1 - share) / (EXAMPLES * width)) + 0.005
            inside += low[key] - room <= share <= high[key] + room
            total += 1
    assert total > 100
    assert inside / total > 0.9 - 3 * math.sqrt(0.9 * 0.1 / total)


def at_edge(profile: gs.Profile, end: int) -> gs.Formats:
    """Shares of the profile whose gradients are at one end of their bands."""
    from dataclasses import replace

    from gainstage.rules.formats import formats_of

    def moved(moments):
        factor = moments.band[end]
        return replace(moments, second_moment=moments.second_moment * factor, variance=moments.variance * factor)

    nodes = tuple(replace(n, backward=moved(n.backward)) if n.backward is not None else n for n in profile.nodes)
    return formats_of(replace(profile, nodes=nodes), ["float16"])


def test_a_model_without_memory_is_predicted():
    with torch.device("meta"):
        model = Scaled(4096, nn.ReLU, 2.0**-24)
    found = gs.formats(model, input_shape=(32, 4096), plan="he_normal", optimizer="adam", learning_rate=1e-6)
    assert found.source.kind == "predicted"
    assert found.harmed("float16")
    assert not found.harmed("bfloat16")
    assert len(found.stuck("bfloat16")) == sum(t.kind == "weight" and t.of("bfloat16").lost is not None
                                               for t in found.tensors) > 0  # fmt: skip
    assert found.loss_scale("float16").left == 0


def test_predicted_lost_updates_agree_with_measured_ones():
    torch.manual_seed(0)
    model = MLP(256, 256, 256, 10)
    nn.init.normal_(model[0].weight, std=256**-0.5)
    x, y = torch.randn(64, 256), torch.randint(0, 10, (64,))
    loss = nn.functional.cross_entropy
    measured = gs.formats(model, x, y, loss=loss, optimizer="adam", learning_rate=1e-4)
    predicted = gs.formats(model, x, y, loss=loss, plan="keep", optimizer="adam", learning_rate=1e-4)
    for name in FORMATS:
        one, other = (next(t for t in found.tensors if t.kind == "weight" and t.path == "0.weight").of(name).lost
                      for found in (measured, predicted))  # fmt: skip
        # Adam's first step is the rate, up to epsilon, wherever a gradient arrives.
        assert one == pytest.approx(other, abs=4 * math.sqrt(0.25 / 256**2) + 0.02), name


def test_formats_of_eight_bits_are_judged_relative_to_the_scale_of_a_tensor():
    torch.manual_seed(0)
    tiny = gs.formats(Scaled(64, nn.ReLU, 1e-12), torch.randn(64, 64))
    assert not tiny.harmed("float8_e4m3")
    assert not tiny.harmed("float8_e5m2")
    outlier = torch.randn(64, 64)
    outlier[0, 0] = 1e7  # everything else is below the smallest number of E4M3 at this scale
    hit = gs.formats(nn.Linear(64, 64), outlier, formats=["float8_e4m3"])
    first = next(t for t in hit.tensors if t.kind == "output")
    assert first.of("float8_e4m3").underflow > 0.5


def test_the_model_is_left_as_it_was_found():
    torch.manual_seed(0)
    model, x, y = MLP(16, 16, 4), torch.randn(8, 16), torch.randint(0, 4, (8,))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    gs.formats(model, x, y, loss="cross_entropy", optimizer="sgd", learning_rate=0.1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_records_print_save_and_load(tmp_path):
    torch.manual_seed(0)
    found = gs.formats(Scaled(32, nn.ReLU, 1e-8), torch.randn(64, 32), formats=["fp16", "bf16"])
    assert found.formats == ("float16", "bfloat16")
    assert "loss scale" in str(found)
    assert "gradient" in str(found)
    found.save(tmp_path / "formats.json")
    assert gs.load(tmp_path / "formats.json", gs.Formats) == found
    found.save_html(tmp_path / "formats.html")
    page = (tmp_path / "formats.html").read_text()
    assert "<svg" in page
    assert gs.load(tmp_path / "formats.html") == found
    assert json.loads(json.dumps(found)) == found
    assert "svg" in found._repr_mimebundle_()["text/html"]


def test_what_cannot_be_answered_is_said():
    model = nn.Linear(4, 4)
    with pytest.raises(InputError, match="input_shape"):
        gs.formats(model)
    with pytest.raises(UnknownNameError, match="bfloat16"):
        gs.formats(model, torch.randn(8, 4), formats=["bfloat61"])
    with pytest.raises(InputError, match="name of an optimizer"):
        gs.formats(model, input_shape=(8, 4), optimizer=torch.optim.SGD(model.parameters(), 0.1))
