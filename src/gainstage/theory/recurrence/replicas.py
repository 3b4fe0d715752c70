"""Covariance of two examples behind a recurrent layer, caused by shared biases and by similar inputs."""

from __future__ import annotations

import numpy as np

from gainstage.theory.activations import Array
from gainstage.theory.recurrence.cells import Cell, Line, Paths

__all__ = ["common_level"]

_SEED, _UNITS, _ROUNDS = 11, 4096, 3


def common_level(cell: Cell, lines: tuple[Line, ...], paths: Paths, inputs: float) -> float:
    """Return E h h' of one unit for two examples, at any two times.

    The common part of the pre-activations is constant in time: it is sampled once per unit, the rest of each path
    independently. The outputs' own common part returns through the weights, so the computation is iterated three times.

    Args:
        cell: the cell.
        lines: moments of its pre-activations.
        paths: sampled paths of single examples, which give the covariances over time.
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
    """Return a matrix square root; negative eigenvalues from sampling become zero."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
