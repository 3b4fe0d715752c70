"""Moments of recurrent layers over time: where outputs converge, and how gradients return."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

import numpy as np

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.shifted import joint_moments, shifted_moments
from gainstage.theory.recurrence.cells import Gru, Line, Lstm, Paths, backward_paths, forward_paths
from gainstage.theory.recurrence.replicas import common_level

__all__ = ["CellKind", "RecurrentMoments", "recurrent_moments"]

CellKind = Literal["rnn", "lstm", "gru"]
PerGate: TypeAlias = float | Sequence[float]

_GATES = {"rnn": 1, "lstm": 4, "gru": 3}
_UNITS = 4096
_HORIZON = 96  # computed steps; a longer sequence is extrapolated
_BOUND = 1e150
_HALVINGS = 40
_SETTLED = 0.02  # growth per step below this is sampling noise


@dataclass(frozen=True, slots=True)
class RecurrentMoments:
    """Moments of a recurrent layer over units, in the limit of many units.

    Args:
        steps: length of the sequence.
        second_moments: E h² after each computed step (at most the first 96).
        second_moment: E h², mean over the sequence.
        last: E h² after the last step.
        mean: E h over units, mean over the sequence.
        correlation: cosine similarity of the outputs at two different times, mean over pairs.
        neighbour: cosine similarity of outputs one step apart.
        far: cosine similarity of outputs at the most distant computed times.
        examples: cosine similarity of the outputs for two examples, which share the biases.
        backward: factor on the gradient's second moment from outputs to inputs, mean over the sequence, for as many
            inputs as units; times units/inputs otherwise.
        backwards: the same at each computed step.
        gates: second moment of the gradient at the pre-activations of each gate that reads the input, mean over the
            sequence.
        backward_correlation: correlation of the gradients at the inputs of two different times, mean over pairs.
        backward_neighbour: correlation of the gradients one step apart.
    """

    steps: int
    second_moments: tuple[float, ...]
    second_moment: float
    last: float
    mean: float
    correlation: float
    neighbour: float
    far: float
    backward: float
    backwards: tuple[float, ...]
    gates: tuple[float, ...]
    examples: float = 0.0
    backward_correlation: float = 0.0
    backward_neighbour: float = 0.0


def recurrent_moments(
    kind: CellKind,
    steps: int,
    *,
    level: float = 1.0,
    correlation: float = 0.0,
    neighbour: float | None = None,
    examples: float = 0.0,
    input_weight: PerGate = 1.0,
    recurrent_weight: PerGate = 1.0,
    bias: PerGate = 0.0,
    recurrent_bias: PerGate = 0.0,
    bias_mean: PerGate = 0.0,
    activation_kind: str | Activation | Elementwise = "tanh",
    arrives: Literal["all", "last"] = "all",
    gradient_correlation: float = 0.0,
    gradient_neighbour: float | None = None,
) -> RecurrentMoments:
    """Mean field of a recurrent layer that starts from zeros.

    Weights are used again at every step, but in the limit of many units the sums are Gaussian as if they were not. A
    simple RNN is integrated; LSTM and GRU are sampled by 4096 paths of units (the same ones at every call), good to
    about 1 %.

    Where something differs between gates, it is given in PyTorch's order: i, f, g, o and r, z, n.

    Args:
        kind: ``rnn``, ``lstm`` or ``gru`` (reset after the weights: PyTorch's, and Keras's default).
        steps: length of the sequence.
        level: E x² of the inputs.
        correlation: of the inputs at two times, uncentred, mean over all pairs of the sequence.
        examples: of the inputs of two examples.
        neighbour: of the inputs one step apart, from which it falls off to a common part; the same for all by default.
        input_weight: inputs · variance of the weights on the input.
        recurrent_weight: units · variance of the weights on the output before.
        bias: variance of the input biases over units.
        recurrent_bias: the same of the recurrent biases.
        bias_mean: mean of both biases together: 1 for the forget gate of many LSTMs.
        activation_kind: of a simple RNN.
        arrives: whether gradients come from outside at every output or at the last one only.
        gradient_correlation: of those gradients at two times, mean over all pairs.
        gradient_neighbour: the same one step apart. A simple RNN uses neither: its gradients have passed its weights,
            which makes those of different steps independent.

    Raises:
        UnknownNameError: no such cell.
        InputError: an argument out of range, as many values as there are no gates, or a signal beyond float64.

    Sources: Chen, Pennington and Schoenholz 2018; Gilboa et al. 2019, section 3; Yang 2019 for reused weights.

    >>> from gainstage.theory import recurrent_moments
    >>> found = recurrent_moments("rnn", 50, input_weight=0.5, recurrent_weight=0.5, activation_kind="linear")
    >>> round(found.last, 9), round(found.backwards[0], 9)       # 0.5 / (1 - 0.5) of the input, and of the gradient
    (1.0, 1.0)
    """
    if kind not in get_args(CellKind):
        raise UnknownNameError("recurrent cell", kind, get_args(CellKind))
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"A sequence has a whole number of steps, at least 1; received {steps!r}.")
    if arrives not in ("all", "last"):
        raise UnknownNameError("arrival of gradients", arrives, ("all", "last"))
    _check_similarities(
        {
            "inputs": correlation, "inputs one step apart": neighbour or 0.0, "gradients": gradient_correlation,
            "gradients one step apart": gradient_neighbour or 0.0, "two examples": examples,
        }
    )  # fmt: skip
    count = _GATES[kind]
    level = _each("level", level, 1)[0]
    weights, recurrent = _each("input_weight", input_weight, count), _each("recurrent_weight", recurrent_weight, count)
    biases, more = _each("bias", bias, count), _each("recurrent_bias", recurrent_bias, count)
    means = _each("bias_mean", bias_mean, count, least=-math.inf)
    similarity = _similarity(correlation, neighbour, int(steps))
    if kind == "rnn":
        line = Line(weights[0], recurrent[0], biases[0] + more[0], means[0])
        simple, shared = _simple(activation(activation_kind), line, int(steps), level, similarity, arrives, examples)
        beside = gradient_correlation if gradient_neighbour is None else gradient_neighbour
        found = replace(
            _summary(int(steps), *simple), backward_correlation=gradient_correlation, backward_neighbour=beside
        )
        return replace(found, examples=shared)
    cell, lines = _gated(kind, weights, recurrent, (biases, more), means)
    returning = _similarity(gradient_correlation, gradient_neighbour, int(steps))
    paths = forward_paths(cell, lines, min(int(steps), _HORIZON), _UNITS, level, similarity)
    gradients = backward_paths(cell, lines, paths, arrives, returning)[: len(weights)]
    found = _sampled(int(steps), paths, gradients, weights)
    shared = common_level(cell, lines, paths, level * examples)
    return replace(found, examples=min(shared / found.second_moment, 1.0) if found.second_moment > 0 else 0.0)


def _check_similarities(given: Mapping[str, float]) -> None:
    for name, value in given.items():
        if not 0 <= value <= 1:
            raise InputError(f"The correlation of {name} over time lies between 0 and 1; received {value!r}.")


def _gated(
    kind: CellKind,
    weights: tuple[float, ...],
    recurrent: tuple[float, ...],
    biases: tuple[tuple[float, ...], tuple[float, ...]],
    means: tuple[float, ...],
) -> tuple[Lstm | Gru, tuple[Line, ...]]:
    """Return an LSTM or a GRU with the moments of its pre-activations."""
    first, second = biases
    if kind == "lstm":
        every = zip(weights, recurrent, first, second, means, strict=True)
        return Lstm(), tuple(Line(w, r, one + two, mean) for w, r, one, two, mean in every)
    # The last gate has two pre-activations, since the reset gate multiplies only the recurrent one.
    return Gru(), (
        *(Line(weights[k], recurrent[k], first[k] + second[k], means[k]) for k in (0, 1)),
        Line(weights[2], 0.0, first[2], means[2]),
        Line(0.0, recurrent[2], second[2], 0.0),
    )


def _sampled(steps: int, paths: Paths, gradients: Array, weights: tuple[float, ...]) -> RecurrentMoments:
    """Return the moments of sampled paths and of their gradients, shape (gates, steps, units)."""
    covariance = paths.output @ paths.output.T / _UNITS
    levels, between = np.diag(covariance), _between(covariance, steps)
    returned = np.einsum("l,lsu,ltu->st", np.asarray(weights), gradients, gradients) / _UNITS
    correlation, neighbour, _ = _between(returned, steps)
    found = _summary(steps, levels, paths.output.mean(-1), between, (gradients**2).mean(-1), weights)
    return replace(found, backward_correlation=correlation, backward_neighbour=neighbour)


def _simple(
    act: Activation, line: Line, length: int, level: float, similarity: Array, arrives: str, examples: float
) -> tuple[tuple[Array, Array, tuple[float, float, float], Array, tuple[float, ...]], float]:
    """Compute a simple RNN by one integral per step: an output depends on its step's pre-activation alone."""
    steps = min(length, _HORIZON)
    own = line.input_weight * level + line.bias
    squares, means, slopes, variances = (np.zeros(steps) for _ in range(4))
    before = 0.0
    for t in range(steps):
        variances[t] = own + line.recurrent_weight * before
        if not variances[t] < _BOUND:
            raise InputError(
                f"The outputs of the recurrent layer grow without bound: E h² is {before:.3g} by step {t}."
            )
        moments = shifted_moments(act, line.mean, variances[t])
        before = squares[t] = float(moments.second_moment)
        means[t] = moments.mean
        slopes[t] = moments.derivative_second_moment

    def products(alike: float) -> Array:
        """E h h' of two times so alike in their inputs, by the earlier one: it grows from that of the steps before."""
        found, joint = np.zeros(steps), 0.0
        for t in range(steps):
            pair = float(variances[t]), float(variances[-1])
            covariance = line.input_weight * level * alike + line.bias + line.recurrent_weight * joint
            c = min(covariance / math.sqrt(pair[0] * pair[1]), 1.0) if min(pair) > 0 else 0.0
            found[t] = joint = joint_moments(act, act, c, means=(line.mean,) * 2, variances=pair)[0]
        return found

    pairs = np.arange(length - 1, 0, -1.0)  # number of pairs by lag, the largest lags first
    shared = products(float(pairs @ similarity[1:]) / float(pairs.sum()) if length > 1 else 1.0)
    gates = np.zeros((1, steps))
    later = 0.0
    for t in range(steps - 1, -1, -1):
        at_output = (1.0 if arrives == "all" or t == steps - 1 else 0.0) + line.recurrent_weight * later
        gates[0, t] = later = slopes[t] * at_output
    weight = np.maximum(length - 1 - np.arange(length), 0)  # pairs whose earlier one is this step
    weight = np.append(weight[: steps - 1], weight[steps - 1 :].sum())
    mean = float(squares.sum() + (length - steps) * squares[-1]) / length
    apart = float(weight @ shared) / max(float(weight.sum()), 1.0)
    far = float(products(float(similarity[-1]))[-1])
    beside = float(products(float(similarity[1])) @ weight) / max(float(weight.sum()), 1.0) if length > 1 else mean
    alike = (apart / mean, beside / mean, far / mean) if mean > 0 else (0.0, 0.0, 0.0)
    replica = float(products(examples)[-1]) / mean if mean > 0 else 0.0
    return (squares, means, alike, gates, (line.input_weight,)), replica


def _summary(
    steps: int,
    squares: Array,
    means: Array,
    alike: tuple[float, float, float],
    gates: Array,
    weights: tuple[float, ...],
) -> RecurrentMoments:
    followed = squares.size
    more = steps - followed
    backwards = np.asarray(weights) @ gates
    averaged = [_extended(row, more) / steps for row in gates]
    return RecurrentMoments(
        steps=steps,
        second_moments=tuple(squares.tolist()),
        second_moment=float(squares.sum() + more * squares[-1]) / steps,
        last=float(squares[-1]),
        mean=float(means.sum() + more * means[-1]) / steps,
        correlation=alike[0],
        neighbour=alike[1],
        far=alike[2],
        backward=float(np.asarray(weights) @ averaged),
        backwards=tuple(backwards.tolist()),
        gates=tuple(averaged),
    )


def _extended(row: Array, more: int) -> float:
    """Return the sum over time when ``more`` further steps lie between the first and the last computed ones."""
    if not more:
        return float(row.sum())
    third = row.size // 3
    middle, later = float(row[third]), float(row[2 * third])
    growth = (middle / later) ** (1 / third) if later > 0 else 1.0
    if abs(growth - 1) < _SETTLED:
        growth, middle = 1.0, (middle + later) / 2
    with np.errstate(over="ignore"):
        between = middle * (growth ** np.arange(1.0, more + 1)).sum()
        return float(row[third:].sum() + between + row[:third].sum() * np.float64(growth) ** more)


def _similarity(correlation: float, neighbour: float | None, steps: int) -> Array:
    """Return the cosine similarity by lag, falling from 1 over ``neighbour`` to a common part at fixed mean."""
    found = np.full(steps, correlation)
    found[0] = 1.0
    if neighbour is None or neighbour <= correlation or steps < 3:
        return found
    lags = np.arange(steps)
    pairs = np.maximum(steps - lags, 0.0)[1:]
    low, high = min(0.0, correlation), correlation
    for _ in range(_HALVINGS):
        common = (low + high) / 2
        found = common + (1 - common) * ((neighbour - common) / (1 - common)) ** lags
        low, high = (common, high) if float(pairs @ found[1:]) < correlation * float(pairs.sum()) else (low, common)
    return np.asarray(found)


def _between(covariance: Array, steps: int) -> tuple[float, float, float]:
    """Return the mean cosine similarity of outputs at two different times, one step apart, and farthest apart."""
    followed = len(covariance)
    own = float(np.trace(covariance)) / followed
    if followed == 1 or own <= 0:
        return (1.0, 1.0, 1.0) if own > 0 else (0.0, 0.0, 0.0)
    lags = np.arange(1, followed)
    sums = np.array([np.trace(covariance, lag) for lag in lags])
    far = lags > 2 * followed // 3
    distant = float(sums[far].sum() / (followed - lags[far]).sum()) if far.any() else float(sums[-1])
    if steps > followed:  # larger lags count as the largest computed one
        lags = np.arange(1, steps)
        sums = np.append(sums / (followed - lags[: followed - 1]), np.full(steps - followed, distant)) * (steps - lags)
    beside = float(np.trace(covariance, 1)) / (followed - 1)
    return float(sums.sum() / (steps * (steps - 1) / 2)) / own, beside / own, distant / own


def _each(name: str, value: PerGate, count: int, least: float = 0.0) -> tuple[float, ...]:
    try:
        found = tuple(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,)).tolist())
    except (TypeError, ValueError) as error:
        raise InputError(f"'{name}' is a number or one for each of {count} gates; received {value!r}.") from error
    if not all(math.isfinite(one) and one >= least for one in found):
        raise InputError(
            f"'{name}' is finite" + (f" and at least {least:g}" if least == 0 else "") + f"; received {value!r}."
        )
    return found
