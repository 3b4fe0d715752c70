"""The numbers of every step, kept on the device until they are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gainstage.backends.protocol.watching import Listener
from gainstage.backends.torch.watching.sample import Sample
from gainstage.records import StepReading

__all__ = ["Before", "Following", "Readings"]

Mark = tuple[int, int] | None
_SINGLE = ("loss", "kept", "slope", "ahead", "inputs", "scale")
_ON_DEVICE = 10
"""Steps whose numbers wait on an accelerator before one copy brings them to the host."""


@dataclass(frozen=True, slots=True)
class Following:
    """The numbers that a watch takes from one backward pass.

    Args:
        first: whether it is the first one of its step.
        broken: whether the loss is not finite.
    """

    first: bool
    broken: bool


@dataclass(frozen=True, slots=True)
class Before:
    """The gradients that a backward pass found, so that accumulation can be told from a fresh gradient.

    Args:
        marks: of every gradient.
        carried: places of the gradients that the last step left behind and nobody cleared.
        cleared: whether what earlier passes had gathered for the coming step was cleared.
    """

    marks: list[Mark]
    carried: tuple[int, ...] = ()
    cleared: bool = False


@dataclass(slots=True)
class _Row:
    """One step under way or behind, with its numbers as tensors on the device."""

    reading: StepReading
    loss: Tensor
    norms: Tensor
    inputs: Tensor
    before: Tensor  # sampled weights
    scale: Tensor
    kept: Tensor | None = None
    slope: Tensor | None = None
    ahead: Tensor | None = None
    moved: Tensor | None = None  # sampled update


class Readings:
    """Measures gradients behind backward passes and updates behind steps.

    Args:
        parameters: the trainable parameters.
        listener: receives every step.
    """

    def __init__(self, parameters: Sequence[Tensor], listener: Listener) -> None:
        self._parameters, self._listener = list(parameters), listener
        self._sample = Sample(parameters)
        self._device = parameters[0].device
        self._row: _Row | None = None  # gradients are there, and no step was made with them
        self._last: _Row | None = None  # stepped; waits for the next gradient
        self._sampled_gradient: Tensor | None = None
        self._marks_behind_step: list[Mark] | None = None
        self._carried_sample: Tensor | None = None
        self._marks_behind_backward: list[Mark] = []
        self._waiting: list[tuple[StepReading, Tensor]] = []
        self.scaler: Any = None
        self.took_step = False

    # -- gradients -----------------------------------------------------------------------------------------------------

    def marks(self) -> list[Mark]:
        """Identity and version of every gradient, which change when something is added to it."""
        grads = [p.grad for p in self._parameters]
        return [None if g is None else (id(g), g._version) for g in grads]

    def touched(self, before: Before) -> bool:
        """Report whether a backward pass has added to any of the gradients."""
        return before.marks != self.marks()

    def backward(self, roots: Any, before: Before, inputs: Tensor | None, training: bool) -> Following:
        """Read the gradients that have gathered so far."""
        if before.cleared:
            self._row = None  # as where another network's loss has passed through this one
        first = self._row is None
        loss = _root(roots, self._device)
        gradients = self._gradients()
        if self._row is None:
            now = self.marks()
            carried = any(now[i] != before.marks[i] for i in before.carried)
            reading = StepReading(0, carried=carried, training=training)
            self._row = _Row(
                reading, loss, self._norms(gradients), _rms(inputs, self._device), self._sample.of(self._parameters),
                self._scale(),
            )  # fmt: skip
        else:
            self._row.loss = self._row.loss + loss
            self._row.norms = self._norms(gradients)
            self._row.reading = replace(self._row.reading, batches=self._row.reading.batches + 1)
        self._sampled_gradient = self._sample.of(gradients)
        self._marks_behind_backward = self.marks()
        return Following(first, self._broken(self._row))

    def _broken(self, row: _Row) -> bool:
        """Look for a loss that is not finite, where the numbers are on the host anyway."""
        return self._device.type == "cpu" and not math.isfinite(float(row.loss))

    def has_broken_gradient(self) -> bool:
        """Report whether a step is about to be made with a gradient that is not finite.

        Asked before a step and not behind a backward pass: a loss scaler expects gradients to overflow and skips the
        step, and that a scaler is at work is known only when it steps.
        """
        row = self._row
        if row is None or self._device.type != "cpu" or self.scaler is not None:
            return False
        present = torch.tensor([p.grad is not None for p in self._parameters])
        return not bool(torch.isfinite(row.norms[present]).all())

    def _gradients(self) -> list[Tensor | None]:
        return [p.grad for p in self._parameters]

    def _norms(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """Norm of every gradient, (parameters,); NaN where there is none."""
        present = [(i, _dense(g)) for i, g in enumerate(gradients) if g is not None]
        found = torch.full((len(gradients),), math.nan, device=self._device)
        if present:
            norms = torch._foreach_norm([g for _, g in present])
            stacked = torch.stack([n.to(self._device, torch.float32) for n in norms])
            if len(present) == len(gradients):
                return stacked
            found[torch.tensor([i for i, _ in present], device=self._device)] = stacked
        return found

    def before(self) -> Before:
        """Mark every gradient before a pass, and find out whether those of the last step are still in place."""
        marks, behind, sample = self.marks(), self._marks_behind_step, self._carried_sample
        kept = () if behind is None or sample is None else tuple(
            i for i, mark in enumerate(marks) if mark is not None and mark == behind[i]
        )  # fmt: skip
        if self._row is not None and self._is_cleared(marks):
            return Before(marks, cleared=True)
        if not kept or sample is None:
            return Before(marks)
        # A gradient that is set to zero through ``.data`` keeps its version, so its values decide.
        same = bool(sample.any()) and torch.equal(self._sample.few(self._gradients()), sample)
        return Before(marks, kept if same else ())

    def _is_cleared(self, marks: list[Mark]) -> bool:
        """Report whether nothing is left of the gradients that the passes before have gathered."""
        if marks == self._marks_behind_backward:
            return False
        return all(mark is None for mark in marks) or not bool(self._sample.few(self._gradients()).any())

    def exact(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Norms of gradients and weights, and the sizes of the last updates, for a look."""
        gradients = self._row.norms / self._row.scale if self._row is not None else torch.zeros(0)
        weights = torch.stack(
            [
                n.to(self._device, torch.float32)
                for n in torch._foreach_norm([_dense(p.detach()) for p in self._parameters])
            ]
        )
        updates = torch.zeros_like(weights)
        if self._last is not None and self._last.moved is not None:
            updates = (self._sample.squares(self._last.moved) / self._sample.squares(self._last.before)).sqrt()
        return _floats(gradients), _floats(weights), _floats(updates)

    @property
    def scale(self) -> float:
        """Return the present loss scale."""
        return float(self._scale())

    def _scale(self) -> Tensor:
        scale = getattr(self.scaler, "_scale", None) if self.scaler is not None else None
        if scale is None:
            return torch.ones((), device=self._device)
        present: Tensor = scale.detach().clone().reshape(()).to(self._device, torch.float32)
        return present

    # -- steps ---------------------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any) -> None:
        """Read what clipping and unscaling have left of the gradient; with a closure there is none yet."""
        if self._row is not None and self._row.kept is None:
            self._row.kept = self._kept(optimizer)

    def _kept(self, optimizer: Any) -> Tensor:
        """Norm of the gradient that is used over the one behind the backward pass, the loss scale taken off."""
        row = self._row
        assert row is not None
        row.scale = self._scale()
        if self.marks() == self._marks_behind_backward:
            return torch.full((), math.nan, device=self._device)
        now, before = self._sample.of(self._gradients()).norm(), self._sampled_gradient
        assert before is not None
        unscaled = getattr(optimizer, "grad_scale", None) is None  # a fused optimizer unscales by itself
        kept: Tensor = now / before.norm() * (row.scale if unscaled else 1.0)
        return kept

    def after_step(self, step: int, optimizer: Any, rate: float) -> bool:
        """Read the update; return whether this was a step of its own, and not a second optimizer's part of one."""
        self.took_step = True
        if self._row is None:
            if self._last is None or self._last.moved is None:
                return False
            self._last.moved = self._sample.of(self._parameters) - self._last.before
            return False
        row = self._row
        if row.kept is None:  # the closure has computed the gradient inside of the step
            row.kept = self._kept(optimizer)
        row.moved = self._sample.of(self._parameters) - row.before
        assert self._sampled_gradient is not None
        gradient = self._sampled_gradient / row.scale
        row.slope = self._sample.product(gradient, row.moved)
        if self._last is not None and self._last.moved is not None:
            self._last.ahead = self._sample.product(gradient, self._last.moved)
        self._hand_over(self._last)
        row.reading = replace(row.reading, step=step, rate=rate)
        self._last, self._row = row, None
        self._marks_behind_step = self.marks()
        self._carried_sample = self._sample.few(self._gradients())
        self._sampled_gradient = None
        return True

    def after_scaled(self, step: int, scaler: Any, optimizer: Any, rate: float) -> bool:
        """A scaler has skipped the step, or a fused optimizer has skipped it inside; return whether it is a step."""
        states = getattr(scaler, "_per_optimizer_states", {}).get(id(optimizer), {})
        overflowed = any(bool(v) for v in states.get("found_inf_per_device", {}).values())
        if self.took_step:
            if overflowed and self._last is not None:
                self._last.reading = replace(self._last.reading, stepped=False)
            return False
        row = self._row
        if row is None:
            return False
        row.scale = self._scale()
        self._hand_over(self._last)
        row.reading = replace(row.reading, step=step, rate=rate, stepped=not overflowed)
        row.moved = torch.zeros_like(row.before)
        self._last, self._row = row, None
        self._marks_behind_step = None
        return True

    # -- to the host ---------------------------------------------------------------------------------------------------

    def _hand_over(self, row: _Row | None) -> None:
        if row is None or row.moved is None:
            return
        nothing = torch.full((), math.nan, device=self._device)
        numbers = (row.loss / row.scale, row.kept, row.slope, row.ahead, row.inputs, row.scale)
        single = torch.stack([nothing if v is None else v.float().reshape(()) for v in numbers])
        weights, updates = self._sample.squares(row.before).sqrt(), self._sample.squares(row.moved).sqrt()
        frozen = [i for i, p in enumerate(self._parameters) if not p.requires_grad]
        if frozen:
            updates[frozen] = math.nan
        packed = torch.cat([single, row.norms / row.scale, weights, updates])
        self._waiting.append((row.reading, packed))
        if self._device.type == "cpu" or len(self._waiting) >= _ON_DEVICE:
            self._send()

    def _send(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        numbers = torch.stack([packed for _, packed in waiting]).double().cpu().numpy()
        for (reading, _), row in zip(waiting, numbers, strict=True):
            self._tell(reading, row)

    def _tell(self, reading: StepReading, row: NDArray[np.float64]) -> None:
        single = dict(zip(_SINGLE, (float(v) for v in row[: len(_SINGLE)]), strict=True))
        gradients, weights, updates = np.split(row[len(_SINGLE) :], 3)
        known = ~np.isnan(gradients) if np.isfinite(np.nansum(gradients)) else np.ones(len(gradients), bool)
        weight = float(np.linalg.norm(weights))
        whole = replace(
            reading, loss=single["loss"], gradient=float(np.linalg.norm(gradients[known])), kept=_known(single["kept"]),
            weight=weight, update=float(np.sqrt(np.nansum(updates**2))) / weight if weight else None,
            slope=_known(single["slope"]), ahead=_known(single["ahead"]), inputs=_known(single["inputs"]),
            scale=single["scale"] if self.scaler is not None else None,
        )  # fmt: skip
        self._listener.stepped(whole, gradients, weights, updates)

    def flush(self) -> None:
        """Hand over the last step without waiting for the next gradient."""
        self._hand_over(self._last)
        self._last = None
        self._send()

    def close(self) -> None:
        """Hand over everything, at the end."""
        self.flush()
        self._row = None


def _root(roots: Any, device: torch.device) -> Tensor:
    """The sum of the scalars that were differentiated; NaN where a root is no scalar."""
    tensors = [roots] if isinstance(roots, Tensor) else list(roots or ())
    scalars = [t.detach().float().reshape(()).to(device) for t in tensors if t.numel() == 1]
    if not scalars or len(scalars) != len(tensors):
        return torch.zeros((), device=device)
    return torch.stack(scalars).sum()


def _rms(tensor: Tensor | None, device: torch.device) -> Tensor:
    if tensor is None or not tensor.numel():
        return torch.full((), math.nan, device=device)
    level: Tensor = tensor.detach().float().norm() / math.sqrt(tensor.numel())
    return level.to(device)


def _dense(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    return tensor.coalesce().values() if tensor.is_sparse else tensor


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(v) for v in values.cpu())


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
