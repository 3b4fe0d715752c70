"""A model's name as the function that builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gainstage.backends import workbench_of
from gainstage.backends.load import load

__all__ = ["Named"]


@dataclass(frozen=True)
class Named:
    """Builds the model of a name, anew in every call and in any process.

    Args:
        name: as on the command line.
        device: where it is put; a Keras model chooses for itself.

    >>> Named("mlp:4x8x3")().head
    Linear(in_features=8, out_features=3, bias=True)
    """

    name: str
    device: str = "cpu"

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self) -> Any:
        """A new model.

        Raises:
            GainstageError: it cannot be found or built, or there is no such device.
        """
        loaded = load(self.name)
        return workbench_of(loaded.framework).on_device(loaded.model, self.device)
