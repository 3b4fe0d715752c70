"""Scaling records how signal, gradient and first update of every module change with a network's width and depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gainstage.records.profile import Note
from gainstage.records.rendering import Rendered

__all__ = ["Axis", "CARRIES", "ModuleScaling", "Quantity", "Scaling", "Slope", "Trend"]

Axis = Literal["width", "depth"]
Quantity = Literal["signal", "gradient", "update", "movement"]

CARRIES = 1 / 3
"""Largest |slope| that counts as constant: less than a factor of 2, one step of a grid of rates, at 8 times the size.
"""


@dataclass(frozen=True, slots=True)
class Slope:
    """The exponent s of a power law, value ~ size^s.

    Args:
        value: estimated by least squares on logarithms.
        low, high: 95 % interval: of the draws where values were measured, of the deviation from a power law where they
            were predicted.
    """

    value: float
    low: float
    high: float

    @property
    def grows(self) -> bool:
        """Report whether the whole interval lies above what counts as constant."""
        return self.low > CARRIES

    @property
    def shrinks(self) -> bool:
        """Report whether the whole interval lies below what counts as constant."""
        return self.high < -CARRIES


@dataclass(frozen=True, slots=True)
class Trend:
    """One quantity of one module at every size.

    Args:
        quantity: ``signal``: root mean square of the output at the start. ``gradient``: the same of its gradient.
            ``update``: root mean square of the change that the first update of the weight makes to the output, at a
            base rate of one. ``movement``: the same after some steps of training, at the rate of that training.
        values: at every size, in the order of ``Scaling.sizes``; a mean over draws where they were measured.
        slope: of the power law through them.
        measured: whether values were measured; theory predicted the others.
    """

    quantity: Quantity
    values: tuple[float, ...]
    slope: Slope
    measured: bool = False


@dataclass(frozen=True, slots=True)
class ModuleScaling:
    """One weight, or the weights of the same place in repeated blocks.

    Args:
        path: of the parameter; ``*`` stands for the number of a block.
        role: of the weight, as in a plan.
        axis: what was varied.
        trends: one for every quantity that is known.
        verdict: what changes with size and why; empty where nothing does.
        remedy: what to change; empty where nothing is to be changed.
    """

    path: str
    role: str
    axis: Axis
    trends: tuple[Trend, ...]
    verdict: str = ""
    remedy: str = ""

    def trend(self, quantity: Quantity) -> Trend | None:
        """Return the trend of one quantity; None where it is not known."""
        return next((one for one in self.trends if one.quantity == quantity), None)


@dataclass(frozen=True)
class Scaling(Rendered):
    """The change of every module with the width and the depth of its network.

    Args:
        widths, depths: the sizes that were varied; empty where one was not.
        modules: one entry for every weight and axis.
        optimizer: the kind of optimizer that the updates are of: ``adam``, ``sgd`` or ``muon``.
        rates: ``same`` for all sizes, or ``scaled``: by the factors of ``gs.parameter_groups``.
        start: the recipe or scheme that drew the weights; ``keep`` as the model was built.
        steps, draws: of the measured movement; 0 where theory alone speaks.
        framework: that built the models.
        notes: doubts of the predictions, and what was left out.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    modules: tuple[ModuleScaling, ...]
    optimizer: str = "adam"
    rates: str = "same"
    start: str = "keep"
    steps: int = 0
    draws: int = 0
    framework: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def ok(self) -> bool:
        """Report whether the best learning rate can be expected to carry over: no module changes with size."""
        return not any(module.verdict for module in self.modules)

    def sizes(self, axis: Axis) -> tuple[int, ...]:
        """Return the sizes along one axis."""
        return self.widths if axis == "width" else self.depths

    def along(self, axis: Axis) -> tuple[ModuleScaling, ...]:
        """Return the modules of one axis, in the order of the network."""
        return tuple(module for module in self.modules if module.axis == axis)
