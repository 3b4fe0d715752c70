"""One forward and one backward pass: from a Keras model and a batch to a Profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.first_step import require_optimizer, try_step
from gainstage.backends.keras.measuring.gradients import Differentiated, compiled, differentiate, own_variables
from gainstage.backends.keras.measuring.loss_shape import shape_of
from gainstage.backends.keras.measuring.over_time import over_time
from gainstage.backends.keras.measuring.prediction_inputs import version
from gainstage.backends.keras.measuring.reactions import reactions_of
from gainstage.backends.keras.measuring.replay import Replayed, Tap, replay
from gainstage.backends.keras.measuring.task_facts import labels_as_read, task_of
from gainstage.backends.keras.measuring.weights import profile_parameter
from gainstage.backends.keras.measuring.wiring import wiring_of
from gainstage.backends.keras.models.batch import Batch, as_array, first_output, outputs_of, prepare, values_of
from gainstage.backends.keras.models.losses import Criterion, criterion_of
from gainstage.backends.keras.tracing.call import Draft
from gainstage.backends.keras.tracing.trace import Program, brief, materialise, program_of, require_model
from gainstage.backends.protocol import Detail
from gainstage.backends.shared.arrays import look_at, magnitudes_of, moments_of, token_correlation, unit_stats
from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.backends.shared.selection import (
    MASKING,
    NO_GRADIENT,
    STREAM,
    bounds_of,
    is_rectified,
    require_detail,
    require_finite,
    selected,
)
from gainstage.backends.shared.word_sums import WordSums
from gainstage.errors import GainstageError, ModelError
from gainstage.graph import Operation
from gainstage.records import LossShape, NodeProfile, Profile, Reactions, Source, Step, Task

__all__ = ["record"]

Array = NDArray[Any]


def record(
    model: Any,
    inputs: Any,
    target: Any = None,
    *,
    loss: Any = None,
    optimizer: Any = None,
    detail: Detail = "standard",
    seed: int = 0,
    synthetic: bool = False,
) -> Profile:
    """Measure the signal and the gradient at every stage of a model, as if it was to train.

    The model is replayed as a pure function of its weights, so that nothing of it changes: weights, statistics of
    batch normalisations, states of dropout. One that was not built yet is built, as by its first call.

    Args:
        model: a Keras 3 model or layer on any of its backends.
        inputs: the batch: an array or tensor, or the list or dict of them that the model takes.
        target: labels.
        loss: a name or object of Keras, or a function of ``(y_true, y_pred)``; by default that of ``model.compile``.
            Without any, random signs stand in for the gradient at the output.
        optimizer: a name or object; by default that of ``model.compile`` where its loss is used too. Its first step is
            worked out with one more forward pass.
        detail: ``lean`` leaves out normalisations, sums and extremes; ``start`` leaves out the further passes of a few
            examples, which say nothing of weights; ``magnitudes`` adds distributions of absolute values.
        seed: of dropout and the like, and of the signs.
        synthetic: whether the inputs were made up.

    Penalties that layers add to the loss by themselves (regularizers, ``add_loss``) belong to the gradients and to the
    optimizer's step. The loss that is told is without them, since only so it can be compared with chance.

    Raises:
        InputError: the batch, labels, loss or optimizer cannot be used.
        ModelError: the model's own code raised.

    >>> model = keras.Sequential([keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(2)])
    >>> profile = record(model, np.random.default_rng(0).normal(size=(16, 4)))
    >>> [profile.node(n).function or profile.node(n).name for n in profile.nodes]
    ['matmul', 'tanh', 'matmul']
    """
    require_detail(detail)
    model = require_model(model)
    batch = prepare(inputs)
    require_finite(
        (name, array.shape, bool(np.isfinite(array).all()))
        for name, array in zip(batch.names, batch.arrays, strict=True)
        if array.dtype.kind == "f"
    )
    criterion = criterion_of(model, loss, target)
    if optimizer is None and loss is None and criterion is not None:
        optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        optimizer = require_optimizer(optimizer)
    materialise(model, inputs)
    program = program_of(model, batch, criterion)
    return _Recording(model, program, batch, criterion, optimizer, detail, seed, synthetic).profile()


class _Recording:
    """The state of one measurement; its only product is the profile."""

    def __init__(
        self,
        model: Any,
        program: Program,
        batch: Batch,
        criterion: Criterion | None,
        optimizer: Any,
        detail: Detail,
        seed: int,
        synthetic: bool,
    ) -> None:
        self.model, self.program, self.batch = model, program, batch
        self.criterion, self.optimizer = criterion, optimizer
        self.detail, self.seed, self.synthetic = detail, seed, synthetic
        self.inputs = [ops.convert_to_tensor(array) for array in batch.arrays]
        self.notes = list(program.notes)
        self.log = MagnitudeLog(magnitudes_of, as_array, detail)

    def profile(self) -> Profile:
        graph, program = self.program.graph, self.program
        sums = WordSums()
        wanted = {d.index: d for d in program.drafts if self._wanted(d, adds_to_words=sums.meets(d))}
        trainable = {p.path: program.parameters[p.path] for p in graph.parameters if p.trainable}
        arrays = {path: values_of(v) for path, v in program.parameters.items()}
        weights = {p: ops.convert_to_tensor(arrays[p]) for p in trainable if arrays[p].dtype.kind not in "iub"}
        shapes = {index: (d.shape, d.dtype) for index, d in wanted.items()}
        asked: dict[int, Any] = {}
        with own_variables() as own:
            total, (value, output), by_weight, seen, by_node = self._differentiated(asked, weights, shapes)
        by_weight, by_node = self._connected(by_weight, by_node)
        nodes = [self._look(wanted[index], tensor, by_node.get(index)) for index, tensor in sorted(seen.items())]
        growth = over_time(program, self.inputs, {n.node: n for n in nodes}, self.seed)
        nodes = [replace(n, over_time=growth.get(n.node)) for n in nodes]
        loss = float(as_array(value)) if self.criterion is not None else None
        if not by_weight:
            self.notes.append(NO_GRADIENT)
        step, updates = self._step(trainable, by_weight, float(as_array(total)), loss)
        parameters = tuple(
            profile_parameter(graph, p, arrays, _array(by_weight.get(p.path)), updates.get(p.path))
            for p in graph.parameters
            if p.reached
        )
        for path, gradient in by_weight.items():
            self.log.add("weight", path, arrays[path])
            self.log.add("weight_gradient", path, as_array(gradient))
        returned, source = as_array(output), self._source(output)
        task = task_of(self.batch, graph, returned, self.criterion, loss, self.optimizer, synthetic=self.synthetic)
        task = replace(task, loss_shape=self._loss_shape(returned, task))
        bad = (loss is not None and not np.isfinite(loss)) or any(not n.forward.finite for n in nodes)
        return Profile(
            graph,
            tuple(replace(n, dtype="" if n.dtype == source.dtype else n.dtype) for n in nodes),
            parameters,
            task,
            source,
            step,
            self._first_nonfinite() if bad else None,
            bool(by_weight),
            tuple(self.notes),
            self._reactions(returned),
            wiring_of(self.model, program, asked.values(), own, by_weight, self.optimizer),
            hidden=self._hidden(),
            magnitudes=self.log.tensors(graph, set(wanted)),
        )

    def _differentiated(self, asked: dict[int, Any], weights: Any, shapes: Any) -> Differentiated:
        try:
            return differentiate(self._function(asked), weights, shapes)
        except GainstageError:
            raise
        except Exception as error:  # of the framework, in the loss or on the way back
            raise ModelError(
                f"The loss, or the way back from it, raised {brief(error)}. Training it raises the same: check the "
                "labels against the loss, and the last layer against what the loss takes."
            ) from error

    def _hidden(self) -> tuple[str, ...]:
        """Trainable matrices inside of operations that could not be looked into."""
        graph = self.program.graph

        def matrix(path: str) -> bool:
            parameter = graph.parameter(path)
            return parameter.trainable and sum(size > 1 for size in parameter.shape) > 1

        opaque = [n for n in graph.nodes if n.operation is Operation.UNKNOWN and n.stage == "model"]
        return tuple(dict.fromkeys(use.parameter for node in opaque for use in node.uses if matrix(use.parameter)))

    def _loss_shape(self, output: Array, task: Task) -> LossShape | None:
        if self.criterion is None or task.loss is None:
            return None
        labels = labels_as_read(self.criterion, output)
        return shape_of(self.criterion, output, labels, task.output, self.seed)

    def _reactions(self, output: Array) -> Reactions | None:
        if self.detail in ("lean", "start"):
            return None
        labels = labels_as_read(self.criterion, output) if self.criterion is not None else None
        return reactions_of(self.model, self.batch, labels, output.shape, self.program.graph, self.seed)

    def _connected(
        self, by_weight: Mapping[str, Any], by_node: Mapping[int, Any]
    ) -> tuple[dict[str, Any], dict[int, Any]]:
        """Without the zeros that JAX returns for what does not lead to the loss; other backends return nothing."""
        graph = self.program.graph
        leading = {graph.loss} if graph.loss is not None else set(graph.outputs)
        for node in reversed(graph.nodes):
            if node.index in leading:
                leading.update(node.inputs)
        return (
            {p: g for p, g in by_weight.items() if leading.intersection(graph.parameter(p).nodes) or as_array(g).any()},
            {n: g for n, g in by_node.items() if n in leading or as_array(g).any()},
        )

    def _function(self, asked: dict[int, Any]) -> Any:
        def function(weights: Mapping[str, Any], tap: Tap) -> tuple[Any, Any]:
            found = replay(self.program, self.inputs, weights, seed=self.seed, tap=tap)
            asked.update((id(variable), variable) for variable in found.asked)
            value = self._loss_of(found.output)
            return self._with_penalties(value, found), (value, first_output(found.output))

        return function

    def _with_penalties(self, value: Any, found: Replayed) -> Any:
        for penalty in found.penalties if self.criterion is not None else ():
            value = value + ops.cast(ops.sum(penalty), value.dtype)
        return value

    def _loss_of(self, output: Any) -> Any:
        if self.criterion is not None:
            return self.criterion.on_arrays(output)
        # Random signs as the gradient at every output, the same on every backend.
        rng, returned, total = np.random.default_rng(self.seed), outputs_of(output), 0.0
        for seen in (returned[end] for end in self.program.ends):
            signs = ops.convert_to_tensor((rng.integers(0, 2, seen.shape) * 2 - 1).astype("float32"))
            total = total + ops.sum(ops.cast(seen, "float32") * signs)
        return total / self.batch.examples

    def _source(self, output: Any) -> Source:
        dtype = keras.backend.standardize_dtype(output.dtype)
        return Source("measured", version(), "cpu", dtype, self.batch.arrays[0].shape, self.seed, self.detail)

    def _wanted(self, draft: Draft, *, adds_to_words: bool) -> bool:
        sized = draft.stage == "model" and 0 not in draft.shape and draft.dtype.startswith(("float", "bfloat"))
        return sized and (selected(draft, self.detail) or (adds_to_words and self.detail != "lean"))

    def _look(self, draft: Draft, output: Any, gradient: Any) -> NodeProfile:
        """Moments of one node's output, and of the gradient by it."""
        array = as_array(output)
        self.log.add("output", draft.index, array, draft.dtype)
        standard = self.detail != "lean"
        stride = array.size // self.batch.examples if draft.leading else None
        look = look_at(array, self.batch.examples, stride, extremes=standard)
        units = unit_stats(look, draft.shape, draft.unit_axis, rectified=is_rectified(draft), bounds=bounds_of(draft))
        if standard and draft.operation in STREAM and len(draft.shape) == 3 and draft.unit_axis == 2:
            units = replace(units, token_correlation=token_correlation(array, look.moments.second_moment))
        backward = None
        if gradient is not None:
            backward = moments_of(as_array(gradient))
            self.log.add("gradient", draft.index, as_array(gradient), draft.dtype)
        return NodeProfile(draft.index, look.moments, backward, units, dtype=draft.dtype)

    def _step(
        self, trainable: Mapping[str, Any], gradients: Mapping[str, Any], total: float, loss: float | None
    ) -> tuple[Step | None, Mapping[str, float]]:
        """The optimizer's step downhill of the total, told as what it does to the loss without penalties."""
        if self.optimizer is None or not gradients or loss is None:
            return None, {}

        def loss_at(weights: Mapping[str, Any]) -> float:
            def loss_of(arrays: list[Any]) -> Any:
                found = replay(self.program, arrays, weights, seed=self.seed)
                return self._with_penalties(self._loss_of(found.output), found)

            return float(as_array(compiled(loss_of)(self.inputs)))

        step, updates = try_step(self.optimizer, trainable, gradients, total, loss_at, self.log)
        return replace(step, loss_after=loss + (step.loss_after - total)), updates

    def _first_nonfinite(self) -> int | None:
        """Run forward once more and look for the first output with a NaN or an infinity."""
        by_index = {d.index: d for d in self.program.drafts}

        def look(arrays: list[Any]) -> dict[int, Any]:
            found: dict[int, Any] = {}

            def tap(node: int, output: Any) -> Any:
                draft = by_index[node]
                if draft.dtype.startswith(("float", "bfloat")):
                    masking = draft.operation in MASKING
                    # −inf marks what attention must not see
                    found[node] = ops.any(ops.isnan(output) if masking else ops.logical_not(ops.isfinite(output)))
                return output

            replay(self.program, arrays, {}, seed=self.seed, tap=tap)
            return found

        return min((node for node, bad in compiled(look)(self.inputs).items() if bool(as_array(bad))), default=None)


def _array(gradient: Any) -> Any:
    return as_array(gradient) if gradient is not None else None
