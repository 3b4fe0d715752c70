"""The loss probed alone: where moving the outputs freely leads, from a loss that is any callable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gainstage.backends.shared.free_outputs import COORDINATES, Coordinates
from gainstage.backends.shared.loss_symmetries import (
    alike_units,
    ignored_share,
    normalises_elsewhere,
    spread_points,
)
from gainstage.records import LossShape

__all__ = ["EXAMPLES", "Evaluate", "joint_shape", "loss_shape", "told_apart"]

Array = npt.NDArray[np.floating[Any]]
Evaluate = Callable[[Array], tuple[float, Array]]
"""From outputs, classes on the last axis, to the loss and its gradient by them."""

EXAMPLES = 8
"""So many examples are enough: the question is about the loss, not about the data."""

_DECADES = 4  # of distance along the ray of steepest descent
_PROPORTIONAL = 3.0  # a fall in proportion multiplies by 10 a decade, a logarithm by 1
_STEPS = 16  # of the descent
_DIFFERENT = 0.1  # of the distance moved: targets that differ by less lead to ends that differ by as little
_SHORTEST = 1e-6  # step of the descent, relative to the scale of the outputs


def loss_shape(evaluate: Evaluate, outputs: Array, target: Array | None, function: str) -> LossShape | None:
    """Move the outputs of a few examples to where the loss is lowest, and describe the way.

    The outputs follow a ray of steepest descent over four decades of distance, which tells a loss without a lower
    bound; then they descend by steps of resilient propagation (Riedmiller and Braun 1993), which go by the sign of the
    gradient alone, so that a flat start does not stop them.

    Args:
        evaluate: the loss and its gradient, from outputs of the shape of ``outputs``.
        outputs: (examples, ..., units), what the model returned.
        target: class labels (integers, one an example) or values of the shape of ``outputs``; None where it is
            neither, so that only the loss itself is described.
        function: the last function of the model, in front of which values are free; empty where there is none.

    Returns:
        the description; None where the coordinates are not known, the loss does not depend on the outputs, or is not
        finite at them.

    >>> import numpy as np
    >>> y = np.array([[1.0], [-2.0]])
    >>> squared = lambda o: (float(((o - y) ** 2).mean()), 2 * (o - y) / y.size)
    >>> found = loss_shape(squared, np.zeros((2, 1)), y, "")
    >>> found.unbounded, round(found.lowest, 2), round(found.correlation, 2)
    (False, 0.0, 1.0)
    >>> loss_shape(lambda o: (-squared(o)[0], -squared(o)[1]), np.zeros((2, 1)), y, "").unbounded
    True
    """
    chart = COORDINATES.get(function)
    if chart is None or outputs.ndim < 1 or not np.isfinite(outputs).all():
        return None
    free = np.asarray(chart.free(outputs.astype(np.float64)))
    walk = _Walk(evaluate, chart)
    start = walk.at(free)
    if start is None:
        return None
    target = _fitted(target, outputs.shape)
    scale = _scale(free, target)
    if not np.abs(start.gradient).max(initial=0.0) > 0:
        return _level(evaluate, chart, outputs, target, start.loss)
    growth, linear = _growth(walk, free, start, scale)
    end, unturned = walk.descend(free, start, scale)
    if growth is None:  # some examples alone may fall for ever, where others meet an end
        growth, linear = _growth(walk, end.free, _Point(end.free, end.loss, end.gradient * unturned), scale)
    moved = float(np.sqrt(np.mean((end.free - free) ** 2)))
    labels = target is not None and target.ndim == outputs.ndim - 1 == 1 and np.issubdtype(target.dtype, np.integer)
    values = target is not None and target.shape == outputs.shape
    return LossShape(
        examples=len(outputs),
        start=start.loss,
        lowest=min(start.loss, end.loss),
        growth=growth,
        linear=linear,
        slope=_slope(start.gradient),
        steepest=walk.steepest,
        towards=_towards(start.gradient, outputs, target) if labels or values else None,
        responds=_responds(end.free, target, moved) if labels or values else None,
        own_rank=_own_rank(chart.outputs(end.free), target) if labels and target is not None else None,
        correlation=_correlation(chart.outputs(end.free), target) if values and target is not None else None,
        uninformed=_uninformed(walk, free, target) if labels or values else None,
        distance=_distance(chart, chart.outputs(end.free), target) if values and target is not None else None,
        at_target=_at_target(evaluate, chart, target) if values and target is not None else None,
        ignored=_ignored(walk, (start, end), target) if (values or labels) and target is not None else None,
        alike=alike_units(end.free, target) if values and target is not None and growth is None else None,
        elsewhere=not function and normalises_elsewhere(evaluate, outputs, target),
    )


def joint_shape(evaluate: Evaluate, outputs: Array, columns: Sequence[int], target: Array | None) -> LossShape | None:
    """Describe a loss of several outputs, laid side by side: whether it is bounded, and whether it reads all examples.

    Args:
        evaluate: the loss and its gradient, from outputs of the shape of ``outputs``.
        outputs: (examples, units), all outputs of an example in one row.
        columns: the units of each output.
        target: one value an example; None where there is none.

    Returns:
        the description; None where the loss or its gradient is not finite at the outputs, or the gradient is zero.
    """
    walk, free = _Walk(evaluate, COORDINATES[""]), outputs.astype(np.float64)
    start = walk.at(free)
    if start is None or not np.abs(start.gradient).max(initial=0.0) > 0:
        return None
    growth, linear = _growth(walk, free, start, _scale(free, None))
    one_each = target is not None and target.size == len(target) == len(free) > 1
    return LossShape(
        examples=len(free),
        start=start.loss,
        lowest=start.loss,
        growth=growth,
        linear=linear,
        slope=_slope(start.gradient),
        steepest=_slope(start.gradient),
        ignored=_ignored(walk, (start,), target, columns) if one_each and target is not None else None,
    )


def told_apart(outputs: Array, function: str) -> Array:
    """Outputs moved so that every example has others: equal ones cannot show whether a loss reads its targets.

    >>> told_apart(np.zeros((2, 2)), "")
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    chart = COORDINATES.get(function)
    if chart is None or len(outputs) < 2:
        return outputs
    free = np.asarray(chart.free(outputs.astype(np.float64)))
    ramp = np.linspace(-1, 1, len(free)).reshape(-1, *[1] * (free.ndim - 1))
    signs = (-1.0) ** np.arange(free.shape[-1]) if free.ndim > 1 else 1.0
    return np.asarray(chart.outputs(np.zeros_like(free) + ramp * signs * _scale(free * 0, None)))


def _fitted(target: Array | None, shape: tuple[int, ...]) -> Array | None:
    """The target in the shape of the outputs, where they differ by axes of length one."""
    if target is None or target.shape == shape:
        return target
    without_ones = [size for size in shape if size != 1]
    same = [size for size in target.shape if size != 1] == without_ones
    return target.reshape(shape) if same and not np.issubdtype(target.dtype, np.integer) else target


def _level(
    evaluate: Evaluate, chart: Coordinates, outputs: Array, target: Array | None, start: float
) -> LossShape | None:
    """A loss whose gradient is exactly zero at the outputs: flat where a lower loss is known, else independent."""
    if target is None or target.shape != outputs.shape:
        return None
    known = _at_target(evaluate, chart, target)
    if known is None or not known < start:
        return None
    return LossShape(len(outputs), start, known, None, 0.0, 1.0, at_target=known)


@dataclass(frozen=True, slots=True)
class _Point:
    free: Array
    loss: float
    gradient: Array


class _Walk:
    """Evaluates the loss in free coordinates and remembers the steepest gradient met."""

    def __init__(self, evaluate: Evaluate, chart: Coordinates) -> None:
        self.evaluate, self.chart, self.steepest = evaluate, chart, 0.0

    def at(self, free: Array) -> _Point | None:
        """Loss and gradient there; None where either is not finite."""
        outputs = self.chart.outputs(free)
        loss, gradient = self.evaluate(outputs)
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return None
        pulled = self.chart.pull_back(free, outputs, gradient)
        return _Point(free, loss, pulled)

    def descend(self, free: Array, start: _Point, scale: float) -> tuple[_Point, Array]:
        """Resilient propagation: every coordinate has a step of its own, halved where its gradient changes sign.

        Returns the best point, and which coordinates never turned.
        """
        unturned = np.ones(free.shape, dtype=bool)
        steps = np.full(free.shape, scale / 4)
        best = here = start
        self.steepest = _slope(start.gradient)
        for _ in range(_STEPS):
            found = self.at(here.free - steps * np.sign(here.gradient))
            if found is None:
                steps = steps / 4
                continue
            same = np.sign(found.gradient) * np.sign(here.gradient)
            unturned &= same > 0
            steps = np.clip(steps * np.where(same > 0, 1.5, np.where(same < 0, 0.5, 1.0)), _SHORTEST * scale, None)
            here = found
            self.steepest = max(self.steepest, _slope(found.gradient))
            best = min(best, found, key=lambda point: point.loss)
        return best, unturned


def _slope(gradient: Array) -> float:
    return float(np.sqrt(np.mean(gradient**2))) * gradient.size


def _scale(free: Array, target: Array | None) -> float:
    """The distance that matters: the size of the free outputs or targets, and at least one."""
    sizes = [1.0, float(np.sqrt(np.mean(free**2)))]
    if target is not None and target.shape == free.shape:
        sizes.append(float(np.sqrt(np.mean(target.astype(np.float64) ** 2))))
    return max(sizes)


def _growth(walk: _Walk, free: Array, start: _Point, scale: float) -> tuple[float | None, bool]:
    """The power of the distance with which the loss falls along its steepest descent; None where the fall ends.

    Also whether it falls with the slope of the start all the way.
    """
    if not np.abs(start.gradient).max(initial=0.0) > 0:
        return None, False
    direction = -start.gradient / np.abs(start.gradient).max()
    losses = [start.loss]
    for decade in range(1, _DECADES + 1):
        loss, _ = walk.evaluate(walk.chart.outputs(free + direction * scale * 10.0**decade))
        if loss == -np.inf:
            return float("inf"), False
        if not np.isfinite(loss):
            return None, False
        losses.append(loss)
    falls = -np.diff(losses)
    promised = float(-(start.gradient * direction).sum()) * scale * 10.0**_DECADES  # the fall at the slope of the start
    lasting = (falls > 0).all() and falls[-1] > promised / 100
    if not lasting or not falls[-1] > _PROPORTIONAL * falls[-2] > _PROPORTIONAL**2 * falls[-3]:
        return None, False
    return float(np.log10(falls[-1] / falls[-2])), bool(np.isclose(falls.sum(), promised, rtol=1e-4))


def _towards(gradient: Array, outputs: Array, target: Array | None) -> float | None:
    """Share of examples whose descent raises the own class above the others, or moves towards the own values."""
    if target is None:
        return None
    descent = -gradient
    if target.shape == outputs.shape:
        # A loss on logits moves them to the side of the target, a regression to its value.
        wishes = (target - outputs, target - target.mean(0))
        shares = [share for wish in wishes if (share := _share(descent * wish)) is not None]
        return max(shares, key=lambda share: abs(share - 0.5), default=None)
    inside = (target >= 0) & (target < outputs.shape[-1])
    own = np.take_along_axis(descent, np.where(inside, target, 0)[:, None], -1)[:, 0]
    return _share(np.where(inside, own - descent.mean(-1), 0.0)[:, None])


def _share(along: Array) -> float | None:
    """Share of examples whose sum is positive, among those whose sum is not zero."""
    sums = along.reshape(len(along), -1).sum(-1)
    judged = sums[sums != 0]
    return float((judged > 0).mean()) if judged.size else None


def _responds(free: Array, target: Array | None, moved: float) -> float | None:
    """Spread across examples of where the outputs end, over the distance moved."""
    if target is None or moved == 0 or len(target) < 2 or (target == target[:1]).all():
        return None
    if target.shape == free.shape and np.sqrt(np.mean((target - target.mean(0)) ** 2)) < _DIFFERENT * moved:
        return None
    return float(np.sqrt(np.mean((free - free.mean(0)) ** 2))) / moved


def _uninformed(walk: _Walk, free: Array, target: Array | None) -> float | None:
    """The loss at equal logits, or, for values other than zero and one, at the mean of the targets."""
    outputs = walk.chart.outputs(np.zeros_like(free))
    if target is not None and target.shape == free.shape and not np.isin(target, (0, 1)).all():
        mean = np.broadcast_to(target.mean(0), free.shape).astype(np.float64)
        if not (mean.min() >= walk.chart.low and mean.max() <= walk.chart.high):
            return None
        outputs = mean.copy()
    loss, _ = walk.evaluate(outputs)
    return float(loss) if np.isfinite(loss) else None


def _ignored(walk: _Walk, points: Sequence[_Point], target: Array, columns: Sequence[int] = ()) -> float | None:
    """Share of examples by whose outputs the loss has no gradient anywhere, where all have one value of their own."""
    free = points[0].free
    ramp = free + np.linspace(-1, 1, len(target)).reshape(-1, *[1] * (free.ndim - 1))
    others = (ramp, *spread_points(free, columns)) if free.ndim == 2 else (ramp,)
    known = [*points, *(found for at in others if (found := walk.at(at)) is not None)]
    outside = np.issubdtype(target.dtype, np.integer) and target.ndim < free.ndim and not columns
    counted = target >= 0 if outside else np.ones(len(target), dtype=bool)  # -1 marks an example without a label
    return ignored_share([point.gradient[counted] for point in known], target[counted]) if counted.any() else 0.0


def _own_rank(outputs: Array, target: Array) -> float | None:
    classes = outputs.shape[-1]
    inside = (target >= 0) & (target < classes)
    if classes < 2 or not inside.any():
        return None
    own = np.take_along_axis(outputs[inside], target[inside][:, None], -1)
    return float((outputs[inside] < own).sum(-1).mean() / (classes - 1))


def _correlation(outputs: Array, target: Array) -> float | None:
    one, other = outputs.ravel(), target.astype(np.float64).ravel()
    if one.std() <= 1e-12 * max(np.abs(one).max(), 1e-300) or other.std() == 0:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _distance(chart: Coordinates, outputs: Array, target: Array) -> float | None:
    """Root mean square of outputs minus targets over the spread of the targets, where outputs can equal targets."""
    values = target.astype(np.float64)
    return float(np.sqrt(np.mean((outputs - values) ** 2)) / values.std()) if _feasible(chart, values) else None


def _feasible(chart: Coordinates, values: Array) -> bool:
    """Whether the model's last function can give these values; a last layer without one gives logits as well."""
    inside = np.isfinite(chart.low) and values.min() >= chart.low and values.max() <= chart.high and values.std() > 0
    return bool(inside and (not chart.normalised or np.allclose(values.sum(-1), 1, atol=1e-4)))


def _at_target(evaluate: Evaluate, chart: Coordinates, target: Array) -> float | None:
    """The loss where the outputs equal the targets, where the model's last function can give them."""
    values = target.astype(np.float64)
    if np.isfinite(chart.low) and not _feasible(chart, values):
        return None
    loss, _ = evaluate(values)
    return float(loss) if np.isfinite(loss) else None
