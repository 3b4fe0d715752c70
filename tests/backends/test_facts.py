"""What is read off a task: which loss, on what scale, on which output, with which labels."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch import record

N, C = 24, 4
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(N, 6, generator=GENERATOR)
CLASSES = torch.randint(0, C, (N,), generator=GENERATOR)
ONE_HOT = F.one_hot(CLASSES, C).float()
VALUES = torch.randn(N, C, generator=GENERATOR)
BINARY = torch.randint(0, 2, (N, 1), generator=GENERATOR).float()
MULTI = torch.randint(0, 2, (N, C), generator=GENERATOR).float()
ROWS = torch.arange(N)


def linear(out: int = C) -> nn.Module:
    return nn.Linear(6, out)


def ending(layer: nn.Module, out: int = C) -> nn.Module:
    return nn.Sequential(nn.Linear(6, out), layer)


def square_by_product(output, target):
    difference = output - target
    return (difference * difference).mean()


# name: (model, labels, loss, kind, inner, whether it is a mean over examples)
LOSSES = {
    "cross entropy": (linear(), CLASSES, F.cross_entropy, "cross_entropy", "log_softmax", True),
    "smoothed": (linear(), CLASSES, nn.CrossEntropyLoss(label_smoothing=0.1), "cross_entropy", "log_softmax", True),
    "weighted": (linear(), CLASSES, nn.CrossEntropyLoss(torch.rand(C)), "cross_entropy", "log_softmax", True),
    "smoothed and weighted": (linear(), CLASSES, nn.CrossEntropyLoss(torch.rand(C), label_smoothing=0.1),
                              "cross_entropy", "log_softmax", True),
    "summed": (linear(), CLASSES, nn.CrossEntropyLoss(reduction="sum"), "cross_entropy", "log_softmax", False),
    "mean by hand": (linear(), CLASSES, lambda o, t: F.cross_entropy(o, t, reduction="none").mean(),
                     "cross_entropy", "log_softmax", True),
    "sum by hand": (linear(), CLASSES, lambda o, t: F.cross_entropy(o, t, reduction="none").sum(),
                    "cross_entropy", "log_softmax", False),
    "one-hot": (linear(), ONE_HOT, F.cross_entropy, "cross_entropy", "log_softmax", True),
    "log-softmax by hand": (linear(), CLASSES, lambda o, t: -o.log_softmax(-1)[ROWS, t].mean(),
                            "cross_entropy", "log_softmax", True),
    "gathered": (linear(), CLASSES, lambda o, t: -o.log_softmax(-1).gather(1, t[:, None]).mean(),
                 "cross_entropy", "log_softmax", True),
    "x minus logsumexp": (linear(), CLASSES, lambda o, t: -(o - o.logsumexp(-1, keepdim=True))[ROWS, t].mean(),
                          "cross_entropy", "log_softmax", True),
    "logsumexp minus x": (linear(), CLASSES, lambda o, t: (o.logsumexp(-1) - o[ROWS, t]).mean(),
                          "cross_entropy", "", True),
    "softmax and log in the loss": (linear(), CLASSES, lambda o, t: F.nll_loss(o.softmax(-1).log(), t),
                                    "cross_entropy", "softmax", True),
    "cross entropy of probabilities": (ending(nn.Softmax(-1)), CLASSES, F.cross_entropy,
                                       "cross_entropy", "log_softmax", True),
    "with a penalty": (linear(), CLASSES, lambda o, t: F.cross_entropy(o, t) + 1e-3 * o.pow(2).mean(),
                       "cross_entropy", "log_softmax", True),
    "nll": (ending(nn.LogSoftmax(-1)), CLASSES, F.nll_loss, "nll", "", True),
    "nll summed": (ending(nn.LogSoftmax(-1)), CLASSES, nn.NLLLoss(reduction="sum"), "nll", "", False),
    "nll of logits": (linear(), CLASSES, F.nll_loss, "nll", "", True),
    "nll of the log of softmax": (ending(nn.Softmax(-1)), CLASSES, lambda o, t: F.nll_loss(o.log(), t),
                                  "probability_nll", "log", True),
    "log of clamped softmax": (ending(nn.Softmax(-1)), ONE_HOT,
                               lambda o, t: -(t * o.clamp_min(1e-8).log()).sum(1).mean(),
                               "probability_nll", "log", True),
    "bce": (ending(nn.Sigmoid(), 1), BINARY, F.binary_cross_entropy, "bce", "", True),
    "bce summed": (ending(nn.Sigmoid(), 1), BINARY, nn.BCELoss(reduction="sum"), "bce", "", False),
    "bce by hand": (ending(nn.Sigmoid(), 1), BINARY,
                    lambda o, t: -(t * o.log() + (1 - t) * (1 - o).log()).mean(), "bce", "log", True),
    "bce with logits": (linear(1), BINARY, F.binary_cross_entropy_with_logits, "bce_logits", "", True),
    "bce with logits, several labels": (linear(), MULTI, nn.BCEWithLogitsLoss(), "bce_logits", "", True),
    "bce with logits by hand": (linear(1), BINARY,
                                lambda o, t: -(t * F.logsigmoid(o) + (1 - t) * F.logsigmoid(-o)).mean(),
                                "bce_logits", "logsigmoid", True),
    "mse": (linear(), VALUES, F.mse_loss, "mse", "", True),
    "mse summed": (linear(), VALUES, nn.MSELoss(reduction="sum"), "mse", "", False),
    "mse by hand": (linear(), VALUES, lambda o, t: ((o - t) ** 2).mean(), "mse", "", True),
    "square": (linear(), VALUES, lambda o, t: (o - t).square().mean(), "mse", "", True),
    "square by product": (linear(), VALUES, square_by_product, "mse", "", True),
    "sum of squares": (linear(), VALUES, lambda o, t: ((o - t) ** 2).sum(), "mse", "", False),
    "root of mse": (linear(), VALUES, lambda o, t: F.mse_loss(o, t).sqrt(), "other", "sqrt", True),
    "l1": (linear(), VALUES, F.l1_loss, "l1", "", True),
    "l1 by hand": (linear(), VALUES, lambda o, t: (o - t).abs().mean(), "l1", "", True),
    "huber": (linear(), VALUES, F.huber_loss, "huber", "", True),
    "smooth l1": (linear(), VALUES, F.smooth_l1_loss, "huber", "", True),
    "kl": (ending(nn.LogSoftmax(-1)), ONE_HOT, nn.KLDivLoss(reduction="batchmean"), "kl", "", True),
    "hinge": (linear(), CLASSES, F.multi_margin_loss, "other", "", True),
    "a score without labels": (linear(), None, lambda o, t: o.mean(), "other", "", True),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_recognised_by_its_operations(name):
    model, target, loss, kind, inner, mean = LOSSES[name]
    facts = record(model, X, target, loss=loss).task.loss
    assert (facts.kind, facts.inner, facts.mean_reduced) == (kind, inner, mean)
    with torch.no_grad():
        # single precision, summed over at most all outputs in another order
        assert facts.value == pytest.approx(float(loss(model(X), target)), rel=N * C * torch.finfo(torch.float32).eps)


BIASED = ("smoothed", "weighted", "penalty", "of logits", "of probabilities")  # their best constant is another one
WITH_CHANCE = ("cross_entropy", "nll", "probability_nll", "bce", "bce_logits", "mse", "l1")
CONSTANTS = [
    name
    for name, (_, _, _, kind, _, mean) in LOSSES.items()
    if mean and kind in WITH_CHANCE and not any(word in name for word in BIASED)
]


class Constant(nn.Module):
    """Learns what to answer whatever the input is, through the same last function as ``like``."""

    def __init__(self, like: nn.Module) -> None:
        super().__init__()
        self.last = like[1] if isinstance(like, nn.Sequential) else nn.Identity()
        width = (like[0] if isinstance(like, nn.Sequential) else like).out_features
        self.answer = nn.Parameter(torch.zeros(1, width))

    def forward(self, x):
        return self.last(self.answer.expand(len(x), -1))


@pytest.mark.parametrize("name", CONSTANTS)
def test_chance_is_what_the_best_constant_reaches(name):
    """Found a second way: by minimising the very same loss over a constant answer."""
    model, target, loss, kind, _, _ = LOSSES[name]
    chance = record(model, X, target, loss=loss).task.loss.chance
    constant = Constant(model)
    optimizer = torch.optim.LBFGS(constant.parameters(), lr=0.5, max_iter=400, tolerance_grad=1e-9,
                                  tolerance_change=1e-12, line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimizer.zero_grad()
        value = loss(constant(X), target)
        value.backward()
        return value

    optimizer.step(closure)
    reached = float(loss(constant(X), target).detach())
    # The median is not unique and not smooth: a descent only comes near it.
    assert chance <= reached + 1e-4
    assert reached == pytest.approx(chance, rel=2e-2 if kind == "l1" else 1e-4)


def test_a_sum_over_outputs_raises_chance_by_their_number():
    per_example = record(linear(), X, VALUES, loss=lambda o, t: ((o - t) ** 2).sum(1).mean()).task.loss
    assert per_example.chance == pytest.approx(C * float(VALUES.var(0, unbiased=False).mean()), rel=1e-5)


def test_equal_probabilities_cost_the_logarithm_of_the_classes():
    assert record(linear(), X, CLASSES, loss=F.cross_entropy).task.loss.uniform == pytest.approx(math.log(C))
    assert record(linear(1), X, BINARY, loss=nn.BCEWithLogitsLoss()).task.loss.uniform == pytest.approx(math.log(2))
    assert record(linear(), X, VALUES, loss=F.mse_loss).task.loss.uniform is None


DENSE = {
    "segmentation": (nn.Conv2d(3, 5, 3, padding=1), (2, 3, 8, 8), (2, 8, 8), 5, F.cross_entropy),
    "as many classes as examples and pixels": (nn.Conv2d(3, 8, 1), (8, 3, 8, 8), (8, 8, 8), 8, F.cross_entropy),
    "tokens, flattened": (nn.Linear(6, 7), (3, 5, 6), (3, 5), 7,
                          lambda o, t: F.cross_entropy(o.reshape(-1, 7), t.reshape(-1))),
    "tokens, transposed": (nn.Linear(6, 7), (3, 5, 6), (3, 5), 7,
                           lambda o, t: F.cross_entropy(o.transpose(1, 2), t)),
    "as many classes as tokens": (nn.Linear(6, 5), (3, 5, 6), (3, 5), 5,
                                  lambda o, t: F.cross_entropy(o.transpose(1, 2), t)),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_the_axis_of_classes_in_dense_prediction(name):
    model, shape, labels, units, loss = DENSE[name]
    task = record(model, torch.randn(shape), torch.randint(0, units, labels), loss=loss).task
    assert task.output.units == units
    assert task.loss.uniform == pytest.approx(math.log(units))


ENDINGS = {"softmax": nn.Softmax(-1), "log_softmax": nn.LogSoftmax(-1), "sigmoid": nn.Sigmoid(), "relu": nn.ReLU(),
           "tanh": nn.Tanh(), "": nn.Identity()}  # fmt: skip


@pytest.mark.parametrize("function", ENDINGS)
def test_the_last_function_of_the_model(function):
    for model in (ending(ENDINGS[function]), nn.Sequential(ending(ENDINGS[function]), nn.Unflatten(1, (2, 2)))):
        assert record(model, X).task.output.function == function


def test_a_function_before_the_last_layer_is_not_the_last_function():
    assert record(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)), X).task.output.function == ""


TARGETS = {
    "classes": (CLASSES, F.cross_entropy),
    "one_hot": (ONE_HOT, F.cross_entropy),
    "probabilities": (VALUES.softmax(1), F.cross_entropy),
    "multi_label": (torch.cat([torch.ones(1, C), MULTI[1:]]), nn.BCEWithLogitsLoss()),
    "values": (VALUES, F.mse_loss),
}


@pytest.mark.parametrize("kind", TARGETS)
def test_kinds_of_labels(kind):
    target, loss = TARGETS[kind]
    facts = record(linear(), X, target, loss=loss).task.target
    assert facts.kind == kind
    assert (facts.minimum, facts.maximum) == (pytest.approx(float(target.min())), pytest.approx(float(target.max())))
    assert facts.mean == pytest.approx(float(target.float().mean()), abs=1e-6)


def test_binary_labels_and_padding():
    assert record(linear(1), X, BINARY, loss=nn.BCEWithLogitsLoss()).task.target.kind == "binary"
    padded = torch.where(ROWS < 10, -100, CLASSES)
    facts = record(linear(), X, padded, loss=F.cross_entropy).task.target
    shares = torch.bincount(CLASSES[10:]).double() / (N - 10)
    assert facts.classes == int((shares > 0).sum())
    assert facts.entropy == pytest.approx(float(torch.special.entr(shares).sum()))


def test_features_of_the_input_are_judged_over_examples():
    x = X.clone() * torch.tensor([1.0, 100.0, 1e-3, 1, 1, 0]) + torch.tensor([0, 0, 0, 50.0, 0, 3])
    facts = record(linear(), x).task.inputs[0]
    spreads = x[:, :5].std(0, unbiased=False).sort().values
    assert facts.constant_features == 1
    assert facts.features == 6
    assert facts.feature_spread == pytest.approx((float(spreads[0]), float(spreads[2]), float(spreads[4])), rel=1e-5)
    assert facts.feature_mean == pytest.approx((float(x.mean(0).min()), float(x.mean(0).max())), rel=1e-5)
    assert not facts.normalised_first
    assert record(nn.Sequential(nn.BatchNorm1d(6), linear()), x).task.inputs[0].normalised_first


def test_attention_masks_are_no_inputs_to_be_judged():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x, mask):
            return self.attention(x, x, x, attn_mask=mask)[0]

    mask = nn.Transformer.generate_square_subsequent_mask(4)
    profile = record(Masked(), (X.reshape(6, 4, 6), mask))
    assert [facts.shape for facts in profile.task.inputs] == [(6, 4, 6)]
    assert profile.first_nonfinite is None


def test_a_model_that_computes_its_own_loss():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, C)

        def forward(self, x, labels):
            logits = self.layer(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    task = record(Own(), {"x": X, "labels": CLASSES}).task
    assert (task.loss.kind, task.target.kind, task.output.units) == ("cross_entropy", "classes", C)
    assert task.loss.chance == pytest.approx(task.target.entropy)
