"""Every question runs, and its experiments answer differently when the networks are different."""

from __future__ import annotations

import dataclasses
import math

import pytest

from gainstage.lessons import QUESTIONS, activations, batchnorm, exploding, find, he, open_question, vanishing, xavier
from gainstage.lessons.criterion import judge
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Measured, Setting, Study, answer
from gainstage.records import Answer, Claim, Verdict
from gainstage.report.json import dumps, loads
from gainstage.report.markdown import answers_markdown
from gainstage.report.text import render

QUICK = Setting(quick=True)


@pytest.fixture(scope="module", params=QUESTIONS, ids=lambda entry: entry.slug)
def answered(request: pytest.FixtureRequest) -> Answer:
    return answer(open_question(request.param), QUICK)


def test_every_claim_is_answered_with_figures_and_a_verdict(answered: Answer) -> None:
    question = open_question(find(answered.slug))
    assert [e.claim.id for e in answered.evidence] == [c.id for c in question.claims]
    for evidence in answered.evidence:
        assert evidence.figures
        assert len(evidence.checks) == len(evidence.claim.criterion)
        for figure in evidence.figures:
            assert not math.isnan(figure.value), f"{figure.name} ({figure.case}) is not a number"


def test_the_answer_survives_json_and_has_its_pages(answered: Answer) -> None:
    from gainstage.records import Answers

    assert repr(loads(dumps(answered), Answer)) == repr(answered)  # repr, since NaN differs from itself
    for width, unicode in ((44, False), (100, True)):
        shown = render(answered, width=width, unicode=unicode)
        assert all(e.claim.id in shown and e.verdict.upper() in " ".join(shown.split()) for e in answered.evidence)
        assert unicode or shown.isascii()
    page = answers_markdown(Answers((answered,)), "Questions")
    assert all(f"### {e.claim.id} " in page for e in answered.evidence)


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
    assert all(line.startswith("gainstage ") for line in question.try_it)


def verdict(claim_id: str, study: Study, measured: Measured) -> Verdict:
    """Of a claim whose cases are named in the figures of a counterexample."""
    claim = next(c for c in study.claims if c.id == claim_id)
    cases = {figure.case for figure in measured.figures}
    kept = tuple(b for b in claim.criterion if b.case in cases)
    assert kept
    return judge(dataclasses.replace(claim, criterion=kept), measured.figures).verdict


def of(question, claim_id: str) -> tuple[Study, Claim]:
    return next((s, c) for s in question.studies for c in s.claims if c.id == claim_id)


RELU = Net("relu", exploding.DEPTH, "he_normal")

COUNTEREXAMPLES = {
    "1.1": (vanishing, lambda: vanishing.gradients_at_start(QUICK, {"sigmoid, default": ("relu", "he_normal")})),
    "1.3": (
        vanishing,
        lambda: vanishing.first_moves(QUICK, {"sigmoid, momentum": ("relu", "he_normal", "momentum", 0.03)}),
    ),
    "2.1": (xavier, lambda: xavier.variance(QUICK, "he_normal")),
    "2.2": (xavier, lambda: xavier.spreads(QUICK, {"linear": ("linear", 1.0)}, "pytorch_default")),
    "2.3": (xavier, lambda: xavier.spreads(QUICK, {"linear": ("linear", 1.0)}, "he_normal")),
    "2.4": (xavier, lambda: xavier.mitigation(QUICK, "pytorch_default", "glorot_normal")),
    "3.1": (activations, lambda: _renamed(activations.derivatives(QUICK, ("relu",)), "sigmoid")),
    "3.3": (activations, lambda: _renamed(activations.layer_factors(QUICK, ("relu",)), "sigmoid")),
    "3.5": (activations, lambda: activations.softmax(QUICK, {"squared error": "cross_entropy"})),
    "4.1": (exploding, lambda: exploding.growth(QUICK, {"relu, He × 2": RELU})),
    "4.2": (exploding, lambda: exploding.drastic_steps(QUICK, {"relu, He × 2": RELU})),
    "4.3": (exploding, lambda: exploding.drastic_steps(QUICK, {"relu, He × 2": RELU})),
    "6.2": (batchnorm, lambda: batchnorm.levels(QUICK, batchnorm.PLAIN)),
    "6.3": (batchnorm, lambda: batchnorm.levels(QUICK, batchnorm.PLAIN)),
    "6.8": (batchnorm, lambda: batchnorm.growth(QUICK, "none", ("relu",))),
    "7.1": (he, lambda: he.weights(QUICK, he=False)),
}


def _renamed(measured: Measured, case: str) -> Measured:
    return Measured(tuple(dataclasses.replace(f, case=case) for f in measured.figures))


@pytest.mark.parametrize("claim_id", COUNTEREXAMPLES)
def test_a_network_for_which_the_claim_is_false_is_told_so(claim_id: str) -> None:
    module, experiment = COUNTEREXAMPLES[claim_id]
    study, _ = of(module.QUESTION, claim_id)
    assert verdict(claim_id, study, experiment()) == "does not hold"


def test_the_same_seed_gives_the_same_figures_and_another_one_others() -> None:
    first, again, other = (xavier.variance(Setting(seed, quick=True)).figures for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_where_keras_is_missing_the_answer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    study, claim = of(he.QUESTION, "7.1")
    measured = study.experiment(QUICK)
    assert {f.case for f in measured.figures} == set(he.TORCH_LAYERS)
    told = judge(claim, measured.figures, absent=measured.absent)
    assert told.verdict == "holds"
    assert "Keras, 784 → 128 (Keras is not installed)" in told.conditions
