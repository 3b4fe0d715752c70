"""LSTM and GRU cells in the limit of many units: paths of one unit over time, drawn from the field of all others.

In that limit the sums into a gate are a Gaussian process over time, the same for every unit, whose covariance is that
of the outputs: dynamical mean field theory. Outputs depend on the whole path through the cell's memory, so the
covariance is taken as a mean over drawn paths, step by step. Gradients are a Gaussian process backwards in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from gainstage.theory.activations import Array
from gainstage.theory.activations.elementary import sigmoid

__all__ = ["Gru", "Line", "Lstm", "Paths", "backward_paths", "forward_paths"]

_SEED = 5


@dataclass(frozen=True, slots=True)
class Line:
    """One sum of inputs to a gate.

    Args:
        input_weight: fan_in · variance of the weights on the input; 0 without.
        recurrent_weight: units · variance of the weights on the last output; 0 without.
        bias: variance of the biases over units.
        mean: of the biases.
    """

    input_weight: float
    recurrent_weight: float
    bias: float
    mean: float


@dataclass(frozen=True, slots=True)
class Paths:
    """Drawn paths of units.

    Args:
        sums: of every line, shape (lines, steps, units).
        state: the memory before every step, shape (steps, units).
        output: after every step, shape (steps, units).
    """

    sums: Array
    state: Array
    output: Array


class Cell(Protocol):
    """One step of a cell, forward and back, for many units at once."""

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Sums (lines, units) and memory before to output and memory after."""

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Gradients at the output and at the memory after, to those at the sums and at the memory before."""


class Lstm:
    """i, f, g, o: c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c') (Hochreiter 1997; Gers 2000)."""

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Output and memory."""
        i, f, g, o = sums
        memory = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(memory), memory

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Gradients at the four sums, and at the memory."""
        i, f, o = sigmoid(sums[[0, 1, 3]])
        g = np.tanh(sums[2])
        squashed = np.tanh(f * state + i * g)
        memory = carried + output * o * (1 - squashed**2)
        gates = memory * g * i * (1 - i), memory * state * f * (1 - f), memory * i * (1 - g * g)
        return np.stack([*gates, output * squashed * o * (1 - o)]), memory * f


class Gru:
    """r, z, and n = tanh(a + σ(r) m), a from the input, m from the output: h' = (1 - σ(z)) n + σ(z) h (Cho 2014).

    The reset gate multiplies m after the weights, as in PyTorch, cuDNN and Keras's default. The memory is the output.
    """

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Output and memory: the same."""
        r, z = sigmoid(sums[:2])
        output = (1 - z) * np.tanh(sums[2] + r * sums[3]) + z * state
        return output, output

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Gradients at the four sums, and at the output before, but for what comes through the sums."""
        r, z = sigmoid(sums[:2])
        n = np.tanh(sums[2] + r * sums[3])
        total = output + carried
        new = total * (1 - z) * (1 - n * n)
        gates = new * sums[3] * r * (1 - r), total * (state - n) * z * (1 - z)
        return np.stack([*gates, new, new * r]), total * z


class _Process:
    """A Gaussian process over time, drawn step by step; the covariance of a step may depend on those before."""

    def __init__(self, steps: int, normals: Array) -> None:
        self._factor = np.zeros((steps, steps))
        self._normals = normals  # (steps, units)

    def draw(self, step: int, covariances: Array) -> Array:
        """Values at a step, given its covariances with all steps up to and with itself."""
        factor, row = self._factor, self._factor[step]
        for past in range(step):  # forward substitution
            pivot = factor[past, past]
            row[past] = (covariances[past] - row[:past] @ factor[past, :past]) / pivot if pivot > 1e-150 else 0.0
        row[step] = np.sqrt(max(covariances[step] - row[:step] @ row[:step], 0.0))
        return np.asarray(row[: step + 1] @ self._normals[: step + 1])


def forward_paths(cell: Cell, lines: tuple[Line, ...], steps: int, units: int, level: float, likeness: Array) -> Paths:
    """Paths of units from a memory of zero.

    Args:
        cell: what a step does.
        lines: the sums it takes.
        steps: of time.
        units: how many paths are drawn, even.
        level: second moment of the inputs.
        likeness: correlation of the inputs at two times, uncentred, by the steps between them; 1 at first.
    """
    normals = _normals((len(lines), steps), units, _SEED)
    processes = [_Process(steps, drawn) for drawn in normals]
    sums, states, outputs = np.zeros((len(lines), steps, units)), np.zeros((steps, units)), np.zeros((steps, units))
    state = np.zeros(units)
    for t in range(steps):
        inputs = level * likeness[t::-1]
        # The output before step 0 is zero.
        past = np.zeros(t + 1)
        if t:
            past[1:] = outputs[:t] @ outputs[t - 1] / units
        for number, line in enumerate(lines):
            covariances = line.input_weight * inputs + line.recurrent_weight * past + line.bias
            sums[number, t] = line.mean + processes[number].draw(t, covariances)
        states[t] = state
        outputs[t], state = cell.forward(sums[:, t], state)
    return Paths(sums, states, outputs)


def backward_paths(
    cell: Cell, lines: tuple[Line, ...], paths: Paths, arrives: Literal["all", "last"], likeness: Array
) -> Array:
    """Gradients at the sums, shape (lines, steps, units), for a gradient of second moment 1 at the outputs.

    Args:
        cell: what a step does.
        lines: the sums it takes.
        paths: of the forward pass.
        arrives: whether a gradient comes from outside at every output or at the last one only.
        likeness: correlation of those gradients at two times, by the steps between them; 1 at first.
    """
    _, steps, units = paths.sums.shape
    process = _Process(steps, _normals((steps,), units, _SEED + 1))
    weights = np.array([line.recurrent_weight for line in lines])
    gradients = np.zeros_like(paths.sums)
    carried = np.zeros(units)
    for back in range(steps):
        t = steps - 1 - back
        outside = likeness[back::-1].copy() if arrives == "all" else np.zeros(back + 1)
        outside[back] = 1.0 if arrives == "all" or back == 0 else 0.0
        covariances = outside
        if back:  # what came through the sums of the step after
            later = np.einsum("l,lsu,lu->s", weights, gradients[:, t + 1 :], gradients[:, t + 1]) / units
            covariances[1:] += later[::-1]
        arriving = process.draw(back, covariances)
        gradients[:, t], carried = cell.backward(paths.sums[:, t], paths.state[t], arriving, carried)
    return gradients


def _normals(shape: tuple[int, ...], units: int, seed: int) -> Array:
    """Normals in opposite pairs, each row of second moment exactly one: a good part of the sampling error is gone."""
    half = np.random.default_rng(seed).standard_normal((*shape, units // 2))
    half /= np.sqrt((half**2).mean(-1, keepdims=True))
    return np.concatenate((half, -half), -1)
