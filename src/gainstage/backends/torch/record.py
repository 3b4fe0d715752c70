"""One forward and one backward pass: from a model and a batch to a Profile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from gainstage.backends.torch.assemble import named_parameters
from gainstage.backends.torch.batch import Batch, prepare
from gainstage.backends.torch.call import Draft
from gainstage.backends.torch.facts import task_of
from gainstage.backends.torch.moments import look_at, moments_of, token_correlation, unit_stats
from gainstage.backends.torch.observe import LossFunction, Observation, observe
from gainstage.backends.torch.preserve import preserved, random_state
from gainstage.backends.torch.step import try_step, validate_optimizer
from gainstage.backends.torch.trace import materialised, unwrap
from gainstage.backends.torch.weights import profile_parameter
from gainstage.errors import InputError, ModelError
from gainstage.graph import Operation
from gainstage.records import Moments, NodeProfile, Note, Profile, Source, Step

__all__ = ["Detail", "record"]

Detail = Literal["lean", "standard"]

_MEASURED = frozenset(
    {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.EMBEDDING, Operation.ACTIVATION}
)
_ALSO = frozenset({Operation.NORMALIZATION, Operation.ADD, Operation.ATTENTION, Operation.SOFTMAX})
_STREAM = frozenset({Operation.NORMALIZATION, Operation.ADD, Operation.ATTENTION})
_RECTIFIERS = frozenset({"relu", "relu6", "threshold", "hardshrink", "softshrink"})
_BOUNDS = {"sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}
_ARITHMETIC = frozenset({"pow", "rsqrt", "sqrt", "reciprocal", "clamp", "abs", "log", "square"})


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
        detail: ``lean`` leaves out normalisations, sums and extremes.
        seed: of the random state during the pass (dropout).
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
    if detail not in ("lean", "standard"):
        raise InputError(f"Unknown detail {detail!r}. Choose 'lean' or 'standard'.")
    model = materialised(unwrap(model), inputs)
    if any(p.is_meta for p in model.parameters()):
        raise ModelError("The model's weights are on the meta device and hold no values, so nothing can be measured. "
            "Call model.to_empty(device='cpu') and initialize it, or trace it instead.")  # fmt: skip
    target = _as_tensor(target, model)
    batch = prepare(inputs, model, target)
    _validate(batch, target, loss)
    if optimizer is not None:
        validate_optimizer(optimizer, model)
    with preserved(model, seed):
        try:
            return _Recording(model, batch, target, loss, optimizer, detail, seed, synthetic).profile(accumulate=False)
        except RuntimeError as error:
            if "checkpoint" not in str(error).lower():
                raise
        # Reentrant checkpoints refuse torch.autograd.grad, so their gradients are accumulated and taken away again.
        for parameter in model.parameters():
            parameter.grad = None
        with random_state(seed):
            return _Recording(model, batch, target, loss, optimizer, detail, seed, synthetic).profile(accumulate=True)


def _as_tensor(target: Any, model: nn.Module) -> Any:
    if isinstance(target, np.ndarray):
        target = torch.from_numpy(np.ascontiguousarray(target))
    if isinstance(target, torch.Tensor):
        device = next((p.device for p in model.parameters()), target.device)
        return target.to(device)
    return target


def _validate(batch: Batch, target: Any, loss: LossFunction | None) -> None:
    for name, tensor in batch.tensors:
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(
                f"Input {name!r} of shape {tuple(tensor.shape)} holds NaN or infinite values. "
                "Clean the batch before measuring."
            )
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
        self.forward: dict[int, NodeProfile] = {}
        self.backward: dict[int, Moments] = {}
        self.notes: list[Note] = []

    def profile(self, *, accumulate: bool) -> Profile:
        with torch.enable_grad():
            seen = observe(self.model, self.batch, target=self.target, loss=self.loss, eye=self._look)
        value = None if seen.loss is None else float(seen.loss.detach())
        gradients = self._gradients(seen, accumulate=accumulate)
        parameters, _ = named_parameters(self.model)
        step: Step | None = None
        updates: Mapping[str, float] = {}
        if self.optimizer is not None and gradients and value is not None:
            step, updates = try_step(
                self.model, self.batch, self.target, self.loss, self.optimizer, gradients, parameters, value, self.seed
            )
        task = task_of(
            self.batch, seen, self.target, value, self.optimizer, training=self.model.training, synthetic=self.synthetic
        )
        bad = (value is not None and not np.isfinite(value)) or any(not n.forward.finite for n in self.forward.values())
        weights = tuple(
            profile_parameter(seen.graph, p, parameters, gradients.get(p.path), updates.get(p.path))
            for p in seen.graph.parameters
            if p.reached
        )
        nodes = tuple(replace(n, backward=self.backward.get(i)) for i, n in sorted(self.forward.items()))
        return Profile(
            seen.graph,
            nodes,
            weights,
            task,
            self._source(seen),
            step,
            self._first_nonfinite() if bad else None,
            bool(gradients),
            tuple(self.notes),
        )

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
        wanted = draft.operation in _MEASURED or (self.detail == "standard" and draft.operation in _ALSO)
        if not wanted or draft.stage != "model" or draft.function in _ARITHMETIC or not output.numel():
            return
        if not (output.is_floating_point() or output.is_complex()):
            return
        examples, standard = self.batch.examples, self.detail == "standard"
        look = look_at(output, examples, draft.example_stride, extremes=standard)
        units = unit_stats(
            look, draft.shape, draft.unit_axis, rectified=draft.function in _RECTIFIERS, bounds=_bounds(draft)
        )
        if standard and draft.operation in _STREAM and output.dim() == 3 and draft.unit_axis == 2:
            units = replace(units, token_correlation=token_correlation(output, look.moments.second_moment))
        self.forward[draft.index] = NodeProfile(draft.index, look.moments, None, units)

    # -- backward ----------------------------------------------------------------------------------------------------

    def _gradients(self, seen: Observation, *, accumulate: bool) -> dict[str, torch.Tensor]:
        """The gradient of every parameter; on the way, moments of the gradient at every measured node."""
        scalar = seen.loss if seen.loss is not None else _surrogate(seen.output, self.batch.examples)
        parameters, _ = named_parameters(self.model)
        wanted = {path: p for path, p in parameters.items() if p.requires_grad}
        if not scalar.requires_grad or not wanted:
            self.notes.append(
                Note("GS901", "No gradient reaches the loss, so that nothing about gradients could be judged.")
            )
            return {}
        hooks = [node.register_prehook(self._see(index)) for index, node in self._autograd_nodes(seen, scalar)]
        try:
            if accumulate:
                scalar.backward()  # type: ignore[no-untyped-call]
                return {path: p.grad.detach() for path, p in wanted.items() if p.grad is not None}
            found = torch.autograd.grad(scalar, list(wanted.values()), allow_unused=True)
        finally:
            for hook in hooks:
                hook.remove()
        return {path: g.detach() for path, g in zip(wanted, found, strict=True) if g is not None}

    def _autograd_nodes(self, seen: Observation, scalar: torch.Tensor) -> Iterator[tuple[int, Any]]:
        """The autograd node whose incoming gradient is that of a measured node's output."""
        latest: dict[int, Any] = {index: node for index, node in seen.region_gradients.items() if index in self.forward}
        sequence: dict[int, int] = {}
        pending, known = [scalar.grad_fn], set()
        while pending:
            node = pending.pop()
            if node is None or node in known:
                continue
            known.add(node)
            pending += [successor for successor, _ in node.next_functions]
            number = node._sequence_nr()
            owner = seen.owners.get(number)
            if owner in self.forward and owner not in seen.region_gradients and number > sequence.get(owner, -1):
                latest[owner], sequence[owner] = node, number
        yield from latest.items()

    def _see(self, index: int) -> Any:
        def hook(gradients: tuple[torch.Tensor | None, ...]) -> None:
            gradient = next((g for g in gradients if g is not None), None)
            if gradient is not None and gradient.layout is torch.strided:
                self.backward[index] = moments_of(gradient)

        return hook

    # -- trouble -----------------------------------------------------------------------------------------------------

    def _first_nonfinite(self) -> int | None:
        """Run forward once more and stop at the first output with a NaN or an infinity."""
        found: list[int] = []

        def eye(draft: Draft, output: torch.Tensor) -> None:
            if not found and output.is_floating_point() and not bool(torch.isfinite(output).all()):
                masked = draft.operation in (Operation.MASK, Operation.OFFSET) and not bool(torch.isnan(output).any())
                if not masked:  # −inf marks what attention must not see
                    found.append(draft.index)

        with torch.no_grad(), random_state(self.seed):
            observe(self.model, self.batch, target=self.target, loss=self.loss, eye=eye)
        return found[0] if found else None


def _bounds(draft: Draft) -> tuple[float, float] | None:
    if draft.function == "hardtanh":
        settings = dict(draft.settings)
        return settings.get("min_val", -1.0), settings.get("max_val", 1.0)
    return _BOUNDS.get(draft.function)


def _surrogate(output: torch.Tensor, examples: int) -> torch.Tensor:
    """A loss whose gradient at the output is a random sign everywhere."""
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, tuple(output.shape), generator=generator).to(output.device) * 2 - 1
    values = torch.view_as_real(output).sum(-1) if output.is_complex() else output
    return (values.float() * signs).sum() / max(examples, 1)
