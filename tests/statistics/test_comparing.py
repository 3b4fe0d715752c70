"""What is concluded from trials made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gainstage.records import Evaluation, FirstStep, TrainingCurve, Trial
from gainstage.statistics import compared, outcome_of, steps_to

CHANCE = 2.3


def curve(losses, final, accuracy=None, start=2.3, seed=0):
    looks = (Evaluation(0, start, None if accuracy is None else 0.1), Evaluation(len(losses), final, accuracy))
    step = FirstStep(1, 1.0, 0.5, 2.0, 0.01, 4.0)
    trained = Evaluation(len(losses), final, accuracy)
    return TrainingCurve("net", tuple(losses), looks, CHANCE, 0.1, "adam", 0.1, 64, seed, trained, (step,))


def trial(scheme, seed, accuracy, rate=0.1, outcome="trained", variant="", fast=20):
    falling = [2.3] * fast + [0.1] * (60 - fast)
    return Trial(scheme, rate, seed, variant, outcome, curve(falling, 1 - accuracy, accuracy, seed=seed), "", 1, 2.0)


def comparison(trials, schemes=("a", "b"), rates=(0.1,), seeds=(0, 1, 2, 3, 4), **options):
    return compared(
        trials, model="net", data="data", schemes=schemes, learning_rates=rates, seeds=seeds, steps=60, batch=64,
        optimizer="adam", loss="cross_entropy", chance_loss=CHANCE, chance_accuracy=0.1, held=360, **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        (np.linspace(2.3, 0.1, 100), "trained"),
        ([2.3] * 50 + [math.nan], "diverged"),
        ([2.3] * 50 + [math.inf], "diverged"),
        (np.concatenate([np.linspace(2.3, 0.1, 50), np.full(50, 9.0)]), "diverged"),  # learned, then lost it for long
        (np.concatenate([np.linspace(2.3, 0.1, 95), np.full(5, 9.0)]), "trained"),  # not for long
        (np.concatenate([np.full(20, 50.0), np.linspace(2.3, 0.5, 80)]), "trained"),  # a bad start, mended
    ],
)
def test_how_trainings_end(losses, expected):
    assert outcome_of(curve([*losses], 0.5, 0.9)) == expected


def test_guessing_is_rarely_taken_for_training():
    rng, runs = np.random.default_rng(0), 300
    trained = 0
    for _ in range(runs):
        # Batches scatter around the guess, and a bias that wanders costs a little.
        batches = CHANCE + rng.choice([0.0, 0.02]) + 0.03 * rng.standard_normal(400)
        trained += outcome_of(curve([*batches], 2.31, 0.1, start=2.31)) == "trained"
    # Two quartile distances over √n are 2.7 spreads over √n; the median errs by 1.25 of these: a tail of 1.5 %.
    assert trained / runs < 0.015 + 4 * math.sqrt(0.015 * 0.985 / runs)


def test_a_start_above_chance_is_no_divergence():
    assert outcome_of(curve([*np.linspace(8.0, 2.5, 200)], 2.5, 0.1, start=8.0)) == "stuck"


def test_steps_to_a_loss():
    falling = curve([*np.linspace(2.0, 0.0, 201)], 0.1)
    first = next(i for i in range(10, 202) if np.mean(falling.losses[i - 10 : i]) <= 1.0)
    assert steps_to(falling, 1.0) == first
    assert steps_to(falling, -1.0) is None
    assert steps_to(curve([2.0] * 5, 0.1), 3.0) is None


def test_figures_of_an_arm():
    accuracies = [0.9, 0.92, 0.94, 0.96, 0.98]
    found = comparison([trial("a", s, a) for s, a in enumerate(accuracies)], schemes=("a",))
    (arm,) = found.contenders
    assert arm.score.value == pytest.approx(0.94)
    assert arm.median == 0.94
    assert (arm.trained.value, arm.diverged.value) == (1, 0)
    assert arm.steps_to_target == steps_to(found.trials[0].curve, CHANCE / 2)
    assert arm.first_gradient_ratio == 0.25
    assert arm.relative_update == pytest.approx(0.0025)
    assert arm.seconds == 10
    assert (arm.accuracy.low[-1], arm.accuracy.middle[-1], arm.accuracy.high[-1]) == (0.92, 0.94, 0.96)
    assert arm in found.arms


def test_better_and_faster_are_claimed_only_where_shown():
    rng = np.random.default_rng(0)
    noise = 0.002 * rng.standard_normal((3, 5))
    trials = [trial("a", s, 0.95 + noise[0, s], fast=20) for s in range(5)]
    trials += [trial("b", s, 0.80 + noise[1, s], fast=40) for s in range(5)]
    trials += [trial("c", s, 0.95 + noise[2, s], fast=20 + s % 2) for s in range(5)]
    found = comparison(trials, schemes=("a", "b", "c"))
    better = {(c.first, c.second): (c.better, c.faster) for c in found.contrasts}
    assert better == {("a", "b"): ("a", "a"), ("a", "c"): ("", ""), ("b", "c"): ("c", "c")}
    assert {arm.name for arm in found.best()} == {"a", "c"}
    by_loss = comparison(trials, schemes=("a", "b", "c"), measure="loss")
    assert {(c.first, c.second): c.better for c in by_loss.contrasts} == {
        ("a", "b"): "a", ("a", "c"): "", ("b", "c"): "c",
    }  # fmt: skip
    assert [arm.name for arm in by_loss.ranking][-1] == "b"


def test_what_diverged_counts_as_guessing():
    wild = [Trial("a", 0.1, s, "", "diverged", curve([2.3, math.nan], 1e30, 0.6)) for s in range(5)]
    (arm,) = comparison(wild, schemes=("a",)).contenders
    assert arm.score.value == 0.1
    assert arm.validation_loss == CHANCE
    assert arm.loss.middle[0] == CHANCE


def test_choosing_a_rate_does_not_flatter():
    """Of rates that are all alike the best of five seeds is above them; each seed is judged at the others' choice."""
    rng = np.random.default_rng(1)
    rates, seeds = (0.1, 0.2, 0.3, 0.4, 0.5), tuple(range(5))
    gained, flattered = [], []
    for _ in range(120):
        table = 0.5 + 0.05 * rng.standard_normal((5, 5))
        trials = [trial("a", s, table[r, s], rate=rate) for r, rate in enumerate(rates) for s in seeds]
        (arm,) = comparison(trials, schemes=("a",), rates=rates, seeds=seeds).contenders
        gained.append(arm.median)
        flattered.append(np.median(table[table.mean(axis=1).argmax()]))
    error = 0.05 / math.sqrt(120)
    assert abs(np.mean(gained) - 0.5) < 3 * error
    assert np.mean(flattered) > 0.5 + 3 * error


@pytest.mark.parametrize(
    ("trains", "expected"),
    [
        ("00110", (3.0, 4.0, 2.0)),
        ("11111", (4.0, None, 0.0)),
        ("00000", (None, None, None)),
        ("01010", (1.0, 2.0, 1.0)),
    ],
)
def test_the_largest_rate_that_trains(trains, expected):
    rates = tuple(map(float, range(len(trains))))
    shown = tuple(rate + 1 for rate in rates)  # rates are positive
    trials = [
        trial("a", s, 0.9, rate=rate, outcome="trained" if mark == "1" else "diverged")
        for rate, mark in zip(shown, trains, strict=True)
        for s in range(3)
    ]
    (limit,) = comparison(trials, schemes=("a",), rates=shown, seeds=(0, 1, 2)).limits
    found = (limit.largest, limit.next_tried, limit.smallest)
    assert found == tuple(None if v is None else v + 1 for v in expected)


def test_failed_trials_are_left_out_and_counted():
    trials = [trial("a", s, 0.9) for s in range(5)] + [Trial("b", 0.1, s, error="RuntimeError: no") for s in range(5)]
    found = comparison(trials)
    a, b = found.contenders
    assert (a.failed, b.failed, b.score) == (0, 5, None)
    assert found.contrasts == ()
    assert found.notes == ("b failed in 5 trials: RuntimeError: no",)
    assert found.best() == (a,)
    half = comparison([*trials[:5], *(trial("b", s, 0.5) for s in range(2))])
    assert half.contrasts[0].difference.n == 2
