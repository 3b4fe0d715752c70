"""Pictures to play with: the same measurement at every place of a slider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gainstage.data import load
from gainstage.lessons.networks import Depth, Net, depths
from gainstage.lessons.question import Setting
from gainstage.records import Line, Picture, Slider

__all__ = ["GAINS", "over_gains", "start_of"]

GAINS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
"""From a quarter to four times, in steps of √2."""


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
    """Look through the layers of networks at the start, for weights of every scale.

    Args:
        nets: by the name of their line; a gain of their own counts on top.
        setting: its first seed is the one draw of the weights.
        line: what is drawn of a network.
        picture: title and axes.
        words: what the slider changes.
        hint: where to move it.
        gains: its places.
    """
    dataset, seed = load("digits", seed=setting.seed), setting.seeds(1, 1)
    pictures = []
    for gain in gains:
        found = {label: depths(replace(net, gain=gain * net.gain), dataset, seed)[0] for label, net in nets.items()}
        pictures.append(replace(picture, lines=tuple(line(label, depth) for label, depth in found.items())))
    return Slider(words, tuple(gains), tuple(pictures), start_of(gains, 1.0), hint)


def start_of(places: Sequence[float], wanted: float) -> int:
    """The index of the place next to a value."""
    return min(range(len(places)), key=lambda i: abs(places[i] - wanted))
