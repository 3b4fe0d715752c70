"""One training of a case, from weights to the held-out figure."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from starts_exam.case import Case, Data, arguments

__all__ = ["Ended", "batches", "train"]


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a training.

    Args:
        before: the held-out figure before the first step.
        value: the held-out figure after the last one; not finite if the training diverged.
        loss: mean training loss of the last twentieth of the steps.
        seconds: processor time.
    """

    before: float
    value: float
    loss: float
    seconds: float


def train(case: Case, model: Any, data: Data, rate: float, seed: int) -> Ended:
    """Train a network whose weights are set; order of examples, dropout and noise depend on the seed alone."""
    began = time.process_time()
    before = _judged(case, model, data)
    losses = (_keras if case.framework == "keras" else _torch)(case, model, data, rate, seed)
    finite = len(losses) == case.steps and math.isfinite(losses[-1])
    value = _judged(case, model, data) if finite else math.nan
    last = float(np.mean(losses[-max(case.steps // 20, 1) :]))
    return Ended(before, value, last, time.process_time() - began)


def batches(count: int, size: int | None, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield indices of examples: every epoch is shuffled anew, and its incomplete last batch is dropped."""
    order, at, rng = np.arange(0), 0, np.random.default_rng(seed)
    for _ in range(steps):
        if size is None or size >= count:
            yield np.arange(count)
            continue
        if at + size > len(order):
            order, at = rng.permutation(count), 0
        yield order[at : at + size]
        at += size


def _torch(case: Case, model: torch.nn.Module, data: Data, rate: float, seed: int) -> list[float]:
    torch.manual_seed(seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = case.optimizer(trained, rate)
    base = [group["lr"] for group in optimizer.param_groups]
    count = len(arguments(data.y)[0])
    model.train()
    losses: list[float] = []
    for step, index in enumerate(batches(count, case.batch, case.steps, seed)):
        if case.schedule is not None:
            for group, first in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = first * case.schedule(step, case.steps)
        x, y = (data.x, data.y) if case.batch is None else (_chosen(data.x, index), _chosen(data.y, index))
        loss = case.value(model, x, y)
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            break
        optimizer.zero_grad()
        loss.backward()
        if case.clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, case.clip)
        optimizer.step()
    return losses


def _chosen(value: Any, index: np.ndarray) -> Any:
    rows = torch.from_numpy(index)
    return tuple(part[rows] for part in value) if isinstance(value, tuple) else value[rows]


def _keras(case: Case, model: Any, data: Data, rate: float, seed: int) -> list[float]:
    import keras

    keras.utils.set_random_seed(seed)
    model.compile(optimizer=case.optimizer((), rate), loss=case.loss)
    losses: list[float] = []
    for index in batches(len(data.y), case.batch, case.steps, seed):
        # Keras returns the running mean of the losses since the last reset.
        model.reset_metrics()
        losses.append(float(model.train_on_batch(data.x[index], data.y[index])))
        if not math.isfinite(losses[-1]):
            break
    return losses


def _judged(case: Case, model: Any, data: Data) -> float:
    """The held-out figure in evaluation mode; noise in it is the same every time."""
    torch.manual_seed(0)
    if case.framework == "torch":
        model.eval()
    return float(case.metric.measure(model, data))
