"""The loss probed alone: a table of losses that are what they are called, and of losses that are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gainstage.backends.shared.free_outputs import COORDINATES
from gainstage.backends.torch.measuring.loss_shape import joint_shape_of, shape_of
from gainstage.records import LossShape, OutputFacts

N, C = 8, 5


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CLASSES = torch.arange(N) % C
LOGITS = 0.3 * draws(N, C)
VALUES, ONE = draws(N, 1, seed=1), 0.3 * draws(N, 1, seed=2)
BITS = (torch.arange(N) % 2).float()[:, None]
SHARES = draws(N, C, seed=3).softmax(-1)
ADVANTAGE = torch.tensor([1.0, -0.5, 0.7, -1.2, 0.4, -0.8, 1.5, -0.3])


def focal(output, target):
    own = output.log_softmax(1).gather(1, target[:, None])
    return -((1 - own.exp()) ** 2 * own).mean()


def coral(output, target):
    return F.binary_cross_entropy_with_logits(output, (torch.arange(C)[None] < target[:, None]).float())


def density(output, target):
    mean, log_variance = output[:, :1], output[:, 1:]
    return (0.5 * log_variance + 0.5 * (target - mean) ** 2 * torch.exp(-log_variance)).mean()


def tversky(output, target):
    hit = (output * target).sum()
    return 1 - hit / (hit + 0.7 * ((1 - output) * target).sum() + 0.3 * (output * (1 - target)).sum() + 1e-6)


def quantile(output, target):
    return torch.maximum(0.9 * (target - output), -0.1 * (target - output)).mean()


def policy_gradient(output, target):
    return -(output.log_softmax(1).gather(1, target[:, None])[:, 0] * ADVANTAGE[: len(output)]).mean()


def divergence(output, target):
    return F.kl_div(output, target, reduction="batchmean")


SOUND = {
    "cross entropy": (F.cross_entropy, LOGITS, CLASSES, ""),
    "nll of log-probabilities": (F.nll_loss, LOGITS.log_softmax(1), CLASSES, "log_softmax"),
    "label smoothing": (lambda o, y: F.cross_entropy(o, y, label_smoothing=0.1), LOGITS, CLASSES, ""),
    "soft labels": (F.cross_entropy, LOGITS, SHARES, ""),
    "focal": (focal, LOGITS, CLASSES, ""),
    "ordinal": (coral, LOGITS, CLASSES, ""),
    "margin over classes": (F.multi_margin_loss, LOGITS, CLASSES, ""),
    "squared": (F.mse_loss, ONE, VALUES, ""),
    "squared, far targets": (F.mse_loss, ONE, VALUES + 1000, ""),
    "absolute": (F.l1_loss, ONE, VALUES, ""),
    "huber": (F.huber_loss, ONE, VALUES, ""),
    "quantile": (quantile, ONE, VALUES, ""),
    "poisson": (F.poisson_nll_loss, ONE, (3 * VALUES.abs()).round(), ""),
    "hinge": (lambda o, y: F.relu(1 - o * y).mean(), ONE, 2 * BITS - 1, ""),
    "binary on logits": (F.binary_cross_entropy_with_logits, ONE, BITS, ""),
    "binary": (F.binary_cross_entropy, ONE.sigmoid(), BITS, "sigmoid"),
    "binary, soft": (F.binary_cross_entropy, ONE.sigmoid(), 0.8 * BITS + 0.1, "sigmoid"),
    "tversky": (tversky, ONE.sigmoid(), BITS, "sigmoid"),
    "squared of a sigmoid": (F.mse_loss, ONE.sigmoid(), BITS, "sigmoid"),
    "divergence of log-probabilities": (divergence, LOGITS.log_softmax(1), SHARES, "log_softmax"),
    "cosine": (lambda o, y: 1 - F.cosine_similarity(o, y).mean(), LOGITS, draws(N, C, seed=4), ""),
    "density": (density, 0.3 * draws(N, 2), VALUES, ""),
    "policy gradient": (policy_gradient, LOGITS, CLASSES, ""),
    "pixels": (F.cross_entropy, draws(2, 3, 4, 4), torch.arange(32).reshape(2, 4, 4) % 3, ""),
}

BOTTOMLESS = {
    "nll of logits": (F.nll_loss, LOGITS, CLASSES, ""),
    "sign turned, classes": (lambda o, y: -F.cross_entropy(o, y), LOGITS, CLASSES, ""),
    "sign turned, values": (lambda o, y: -F.mse_loss(o, y), ONE, VALUES, ""),
    "masks of 0 and 255": (F.binary_cross_entropy_with_logits, ONE, 255 * BITS, ""),
    "hinge without its bend": (lambda o, y: (1 - o * y).mean(), ONE, 2 * BITS - 1, ""),
    "log without its minus": (lambda o, y: o.gather(1, y[:, None]).log().mean(), LOGITS.softmax(1), CLASSES, "softmax"),
}


def probed(loss, output, target, function) -> LossShape:
    found = shape_of(loss, output, target, OutputFacts(0, tuple(output.shape), output.shape[-1], function), 0)
    assert found is not None
    return found


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_loss_follows_its_target(name):
    found = probed(*SOUND[name])
    mixed = found.towards is not None and 0.1 < found.towards < 0.9
    assert not found.unbounded or mixed
    assert found.lowest <= found.start
    assert found.responds is None or found.responds > 0.3 or (found.correlation or 0) > 0.9
    assert found.correlation is None or found.correlation > 0.5
    assert found.distance is None or found.distance < 0.2
    assert found.towards is None or found.slope > 1e-3 * found.steepest


@pytest.mark.parametrize("name", BOTTOMLESS)
def test_a_loss_without_a_lower_bound_is_seen(name):
    found = probed(*BOTTOMLESS[name])
    assert found.unbounded
    assert found.lowest < found.start
    turned = "sign" in name or "minus" in name
    assert found.towards == (0.0 if turned else 1.0)


def test_a_divergence_of_probabilities_ends_elsewhere():
    found = probed(divergence, LOGITS.softmax(1), SHARES, "softmax")
    assert found.at_target > found.lowest + 0.05
    assert found.distance > 0.5


def test_a_broadcast_loss_does_not_respond_to_its_targets():
    found = probed(lambda o, y: ((o - y[:, 0]) ** 2).mean(), ONE, VALUES, "")
    assert found.responds < 0.05
    assert found.correlation < 0.9


@pytest.mark.parametrize(
    ("loss", "output", "target", "function"),
    [
        (F.mse_loss, torch.full((N, 1), -20.0).sigmoid(), BITS, "sigmoid"),
        (lambda o, y: (1 - torch.exp(-((o - y) ** 2) / 2)).mean(), ONE, 100 + VALUES, ""),
    ],
)
def test_a_flat_start_is_seen(loss, output, target, function):
    found = probed(loss, output, target, function)
    assert found.slope < 1e-3 * found.steepest
    assert found.lowest < 0.9 * found.start


@pytest.mark.parametrize("function", COORDINATES)
def test_gradients_are_pulled_back_as_autograd_does(function):
    chart = COORDINATES[function]
    known = {"": lambda u: u, "softmax": lambda u: u.softmax(-1), "log_softmax": lambda u: u.log_softmax(-1)}
    free = draws(3, 4).double().requires_grad_()
    outputs = known.get(function, getattr(torch, function, None))(free)
    gradient = draws(3, 4, seed=1).double()
    (expected,) = torch.autograd.grad(outputs, free, gradient)
    values = free.detach().numpy()
    np.testing.assert_allclose(chart.outputs(values), outputs.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(chart.pull_back(values, chart.outputs(values), gradient.numpy()), expected.numpy())
    np.testing.assert_allclose(chart.outputs(chart.free(chart.outputs(values))), chart.outputs(values), rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "target", "function"),
    [
        (F.cross_entropy, (CLASSES, ADVANTAGE), ""),
        (F.cross_entropy, None, ""),
        (lambda o, y: torch.tensor(1.0, requires_grad=True), CLASSES, ""),
        (lambda o, y: 1 / 0, CLASSES, ""),
        (F.cross_entropy, CLASSES, "relu"),
        (lambda o, y: F.cross_entropy(o, y) * math.nan, CLASSES, ""),
    ],
)
def test_what_cannot_be_probed_is_left_alone(loss, target, function):
    facts = OutputFacts(0, (N, C), C, function)
    assert shape_of(loss, LOGITS, target, facts, 0) is None


def test_a_loss_that_needs_the_whole_batch_gets_it():
    many, labels = draws(32, C), torch.arange(32) % C

    def whole(output, target):
        assert len(output) == 32
        return F.cross_entropy(output, target)

    assert probed(whole, many, labels, "").examples == 32
    assert probed(F.cross_entropy, many, labels, "").examples == 8


def test_random_states_are_left_alone():
    state = torch.get_rng_state()
    probed(lambda o, y: F.cross_entropy(o + 0.1 * torch.randn_like(o), y), LOGITS, CLASSES, "")
    assert torch.equal(state, torch.get_rng_state())


TOKENS = torch.arange(24).reshape(4, 6) % 3


def over_axis(axis):
    return lambda o, y: -o.log_softmax(axis).gather(-1, y[..., None]).mean()


@pytest.mark.parametrize(("axis", "wrong"), [(-1, False), (1, True), (0, True)])
def test_a_softmax_over_the_wrong_axis_is_seen(axis, wrong):
    assert probed(over_axis(axis), draws(4, 6, 3), TOKENS, "").elsewhere is wrong


def test_units_that_all_end_at_one_value_are_seen():
    levels = torch.tensor([0.1, 0.5, 0.9])

    def pinball(output, target, level):
        gap = target[:, None, :] - output[:, :, None]
        return torch.where(gap > 0, level * gap, (level - 1) * gap).mean()

    returns = draws(N, 3, seed=5)
    assert probed(lambda o, y: pinball(o, y, levels), 0.3 * draws(N, 3), returns, "").alike < 0.05
    assert probed(lambda o, y: pinball(o, y, levels[:, None]), 0.3 * draws(N, 3), returns, "").alike > 0.3


@pytest.mark.parametrize(("ignored", "share"), [(-100, 0.0), (0, 0.25), (-1, 0.0)])
def test_a_class_that_the_loss_ignores_is_seen(ignored, share):
    labels = torch.arange(N) % 4 - int(ignored == -1)
    found = probed(lambda o, y: F.cross_entropy(o, y, ignore_index=ignored), LOGITS, labels, "")
    assert found.ignored == pytest.approx(share)


PAIR = (draws(N, 3, seed=6).requires_grad_(), draws(N, 3, seed=7).requires_grad_())
BEFORE = torch.zeros(N)


@pytest.mark.parametrize(
    ("loss", "target", "growth", "ignored"),
    [
        (lambda o, y: F.mse_loss(*o) - 10 * o[1].square().mean(), BEFORE, 2.0, None),
        (lambda o, y: F.mse_loss(*o) + o[1].square().mean(), BEFORE, None, None),
        (lambda o, y: (o[1] - o[0]).mean(), BEFORE, 1.0, None),
        (lambda o, y: F.cosine_embedding_loss(*o, y), 2 * BITS[:, 0] - 1, None, 0.0),
        (lambda o, y: F.cosine_embedding_loss(*o, y), BITS[:, 0], None, 0.5),
    ],
)
def test_losses_of_several_outputs_are_probed_together(loss, target, growth, ignored):
    found = joint_shape_of(loss, PAIR, target, N, 0)
    assert found is not None
    assert found.growth == (None if growth is None else pytest.approx(growth, abs=0.1))
    assert ignored is None or found.ignored == pytest.approx(ignored)
