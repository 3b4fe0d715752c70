"""Variance scaling: independent weights of standard deviation ``gain · √(factor / fan)``.

Two numbers and a distribution define each scheme. The factor is 1 (LeCun, Glorot) or 2 (He: a ReLU halves the second
moment). The fan is ``fan_in`` (the signal keeps its second moment), ``fan_out`` (the gradient does) or their mean. The
shape of the distribution does not affect the second moment of the signal. The name ``he_normal`` of Keras and JAX is
``he_truncated_normal`` here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape
from gainstage.schemes import sampling
from gainstage.schemes.table import register
from gainstage.streams import Stream

__all__ = ["Distribution", "Fan", "scaled_spread"]

Fan = Literal["fan_in", "fan_out", "fan_avg"]
Distribution = Literal["normal", "uniform", "truncated_normal"]

_LECUN = "LeCun, Bottou, Orr and Müller, 'Efficient BackProp' (1998), eq. 16"
_GLOROT = "Glorot and Bengio, 'Understanding the difficulty of training deep feedforward neural networks' (2010)"
_HE = "He, Zhang, Ren and Sun, 'Delving deep into rectifiers' (2015)"


@dataclass(frozen=True, slots=True)
class _Family:
    """One row of the table below; ``{}`` stands for the distribution."""

    name: str
    factor: float
    fan: Fan
    summary: str
    reference: str
    aliases: tuple[str, ...] = ()


_FAMILIES = (
    _Family("{}", 1, "fan_in", "keeps the second moment of a linear layer's signal", _LECUN,
            ("{}_fan_in", "lecun_{}", "lecun_{}_fan_in", "glorot_{}_fan_in", "xavier_{}_fan_in")),
    _Family("{}_fan_out", 1, "fan_out", "keeps the second moment of a linear layer's gradient", _GLOROT + ", eq. 11",
            ("lecun_{}_fan_out", "glorot_{}_fan_out", "xavier_{}_fan_out")),
    _Family("glorot_{}", 1, "fan_avg", "a compromise between signal and gradient of a linear layer",
            _GLOROT + ", eq. 12 and 16",
            ("xavier_{}", "glorot_{}_fan_avg", "xavier_{}_fan_avg", "{}_fan_avg", "lecun_{}_fan_avg")),
    _Family("he_{}", 2, "fan_in", "keeps the second moment of the signal through ReLU layers", _HE + ", eq. 10",
            ("kaiming_{}", "he_{}_fan_in", "kaiming_{}_fan_in")),
    _Family("he_{}_fan_out", 2, "fan_out", "keeps the second moment of the gradient through ReLU layers",
            _HE + ", eq. 14", ("kaiming_{}_fan_out",)),
    _Family("he_{}_fan_avg", 2, "fan_avg", "a compromise between signal and gradient of ReLU layers",
            _HE + ", with the fan of Glorot and Bengio (2010)", ("kaiming_{}_fan_avg",)),
)  # fmt: skip

_SAMPLERS: dict[Distribution, Callable[[KernelShape, float, Stream], NDArray[np.float32]]] = {
    "normal": sampling.normal,
    "uniform": sampling.uniform,
    "truncated_normal": sampling.truncated_normal,
}
_WORDS: dict[Distribution, tuple[str, ...]] = {
    "normal": ("normal",),
    "uniform": ("uniform",),
    "truncated_normal": ("truncated_normal", "truncated"),
}
_SHAPE: dict[Distribution, str] = {
    "normal": "Normal",
    "uniform": "Uniform",
    "truncated_normal": "Normal cut at ±2 standard deviations and widened again",
}


def scaled_spread(kernel: KernelShape, factor: float, fan: Fan) -> float:
    """Return √(factor / fan).

    >>> scaled_spread(KernelShape(64, 50), 2.0, "fan_in")
    0.2
    """
    terms: float = getattr(kernel, fan)
    return math.sqrt(factor / terms)


def _register(family: _Family, distribution: Distribution) -> None:
    sample = _SAMPLERS[distribution]

    def spread(kernel: KernelShape) -> float:
        return scaled_spread(kernel, family.factor, family.fan)

    def draw(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
        return sample(kernel, gain * spread(kernel), stream)

    patterns = (family.name, *family.aliases)
    name, *aliases = [pattern.format(word) for word in _WORDS[distribution] for pattern in patterns]
    summary = f"{_SHAPE[distribution]}, spread gain·√({family.factor:g}/{family.fan}): {family.summary}."
    enter = register(
        name, spread=spread, reference=family.reference, aliases=aliases, summary=summary, independent=distribution
    )
    enter(draw)


for _family in _FAMILIES:
    for _distribution in _SAMPLERS:
        _register(_family, _distribution)
