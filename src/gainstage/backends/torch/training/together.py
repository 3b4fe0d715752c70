"""Many trainings of one architecture as one vectorised training."""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from gainstage.backends.protocol import OnSteps, Start
from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.training.criterion import Criterion
from gainstage.backends.torch.training.examples import LOOKED_AT, Examples, look, order
from gainstage.backends.torch.training.optimizers import Factory, Stacked, make, optimizer_name, unstackable
from gainstage.backends.torch.training.stack import Stack, differing
from gainstage.backends.torch.training.watch import Watch
from gainstage.errors import GainstageError
from gainstage.records.training import Evaluation, Schedule, TrainingCurve

__all__ = ["obstacle", "train_together"]

_LOOK = 4096
"""Examples in one part of a look, over all models."""

_SAME = 1e-2
"""Another order of sums differs by rounding, which depth may multiply; a model run wrongly differs by its own size."""


def train_together(
    starts: Sequence[Start],
    examples: Examples,
    schedule: Schedule,
    *,
    criterion: Criterion,
    optimizer: str | Factory = "adam",
    on_step: OnSteps | None = None,
) -> list[TrainingCurve]:
    """Train many models of one architecture as one: stacked parameters, one call for all.

    Every training is the one that ``train_alone`` makes of its start, within rounding. The models are copied, not
    changed.

    Args:
        starts: of one architecture, for which ``obstacle`` finds nothing.
        examples: on the models' device.
        schedule: what every training may spend.
        criterion: the loss.
        optimizer: elementwise: a key of ``OPTIMIZERS``, or a factory of (parameters, learning rate).
        on_step: called after every step with the loss of every training, in the order of ``starts``.

    Returns:
        their curves, in the order of ``starts``.

    Raises:
        InputError, UnknownNameError: loss, optimizer, labels or rate cannot be used.
    """
    # Neighbours of one learning rate share an optimizer.
    places = sorted(range(len(starts)), key=lambda i: starts[i].learning_rate)
    trainings = _Trainings([starts[i] for i in places], examples, schedule, criterion, optimizer)
    for step in trainings.run():
        if on_step is not None:
            latest = dict(zip(places, trainings.latest, strict=True))
            on_step(step, [latest[i] for i in range(len(starts))])
    curves = dict(zip(places, trainings.curves(), strict=True))
    return [curves[i] for i in range(len(starts))]


class _Trainings:
    """The state of trainings under way, equal learning rates side by side."""

    def __init__(
        self, starts: Sequence[Start], examples: Examples, schedule: Schedule, criterion: Criterion,
        optimizer: str | Factory,
    ) -> None:  # fmt: skip
        self._starts, self._examples, self._schedule = starts, examples, schedule
        self._optimizer_name = optimizer_name(optimizer)
        self._stack = Stack([start.model for start in starts], criterion)
        rates = [start.learning_rate for start in starts]
        single = {path: p for path, p in starts[0].model.named_parameters() if p.requires_grad}
        made = {rate: make(optimizer, list(single.values()), rate) for rate in dict.fromkeys(rates)}
        self._stepper = Stacked(self._stack.parameters, rates, made, {p: path for path, p in single.items()})
        self._watch = Watch(self._stack.parameters, len(starts))
        self._losses: list[list[float]] = [[] for _ in starts]
        self._seen: list[list[Evaluation]] = [[] for _ in starts]
        self._trained: list[Evaluation | None] = [None] * len(starts)

    @property
    def latest(self) -> list[float]:
        """The last loss of every training."""
        return [losses[-1] for losses in self._losses]

    def run(self) -> Iterator[int]:
        """Yield after every step; ends early when no loss is finite any more."""
        examples, schedule = self._examples, self._schedule
        self._look(0)
        for step, (x, y) in enumerate(self._batches(), 1):
            losses = self._stack.losses(x, y)
            running = [not seen or math.isfinite(seen[-1]) for seen in self._losses]
            for seen, value, goes_on in zip(self._losses, losses.tolist(), running, strict=True):
                if goes_on:
                    seen.append(value)
            if not any(map(math.isfinite, self.latest)):
                yield step
                return
            self._move(step, self._stack.gradients(losses))
            if step in schedule.looks:
                self._look(step)
            yield step
        found = self._evaluations(examples.x[:LOOKED_AT], examples.y[:LOOKED_AT], schedule.steps)
        self._trained = [e if math.isfinite(last) else None for e, last in zip(found, self.latest, strict=True)]

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A batch for every training: trainings of one seed see the same one."""
        seeds = [start.seed for start in self._starts]
        x, y, schedule = self._examples.x, self._examples.y, self._schedule
        orders = {seed: order(len(x), schedule.batch, schedule.steps, seed) for seed in dict.fromkeys(seeds)}
        for chosen in zip(*orders.values(), strict=True):
            by_seed = dict(zip(orders, chosen, strict=True))
            rows = torch.stack([by_seed[seed] for seed in seeds])
            yield x[rows], y[rows]

    def _move(self, step: int, gradients: dict[str, Tensor]) -> None:
        if self._schedule.clip is not None:
            gradients = _clipped(gradients, self._schedule.clip)
        if step > self._schedule.watched:
            self._stepper.step(gradients)
            return
        norms = self._watch.before(gradients)
        self._stepper.step(gradients)
        self._watch.after(step, norms)

    def _look(self, step: int) -> None:
        found = self._evaluations(self._examples.x_validation, self._examples.y_validation, step)
        for seen, losses, evaluation in zip(self._seen, self._losses, found, strict=True):
            if not losses or math.isfinite(losses[-1]):
                seen.append(evaluation)

    def _evaluations(self, x: Tensor, y: Tensor, step: int) -> list[Evaluation]:
        loss, accuracy = look(self._stack.judge, x, y, batch=max(_LOOK // len(self._starts), 32))
        count = len(self._starts)
        values = loss.expand(count).tolist()
        shares = [None] * count if accuracy is None else accuracy.expand(count).tolist()
        return [Evaluation(step, value, share) for value, share in zip(values, shares, strict=True)]

    def curves(self) -> list[TrainingCurve]:
        """What became of every training."""
        examples = self._examples
        return [
            TrainingCurve(
                start.label, tuple(losses), tuple(seen), examples.chance_loss, examples.chance_accuracy,
                self._optimizer_name, start.learning_rate, self._schedule.batch, start.seed, trained,
                self._watch.steps(place, len(losses) if math.isfinite(losses[-1]) else len(losses) - 1),
            )
            for place, (start, losses, seen, trained) in enumerate(
                zip(self._starts, self._losses, self._seen, self._trained, strict=True)
            )
        ]  # fmt: skip


def _clipped(gradients: dict[str, Tensor], clip: float) -> dict[str, Tensor]:
    """Every training's gradient shortened to the norm, as ``torch.nn.utils.clip_grad_norm_`` does it."""
    squares = [gradient.square().flatten(1).sum(1) for gradient in gradients.values()]
    factors = (clip / (torch.stack(squares).sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return {path: g * factors.view(-1, *[1] * (g.ndim - 1)) for path, g in gradients.items()}


def obstacle(
    starts: Sequence[Start],
    examples: Examples,
    schedule: Schedule,
    *,
    criterion: Criterion,
    optimizer: str | Factory = "adam",
) -> str:
    """Why models cannot be trained together; empty where they can.

    Found out by trying: the first batch's loss and gradient, together, have to be those of the first and the last
    model on their own.
    """
    models = [start.model for start in starts]
    if different := differing(models):
        return f"the models differ in their {different}"
    parameters = [p for p in models[0].parameters() if p.requires_grad]
    if reason := unstackable(make(optimizer, parameters, starts[0].learning_rate)):
        return reason
    chosen = next(order(len(examples.x), schedule.batch, 1, starts[0].seed))
    x, y = examples.x[chosen], examples.y[chosen]
    ends = [models[0], models[-1]]
    alone = [_first_step(model, x, y, criterion) for model in ends]
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            stack = Stack(ends, criterion)
            losses = stack.losses(torch.stack([x, x]), torch.stack([y, y]))
            gradients = stack.as_known(stack.gradients(losses))
    except GainstageError:
        raise
    except Exception as error:
        return _reason(str(error) or type(error).__name__)
    if slow := next((str(w.message) for w in told if "batching rule" in str(w.message)), None):
        return _reason(slow)
    for place, (loss, single) in enumerate(alone):
        stacked = [gradients[path][place] for path in single]
        if not (_same([losses[place].detach()], [loss]) and _same(stacked, list(single.values()))):
            return f"together, a {type(models[0]).__name__} has another loss or gradient than alone"
    return ""


def _first_step(model: nn.Module, x: Tensor, y: Tensor, criterion: Criterion) -> tuple[Tensor, dict[str, Tensor]]:
    single = copy.deepcopy(model).train()
    parameters = {path: p for path, p in single.named_parameters() if p.requires_grad}
    with torch.random.fork_rng(devices=[]):
        loss = criterion.loss(first_output(single(x)), y)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), dict(zip(parameters, found, strict=True))


def _same(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """As a whole: single entries may be nothing but rounding, such as a bias before a batch normalisation."""
    one, other = (torch.cat([t.double().flatten() for t in tensors]) for tensors in (ones, others))
    if not (bool(one.isfinite().all()) and bool(other.isfinite().all())):
        return torch.equal(one.isfinite(), other.isfinite())
    return bool((one - other).norm() <= _SAME * other.norm())


def _reason(text: str) -> str:
    """What stood in the way, in a line."""
    if "randomness" in text or "random operation" in text:
        return "the model draws random numbers while it trains (dropout), which would not be those it draws alone"
    if "data-dependent control flow" in text or ".item()" in text:
        return "what the model does depends on the values it sees"
    if operation := re.search(r"batching rule for (\S+?)\.? ", text):
        return f"PyTorch's vmap has no rule for {operation[1]}"
    return f"PyTorch's vmap cannot run the model: {text.strip().splitlines()[0][:160]}"
