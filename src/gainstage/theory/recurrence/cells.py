"""LSTM and GRU cells in the limit of many units: sampled paths of one unit over time in the field of all others.

In that limit the pre-activations of a gate are a Gaussian process over time, the same for every unit, with the
covariance of the outputs (dynamical mean field theory). Outputs depend on the whole path through the cell's memory, so
the covariance is a mean over sampled paths, step by step. Gradients are a Gaussian process backwards in time.
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
    """The moments of one pre-activation of a gate.

    Args:
        input_weight: fan_in · variance of the input weights; 0 without input.
        recurrent_weight: units · variance of the weights on the previous output; 0 without.
        bias: variance of the biases over units.
        mean: mean of the biases.
    """

    input_weight: float
    recurrent_weight: float
    bias: float
    mean: float


@dataclass(frozen=True, slots=True)
class Paths:
    """Sampled paths of units.

    Args:
        sums: pre-activation of every line, shape (lines, steps, units).
        state: memory before every step, shape (steps, units).
        output: output of every step, shape (steps, units).
    """

    sums: Array
    state: Array
    output: Array


class Cell(Protocol):
    """One step of a cell, forward and backward, for many units at once."""

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Map pre-activations (lines, units) and the previous memory to output and new memory."""

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Map gradients at the output and the new memory to those at the pre-activations and the previous memory."""


class Lstm:
    """LSTM with gates i, f, g, o: c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c') (Hochreiter 1997; Gers 2000)."""

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Return output and memory."""
        i, f, g, o = sums
        memory = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(memory), memory

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Return the gradients at the four pre-activations and at the previous memory."""
        i, f, o = sigmoid(sums[[0, 1, 3]])
        g = np.tanh(sums[2])
        squashed = np.tanh(f * state + i * g)
        memory = carried + output * o * (1 - squashed**2)
        gates = memory * g * i * (1 - i), memory * state * f * (1 - f), memory * i * (1 - g * g)
        return np.stack([*gates, output * squashed * o * (1 - o)]), memory * f


class Gru:
    """GRU with gates r, z and n = tanh(a + σ(r) m): h' = (1 - σ(z)) n + σ(z) h (Cho 2014).

    a reads the input, m the previous output. The reset gate multiplies m after the weights, as in PyTorch, cuDNN and
    Keras's default. The memory is the output.
    """

    def forward(self, sums: Array, state: Array) -> tuple[Array, Array]:
        """Return output and memory, which are the same."""
        r, z = sigmoid(sums[:2])
        output = (1 - z) * np.tanh(sums[2] + r * sums[3]) + z * state
        return output, output

    def backward(self, sums: Array, state: Array, output: Array, carried: Array) -> tuple[Array, Array]:
        """Return the gradients at the four pre-activations and at the previous output, without the path through the
        pre-activations.
        """
        r, z = sigmoid(sums[:2])
        n = np.tanh(sums[2] + r * sums[3])
        total = output + carried
        new = total * (1 - z) * (1 - n * n)
        gates = new * sums[3] * r * (1 - r), total * (state - n) * z * (1 - z)
        return np.stack([*gates, new, new * r]), total * z


class _Process:
    """A Gaussian process over time, sampled step by step; a step's covariances may depend on earlier samples."""

    def __init__(self, steps: int, normals: Array) -> None:
        self._factor = np.zeros((steps, steps))
        self._normals = normals  # (steps, units)

    def draw(self, step: int, covariances: Array) -> Array:
        """Sample a step, given its covariances with all earlier steps and with itself."""
        factor, row = self._factor, self._factor[step]
        for past in range(step):  # forward substitution
            pivot = factor[past, past]
            row[past] = (covariances[past] - row[:past] @ factor[past, :past]) / pivot if pivot > 1e-150 else 0.0
        row[step] = np.sqrt(max(covariances[step] - row[:step] @ row[:step], 0.0))
        return np.asarray(row[: step + 1] @ self._normals[: step + 1])


def forward_paths(
    cell: Cell, lines: tuple[Line, ...], steps: int, units: int, level: float, similarity: Array
) -> Paths:
    """Sample paths of units from a memory of zero.

    Args:
        cell: the cell.
        lines: moments of its pre-activations.
        steps: number of time steps.
        units: number of sampled paths, even.
        level: second moment of the inputs.
        similarity: cosine similarity of the inputs at two times, by the number of steps between them, shape (steps,); 1
            at lag 0.
    """
    normals = _normals((len(lines), steps), units, _SEED)
    processes = [_Process(steps, drawn) for drawn in normals]
    sums, states, outputs = np.zeros((len(lines), steps, units)), np.zeros((steps, units)), np.zeros((steps, units))
    state = np.zeros(units)
    for t in range(steps):
        inputs = level * similarity[t::-1]
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
    cell: Cell, lines: tuple[Line, ...], paths: Paths, arrives: Literal["all", "last"], similarity: Array
) -> Array:
    """Return gradients at the pre-activations, shape (lines, steps, units), for unit second moment at the outputs.

    Args:
        cell: the cell.
        lines: moments of its pre-activations.
        paths: paths of the forward pass.
        arrives: whether the loss reads every output or the last one only.
        similarity: cosine similarity of the loss's gradients at two times, by the number of steps between them; 1 at
            lag 0.
    """
    _, steps, units = paths.sums.shape
    process = _Process(steps, _normals((steps,), units, _SEED + 1))
    weights = np.array([line.recurrent_weight for line in lines])
    gradients = np.zeros_like(paths.sums)
    carried = np.zeros(units)
    for back in range(steps):
        t = steps - 1 - back
        outside = similarity[back::-1].copy() if arrives == "all" else np.zeros(back + 1)
        outside[back] = 1.0 if arrives == "all" or back == 0 else 0.0
        covariances = outside
        if back:  # gradients through the pre-activations of the next step
            later = np.einsum("l,lsu,lu->s", weights, gradients[:, t + 1 :], gradients[:, t + 1]) / units
            covariances[1:] += later[::-1]
        arriving = process.draw(back, covariances)
        gradients[:, t], carried = cell.backward(paths.sums[:, t], paths.state[t], arriving, carried)
    return gradients


def _normals(shape: tuple[int, ...], units: int, seed: int) -> Array:
    """Sample antithetic normal pairs, each row scaled to second moment 1 exactly, which reduces the sampling error."""
    half = np.random.default_rng(seed).standard_normal((*shape, units // 2))
    half /= np.sqrt((half**2).mean(-1, keepdims=True))
    return np.concatenate((half, -half), -1)
