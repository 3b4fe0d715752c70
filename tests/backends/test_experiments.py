"""Measuring loops and probes: hand-worked cases, limits that theory fixes, and what is refused."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from gainstage import data
from gainstage.backends.torch.measuring.lesson_measurements import (
    companions,
    normalised_units,
    one_thread,
    refuses_one_example,
    softmax_gradient,
    textbook_weights,
    with_shifts,
)
from gainstage.backends.torch.models.build import mlp
from gainstage.backends.torch.training.lesson_experiments import first_steps, gradient_agreement
from gainstage.backends.torch.training.train import train
from gainstage.errors import InputError


@pytest.fixture(scope="module")
def clouds():
    return data.gaussian(classes=3, features=4, examples=300)


def test_the_first_step_of_plain_descent_is_rate_times_gradient_over_weight(clouds):
    model = nn.Linear(4, 3)
    weight = model.weight.detach().clone()
    steps = first_steps(model, clouds, steps=1, learning_rate=0.5, optimizer="sgd", seed=1)
    moved = float((model.weight.detach() - weight).double().norm() / weight.double().norm())
    assert steps.first == steps.moved == (pytest.approx(moved, rel=1e-6),)
    assert len(steps.losses) == 1


def test_a_loss_that_is_not_finite_ends_the_watch(clouds):
    model = mlp([4, 16, 16, 3], seed=0)
    steps = first_steps(model, clouds, steps=50, learning_rate=1e20, optimizer="sgd")
    assert not math.isfinite(steps.losses[-1])
    assert len(steps.losses) < 50


def test_gradients_agree_for_small_steps_and_not_for_large_ones(clouds):
    small, large = (
        gradient_agreement(mlp([4, 16, 3], seed=0), clouds, steps=10, learning_rate=rate) for rate in (1e-4, 30.0)
    )
    assert len(small) == 10
    assert min(small) > 0.999
    assert len(large) < 10 or max(large[1:]) < min(small)


@pytest.mark.parametrize("use", ["cross_entropy", "mse", "hidden"])
def test_softmax_gradients_match_finite_differences(use):
    z, target, h = np.array([0.3, -1.0, 2.0]), 1, 1e-6

    def loss(z):
        p = np.exp(z) / np.exp(z).sum()
        return {"cross_entropy": -np.log(p[target]), "mse": ((p - np.eye(3)[target]) ** 2).sum(), "hidden": p[target]}[
            use
        ]

    expected = [(loss(z + h * e) - loss(z - h * e)) / (2 * h) for e in np.eye(3)]
    # Central differences err by h² f'''/6 plus rounding of about 1e-16/h.
    assert softmax_gradient(tuple(z), target, use) == pytest.approx(expected, abs=1e-9)


def test_probes_leave_the_model_as_it_was(clouds):
    model = mlp([4, 8, 3], norm="batch", seed=0).eval()
    before = copy.deepcopy(model.state_dict())
    mean, low, high = normalised_units(model, clouds)
    assert refuses_one_example(model, clouds)
    assert not model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    # eps = 1e-5 under the root takes at most 5e-6 / variance off the spread; float32 means of 240 values round to 1e-6.
    assert mean < 1e-5
    assert 0.99 < low <= high < 1 + 1e-5


def test_without_normalisation_one_example_is_welcome(clouds):
    assert not refuses_one_example(mlp([4, 8, 3]), clouds)


@pytest.mark.parametrize(("he", "variance"), [(True, 2 / 784), (False, 1 / (3 * 784))])
def test_pytorch_draws_what_its_manual_says(he, variance):
    weight = textbook_weights((784, 128, 10), he=he)[0]
    # The variance of n normal draws scatters by √(2/n); of uniform ones by less. Five standard errors.
    assert weight.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / weight.size))


def test_companions_matter_less_the_more_there_are(clouds):
    """A mean of n examples is off by 1/√n of the spread: four times the examples, half the difference."""
    differences = companions(mlp([4, 32, 3], norm="batch", seed=0), clouds, (4, 16, 64), rounds=64)
    for small, large in pairwise(differences):
        # Batches are drawn without replacement from 240: the last one is closer by √(1 - 64/240).
        assert 0.3 < large / small < 0.65
    assert companions(mlp([4, 32, 3], norm="batch", seed=0), clouds, (240,))[0] < 1e-5


def test_shifts_are_those_of_the_paper_and_only_in_training():
    x = torch.randn(4096, 64)
    plain, noisy = (
        nn.BatchNorm1d(64, affine=False),
        with_shifts(nn.Sequential(nn.BatchNorm1d(64, affine=False)), 0.5, 1.25),
    )
    first, second = noisy(x), noisy(x)
    assert not torch.equal(first, second)
    for out in (first, second):
        assert float(out.mean(0).abs().max()) <= 0.5 + 1e-5
        assert 1 - 1e-3 <= float(out.std(0).min()) < float(out.std(0).max()) <= 1.25 + 1e-3
    noisy.eval()
    plain.load_state_dict(noisy[0].state_dict())
    assert torch.equal(noisy(x), plain.eval()(x))


def test_clipping_bounds_the_step(clouds):
    model = mlp([4, 16, 3], seed=0)
    before = torch.cat([p.detach().flatten().clone() for p in model.parameters()])
    train(model, clouds, steps=1, learning_rate=1.0, optimizer="sgd", clip=1e-3)
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]) - before
    # float32 weights of order 1 round each step by up to 6e-8 an element.
    assert float(moved.norm()) == pytest.approx(1e-3, abs=6e-8 * math.sqrt(len(moved)) + 1e-6)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda d: first_steps(nn.Linear(4, 3), d, steps=0), "positive"),
        (lambda d: train(nn.Linear(4, 3), d, steps=1, clip=0.0), "clip=0"),
        (lambda d: softmax_gradient((0.0, 1.0), 2, "mse"), "from 0 to 1"),
        (lambda d: normalised_units(nn.Linear(4, 3), d), "no BatchNorm1d"),
        (lambda d: companions(nn.Linear(4, 3), d, (2,)), "no BatchNorm1d"),
    ],
)
def test_what_cannot_be_measured_is_refused(clouds, wrong, told):
    with pytest.raises(InputError, match=told):
        wrong(clouds)


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
