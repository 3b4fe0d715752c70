"""A model's name as the function that builds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gainstage.backends.load import load
from gainstage.errors import InputError

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
        if loaded.framework == "torch":
            from gainstage.backends.torch.models.inputs import on_device

            return on_device(loaded.model, self.device)
        if self.device != "cpu":
            raise InputError(f"The device '{self.device}' does not go with a Keras model, which chooses for itself.")
        return loaded.model
