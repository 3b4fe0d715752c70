"""Repeats a measurement at every position of a slider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gainstage.data import load
from gainstage.lessons.networks import Depth, Net, depths
from gainstage.lessons.question import Setting
from gainstage.records import Line, Picture, Slider

__all__ = ["GAINS", "over_gains", "start_of"]

GAINS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
"""Gains from a quarter to four, in steps of √2."""


def over_gains(
    nets: Mapping[str, Net],
    setting: Setting,
    *,
    line: Callable[[str, Depth], Line],
    picture: Picture,
    words: str,
    hint: str,
    gains: Sequence[float] = GAINS,
) -> Slider:
    """Measure networks through depth at the start, for weights of every scale.

    Args:
        nets: networks, by the name of their line; the gain multiplies a network's own gain.
        setting: the first of its seeds draws the weights.
        line: the line to draw from the measurement of a network.
        picture: title and axes.
        words: the name of the quantity that the slider changes.
        hint: where to move the slider, and what appears there.
        gains: positions of the slider.
    """
    dataset, seed = load("digits", seed=setting.seed), setting.seeds(1, 1)
    pictures = []
    for gain in gains:
        found = {label: depths(replace(net, gain=gain * net.gain), dataset, seed)[0] for label, net in nets.items()}
        pictures.append(replace(picture, lines=tuple(line(label, depth) for label, depth in found.items())))
    return Slider(words, tuple(gains), tuple(pictures), start_of(gains, 1.0), hint)


def start_of(places: Sequence[float], wanted: float) -> int:
    """Return the index of the position that is nearest to a value."""
    return min(range(len(places)), key=lambda i: abs(places[i] - wanted))
