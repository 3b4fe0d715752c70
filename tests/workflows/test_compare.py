"""``compare``: pairs, honesty, failures, resumption, and data of every kind."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import gainstage as gs
from gainstage import data
from gainstage.backends.torch.models.build import mlp
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.trials import Store
from gainstage.workflows.building import Named
from gainstage.workflows.comparing import concluded, experiment
from gainstage.workflows.supplying import dataset_of

CLOUDS = data.gaussian(classes=3, features=4, examples=300)
QUICK = {"steps": 40, "batch_size": 32, "learning_rates": 0.01}


def net():
    return mlp([4, 16, 16, 3], activation="tanh")


def test_deep_sigmoids_stay_stuck_at_the_default_and_auto_is_shown_to_be_better():
    deep = lambda: mlp([4, *[16] * 12, 3], activation="sigmoid")  # noqa: E731
    found = gs.compare(deep, CLOUDS, ["pytorch_default", "auto"], seeds=5, steps=150, batch_size=32)
    stuck, trained = found.contenders
    assert (stuck.scheme, trained.scheme) == ("pytorch_default", "auto")
    assert {t.outcome for t in found.trials if t.scheme == "pytorch_default"} == {"stuck"}
    assert {t.outcome for t in found.trials if t.scheme == "auto"} == {"trained"}
    assert [arm.name for arm in found.best()] == ["auto"]
    assert stuck.steps_to_target is None
    assert trained.steps_to_target < 150
    (contrast,) = found.contrasts
    assert contrast.better == "auto"
    # Twelve sigmoids with a slope of at most a quarter; the weights shrink it further.
    assert stuck.first_gradient_ratio < 1e-3 < trained.first_gradient_ratio


def test_the_same_scheme_under_two_names_is_never_told_apart():
    found = gs.compare(net, CLOUDS, {"one": "he_normal", "other": "he_normal"}, seeds=4, **QUICK)
    (contrast,) = found.contrasts
    assert contrast.difference.value == 0
    assert contrast.beats.value == 0.5
    assert contrast.better == contrast.faster == ""
    assert len(found.best()) == 2
    one, other = ([t.curve.losses for t in found.trials if t.scheme == name] for name in ("one", "other"))
    np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("together", [1, 2, 32])
def test_company_changes_nothing(together):
    alone = gs.compare(net, CLOUDS, ["keep", "orthogonal"], seeds=3, together=1, **QUICK)
    found = gs.compare(net, CLOUDS, ["keep", "orthogonal"], seeds=3, together=together, **QUICK)
    assert {t.together for t in found.trials} == {min(together, 6)}
    for one, other in zip(found.trials, alone.trials, strict=True):
        assert one.key == other.key
        np.testing.assert_allclose(one.curve.losses, other.curve.losses, rtol=5e-3)
    assert found.notes == alone.notes


def test_everything_that_was_asked_for_is_there_in_order():
    builds = {"plain": net, "normalised": lambda: mlp([4, 16, 16, 3], activation="tanh", norm="batch")}
    found = gs.compare(builds, CLOUDS, ["keep", "auto"], seeds=[3, 7], steps=12, learning_rates=[0.03, 0.003])
    keys = [*itertools.product(["plain", "normalised"], ["keep", "auto"], [0.003, 0.03], [3, 7])]
    assert [t.key for t in found.trials] == keys
    assert found.complete
    assert [arm.name for arm in found.contenders] == [
        "keep, plain", "auto, plain", "keep, normalised", "auto, normalised",
    ]  # fmt: skip
    assert len(found.arms) == 8
    assert len(found.contrasts) == 6
    assert len(found.limits) == 4
    assert {*found.table()[0]} >= {"scheme", "variant", "accuracy", "low", "high"}
    assert {len(t.curve.first_steps) for t in found.trials} == {5}
    assert all(t.seconds > 0 for t in found.trials)
    assert set(found.curves) == {arm.name for arm in found.contenders}
    assert gs.loads(gs.dumps(found)) == found
    assert "keep, plain" in str(found)


def test_a_sweep_finds_the_largest_rate_that_trains():
    found = gs.compare(net, CLOUDS, ["orthogonal"], seeds=2, steps=60, batch_size=32, optimizer="sgd", sweep="lr")
    (limit,) = found.limits
    by_rate = {arm.learning_rate: arm.trained.value for arm in found.arms}
    assert len(by_rate) == 9
    assert by_rate[limit.largest] > 0.5
    assert by_rate[limit.smallest] > 0.5
    assert all(share <= 0.5 for rate, share in by_rate.items() if rate < limit.smallest)
    assert limit.next_tried is None or by_rate[limit.next_tried] <= 0.5
    # Steps of 1e-4 with 60 of them cannot move a network of this size.
    assert limit.smallest > 1e-4


def test_a_rate_that_is_too_large_diverges_and_counts_as_guessing():
    found = gs.compare(
        net, CLOUDS, ["he_normal"], seeds=2, steps=60, batch_size=32, optimizer="sgd", learning_rates=[0.1, 1e37]
    )  # fmt: skip
    calm, wild = found.arms
    assert (calm.diverged.value, wild.diverged.value) == (0, 1)
    assert wild.score.value == pytest.approx(CLOUDS.chance[1])
    assert found.contenders[0].learning_rate == 0.1


def test_few_seeds_are_said_to_be_few():
    one = gs.compare(net, CLOUDS, ["keep", "zeros"], seeds=1, steps=10)
    assert any("One seed only" in note for note in one.notes)
    assert not any(contrast.better for contrast in one.contrasts)
    assert one.contenders[0].score.low == -math.inf
    assert any("Only 3 seeds" in note for note in gs.compare(net, CLOUDS, ["keep"], seeds=3, steps=10).notes)
    assert gs.compare(net, CLOUDS, ["keep"], seeds=5, steps=10).notes == ()


def test_a_scheme_that_fails_fails_alone():
    found = gs.compare(net, CLOUDS, ["fixup", "auto"], seeds=2, **QUICK)
    outcomes = {t.scheme: t.outcome for t in found.trials}
    assert outcomes == {"fixup": "failed", "auto": "trained"}
    assert "residual" in next(t.error for t in found.trials if t.scheme == "fixup")
    assert any(note.startswith("fixup failed in 2 trials: ") for note in found.notes)
    assert [arm.name for arm in found.ranking] == ["auto", "fixup"]
    assert [arm.name for arm in found.best()] == ["auto"]
    assert "failed" in str(found)


def test_a_build_that_fails_now_and_then_costs_those_trials_alone():
    calls = itertools.count()

    def moody():
        if next(calls) == 4:
            raise RuntimeError("no luck")
        return net()

    found = gs.compare(moody, CLOUDS, ["keep", "auto"], seeds=3, **QUICK)
    assert sorted(t.outcome for t in found.trials) == ["failed", *["trained"] * 5]
    assert next(t.error for t in found.trials if t.outcome == "failed") == "RuntimeError: no luck"


def test_a_scheme_of_ones_own():
    def small(model):
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(std=0.1)

    found = gs.compare(net, CLOUDS, {"small": small, "auto": "auto"}, seeds=2, **QUICK)
    assert {t.scheme for t in found.trials} == {"small", "auto"}
    # Its random numbers follow from the seed as well.
    again = gs.compare(net, CLOUDS, {"small": small}, seeds=2, **QUICK)
    assert again.trials[0].curve.losses == pytest.approx(found.trials[0].curve.losses, rel=1e-4)


def test_a_scheme_of_ones_own_that_takes_the_seed_draws_anew_for_every_trial():
    drawn = {}

    def own(model, seed):
        gs.initialize(model, "he_normal", seed=seed)
        drawn[seed] = model.head.weight.detach().clone()

    gs.compare(net, CLOUDS, {"own": own}, seeds=(3, 4), steps=2, workers=1)
    assert sorted(drawn) == [3, 4]
    assert not torch.equal(drawn[3], drawn[4])


def test_dropout_runs_one_by_one_and_says_so():
    drops = lambda: nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))  # noqa: E731
    found = gs.compare(drops, CLOUDS, ["keep"], seeds=5, steps=10)
    assert {t.together for t in found.trials} == {1}
    assert any("one by one, since the model draws random numbers" in note for note in found.notes)


def test_a_natural_shape_is_found():
    convolution = lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))  # noqa: E731
    found = gs.compare(convolution, "digits", ["keep"], seeds=1, steps=5)
    assert found.trials[0].outcome != "failed"


X, Y = CLOUDS.x_train, CLOUDS.y_train


def as_file(folder):
    np.savez(folder / "clouds.npz", x=X, y=Y)
    return folder / "clouds.npz"


SUPPLIES = {
    "arrays": lambda _: (X, Y),
    "float labels": lambda _: (X, Y.astype(np.float64)),
    "one-hot": lambda _: (X, np.eye(3)[Y]),
    "column": lambda _: (X, Y[:, None]),
    "tensors": lambda _: (torch.from_numpy(X), torch.from_numpy(Y)),
    "four arrays": lambda _: (X, Y, CLOUDS.x_validation, CLOUDS.y_validation),
    "names": lambda _: {"x": X, "y": Y},
    "file": as_file,
    "dataset": lambda _: TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)),
    "loader": lambda _: DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=32),
    "single loader": lambda _: DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=None),
}


@pytest.mark.parametrize("kind", SUPPLIES)
def test_data_of_every_kind(kind, tmp_path):
    dataset = dataset_of(SUPPLIES[kind](tmp_path))
    assert dataset.classes == 3
    assert dataset.y_train.dtype == np.int64
    assert dataset.x_train.dtype == np.float32
    assert sorted(np.concatenate([dataset.y_train, dataset.y_validation])[: len(Y)].tolist())[0] == 0
    if kind != "four arrays":
        everything = np.concatenate([dataset.x_train, dataset.x_validation])
        assert sorted(map(tuple, everything)) == sorted(map(tuple, X))  # as they are: nothing is standardised
        assert len(dataset.x_validation) == pytest.approx(len(X) / 5, abs=3)
    assert gs.compare(net, dataset, ["keep"], seeds=1, steps=3).trials[0].outcome != "failed"


def test_a_regression_with_whole_numbers():
    line = (X, np.round(3 * X[:, 0]))
    assert dataset_of((X, np.abs(np.round(3 * X[:, 0])))).classes > 0
    assert dataset_of(line, loss="mse").classes == 0
    found = gs.compare(lambda: mlp([4, 16, 1]), line, ["keep", "auto"], seeds=2, loss="huber", **QUICK)
    assert found.measure == "loss"
    assert found.contenders[0].accuracy is None
    assert "validation loss" in str(found)


def endless():
    class Endless(IterableDataset):
        def __iter__(self):
            return ((torch.zeros(1), 0) for _ in itertools.count())

    return Endless()


NAN = X.copy()
NAN[3, 1] = np.nan

BAD_DATA = [
    ((NAN, Y), "1 NaN or infinite values, the first at index \\(3, 1\\)"),
    ((X, Y[:-1]), "240 examples in x and 239 labels"),
    ((X, Y - 1), "class label -1"),
    ((X, np.array(["a"] * len(X))), "has the type <U1"),
    ((X[:0], Y[:0]), "at least one value"),
    ((X, Y, X), "Cannot train on a tuple"),
    ((X, Y, X[:, :2], Y), "Validation examples have the shape"),
    ({"x": X, "labels": Y}, "x, y"),
    (7, "Cannot train on a int"),
    (TensorDataset(torch.zeros(3, 2)), "pairs of examples and labels; received 1 parts"),
    (TensorDataset(torch.zeros(0, 2), torch.zeros(0)), "is empty"),
    ("nowhere.npz", "There is no data file"),
]


@pytest.mark.parametrize(("given", "words"), BAD_DATA)
def test_bad_data_are_said(given, words):
    with pytest.raises(InputError, match=words):
        gs.compare(net, given)


def test_data_without_an_end_are_refused(monkeypatch):
    monkeypatch.setattr("gainstage.backends.torch.models.datasets.MOST", 100)
    with pytest.raises(InputError, match="more than 100 examples"):
        dataset_of(endless())


MODEL = net()

BAD = [
    ({"build": lambda: MODEL}, InputError, "returned the same model twice"),
    ({"build": MODEL}, InputError, "one model. Every training needs a new one"),
    ({"build": 7}, InputError, "Pass a function that builds"),
    ({"build": lambda: 7}, InputError, "has to return the model"),
    ({"build": lambda: 1 / 0}, InputError, "could not build a model: ZeroDivisionError"),
    ({"build": {}}, InputError, "no model"),
    ({"build": lambda: mlp([5, 3])}, ModelError, "cannot run on the data 'gaussian' of shape"),
    ({"build": lambda: mlp([4, 2])}, InputError, "Labels go from 0 to 2, and the model's output has 2"),
    ({"loss": "mse"}, InputError, r"output has the shape \(8, 3\)"),
    ({"loss": lambda output, target: output.nope}, InputError, "cannot compare an output of shape"),
    ({"loss": "mes"}, UnknownNameError, "Did you mean 'mse'"),
    ({"optimizer": "adm"}, UnknownNameError, "Did you mean 'adam'"),
    ({"optimizer": lambda p, rate: None}, InputError, "torch.optim.Optimizer; received a NoneType"),
    ({"schemes": ["he_norml"]}, UnknownNameError, "Did you mean 'he_normal'"),
    ({"schemes": "auto"}, InputError, r"Write \['auto'\]"),
    ({"schemes": []}, InputError, "no scheme"),
    ({"schemes": ["auto", "auto"]}, InputError, "given twice"),
    ({"schemes": {"mine": 3}}, InputError, "name or a function"),
    ({"seeds": 0}, InputError, "received 0"),
    ({"seeds": [1, 1]}, InputError, "counts once"),
    ({"seeds": [-1]}, InputError, "received"),
    ({"seeds": True}, InputError, "received True"),
    ({"learning_rates": [0.1, -1]}, InputError, "positive numbers"),
    ({"learning_rates": float("nan")}, InputError, "positive numbers"),
    ({"sweep": "batch"}, UnknownNameError, "sweep"),
    ({"steps": 0}, InputError, "steps=0"),
    ({"together": 0}, InputError, "together=0"),
    ({"engine": "dsk"}, UnknownNameError, "engine"),
    ({"data": data.gaussian(classes=3, features=4, examples=60, validation=0.0)}, InputError, "no example back"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "words"), BAD, ids=[case[2] for case in BAD])
def test_bad_arguments_are_said_before_anything_is_trained(given, kind, words):
    arguments = {"build": net, "data": CLOUDS, "schemes": ["keep"], "seeds": 2, "steps": 3, **given}
    with pytest.raises(kind, match=words):
        gs.compare(**arguments)


def test_progress_is_told_from_beginning_to_end():
    seen = []
    gs.compare(net, CLOUDS, ["keep", "fixup"], seeds=2, on_progress=seen.append, together=1, **QUICK)
    assert (seen[0].done, seen[0].total, seen[-1].done) == (0, 4, 4)
    assert [line.scheme for line in seen[0].lines] == ["keep", "fixup"]
    assert [line.share for line in seen[-1].lines] == [1, 1]
    assert math.isnan(seen[0].lines[0].loss)
    assert math.isfinite(seen[-1].lines[0].loss)


def test_resuming_runs_only_what_is_missing(tmp_path):
    built = []

    def counting():
        built.append(1)
        return net()

    path = tmp_path / "runs.db"
    first = gs.compare(counting, CLOUDS, ["keep"], seeds=2, store=path, **QUICK)
    before = len(built)
    again = gs.compare(counting, CLOUDS, ["keep"], seeds=2, store=path, resume=True, **QUICK)
    assert len(built) - before == 2  # to see what is built; nothing was trained
    assert again == first
    more = gs.compare(counting, CLOUDS, ["keep", "auto"], seeds=3, store=path, resume=True, **QUICK)
    assert more.complete
    assert [t for t in more.trials if t.key in {k.key for k in first.trials}] == [*first.trials]
    with pytest.raises(InputError, match="exists"):
        gs.compare(net, CLOUDS, ["keep"], store=path, **QUICK)
    with pytest.raises(InputError, match="its steps is 40, and now it is 41"):
        gs.compare(net, CLOUDS, ["keep"], store=path, resume=True, **{**QUICK, "steps": 41})
    with pytest.raises(InputError, match="its model is"):
        gs.compare(lambda: mlp([4, 8, 3]), CLOUDS, ["keep"], store=path, resume=True, **QUICK)
    with pytest.raises(InputError, match="its data is"):
        gs.compare(net, data.gaussian(classes=3, features=4, examples=330), store=path, resume=True, **QUICK)


LONG = """
import sys, gainstage as gs
from gainstage.workflows.building import Named
gs.compare(Named("mlp:64x32x32x10,act=tanh"), "digits", ["keep", "auto"], seeds=300, steps=60, together=2,
           store=sys.argv[1], workers=1)
"""


def test_killed_in_the_middle_it_goes_on_where_it_was(tmp_path):
    path, build = tmp_path / "runs.db", Named("mlp:64x32x32x10,act=tanh")
    settings = {"seeds": 300, "steps": 60, "together": 2}
    planned = experiment(build, "digits", ["keep", "auto"], **settings)
    with subprocess.Popen([sys.executable, "-c", LONG, str(path)]) as process:
        while not path.exists():
            time.sleep(0.05)
        with Store(path, planned.facts, resume=True) as store:
            while len(store.finished()) < 6:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            kept = store.finished()
    assert 6 <= len(kept) < 600
    few = experiment(build, "digits", ["keep", "auto"], **{**settings, "seeds": 8})
    with Store(path, few.facts, resume=True) as store:
        found = concluded(few, few.trials(store, workers=1))
        assert found.complete
        assert kept <= store.finished()
    fresh = gs.compare(build, "digits", ["keep", "auto"], **{**settings, "seeds": [0]})
    twin = {t.key: t for t in found.trials}
    assert all(t.curve.losses == pytest.approx(twin[t.key].curve.losses, rel=1e-3) for t in fresh.trials)


def test_the_json_of_an_unfinished_comparison_says_so():
    planned = experiment(net, CLOUDS, ["keep", "auto"], seeds=2, steps=5, together=1)
    some = [*itertools.islice(planned.trials(), 3)]
    found = concluded(planned, some)
    assert not found.complete
    assert "3 of 4 trials have ended." in found.notes
    assert json.loads(gs.dumps(found))["kind"] == "comparison"
    assert "no trial has ended" in str(concluded(planned, []))
