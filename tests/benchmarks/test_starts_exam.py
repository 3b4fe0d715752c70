"""The exam of starts: its cases are frozen and deterministic, and its verdicts follow from the differences."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import starts_exam
import torch
from exam_of_starts import report
from starts_exam.case import accuracy, held_out
from starts_exam.running import batches, train
from starts_exam.starts import fingerprint, restore, weights
from starts_exam.store import Result, Store
from starts_exam.tables import FACTORS, at_best_rate
from starts_exam.verdicts import MOST, contrasts, prior, score

CASES = starts_exam.torch_cases()
FROZEN = json.loads(starts_exam.FROZEN.read_text())


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_exam_is_frozen():
    assert starts_exam.source_hashes() == FROZEN["sources"]
    assert {name: starts_exam.coin(name) for name in FROZEN["halves"]} == FROZEN["halves"]
    assert [case.name for case in CASES] == [name for name in FROZEN["halves"] if not name.startswith("keras-")]


def test_it_is_large_enough_and_covers_the_fields():
    assert len(FROZEN["halves"]) >= 60
    assert sum(name.startswith("keras-") for name in FROZEN["halves"]) == 10
    for half in ("seen", "unseen"):
        fields = {case.field for case in CASES if starts_exam.half_of(case.name) == half}
        assert len(fields) >= 12


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_builds_deterministically_and_has_a_gradient(case):
    model = case.model(3)
    assert fingerprint(weights(case, model)) == fingerprint(weights(case, case.model(3)))
    data, few = case.data(0), slice(None) if case.batch is None else slice(8)
    x, y = (tuple(v[few] for v in part) if isinstance(part, tuple) else part[few] for part in (data.x, data.y))
    loss = case.value(model, x, y)
    assert torch.isfinite(loss)
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())


def test_a_training_starts_from_the_weights_that_are_given():
    case = next(case for case in CASES if case.name == "skip-gram")
    short, model, data = replace(case, steps=3), case.model(0), case.data(0)
    kept = weights(case, model)
    first = train(short, model, data, case.rate, seed=0)
    assert fingerprint(weights(case, model)) != fingerprint(kept)
    restore(case, model, kept)
    assert fingerprint(weights(case, model)) == fingerprint(kept)
    again = train(short, model, data, case.rate, seed=0)
    assert (first.before, first.value, first.loss) == (again.before, again.value, again.loss)
    assert first.value < first.before


def test_batches_cover_every_epoch_once():
    drawn = np.concatenate(list(batches(10, 5, 4, seed=0)))
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    assert [*map(list, batches(3, None, 2, seed=0))] == [[0, 1, 2]] * 2


def test_scores_grow_with_quality_and_end_at_chance():
    share, error = accuracy(10), held_out("error", lambda p, y: p, 1.0)
    assert score(share, 0.9) > score(share, 0.5) > score(share, 0.05) == score(share, None)
    assert score(error, 0.01) - score(error, 0.1) == pytest.approx(math.log(10))
    assert score(error, 7.0) == score(error, math.inf) == score(error, 1.0) == 0


def test_the_prior_is_found_again():
    """Sample variances under a scaled inverse χ² prior of 2 degrees of freedom and variance 0.04."""
    rng = np.random.default_rng(0)
    true = 0.04 * 2 / rng.chisquare(2, 20_000)
    found = prior((true * rng.chisquare(2, 20_000) / 2).tolist(), 2)
    assert found.variance == pytest.approx(0.04, rel=0.1)
    assert found.freedom == pytest.approx(2, rel=0.1)
    assert prior(rng.chisquare(2, 20_000).tolist(), 2).freedom == MOST


def test_false_verdicts_are_as_rare_as_promised():
    """Without any difference, a table of 40 cases has a verdict in one of twenty tables at most."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        spread = np.sqrt(0.02 * 5 / rng.chisquare(5, 40))
        d = rng.normal(size=(40, 3)) * spread[:, None]
        pairs = {str(i): [(0.0, float(v)) for v in row] for i, row in enumerate(d)}
        wrong += any(c.verdict != "alike" for c in contrasts(pairs, {}))
    assert wrong <= 10 + 3 * math.sqrt(200 * 0.05 * 0.95)


def test_verdicts_follow_the_sign_and_agree_with_their_intervals():
    rng = np.random.default_rng(2)
    truth = {"better": 1.0, "worse": -1.0, **{f"alike {i}": 0.0 for i in range(12)}}
    pairs = {name: [(0.0, float(v)) for v in middle + 0.05 * rng.normal(size=3)] for name, middle in truth.items()}
    found = {c.case: c for c in contrasts({**pairs, "odd": [], "no": pairs["better"]}, {"alike 0": True}, ["no"])}
    assert found["better"].verdict == "better"
    assert found["worse"].verdict == "worse"
    assert found["odd"].verdict == "open"
    assert found["no"].verdict == "refused"
    for name in truth:
        contrast = found[name]
        assert (contrast.verdict != "alike") == (not contrast.low <= 0 <= contrast.high)


def test_the_best_rate_of_a_seed_is_chosen_on_the_others():
    case = CASES[0]
    values = {1 / 3: (3.0, 3.0, 3.0), 1.0: (1.0, 2.0, 2.0), 3.0: (2.5, 1.9, 1.9), 9.0: (None, None, None)}
    results = [Result(case.name, "auto", f, s, "x", value=v) for f, row in values.items() for s, v in enumerate(row)]
    assert {seed: factor for seed, (factor, _) in at_best_rate(case, results).items()} == {0: 3.0, 1: 1.0, 2: 1.0}
    assert at_best_rate(case, [r for r in results if r.factor != FACTORS[0]]) == {}


def test_the_unseen_half_prints_totals_alone():
    chosen = {half: [c for c in CASES if starts_exam.half_of(c.name) == half][:3] for half in ("seen", "unseen")}
    results = {
        half: [
            Result(case.name, start, 1.0, seed, start, value=case.metric.chance * quality)
            for case in cases for seed in range(3) for start, quality in (("author", 0.5), ("auto", 0.4 + 0.01 * seed))
        ]
        for half, cases in chosen.items()
    }  # fmt: skip
    cases = [*chosen["seen"], *chosen["unseen"]]
    hidden = report(cases, results, quick=True, reveal=False)
    assert "| author's | unseen | 3 |" in hidden
    assert not any(case.name in hidden for case in chosen["unseen"])
    assert all(case.name in hidden for case in chosen["seen"])
    shown = report(cases, results, quick=True, reveal=True)
    assert all(case.name in shown for case in cases)


def test_the_store_gives_back_equal_trainings(tmp_path):
    path = tmp_path / "store.jsonl"
    store = Store(path)
    store.add(Result("a", "author", 1.0, 0, "cafe", value=0.5))
    store.add(Result("a", "auto", 1.0, 0, "beef", value=0.25))
    again = Store(path)
    assert again.get("a", "auto", 1.0, 0, "cafe") == Result("a", "author", 1.0, 0, "cafe", value=0.5)
    assert again.get("a", "auto", 1.0, 1, "cafe") is None
    assert [r.start for r in again.latest()] == ["author", "auto"]
