"""Rotary position embeddings (Su 2021)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.propagation.sequence_profile import SequenceProfile, segment_lengths
from gainstage.propagation.signal import Signal

__all__ = ["rotated"]

_ROTARY_BASE = 1e4  # the usual base, since a trace does not record the angles


def rotated(x: Signal, places: int, width: int) -> Signal:
    """Rotate queries or keys by position: cross moments of two positions are multiplied by the cosines of their
    distance.
    """
    if places < 2 or width < 2 or x.extent.positions % places:
        return x
    sequence = (
        x.sequence
        if x.sequence is not None and x.sequence.places == places
        else SequenceProfile.uniform(segment_lengths(places), x.pairs)
    )
    angles = _ROTARY_BASE ** (-np.arange(width // 2) / (width // 2))
    middle = np.cumsum(sequence.counts) - sequence.counts / 2
    distance = np.abs(middle[:, None] - middle[None, :])
    np.fill_diagonal(distance, (sequence.counts + 1) / 3)
    sequence = replace(sequence, cross=sequence.cross * np.cos(distance[..., None] * angles).mean(-1))
    return replace(x, sequence=sequence, pairs=sequence.imposed_on(x.pairs))
