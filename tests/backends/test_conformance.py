"""PyTorch keeps the laws of what the backends share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from conformance.framework import Array, Framework
from conformance.laws import *  # noqa: F403
from gainstage.backends import torch as backend
from gainstage.backends.protocol import LessonWorkbench, Workbench
from gainstage.backends.torch import workbench
from gainstage.backends.torch.measuring.moments import moments_of

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
LOSSES = {"cross_entropy": functional.cross_entropy, "bce_logits": functional.binary_cross_entropy_with_logits,
          "mse": functional.mse_loss, "l1": functional.l1_loss}  # fmt: skip


def perceptron(sizes: tuple[int, ...], activation: str) -> nn.Sequential:
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), ACTIVATIONS[activation]())]
    return nn.Sequential(*layers[:-1])


def put(model: nn.Module, path: str, values: Array) -> None:
    with torch.no_grad():
        model.get_parameter(path).copy_(torch.from_numpy(values))


@pytest.fixture
def framework() -> Framework:
    torch.manual_seed(0)
    return Framework(
        backend, workbench, (Workbench, LessonWorkbench), perceptron, "weight",
        lambda model: {path: p.detach().numpy().copy() for path, p in model.named_parameters()}, put,
        np.asarray, np.asarray, lambda kind, _: LOSSES[kind], moments_of, torch.from_numpy,
    )  # fmt: skip
