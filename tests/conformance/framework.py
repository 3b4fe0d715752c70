"""What the laws need of a framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Framework"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Framework:
    """One framework under test.

    Args:
        backend: the module ``gainstage.backends.<framework>``.
        workbench: the module with the names of ``Workbench``.
        workbench_protocols: the protocols that it keeps.
        perceptron: from widths and the name of an activation to fully connected layers, activations between them; the
            layers have the paths ``0``, ``2``, ``4``, …
        kernel: the framework's last word of the path of a weight.
        variables: the model's trained arrays by path, copied.
        put: writes an array to a path.
        incoming: a stored weight as ``(units, inputs)``.
        stored: the inverse.
        loss: from a kind of loss and labels to what ``record`` takes.
        moments_of: of an array of the framework.
        tensor: from NumPy.
    """

    backend: Any
    workbench: Any
    workbench_protocols: tuple[type, ...]
    perceptron: Callable[[tuple[int, ...], str], Any]
    kernel: str
    variables: Callable[[Any], Mapping[str, Array]]
    put: Callable[[Any, str, Array], None]
    incoming: Callable[[Array], Array]
    stored: Callable[[Array], Array]
    loss: Callable[[str, Array], Any]
    moments_of: Callable[..., Any]
    tensor: Callable[[Array], Any]

    def weight(self, layer: int) -> str:
        """The path of a layer's weight."""
        return f"{layer}.{self.kernel}"

    def constant(self, inputs: int, guess: Array) -> Any:
        """One layer that returns the same numbers for every example."""
        model = self.perceptron((inputs, len(guess)), "relu")
        self.put(model, self.weight(0), self.stored(np.zeros((len(guess), inputs), np.float32)))
        self.put(model, "0.bias", guess.astype(np.float32))
        return model
