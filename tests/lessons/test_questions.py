"""Every question runs, and its answer is whole: figures, verdicts, pictures, a slider, on every kind of page."""

from __future__ import annotations

import json
import math

import jsonschema
import pytest

from gainstage.lessons import (
    QUESTIONS,
    activations,
    batchnorm,
    exploding,
    find,
    he,
    initialization,
    open_question,
    vanishing,
    xavier,
)
from gainstage.lessons.criterion import judge
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Setting, answer
from gainstage.records import Answer, Answers, Slider
from gainstage.report.html import html_page
from gainstage.report.json import dumps, loads
from gainstage.report.markdown import answers_markdown
from gainstage.report.schema import schema
from gainstage.report.text import render

QUICK = Setting(quick=True)


@pytest.fixture(scope="module", params=QUESTIONS, ids=lambda entry: entry.slug)
def answered(request: pytest.FixtureRequest) -> Answer:
    return answer(open_question(request.param), QUICK)


def test_every_claim_is_answered_with_figures_a_verdict_and_a_picture(answered: Answer) -> None:
    question = open_question(find(answered.slug))
    assert [e.claim.id for e in answered.evidence] == [c.id for c in question.claims]
    for evidence in answered.evidence:
        assert evidence.figures
        assert len(evidence.checks) == len(evidence.claim.criterion)
        for figure in evidence.figures:
            assert not math.isnan(figure.value), f"{figure.name} ({figure.case}) is not a number"
        assert evidence.picture is not None, f"{evidence.claim.id} has no picture"
        assert evidence.picture.lines
        for line in evidence.picture.lines:
            assert len(line.x) == len(line.y) > 0
            assert list(line.x) == sorted(line.x)


def test_the_slider_moves_something(answered: Answer) -> None:
    slider = answered.slider
    assert slider is not None
    assert list(slider.places) == sorted(slider.places)
    assert len(slider.pictures) == len(slider.places) >= 3
    assert slider.hint
    labels = {tuple(line.label for line in picture.lines) for picture in slider.pictures}
    assert len(labels) == 1
    assert len({repr(picture.lines) for picture in slider.pictures}) == len(slider.places)


def at(slider: Slider, place: float) -> dict[str, tuple[float, ...]]:
    """The lines at a place of a slider."""
    return {line.label: line.y for line in slider.pictures[slider.places.index(place)].lines}


def level(line: tuple[float, ...], within: float) -> bool:
    return all(1 / within < y < within for y in line)


HINTS = {
    "vanishing": lambda s: [
        level(at(s, 1.41)["tanh"], 1.5),
        level(at(s, 1.41)["relu"], 1.5),
        all(line[0] < 0.01 for line in at(s, 0.5).values()),
        all(at(s, 4.0)[name][0] > 10 for name in ("tanh", "relu")),
        all(at(s, place)["sigmoid"][0] < 0.1 for place in s.places),
    ],
    "xavier": lambda s: [
        level(at(s, 1.0)["linear"], 1.2),
        level(at(s, 1.41)["relu"], 2.0),
        at(s, 4.0)["sigmoid + bias"][-1] > 5 * at(s, 4.0)["sigmoid"][-1],
    ],
    "activations": lambda s: [
        all(line[0] + line[-1] < 0.1 for line in at(s, 0.7).values()),
        at(s, 2.0)["tanh"][0] > 5 * at(s, 2.0)["tanh"][10],
    ],
    "exploding": lambda s: [
        all(line[-1] < line[0] for place in (1.0, 1.2) for line in at(s, place).values()),
        all(not math.isfinite(at(s, place)["momentum"][-1]) for place in s.places if place >= 1.6),
        100 < at(s, 2.0)["momentum, clipped"][-1] < at(s, 2.0)["momentum, clipped"][0],
    ],
    "initialization": lambda s: [
        all(at(s, place)["relu, He"][-1] > 0.3 for place in s.places if place <= 0.03),
        all(at(s, place)[name][-1] < 0.35 for place in s.places for name in ("relu, default", "relu, He × 2")),
    ],
    "batchnorm": lambda s: [
        all(at(s, place)["with batch norm"][0] == pytest.approx(at(s, 1.0)["with batch norm"][0], rel=0.05)
            for place in s.places),
        level(at(s, 1.0)["without"], 2.0),
        not level(at(s, 1.0)["with batch norm"], 2.0),
    ],
    "he": lambda s: [
        all(level(line, 10) for line in at(s, 2.0).values()),
        at(s, 1.0)["signal (rms)"][-1] < 1e-4,
        at(s, 1.0)["gradient"][0] < 1e-4,
    ],
}  # fmt: skip


def test_what_the_hint_says_is_seen(answered: Answer) -> None:
    seen = HINTS[answered.slug](answered.slider)
    assert all(seen), seen


def test_the_answer_survives_json_and_has_its_pages(answered: Answer) -> None:
    document = dumps(answered)
    assert repr(loads(document, Answer)) == repr(answered)  # repr, since NaN differs from itself
    jsonschema.validate(json.loads(document), schema())
    for width, unicode in ((44, False), (100, True)):
        shown = render(answered, width=width, unicode=unicode)
        assert all(e.claim.id in shown and e.verdict.upper() in " ".join(shown.split()) for e in answered.evidence)
        assert unicode or shown.isascii()
    page = answers_markdown(Answers((answered,)), "Questions")
    assert all(f"### {e.claim.id} " in page for e in answered.evidence)
    assert html_page(answered).count('class="place"') == 2 * len(answered.slider.places)


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda e: e.slug)
def test_questions_are_whole(entry) -> None:
    question = open_question(entry)
    assert (question.number, question.slug, question.question) == (entry.number, entry.slug, entry.question)
    ids = [claim.id for claim in question.claims]
    assert sorted(ids) == [f"{entry.number}.{i}" for i in range(1, len(ids) + 1)]
    for claim in question.claims:
        assert claim.criterion
        assert claim.source
        assert all(b.above is not None or b.below is not None for b in claim.criterion)
    assert question.text
    assert question.references
    assert question.slider
    assert question.play
    assert all(line.startswith("gainstage ") for line in question.try_it)


ONE_ARM = {"tanh, momentum": vanishing.MOVES["tanh, momentum"]}
ONE_PAIR = {"1 layer: He against default": initialization.PAIRS["1 layer: He against default"]}
DRAWN = {
    "vanishing": lambda setting: vanishing.first_moves(setting, ONE_ARM),
    "xavier": lambda setting: xavier.variance(setting),
    "activations": lambda setting: activations.layer_factors(setting, ("tanh",)),
    "exploding": lambda setting: exploding.growth(setting, exploding.HEALTHY),
    "initialization": lambda setting: initialization.speed_and_stability(setting, ONE_PAIR),
    "batchnorm": lambda setting: batchnorm.one_example(setting),
    "he": lambda setting: he.thirty_layers(setting, {"He": Net("relu", 2, "he_normal")}),
}


@pytest.mark.parametrize("slug", DRAWN)
def test_the_same_seed_gives_the_same_figures_and_another_one_others(slug: str) -> None:
    first, again, other = (DRAWN[slug](Setting(seed, quick=True)) for seed in (0, 0, 1))
    assert first == again
    assert [f.name for f in first.figures] == [f.name for f in other.figures]
    assert first.figures != other.figures


def test_where_keras_is_missing_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    study, claim = next((s, c) for s in he.QUESTION.studies for c in s.claims if c.id == "7.1")
    measured = study.experiment(QUICK)
    assert {f.case for f in measured.figures} == set(he.TORCH_LAYERS)
    told = judge(claim, measured.figures, absent=measured.absent)
    assert told.verdict == "holds"
    assert "Keras, 784 → 128 (Keras is not installed)" in told.conditions
