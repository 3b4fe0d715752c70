"""One forward and one backward pass: from a model and a batch to a Profile."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gainstage.backends.protocol import Detail
from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.backends.shared.selection import (
    ARITHMETIC,
    MASKING,
    NO_GRADIENT,
    STREAM,
    bounds_of,
    is_rectified,
    require_detail,
    selected,
)
from gainstage.backends.shared.word_sums import WordSums
from gainstage.backends.torch.measuring.first_step import try_step, validate_optimizer
from gainstage.backends.torch.measuring.gradients import gradients_of
from gainstage.backends.torch.measuring.label_copies import copied_labels
from gainstage.backends.torch.measuring.loss_shape import joint_shape_of, shape_of
from gainstage.backends.torch.measuring.moments import (
    histogram_of,
    look_at,
    magnitudes_of,
    token_correlation,
    unit_stats,
)
from gainstage.backends.torch.measuring.reactions import reactions_of
from gainstage.backends.torch.measuring.task_facts import task_of
from gainstage.backends.torch.measuring.weights import profile_parameter
from gainstage.backends.torch.measuring.wiring import wiring_of
from gainstage.backends.torch.models.batch import Batch, copied, labels_for
from gainstage.backends.torch.models.preserve import hold_model
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.interpreter import Eye
from gainstage.backends.torch.tracing.trace import materialised, unwrap
from gainstage.backends.torch.tracing.traced_run import LossFunction, Observation, observe, takes_whole
from gainstage.errors import InputError, ModelError
from gainstage.graph import Operation
from gainstage.records import LossShape, NodeProfile, Note, Profile, Reactions, Source, Step, Task

__all__ = ["record"]

_BY_HAND = frozenset({Operation.MULTIPLY, Operation.SCALE, Operation.OFFSET})  # may turn out to be a measured operation
_MASKING = MASKING | {Operation.ADD}


def record(
    model: nn.Module,
    inputs: Any,
    target: Any = None,
    *,
    loss: LossFunction | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    detail: Detail = "standard",
    seed: int = 0,
    synthetic: bool = False,
) -> Profile:
    """Measure the signal and the gradient at every stage of a model.

    Every reduction stays on the model's device, in single precision or better. The model is left exactly as it was
    found, also when its own code raises.

    Args:
        model: any module, in the mode it is to be judged in.
        inputs: the batch: a tensor, a tuple of positional arguments or a dict of keyword arguments.
        target: labels, handed to ``loss``.
        loss: called as ``loss(output, target)``; a model that returns its own loss needs none. Without any loss,
            random signs stand in for the gradient at the output.
        optimizer: its first step is measured with one more forward pass, and taken back.
        detail: ``lean`` leaves out normalisations, sums, extremes and distributions; ``start`` leaves out the further
            passes of a few examples, which say nothing of weights; ``magnitudes`` adds distributions of absolute
            values.
        seed: of the random state during the pass (dropout), and of the signs.
        synthetic: whether the inputs were made up.

    Raises:
        InputError: the batch, labels, loss or optimizer cannot be used.
        ModelError: the model's own code raised.

    >>> import torch
    >>> from torch import nn
    >>> profile = record(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), torch.randn(16, 4))
    >>> [profile.node(n).function or profile.node(n).name for n in profile.nodes]
    ['addmm', 'tanh', 'addmm']
    """
    require_detail(detail)
    model = materialised(unwrap(model), inputs)
    if any(p.is_meta for p in model.parameters()):
        raise ModelError("The model's weights are on the meta device and hold no values, so nothing can be measured. "
            "Call model.to_empty(device='cpu') and initialize it, or trace it instead.")  # fmt: skip
    target = labels_for(model, target)
    batch = fitting_batch(inputs, model, target)
    _validate(target, loss)
    if optimizer is not None:
        validate_optimizer(optimizer)
    return _Recording(model, batch, target, loss, optimizer, detail, seed, synthetic).profile()


def _validate(target: Any, loss: LossFunction | None) -> None:
    if isinstance(target, torch.Tensor) and target.is_floating_point() and not bool(torch.isfinite(target).all()):
        raise InputError(f"The labels of shape {tuple(target.shape)} hold NaN or infinite values.")
    if target is not None and loss is None:
        raise InputError("Labels were given without a loss. Pass loss=, e.g. loss=torch.nn.functional.cross_entropy.")


class _Recording:
    """The state of one measurement; its only product is the profile."""

    def __init__(
        self,
        model: nn.Module,
        batch: Batch,
        target: Any,
        loss: LossFunction | None,
        optimizer: torch.optim.Optimizer | None,
        detail: Detail,
        seed: int,
        synthetic: bool,
    ) -> None:
        self.model, self.batch, self.target, self.loss = model, batch, target, loss
        self.optimizer, self.detail, self.seed, self.synthetic = optimizer, detail, seed, synthetic
        self.held = hold_model(model, batch.loose, target, loss)
        self.forward: dict[int, NodeProfile] = {}
        self.notes: list[Note] = []
        self.sums = WordSums()
        self.log = MagnitudeLog(magnitudes_of, _as_array, detail)

    def profile(self) -> Profile:
        """Measure; other threads wait meanwhile, since hooks and random states belong to the whole process."""
        with self.held.during():
            return self._measured()

    def _observed(self, eye: Eye) -> Observation:
        """One pass, on copies of the batch and the labels."""
        return observe(self.model, self.batch.copied(), target=copied(self.target), loss=self.loss, eye=eye)

    def _measured(self) -> Profile:
        parameters, _ = named_parameters(self.model)
        with self.held.during(self.seed), torch.enable_grad():
            versions = {path: p._version for path, p in parameters.items()}
            seen = self._observed(self._look)
            wires = wiring_of(self.model, seen, parameters, self.optimizer, versions)
            found = gradients_of(seen, parameters, self.forward, self.batch.examples, self.seed, self.log)
        value = None if seen.loss is None else float(seen.loss.detach())
        gradients, backward = found or ({}, {})
        if found is None:
            self.notes.append(NO_GRADIENT)
        step: Step | None = None
        updates: Mapping[str, float] = {}
        if self.optimizer is not None and gradients and value is not None:
            with self.held.during():
                step, updates = try_step(
                    self.model, self.batch, self.target, self.loss, self.optimizer, gradients, parameters, value,
                    self.seed, seen.whole, self.log,
                )  # fmt: skip
            if step is None:
                name = type(self.optimizer).__name__
                self.notes.append(
                    Note("GS902", f"{name} takes no step without a closure, so its first step was not measured.")
                )
        task = task_of(
            self.batch, seen, self.target, value, self.optimizer, training=self.model.training,
            synthetic=self.synthetic, names=tuple(inspect.signature(self.model.forward).parameters),
        )  # fmt: skip
        task = replace(task, loss_shape=self._loss_shape(seen, task), joint_shape=self._joint_shape(seen))
        weights = tuple(
            profile_parameter(seen.graph, p, parameters, gradients.get(p.path), updates.get(p.path))
            for p in seen.graph.parameters
            if p.reached
        )
        for path, gradient in gradients.items():
            self.log.add("weight", path, parameters[path].detach())
            self.log.add("weight_gradient", path, gradient)
        figures = (*(n.forward for n in self.forward.values()), *backward.values(), *(w.gradient for w in weights))
        bad = (value is not None and not np.isfinite(value)) or any(f is not None and not f.finite for f in figures)
        source = self._source(seen)
        nodes = tuple(
            replace(n, backward=backward.get(i), dtype="" if n.dtype == source.dtype else n.dtype)
            for i, n in sorted(self.forward.items())
            if seen.graph.nodes[i].part_of is None
            and (i in self.sums.found or selected(seen.graph.nodes[i], self.detail))
        )
        return Profile(
            seen.graph,
            nodes,
            weights,
            task,
            source,
            step,
            self._first_nonfinite() if bad else None,
            bool(gradients),
            tuple(self.notes),
            self._reactions(seen),
            wires,
            seen.refolds,
            magnitudes=self.log.tensors(seen.graph, {n.node for n in nodes}),
        )

    def _loss_shape(self, seen: Observation, task: Task) -> LossShape | None:
        if self.loss is None or seen.whole or task.loss is None:
            return None
        with self.held.during():
            return shape_of(self.loss, seen.output, self.target, task.output, self.seed)

    def _joint_shape(self, seen: Observation) -> LossShape | None:
        if self.loss is None or not takes_whole(seen.structure):
            return None
        with self.held.during():
            return joint_shape_of(self.loss, seen.structure, self.target, self.batch.examples, self.seed)

    def _reactions(self, seen: Observation) -> Reactions | None:
        if self.detail in ("lean", "start"):
            return None
        found = reactions_of(self.model, self.held, self.batch, self.target, seen.output, seen.graph, self.seed)
        if found is None or self.loss is None or seen.whole:
            return found
        copies = copied_labels(self.model, self.held, self.batch, self.target, self.loss, self.seed)
        return replace(found, copies=copies)

    def _source(self, seen: Observation) -> Source:
        first = self.batch.tensors[0][1]
        return Source(
            "measured",
            f"torch {torch.__version__}",
            str(first.device),
            str(seen.output.dtype).removeprefix("torch."),
            tuple(first.shape),
            self.seed,
            self.detail,
        )

    # -- forward -----------------------------------------------------------------------------------------------------

    def _look(self, draft: Draft, output: torch.Tensor) -> None:
        """Measure one node's output right after it was computed."""
        if not self._wanted(draft) or draft.stage != "model" or not output.numel():
            return
        if not (output.is_floating_point() or output.is_complex()):
            return
        examples, standard = self.batch.examples, self.detail != "lean"
        look = look_at(output, examples, draft.example_stride, extremes=standard)
        units = unit_stats(look, draft.shape, draft.unit_axis, rectified=is_rectified(draft), bounds=bounds_of(draft))
        tokens = _tokens(draft, output) if standard else None
        if tokens is not None:
            units = replace(units, token_correlation=token_correlation(tokens, look.moments.second_moment))
        histogram = histogram_of(look) if standard and draft.operation.weighted else None
        over_time = _over_time(draft, output)
        self.log.add("output", draft.index, output)
        self.forward[draft.index] = NodeProfile(
            draft.index, look.moments, None, units, histogram, over_time=over_time, dtype=draft.dtype
        )

    def _wanted(self, draft: Draft) -> bool:
        if (self.sums.meets(draft) and self.detail != "lean") or selected(draft, self.detail):
            return True
        affine = draft.operation is Operation.MULTIPLY or bool(draft.uses)
        by_hand = draft.operation in _BY_HAND and affine and draft.function not in ARITHMETIC
        return by_hand and self.detail != "lean"

    # -- trouble -----------------------------------------------------------------------------------------------------

    def _first_nonfinite(self) -> int | None:
        """Run forward once more and stop at the first output with a NaN or an infinity."""
        found: list[int] = []

        def eye(draft: Draft, output: torch.Tensor) -> None:
            if found or not output.is_floating_point() or bool(torch.isfinite(output).all()):
                return
            if draft.operation in _MASKING and bool((output < torch.inf).all()):
                return  # −inf marks what attention must not see
            if draft.operation is not Operation.INPUT:
                found.append(draft.index)

        with torch.no_grad(), self.held.during(self.seed):
            self._observed(eye)
        return found[0] if found else None


def _as_array(tensor: torch.Tensor) -> Any:
    real = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return real.detach().double().cpu().numpy()


def _over_time(draft: Draft, output: torch.Tensor) -> tuple[float, float] | None:
    """Root mean squares of a recurrent layer's output at the first and the last position, read in its own order."""
    if draft.operation is not Operation.RECURRENT or output.dim() != 3:
        return None
    steps = output if not getattr(draft.recurrent, "batch_first", False) else output.transpose(0, 1)
    if len(steps) < 2:
        return None
    forward = steps[..., : steps.shape[-1] // int(dict(draft.settings).get("directions", 1.0))]
    first, last = (float(at.detach().double().square().mean().sqrt()) for at in (forward[0], forward[-1]))
    return first, last


def _tokens(draft: Draft, output: torch.Tensor) -> torch.Tensor | None:
    """The output as (batch, positions, units) where it is a stream of tokens; attention's heads are put together."""
    if draft.operation is Operation.ATTENTION and output.dim() == 4:
        return output.transpose(1, 2).flatten(2)
    return output if draft.operation in STREAM and output.dim() == 3 and draft.unit_axis == 2 else None
