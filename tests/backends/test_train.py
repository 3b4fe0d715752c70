"""The training loop and the names of losses and optimizers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gainstage import data
from gainstage.backends.torch.models.build import mlp
from gainstage.backends.torch.training.objectives import LOSSES, OPTIMIZERS, loss_function, optimizer
from gainstage.backends.torch.training.train import train
from gainstage.errors import InputError, ModelError, UnknownNameError


@pytest.fixture(scope="module")
def clouds():
    return data.gaussian(classes=3, features=4, examples=300)


def net(seed=0, **options):
    torch.manual_seed(seed)
    return mlp([4, 16, 3], **options)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_and_repeats_itself(clouds, name):
    rate = 0.1 if name in ("sgd", "momentum") else 0.01
    first, second = (
        train(net(), clouds, steps=60, batch=30, learning_rate=rate, optimizer=name, seed=3) for _ in range(2)
    )
    assert first == second
    assert (first.steps, first.final.step, first.optimizer, first.learning_rate) == (60, 60, name, rate)
    # Blind guessing gets a third of the 60 validation examples right, with a binomial spread.
    chance = first.chance_accuracy + 6 * math.sqrt(1 / 3 * 2 / 3 / 60)
    assert first.final.accuracy > chance
    other = train(net(), clouds, steps=60, batch=30, learning_rate=rate, optimizer=name, seed=4)
    assert other.losses != first.losses


def test_first_loss_and_accuracy_are_those_of_the_untrained_net(clouds):
    model = net()
    logits = model(torch.from_numpy(clouds.x_validation))
    target = torch.from_numpy(clouds.y_validation)
    curve = train(model, clouds, steps=4, evaluations=2)
    assert curve.evaluations[0].loss == pytest.approx(functional.cross_entropy(logits, target).item(), rel=1e-6)
    assert curve.evaluations[0].accuracy == int((logits.argmax(1) == target).sum()) / len(target)
    assert [e.step for e in curve.evaluations] == [0, 2, 4]
    assert curve.chance_loss == pytest.approx(math.log(3), rel=1e-12)


def test_the_model_and_the_random_state_are_left_alone_but_for_the_weights(clouds):
    model = net(norm="batch").eval()
    state = torch.get_rng_state()
    seen = []
    train(model, clouds, steps=7, on_step=lambda step, loss: seen.append((step, loss)))
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert [step for step, _ in seen] == list(range(1, 8))


def test_a_training_that_diverges_ends(clouds):
    curve = train(net(), clouds, steps=200, learning_rate=1e9, optimizer="sgd", loss="cross_entropy")
    assert curve.diverged
    assert curve.steps < 200


def test_a_regression_has_no_accuracy(tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 4)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=x @ np.array([0.5, -1.5, 0.25, 1.0], np.float32))
    line = data.load(tmp_path / "line.npz")
    curve = train(nn.Linear(4, 1), line, steps=200, learning_rate=0.1)
    assert curve.final.accuracy is None
    assert curve.chance_loss == pytest.approx(line.y_train.var(), rel=1e-5)
    # A linear target is fitted exactly: what is left is far below the targets' own variance.
    assert curve.final.loss < 1e-3 * curve.chance_loss


def test_a_sequence_task_trains_and_counts_only_what_counts():
    task = data.copy(length=2, symbols=3, examples=120)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4))
    curve = train(model, task, steps=30, learning_rate=0.05)
    assert 0 <= curve.final.accuracy <= 1
    assert curve.chance_loss <= math.log(3)


def test_outputs_other_than_tensors(clouds):
    class Wrapped(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.inner, self.wrap = net(), wrap

        def forward(self, x):
            return self.wrap(self.inner(x))

    class Output:
        def __init__(self, logits):
            self.logits = logits

    plain = train(net(), clouds, steps=3).losses
    assert train(Wrapped(lambda y: (y, None)), clouds, steps=3).losses == plain
    assert train(Wrapped(Output), clouds, steps=3).losses == plain
    with pytest.raises(ModelError, match="received str"):
        train(Wrapped(str), clouds, steps=3)


def test_bad_arguments(clouds):
    with pytest.raises(InputError, match="positive"):
        train(net(), clouds, steps=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        train(net(), clouds, optimizer="adm")
    with pytest.raises(UnknownNameError, match="Did you mean 'mse'"):
        train(net(), clouds, loss="mes")
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="learning rate"):
            optimizer("sgd", net(), rate)
    with pytest.raises(InputError, match="no trainable parameter"):
        optimizer("sgd", nn.Linear(1, 1).requires_grad_(False), 0.1)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_means(name):
    torch.manual_seed(0)
    if name in ("cross_entropy", "nll"):
        output, target = torch.randn(6, 5).log_softmax(1), torch.arange(6) % 5
    else:
        output, target = torch.rand(6, 1), torch.rand(6)
    whole = loss_function(name)(output, target)
    parts = torch.stack([loss_function(name)(output[i : i + 1], target[i : i + 1]) for i in range(6)])
    assert whole.ndim == 0
    assert torch.allclose(whole, parts.mean(), rtol=1e-5)


def test_a_regression_never_compares_all_pairs():
    output, target = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 2.0])
    assert loss_function("mse")(output, target).item() == 0
    with pytest.raises(InputError, match="shape"):
        loss_function("mse")(torch.zeros(3, 2), torch.zeros(3))
