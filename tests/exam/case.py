"""What one question of the exam holds, and the register that the modules of cases write to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["REGISTER", "Case", "Entry", "adam", "healthy", "sgd", "sick"]


@dataclass(frozen=True, eq=False)
class Case:
    """A model, its data and how it is trained, as its author would hand them to ``gs.check``.

    Args:
        model: the network; a compiled one in Keras.
        x: inputs; a tuple holds positional arguments, a dict keyword ones.
        y: targets; None where the model computes its own loss from ``x``.
        loss: called as ``loss(output, y)``; None where the model returns its own loss or is compiled.
        optimizer: makes the optimizer from the model; None for a compiled model.
        error: what training should bring down, called as ``error(output, y)`` in evaluation mode; the loss where None.
            It is the yardstick that a sick network and its cured twin share.
        evaluate: the same, called as ``evaluate(model, x, y)``, where the output for the whole batch is not enough.
        steps: steps of training on the whole batch that show whether it learns.
    """

    model: Any
    x: Any
    y: Any = None
    loss: Callable[[Any, Any], Any] | None = None
    optimizer: Callable[[Any], Any] | None = None
    error: Callable[[Any, Any], Any] | None = None
    evaluate: Callable[[Any, Any, Any], Any] | None = None
    steps: int = 100


@dataclass(frozen=True, eq=False)
class Entry:
    """One question: how the case is built, and the answer.

    Args:
        name: unique; its hash decides the half that the case belongs to.
        framework: ``torch`` or ``keras``.
        make: builds the case from a seed and, for a sick one, whether it is cured.
        family: the family of faults, or for a healthy network the kind of design.
        link: the public report or the paper that the case is built after.
        mechanism: a key for the known cause that does not depend on the codes of the rules; empty when healthy.
        cause: the known cause in one sentence.
        place: paths of the modules or parameters where the fault lies; empty where it lies in the loss, the data or the
            optimizer.
        visible: whether the first forward and backward pass, the loss and the first step can show it.
        rebuilt: whether the case is a rebuild of an input that the project was developed on; those are always seen.
    """

    name: str
    framework: Literal["torch", "keras"]
    make: Callable[..., Case]
    family: str
    link: str
    mechanism: str = ""
    cause: str = ""
    place: tuple[str, ...] = ()
    visible: bool = True
    rebuilt: bool = False

    @property
    def sick(self) -> bool:
        """Whether the network has a known fault."""
        return bool(self.mechanism)

    @property
    def wave(self) -> int:
        """The exam that the case was written for: 1, or 2 for kinds drawn from reports that the first does not hold."""
        return 2 if ".wave2." in self.make.__module__ else 1

    @property
    def coin(self) -> str:
        """The half that the hash of the name assigns: ``seen`` or ``unseen``."""
        even = hashlib.sha256(self.name.encode()).digest()[0] % 2 == 0
        return "seen" if even or self.rebuilt else "unseen"

    def build(self, seed: int = 0, *, cured: bool = False) -> Case:
        """Equal seeds give equal weights and equal data."""
        self._seed(seed)
        return self.make(seed, cured) if self.sick else self.make(seed)

    def _seed(self, seed: int) -> None:
        if self.framework == "keras":
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
            import keras

            keras.utils.clear_session()
            keras.utils.set_random_seed(seed)
        else:
            import torch

            torch.manual_seed(seed)


REGISTER: dict[str, Entry] = {}


def sick(
    mechanism: str,
    *,
    family: str,
    cause: str,
    link: str,
    place: tuple[str, ...] = (),
    visible: bool = True,
    framework: Literal["torch", "keras"] = "torch",
    rebuilt: bool = False,
) -> Callable[[Callable[[int, bool], Case]], Callable[[int, bool], Case]]:
    """Enter a function of a seed and of whether the fault is mended."""

    def enter(make: Callable[[int, bool], Case]) -> Callable[[int, bool], Case]:
        _enter(Entry(make.__name__, framework, make, family, link, mechanism, cause, place, visible, rebuilt))
        return make

    return enter


def healthy(
    family: str, link: str, *, framework: Literal["torch", "keras"] = "torch", rebuilt: bool = False
) -> Callable[[Callable[[int], Case]], Callable[[int], Case]]:
    """Enter a function of a seed."""

    def enter(make: Callable[[int], Case]) -> Callable[[int], Case]:
        _enter(Entry(make.__name__, framework, make, family, link, rebuilt=rebuilt))
        return make

    return enter


def _enter(entry: Entry) -> None:
    if entry.name in REGISTER:
        raise ValueError(f"two cases are called {entry.name}")
    REGISTER[entry.name] = entry


def adam(lr: float = 1e-3, **settings: Any) -> Callable[[Any], Any]:
    """Adam over all parameters of the model."""

    def make(model: Any) -> Any:
        import torch

        return torch.optim.Adam(model.parameters(), lr=lr, **settings)

    return make


def sgd(lr: float = 0.1, **settings: Any) -> Callable[[Any], Any]:
    """Stochastic gradient descent over all parameters of the model."""

    def make(model: Any) -> Any:
        import torch

        return torch.optim.SGD(model.parameters(), lr=lr, **settings)

    return make
