"""What two examples have in common behind a recurrent layer: its biases, and what their inputs have."""

from __future__ import annotations

import numpy as np

from gainstage.theory.activations import Array
from gainstage.theory.recurrence.cells import Cell, Line, Paths

__all__ = ["common_level"]

_SEED, _UNITS, _ROUNDS = 11, 4096, 3


def common_level(cell: Cell, lines: tuple[Line, ...], paths: Paths, inputs: float) -> float:
    """E h h' of one unit for two examples, at any two times.

    What the sums of both have in common does not change over time: it is drawn once for a unit, and the rest of each
    path apart. The outputs' own common part returns through the weights, so that this is done a few times over.

    Args:
        cell: what a step does.
        lines: the sums it takes.
        paths: of single examples, whose covariances over time are known from them.
        inputs: E x x' of the inputs of two examples.
    """
    _, steps, units = paths.sums.shape
    generator = np.random.default_rng(_SEED)
    common = generator.standard_normal((len(lines), 1, 1, _UNITS // 2))
    common = np.concatenate((common, -common), -1)
    own = generator.standard_normal((len(lines), 2, steps, _UNITS))
    covariances = [(s - line.mean) @ (s - line.mean).T / units for s, line in zip(paths.sums, lines, strict=True)]
    level = 0.0
    for _ in range(_ROUNDS):
        shared = [line.input_weight * inputs + line.recurrent_weight * level + line.bias for line in lines]
        if not any(shared):
            return 0.0
        sums = np.stack(
            [
                line.mean + np.sqrt(of) * drawn + _root(whole - of) @ rest
                for line, of, drawn, rest, whole in zip(lines, shared, common, own, covariances, strict=True)
            ]
        )
        state, total = np.zeros((2, _UNITS)), np.zeros((2, _UNITS))
        for t in range(steps):
            output, state = cell.forward(sums[:, :, t], state)
            total += output / steps
        level = max(float((total[0] * total[1]).mean()), 0.0)
    return level


def _root(covariance: Array) -> Array:
    """A square root; what sampling left below zero is taken for zero."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
