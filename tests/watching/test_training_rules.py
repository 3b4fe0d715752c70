"""Every rule about trainings has a training on which it fires and healthy ones on which it is silent."""

from __future__ import annotations

import dataclasses
import json
import math
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from gainstage import rules
from gainstage.errors import UnknownNameError
from gainstage.records import Alert, History, LayerReading, Look, NonFinite, StepReading, WatchedParameter
from gainstage.report.html import html_page
from gainstage.report.text import render
from gainstage.rules.table import Lacking
from gainstage.rules.training import Alarms, Window, training_rules
from gainstage.rules.training.alarms import EXPLAINS

ALL = training_rules()
PARAMETERS = (WatchedParameter("body.weight", 4096), WatchedParameter("body.bias", 64, kernel=False),
              WatchedParameter("head.weight", 640))  # fmt: skip
EXAM = Path(__file__).parents[1] / "training_exam"


def healthy(steps: int = 260, seed: int = 0) -> list[StepReading]:
    """A loss that falls to a fifth, with a tenth of noise, and a gradient that falls with its root."""
    noise = np.random.default_rng(seed).normal(size=(4, steps))
    found = []
    for i in range(steps):
        loss = (0.2 + 0.8 * math.exp(-i / 60)) * 2.3 * math.exp(0.1 * noise[0, i])
        gradient = math.sqrt(loss) * math.exp(0.2 * noise[1, i])
        slope = -0.01 * gradient**2
        ahead = slope * (0.5 + 0.5 * noise[2, i])
        found.append(StepReading(i + 1, loss, gradient, None, 20.0, 1e-3, slope, ahead, 0.01, None, 1.0))
    return found


def layer(path: str, **given) -> LayerReading:
    return LayerReading(path, **{"level": 1.0, "spread": 0.8, "gradient": 0.1, "units": 64, **given})


def looks(*layers: tuple[LayerReading, ...]) -> tuple[Look, ...]:
    return tuple(Look(i * 50 + 1, 64, one) for i, one in enumerate(layers))


LAYERS = (
    layer("body"), layer("act", function="relu", dead=0.05),
    layer("gate", function="sigmoid", stuck=0.0, saturated=0.1),
    layer("attend", function="softmax", sharpness=0.2, keys=16),
    layer("attend", function="softmax", sharpness=0.2, keys=16), layer("head"),
)  # fmt: skip


def changed(**given) -> tuple[LayerReading, ...]:
    """The layers, one of them changed: ``act={"dead": 0.6}``."""
    return tuple(dataclasses.replace(one, **given.get(one.path, {})) for one in LAYERS)


def window(steps: list[StepReading], **given) -> Window:
    rows = min(len(steps), 64)
    shape = (rows, len(PARAMETERS))
    usual = {
        "gradients": np.full(shape, 0.5), "weights": np.full(shape, 10.0), "updates": np.full(shape, 0.01),
        "weights_at_start": np.full(len(PARAMETERS), 10.0), "looks": looks(LAYERS, LAYERS, LAYERS), "optimizer": "SGD",
        "parameters": PARAMETERS,
    }  # fmt: skip
    return Window(tuple(steps[-256:]), tuple(steps[:20]), **{**usual, **given})


def each(steps: list[StepReading], last: int = 0, **given) -> list[StepReading]:
    """The last steps (or all) with other numbers, which may be functions of the reading."""
    start = len(steps) - last if last else 0
    return [
        dataclasses.replace(s, **{k: v(s) if callable(v) else v for k, v in given.items()}) if i >= start else s
        for i, s in enumerate(steps)
    ]


def flat(steps: int = 260) -> list[StepReading]:
    """A loss that stays at 2.3 up to its noise."""
    return [dataclasses.replace(s, loss=2.3 * (1 + 0.02 * math.sin(7 * s.step))) for s in healthy(steps)]


def firing() -> dict[str, Window]:
    shrunk = np.linspace(10, 5, 64)[:, None] * np.ones(3)
    cut = np.full((64, 3), 0.5)
    cut[-30:, 0] = 0.0
    rising = [dataclasses.replace(s, loss=math.exp(s.step / 15), ahead=-1.0) for s in healthy(60)]
    collapsed = changed(body={"spread": 0.1}, head={"spread": 0.01})
    sharp = changed(attend={"sharpness": 0.9})
    return {
        "GT101": window(each(healthy(), 1, gradient=500.0)),
        "GT102": window(each(flat(), 100, gradient=1e-4)),
        "GT103": window(each(healthy(), 1, loss=math.nan), nonfinite=NonFinite(260, "body.2", "forward", "log")),
        "GT201": window(healthy(), looks=looks(LAYERS, changed(act={"dead": 0.6}))),
        "GT202": window(healthy(), looks=looks(LAYERS, changed(gate={"stuck": 0.6}))),
        "GT203": window(healthy(), looks=looks(LAYERS, collapsed)),
        "GT204": window(flat(), looks=looks(LAYERS, sharp)),
        "GT301": window(flat(), updates=np.full((64, 3), 3.0)),
        "GT302": window(flat(), updates=np.full((64, 3), 1e-6)),
        "GT303": window(flat(), weights=shrunk),
        "GT304": window(each(healthy(), 25, slope=-0.1, ahead=lambda s: 0.3 + 0.01 * (s.step % 3))),
        "GT401": window(each(healthy(), 1, loss=60.0)),
        "GT402": window(rising),
        "GT403": window(flat()),
        "GT501": window(each(healthy(), 6, carried=True)),
        "GT502": window(each(healthy(), 4, training=False)),
        "GT503": window(each(healthy(), 25, kept=1e-3)),
        "GT504": window(each(healthy(), 5, stepped=False, scale=0.25)),
        "GT505": window(healthy(), gradients=cut),
        "GT506": window(each(healthy(), kept=1.0)),
    }


SILENT = {
    "a training that learns": lambda: window(healthy()),
    "its first steps": lambda: window(healthy(12)),
    "clipped now and then": lambda: window(each(healthy(), kept=lambda s: 0.5 if s.step % 7 == 0 else 1.0)),
    "a loss scale that is found at once": lambda: window(
        [dataclasses.replace(s, scale=65536.0, stepped=s.step > 4) for s in healthy()]
    ),
    "a frozen part": lambda: window(
        healthy(), gradients=np.tile([math.nan, 0.5, 0.5], (64, 1)), updates=np.tile([math.nan, 0.01, 0.01], (64, 1))
    ),
    "attention that sharpens while it learns": lambda: window(
        healthy(), looks=looks(LAYERS, changed(attend={"sharpness": 0.9}))
    ),
    "converged": lambda: window(each(healthy(), 150, gradient=1e-3, loss=lambda s: 1e-3 * (2 + math.sin(s.step)))),
}


@pytest.mark.parametrize("one", ALL, ids=lambda rule: rule.code)
def test_every_rule_has_its_page_and_fires_where_it_should(one):
    lines = one.text.splitlines()
    places = [lines.index(f"{section}:") for section in rules.SECTIONS]
    assert places == sorted(places)
    assert one.summary.endswith(".")
    assert any(line.startswith("    ") for line in one.text.split("Remedy:\n")[1].split("\nReference:")[0].splitlines())
    assert rules.get(one.code) is one
    (found,) = one.judge(firing()[one.code])
    assert found.evidence.endswith(".")
    assert found.cause.strip()
    assert found.remedy.code.strip()


@pytest.mark.parametrize("name", SILENT)
def test_no_rule_speaks_of_a_healthy_training(name):
    seen = SILENT[name]()
    for one in ALL:
        try:
            found = one.judge(seen)
        except Lacking:
            continue
        assert not found or one.code in ("GT403", "GT506"), found


def test_a_note_is_no_alarm():
    (note,) = rules.get("GT403").judge(firing()["GT403"])
    assert note.severity.value == "note"


def test_the_scale_of_the_loss_does_not_matter_to_gradients():
    for code in ("GT101", "GT102"):
        steps = firing()[code].steps
        scaled = each(list(steps), gradient=lambda s: s.gradient * 1e6, loss=lambda s: s.loss * 1e6)
        first = tuple(scaled[:20])
        whole = dataclasses.replace(firing()[code], steps=tuple(scaled), first=first)
        assert len(rules.get(code).judge(whole)) == 1


def test_a_finding_is_raised_once_when_enough_judgements_agree_and_again_after_it_was_absent():
    alarms, sick, well = Alarms(), firing()["GT303"], window(healthy())
    raised = [bool(alarms.judge(w, looked=False)) for w in (sick, sick, sick, sick, sick)]
    assert raised == [False, False, True, False, False]
    for _ in range(4):
        assert not alarms.judge(well, looked=False)
    assert [alert.cleared for alert in alarms.alerts] == [260]
    again = [bool(alarms.judge(sick, looked=False)) for _ in range(3)]
    assert again == [False, False, True]


def test_what_follows_from_a_finding_is_not_raised_beside_it():
    codes = {rule.code for rule in ALL}
    assert set(EXPLAINS) | {effect for effects in EXPLAINS.values() for effect in effects} <= codes
    assert all(code not in effects for code, effects in EXPLAINS.items())
    both = dataclasses.replace(firing()["GT503"], updates=np.full((64, 3), 1e-6))
    both = dataclasses.replace(both, steps=tuple(each(flat(), 25, kept=1e-3)), first=tuple(flat()[:20]))
    alarms = Alarms()
    for _ in range(4):
        alarms.judge(both, looked=False)
    assert [a.finding.code for a in alarms.alerts if a.finding.severity.value != "note"] == ["GT503"]


def test_rules_can_be_left_out_and_an_unknown_code_is_answered_with_the_nearest():
    alarms = Alarms(ignore=["GT3"])
    for _ in range(4):
        alarms.judge(firing()["GT303"], looked=False)
    assert not any(alert.finding.code == "GT303" for alert in alarms.alerts)
    with pytest.raises(UnknownNameError, match="Did you mean 'GT30"):
        rules.get("GT3O1")


def test_a_history_shows_itself_as_text_and_as_a_page():
    sick = rules.get("GT301").judge(firing()["GT301"])[0]
    steps, seen = tuple(healthy(60)), looks(LAYERS, LAYERS)
    history = History(
        "Net", "SGD", PARAMETERS, steps, seen, (Alert(sick, 12, 40),), notes=("A remark.",), finished=True
    )
    text = render(history, width=100)
    assert "1 FINDING" in text
    assert "from step 12 until step 40" in text
    assert "A remark." in text
    page = html_page(history)
    for title in ("Gradient over depth", "Update to weight", "Level over depth", "Sharpness of attention over depth"):
        assert title in page
    hostile = dataclasses.replace(history, looks=looks(tuple(layer("<script>x") for _ in range(3))), model="<b>")
    assert "<script>x" not in html_page(hostile)
    assert "NOT JUDGED" in render(History())


def test_the_exam_is_the_one_that_was_frozen():
    frozen = json.loads((EXAM / "split.json").read_text(encoding="utf-8"))
    assert {name: sha256((EXAM / name).read_bytes()).hexdigest() for name in frozen["files"]} == frozen["files"]
