"""Trainings made together are the trainings made alone."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from gainstage import data
from gainstage.backends.torch.models.build import mlp
from gainstage.backends.torch.training import Criterion, Examples, Start, obstacle, train_alone, train_together
from gainstage.backends.torch.training.objectives import OPTIMIZERS
from gainstage.errors import InputError, UnknownNameError
from gainstage.records.training import Schedule

# Sums of some dozens of float32 numbers in another order differ by about 1e-6 of their size; the trainings below are
# short and tame, so that steps multiply this by little.
CLOSE = {"rtol": 2e-3, "atol": 2e-5}

FACTORIES = {
    **OPTIMIZERS,
    "nesterov": lambda p, rate: torch.optim.SGD(p, lr=rate, momentum=0.8, nesterov=True, weight_decay=0.1),
    "amsgrad": lambda p, rate: torch.optim.Adam(p, lr=rate, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.1),
    "decayed": lambda p, rate: torch.optim.AdamW(p, lr=rate, weight_decay=0.5),
    "rmsprop_momentum": lambda p, rate: torch.optim.RMSprop(p, lr=rate, momentum=0.5, centered=True),
    "adagrad": lambda p, rate: torch.optim.Adagrad(p, lr=rate),
    "nadam": lambda p, rate: torch.optim.NAdam(p, lr=rate),
    "radam": lambda p, rate: torch.optim.RAdam(p, lr=rate),
    "adamax": lambda p, rate: torch.optim.Adamax(p, lr=rate),
    "adadelta": lambda p, rate: torch.optim.Adadelta(p, lr=100 * rate),
    # As many write it: weights decay, biases do not; and the head has a rate of its own.
    "groups": lambda p, rate: torch.optim.AdamW(
        [
            {"params": [w for w in p if w.ndim >= 2], "weight_decay": 0.3},
            {"params": [b for b in p if b.ndim < 2], "weight_decay": 0.0, "lr": rate / 2},
        ],
        lr=rate,
    ),
}


@pytest.fixture(scope="module")
def clouds():
    return data.gaussian(classes=3, features=4, examples=300)


class Tied(nn.Module):
    """One weight used twice, one that nothing reaches, one that is frozen, and a buffer."""

    def __init__(self):
        super().__init__()
        self.first, self.square, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.again = self.square
        self.unused = nn.Linear(2, 2)
        self.first.bias.requires_grad_(False)
        self.register_buffer("shift", torch.full((8,), 0.1))

    def forward(self, x):
        return {"logits": self.head(torch.tanh(self.again(torch.tanh(self.square(self.first(x) + self.shift)))))}


class Residual(nn.Module):
    """Layer normalisation, functional weights, and an operation in place."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm, self.head = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 3)
        self.weight = nn.Parameter(torch.randn(8, 8) / 3)

    def forward(self, x):
        h = self.stem(x)
        return self.head(h + functional.relu(self.norm(h) @ self.weight, inplace=True))


MODELS = {
    "tanh": lambda: mlp([4, 16, 16, 3], activation="tanh"),
    "no bias": lambda: mlp([4, 16, 3], activation="gelu", bias=False),
    "batch norm": lambda: mlp([4, 16, 16, 3], norm="batch"),
    "layer norm": lambda: mlp([4, 16, 3], norm="layer"),
    "spectral norm": lambda: nn.Sequential(parametrizations.orthogonal(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 4, 2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4, 3),
    ),
    "tied": Tied,
    "residual": Residual,
}  # fmt: skip


def starts(build, rates=(1e-3, 1e-2), seeds=(0, 1, 2)):
    """Every rate with every seed, the rates of neighbours differing."""
    found = []
    for seed in seeds:
        torch.manual_seed(seed)
        model = build()
        found += [Start(copy.deepcopy(model), rate, seed, f"{rate} {seed}") for rate in rates]
    return found


def both(build, dataset, schedule, optimizer="adam", loss=None, **options):
    examples, criterion = Examples.of(dataset), Criterion.of(loss, dataset.classes)
    many = starts(build, **options)
    assert obstacle(many, examples, schedule, criterion=criterion, optimizer=optimizer) == ""
    together = train_together(many, examples, schedule, criterion=criterion, optimizer=optimizer)
    alone = [train_alone(start, examples, schedule, criterion=criterion, optimizer=optimizer) for start in many]
    return together, alone


def assert_close(together, alone, *, accuracy=1 / 60 + 1e-9):
    close = CLOSE
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, **close)
        assert [e.step for e in one.evaluations] == [e.step for e in other.evaluations]
        looks = [(*one.evaluations, one.trained), (*other.evaluations, other.trained)]
        np.testing.assert_allclose(*[[e.loss for e in seen] for seen in looks], **close)
        if other.trained.accuracy is not None:
            # A logit within rounding of another may turn one guess of the 60 looked at.
            np.testing.assert_allclose(*[[e.accuracy for e in seen] for seen in looks], atol=accuracy)
        facts = [(c.label, c.optimizer, c.learning_rate, c.batch, c.seed, c.chance_loss) for c in (one, other)]
        assert facts[0] == facts[1]
        steps = [[(s.gradient, s.first_gradient, s.last_gradient, s.update, s.weight) for s in c.first_steps]
                 for c in (one, other)]  # fmt: skip
        np.testing.assert_allclose(*steps, rtol=close["rtol"], atol=close["atol"])


@pytest.mark.parametrize("name", FACTORIES)
def test_every_elementwise_optimizer(clouds, name):
    schedule = Schedule(steps=12, batch=20, evaluations=3, watched=3)
    together, alone = both(MODELS["tanh"], clouds, schedule, FACTORIES[name])
    assert_close(together, alone)
    assert len({curve.losses for curve in together}) == len(together)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_every_kind_of_model(clouds, name, clip):
    # Adam would make whole steps of the rounding noise that is the gradient of a bias before a batch normalisation.
    schedule = Schedule(steps=12, batch=20, evaluations=3, clip=clip, watched=2)
    together, alone = both(MODELS[name], clouds, schedule, "momentum", rates=(1e-2, 1e-1))
    assert_close(together, alone)


def test_trainings_of_one_seed_see_the_same_examples(clouds):
    order = []

    def build():
        return Watched(order)

    class Watched(nn.Linear):
        def __init__(self, seen):
            super().__init__(4, 3)

    many = [Start(Watched(order), rate, seed) for seed in (0, 1) for rate in (1e-12, 2e-12)]
    for start in many:  # the same weights and no learning to speak of: the loss tells which examples it was of
        start.model.load_state_dict(many[0].model.state_dict())
    examples, criterion = Examples.of(clouds), Criterion.of(None, 3)
    curves = train_together(many, examples, Schedule(steps=20, batch=8), criterion=criterion, optimizer="sgd")
    np.testing.assert_allclose(curves[0].losses, curves[1].losses, rtol=1e-5)
    np.testing.assert_allclose(curves[2].losses, curves[3].losses, rtol=1e-5)
    assert not np.allclose(curves[0].losses, curves[2].losses, rtol=1e-3)


def test_what_diverges_ends_by_itself_and_does_not_touch_the_others(clouds):
    schedule = Schedule(steps=200, batch=20, evaluations=4, watched=2)
    together, alone = both(MODELS["tanh"], clouds, schedule, "sgd", rates=(1e-2, 1e37), seeds=(0, 1))
    for one, other in zip(together, alone, strict=True):
        assert one.diverged == other.diverged == (one.learning_rate == 1e37)
        if one.diverged:
            assert one.steps == other.steps < 200
            assert one.trained is None is other.trained
            assert [e.step for e in one.evaluations] == [0]
        else:
            np.testing.assert_allclose(one.losses, other.losses, rtol=0.02, atol=1e-4)
    everything = starts(MODELS["tanh"], rates=(1e37,), seeds=(0, 1))
    ended = train_together(
        everything, Examples.of(clouds), schedule, criterion=Criterion.of(None, 3), optimizer="sgd"
    )  # fmt: skip
    assert all(curve.diverged and curve.steps < 200 for curve in ended)


def test_regression_sequences_and_losses_of_ones_own(clouds, tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    np.savez(tmp_path / "line.npz", x=x, y=x @ np.array([0.5, -1.5, 0.25, 1.0], np.float32))
    schedule = Schedule(steps=12, batch=20, evaluations=3)
    together, alone = both(lambda: mlp([4, 8, 1]), data.load(tmp_path / "line.npz"), schedule)
    assert_close(together, alone)
    assert together[0].final.accuracy is None
    smoothed = lambda output, target: functional.cross_entropy(output, target, label_smoothing=0.2)  # noqa: E731
    assert_close(*both(MODELS["tanh"], clouds, schedule, loss=smoothed))
    task = data.copy(length=2, symbols=3, examples=300)
    # Only nine different words of two symbols: a tie turns many guesses at once.
    words = both(lambda: nn.Sequential(nn.Embedding(4, 8), nn.Tanh(), nn.Linear(8, 4)), task, schedule)
    assert_close(*words, accuracy=0.2)


def test_progress_is_told_in_the_order_of_the_starts(clouds):
    seen = []
    many = starts(MODELS["tanh"])
    curves = train_together(
        many, Examples.of(clouds), Schedule(steps=5), criterion=Criterion.of(None, 3),
        on_step=lambda step, losses: seen.append((step, losses)),
    )  # fmt: skip
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[-1][1] == [curve.losses[-1] for curve in curves]


def test_models_and_random_states_are_left_alone(clouds):
    many = starts(MODELS["batch norm"])
    before = [copy.deepcopy(start.model.state_dict()) for start in many]
    state = torch.get_rng_state()
    examples, criterion, schedule = Examples.of(clouds), Criterion.of(None, 3), Schedule(steps=5)
    obstacle(many, examples, schedule, criterion=criterion)
    train_together(many, examples, schedule, criterion=criterion)
    assert torch.equal(torch.get_rng_state(), state)
    for start, kept in zip(many, before, strict=True):
        assert all(torch.equal(value, kept[path]) for path, value in start.model.state_dict().items())
        assert all(p.grad is None for p in start.model.parameters())


class Choosing(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.mean() > 0 else super().forward(-x)


class Scattered(nn.Linear):
    """Reads its weights past the module system: what is stacked never arrives."""

    def __init__(self):
        super().__init__(4, 3)
        self.hidden = [self.weight]

    def forward(self, x):
        return functional.linear(x, self.hidden[0], self.bias)


@pytest.mark.parametrize(
    ("build", "optimizer", "words"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)), "adam", "dropout"),
        (lambda: Choosing(4, 3), "adam", "depends on the values"),
        (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 3)), "adam", ""),
        (lambda: parametrizations.weight_norm(nn.Linear(4, 3)), "adam", "no rule for aten::_weight_norm"),
        (Scattered, "adam", "another loss or gradient"),
        (MODELS["tanh"], lambda p, rate: torch.optim.LBFGS(p, lr=rate), "LBFGS"),
        (lambda: mlp([4, int(torch.randint(8, 99, ())), 3]), "adam", "differ in their parameters"),
    ],
    ids=[
        "dropout",
        "branching",
        "batch norm without momentum",
        "weight norm",
        "hidden weight",
        "LBFGS",
        "random width",
    ],
)
def test_what_cannot_be_trained_together_is_said(clouds, build, optimizer, words):
    reason = obstacle(
        starts(build), Examples.of(clouds), Schedule(), criterion=Criterion.of(None, 3), optimizer=optimizer
    )  # fmt: skip
    assert words in reason
    assert reason


def test_bad_arguments_are_errors_and_no_obstacles(clouds):
    many, examples = starts(MODELS["tanh"]), Examples.of(clouds)
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        obstacle(many, examples, Schedule(), criterion=Criterion.of(None, 3), optimizer="adm")
    with pytest.raises(InputError, match="Labels go from 0 to 2"):
        obstacle(starts(lambda: mlp([4, 8, 2])), examples, Schedule(), criterion=Criterion.of(None, 3))
    vector = Criterion.of(lambda output, target: output, 3)
    with pytest.raises(InputError, match=r"returned a tensor of shape \(20, 3\)"):
        obstacle(many, examples, Schedule(batch=20), criterion=vector)
    with pytest.raises(InputError, match=r"torch\.optim\.Optimizer; received a int"):
        obstacle(many, examples, Schedule(), criterion=Criterion.of(None, 3), optimizer=lambda p, rate: 3)
    with pytest.raises(InputError, match="positive"):
        Schedule(steps=0)
    with pytest.raises(InputError, match="clip=0"):
        Schedule(clip=0)
    with pytest.raises(InputError, match="name or a function"):
        Criterion.of(3, 3)


def test_the_first_steps_are_what_they_say(clouds):
    """Against the arithmetic of plain gradient descent, by hand."""
    (start,) = starts(MODELS["tanh"], rates=(0.1,), seeds=(0,))
    model = copy.deepcopy(start.model)
    examples = Examples.of(clouds)
    whole = Schedule(steps=1, batch=len(examples.x), watched=1)
    (curve,) = train_together([start], examples, whole, criterion=Criterion.of(None, 3), optimizer="sgd")
    functional.cross_entropy(model(examples.x), examples.y).backward()
    norms = [p.grad.norm().item() for p in model.parameters()]
    (step,) = curve.first_steps
    assert step.gradient == pytest.approx(math.hypot(*norms), rel=1e-4)
    assert (step.first_gradient, step.last_gradient) == pytest.approx((norms[0], norms[-2]), rel=1e-4)
    assert step.update == pytest.approx(0.1 * step.gradient, rel=1e-4)
    assert step.weight == pytest.approx(math.hypot(*(p.norm().item() for p in model.parameters())), rel=1e-4)
    assert step.relative_update == step.update / step.weight
