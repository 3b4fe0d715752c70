"""Normalisation layers of PyTorch, forward and back, over the few elements they really have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory import normalized

LAYERS = {
    "layer_norm": lambda x, eps: F.layer_norm(x, x.shape[-1:], eps=eps),
    "rms_norm": lambda x, eps: F.rms_norm(x, x.shape[-1:], eps=eps),
    "batch_norm": lambda x, eps: F.batch_norm(x.T, None, None, training=True, eps=max(eps, 1e-30)).T,
    "group_norm": lambda x, eps: F.group_norm(x, 1, eps=eps),
}


def within(found: float, sample: np.ndarray, slack: float = 0.0) -> None:
    assert abs(sample.mean() - found) <= 5 * sample.std() / math.sqrt(sample.size) + slack * abs(found)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("elements", "variance", "mean", "eps"),
    [(8, 2.0, 0.0, 0.0), (16, 0.5, 0.0, 1e-3), (64, 1.0, 0.7, 0.0), (256, 1e-3, 0.01, 1e-3)],
)
def test_layers_of_pytorch(kind, elements, variance, mean, eps) -> None:
    rng = np.random.default_rng(0)
    rows = 400_000 // elements
    x = torch.tensor(mean + math.sqrt(variance) * rng.standard_normal((rows, elements)), requires_grad=True)
    y = LAYERS[kind](x, eps)
    (back,) = torch.autograd.grad(y, x, torch.tensor(rng.standard_normal(x.shape)))
    found = normalized(kind, variance=variance, elements=elements, mean=mean, eps=eps)
    # Where eps counts, a mean of a ratio stands as a ratio of means: of relative order 2/elements.
    slack = 0.0 if eps == 0 and (kind != "rms_norm" or mean == 0) else 3 / elements
    within(found.second_moment, (y.detach() ** 2).mean(-1).numpy(), slack)
    within(found.backward, (back**2).mean(-1).numpy(), slack)
    within(found.mean, y.detach().mean(-1).numpy(), 3 / elements)


def test_common_parts_are_taken_off() -> None:
    """Signal and gradient with a part that all elements share."""
    rng = np.random.default_rng(1)
    c, r = 0.6, 0.3
    x = math.sqrt(c) * rng.standard_normal((4000, 1)) + math.sqrt(1 - c) * rng.standard_normal((4000, 32))
    g = math.sqrt(r) * rng.standard_normal((4000, 1)) + math.sqrt(1 - r) * rng.standard_normal((4000, 32))
    x = torch.tensor(x, requires_grad=True)
    (back,) = torch.autograd.grad(F.layer_norm(x, (32,), eps=0.0), x, torch.tensor(g))
    found = normalized("layer_norm", variance=1.0, elements=32, correlation=c, gradient_correlation=r)
    within(found.backward, (back**2).mean(-1).numpy())


def test_many_elements() -> None:
    assert normalized("batch_norm", variance=4.0, elements=1e9).backward == pytest.approx(0.25)
    assert normalized("rms_norm", variance=3.0, mean=1.0, elements=1e9).backward == pytest.approx(0.25)
    assert normalized("batch_norm", variance=1.0, elements=2).backward == 0  # two elements become ±1


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: normalized("batchnorm", variance=1.0, elements=4), UnknownNameError, "Did you mean 'batch_norm'"),
        (lambda: normalized("batch_norm", variance=-1.0, elements=4), InputError, "at least 0"),
        (lambda: normalized("batch_norm", variance=math.nan, elements=4), InputError, "finite number"),
        (lambda: normalized("batch_norm", variance="1", elements=4), InputError, "finite number"),
        (lambda: normalized("batch_norm", variance=1.0, elements=0), InputError, "at least one element"),
        (lambda: normalized("batch_norm", variance=1.0, elements=4, eps=-1.0), InputError, "at least 0"),
        (lambda: normalized("batch_norm", variance=1.0, elements=4, correlation=2.0), InputError, "the signal"),
        (
            lambda: normalized("layer_norm", variance=1.0, elements=4, gradient_correlation=2.0),
            InputError,
            "the gradient",
        ),
        (lambda: normalized("layer_norm", variance=0.0, elements=4), InputError, "constant signal"),
        (lambda: normalized("rms_norm", variance=0.0, elements=4), InputError, "divides by zero"),
    ],
)
def test_bad_input_is_named(call, error, words) -> None:
    with pytest.raises(error, match=words):
        call()
