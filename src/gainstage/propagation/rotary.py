"""Rotary positions (Su 2021)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.propagation.sequence_profile import SequenceProfile, stretches
from gainstage.propagation.signal import Signal

__all__ = ["rotated"]

_ROTARY_BASE = 1e4  # the usual one, since a trace does not see the angles


def rotated(x: Signal, places: int, width: int) -> Signal:
    """Rotary positions turn what tokens have in common apart: by the cosines of their distance."""
    if places < 2 or width < 2 or x.extent.positions % places:
        return x
    course = (
        x.course
        if x.course is not None and x.course.places == places
        else SequenceProfile.even(stretches(places), x.pairs)
    )
    angles = _ROTARY_BASE ** (-np.arange(width // 2) / (width // 2))
    middle = np.cumsum(course.counts) - course.counts / 2
    distance = np.abs(middle[:, None] - middle[None, :])
    np.fill_diagonal(distance, (course.counts + 1) / 3)
    course = replace(course, alike=course.alike * np.cos(distance[..., None] * angles).mean(-1))
    return replace(x, course=course, pairs=course.set_in(x.pairs))
