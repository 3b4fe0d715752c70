"""One training of the exam, and the register to which the modules of cases write."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["CAUSES", "REGISTER", "Question", "Training", "batches", "digits", "healthy", "plain", "shown", "sick"]

CAUSES = (
    "rate too large", "rate too small", "gradient explodes", "gradient vanishes", "not a number", "units die",
    "units saturate", "weights shrink", "loss scale falls", "gradients kept", "evaluation mode", "bad batch",
    "attention sharpens", "examples collapse", "always clipped", "weight stands still", "values run away",
)  # fmt: skip
"""The known causes; a finding answers with one of them."""


@dataclass(eq=False)
class Training:
    """A training as its author would write it.

    Args:
        model, optimizer: what is watched.
        step: makes one whole step (forward, backward, optimizer) and returns the loss.
        loss: handed to the watch, where the author has one.
        steps: how many steps.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: Callable[[int], float]
    loss: Any = None
    steps: int = 200


@dataclass(frozen=True, eq=False)
class Question:
    """One question: how the training is built, and the answer.

    Args:
        name: unique; its hash tosses the coin.
        make: builds the training.
        causes: the known cause, and others that would be right as well; empty where the training is healthy.
        why: what was done to it, in one sentence.
        source: the public report or the paper that it is built after.
    """

    name: str
    make: Callable[[], Training]
    causes: tuple[str, ...] = ()
    why: str = ""
    source: str = ""

    @property
    def half(self) -> str:
        """``seen`` or ``unseen``, by the hash of the name."""
        return "seen" if hashlib.sha256(self.name.encode()).digest()[0] % 2 == 0 else "unseen"

    def build(self) -> Training:
        """Equal weights and equal data at every call."""
        torch.manual_seed(0)
        return self.make()


REGISTER: dict[str, Question] = {}


def sick(*causes: str, why: str, source: str) -> Callable[[Callable[[], Training]], Callable[[], Training]]:
    """Enter a training that goes wrong."""
    assert set(causes) <= set(CAUSES)
    return _entering(causes, why, source)


def healthy(source: str) -> Callable[[Callable[[], Training]], Callable[[], Training]]:
    """Enter a training that is as it should be."""
    return _entering((), "", source)


def _entering(causes: tuple[str, ...], why: str, source: str) -> Callable[..., Callable[[], Training]]:
    def enter(make: Callable[[], Training]) -> Callable[[], Training]:
        assert make.__name__ not in REGISTER
        REGISTER[make.__name__] = Question(make.__name__, make, causes, why, source)
        return make

    return enter


def shown(losses: list[float]) -> int | None:
    """The first step at which the loss alone shows that something is wrong, counted from 1; None where it never does.

    That is the first loss that is not a number, or the first step at which the median of the last ten losses is twice
    the lowest such median before it (or above it by twice the spread of the first ten, whichever is more).
    """
    best = math.inf
    spread = max(losses[:10]) - min(losses[:10]) if all(map(math.isfinite, losses[:10])) else 0.0
    for step in range(1, len(losses) + 1):
        if not math.isfinite(losses[step - 1]):
            return step
        if step < 10:
            continue
        middle = median(losses[step - 10 : step])
        if middle > best + max(abs(best), 2 * spread):
            return step
        best = min(best, middle)
    return None


def batches(x: Tensor, y: Tensor, size: int = 32, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(x), generator=generator)
        for start in range(0, len(x) - size + 1, size):
            chosen = order[start : start + size]
            yield x[chosen], y[chosen]


@dataclass
class _Cache:
    digits: tuple[Tensor, Tensor] | None = field(default=None)


_CACHE = _Cache()


def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: (1797, 64) standardised by one mean and one spread, and their classes."""
    if _CACHE.digits is None:
        from sklearn.datasets import load_digits

        found = load_digits()
        x = torch.tensor(found.data, dtype=torch.float32)
        _CACHE.digits = (x - x.mean()) / x.std(), torch.tensor(found.target)
    return _CACHE.digits


def plain(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Iterator[tuple[Any, Any]],
    loss: Callable[[Any, Any], Tensor],
    *,
    clip: float | None = None,
    schedule: Callable[[int], float] | None = None,
    steps: int = 200,
) -> Training:
    """The usual loop; ``schedule`` returns the factor on the first rate at every step."""
    rates = [group["lr"] for group in optimizer.param_groups]

    def step(number: int) -> float:
        x, y = next(data)
        if schedule is not None:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(number)
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return float(value.detach())

    return Training(model, optimizer, step, loss, steps)
