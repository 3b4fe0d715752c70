"""Plain networks and their starts, on which most experiments run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gainstage.backends.protocol import Norm, lesson_workbench
from gainstage.data import Dataset
from gainstage.graph import Operation
from gainstage.planning import Override, recipe_entry
from gainstage.records import Line, NodeProfile, Plan, Profile
from gainstage.theory import gaussian_moments
from gainstage.workflows import apply, check, plan

__all__ = [
    "TORCH", "Depth", "Net", "depth_of", "depths", "gradient_line", "measured", "over_layers", "scaled", "spread_line",
    "spread_over_examples",
]  # fmt: skip

TORCH = lesson_workbench()
"""The framework in which the experiments run."""

BATCH = 256
"""The number of examples in one measurement."""


@dataclass(frozen=True, slots=True)
class Net:
    """A plain network and its initialization.

    Args:
        activation: the activation after every hidden layer.
        depth: number of hidden layers.
        scheme: ``auto`` or a name in the table of schemes.
        gain: a factor on the standard deviation of the hidden weights.
        width: number of units of a hidden layer.
        norm: the normalisation before every activation.
        head: scheme of the output layer, where it differs from ``scheme``.
        centred: whether biases subtract the mean of the incoming activation.
    """

    activation: str
    depth: int
    scheme: str = "pytorch_default"
    gain: float = 1.0
    width: int = 64
    norm: Norm = "none"
    head: str | None = None
    centred: bool = False

    @property
    def architecture(self) -> tuple[str, int, int, Norm]:
        """Return what networks have in common that can be stacked and trained as one."""
        return self.activation, self.depth, self.width, self.norm

    def sizes(self, dataset: Dataset) -> tuple[int, ...]:
        """Return the widths from the input to the output."""
        return (dataset.features, *[self.width] * self.depth, dataset.classes)

    def build(self, dataset: Dataset, seed: int | None = None) -> Any:
        """Build the network as PyTorch initializes it."""
        return TORCH.mlp(self.sizes(dataset), activation=self.activation, norm=self.norm, seed=seed)

    def initialize(self, model: Any, dataset: Dataset, seed: int) -> Plan:
        """Draw the weights of a network that ``build`` made."""
        overrides: dict[str, str | Override] = {}
        if self.gain != 1:
            overrides["hidden.*.linear.weight"] = Override(gain=self.gain)
        if self.head is not None:
            overrides["head.weight"] = self.head
        batch = TORCH.labelled_batch(dataset, batch=BATCH)[0] if recipe_entry(self.scheme).needs_batch else None
        drawn = plan(model, self.scheme, x=batch, seed=seed, overrides=overrides)
        if self.centred:
            drawn = _centred(drawn, gaussian_moments(self.activation).mean)
        apply(model, drawn)
        return drawn

    def start(self, dataset: Dataset, seed: int) -> Any:
        """Build the network and draw its weights."""
        model = self.build(dataset, seed)
        self.initialize(model, dataset, seed)
        return model


def _centred(drawn: Plan, mean: float) -> Plan:
    """Set each bias to minus the mean times the sum of the unit's weights, except at the first layer."""
    assignments = tuple(
        replace(a, bias="centre", value=mean, weight=a.parameter.removesuffix("bias") + "weight")
        if a.bias is not None and not a.parameter.startswith("hidden.0.")
        else a
        for a in drawn
    )
    return replace(drawn, assignments=assignments)


@dataclass(frozen=True, slots=True)
class Depth:
    """Statistics at the outputs of the hidden linear layers, from the first to the last.

    Args:
        spread: standard deviation of a unit over examples (root mean square over units).
        gradient: root mean square of the gradient of the loss.
        activation: standard deviation of a unit over examples, at the outputs of the activations.
        saturated: share of the activations within 1 % of their range from a bound; empty where there is no bound.
        level: root mean square of the outputs of the hidden linear layers, including differences between units.
    """

    spread: tuple[float, ...]
    gradient: tuple[float, ...]
    activation: tuple[float, ...]
    saturated: tuple[float, ...] = ()
    level: tuple[float, ...] = ()

    @property
    def gradient_ratio(self) -> float:
        """Return the first layer's gradient over the last one's: below 1 it vanishes towards the input."""
        return self.gradient[0] / self.gradient[-1]

    @property
    def gradient_factor(self) -> float:
        """Return the geometric mean of the factors on the gradient from a layer to the one before it."""
        return float(self.gradient_ratio ** (1 / (len(self.gradient) - 1)))

    @property
    def spread_factor(self) -> float:
        """Return the geometric mean of the factors on the spread over examples from a layer to the next one."""
        return float((self.spread[-1] / self.spread[0]) ** (1 / (len(self.spread) - 1)))


def measured(model: Any, dataset: Dataset) -> Profile:
    """Run one forward and one backward pass of cross-entropy on the first training examples."""
    x, y = TORCH.labelled_batch(dataset, batch=BATCH)
    return check(model, x, y, loss=TORCH.CLASSIFIER_LOSS).profile


def depth_of(profile: Profile) -> Depth:
    """Extract signal and gradient through the hidden layers of a network that ``Net`` started."""
    layers = list(_hidden(profile, Operation.LINEAR))
    activations = list(_hidden(profile, Operation.ACTIVATION))
    saturated = [n.units.saturated_share for n in activations if n.units is not None]
    return Depth(
        tuple(spread_over_examples(n) for n in layers),
        tuple(n.backward.rms if n.backward is not None else math.nan for n in layers),
        tuple(spread_over_examples(n) for n in activations),
        tuple(s for s in saturated if s is not None),
        tuple(n.forward.rms for n in layers),
    )


def spread_over_examples(node: NodeProfile) -> float:
    """Return the standard deviation over examples, without the differences between the units' means."""
    share = node.forward.example_share
    return math.sqrt(node.forward.variance * share) if share is not None else math.nan


def _hidden(profile: Profile, operation: Operation) -> Iterator[NodeProfile]:
    for node in profile.nodes:
        if profile.node(node).operation is operation and profile.node(node).label.startswith("hidden."):
            yield node


def depths(net: Net, dataset: Dataset, seeds: Iterable[int]) -> list[Depth]:
    """Measure signal and gradient through depth at the start, for one draw of the weights per seed."""
    return [depth_of(measured(net.start(dataset, seed), dataset)) for seed in seeds]


def scaled(dataset: Dataset, factor: float) -> Dataset:
    """Return the same examples, multiplied by a factor."""
    return replace(
        dataset,
        x_train=(dataset.x_train * factor).astype(np.float32),
        x_validation=(dataset.x_validation * factor).astype(np.float32),
    )


def over_layers(label: str, values: Sequence[float]) -> Line:
    """Return a line over layers, counted from 1."""
    return Line(label, tuple(float(i) for i in range(1, len(values) + 1)), tuple(values))


def spread_line(label: str, found: Depth) -> Line:
    """Return the spread over examples at every hidden layer, relative to the first one."""
    return over_layers(label, [spread / found.spread[0] for spread in found.spread])


def gradient_line(label: str, found: Depth) -> Line:
    """Return the gradient at every hidden layer, relative to the last one."""
    return over_layers(label, [gradient / found.gradient[-1] for gradient in found.gradient])
