"""Encodes one colour in many strengths as a PNG, so that a heat map is one element and not twenty thousand."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["data_uri", "shaded"]

STRENGTHS = 31  # of each colour

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def shaded(strength: NDArray[np.float64], colour: Colour, below: Colour | None = None) -> bytes:
    r"""Return a PNG that is transparent where ``strength`` is 0 and has the full colour where it is 1.

    Args:
        strength: shape (rows, columns), the upper row first; between 0 and 1, or -1 and 1 with a second colour.
        colour: colour of positive strengths.
        below: colour of negative strengths.

    >>> shaded(np.zeros((2, 3)), (0, 0, 0))[:4]
    b'\x89PNG'
    """
    rows, columns = strength.shape
    lowest = 0 if below is None else -STRENGTHS
    indices = (np.rint(np.clip(strength, np.sign(lowest), 1.0) * STRENGTHS) - lowest).astype(np.uint8)
    scanlines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)  # the filter type 0: none
    steps = range(lowest, STRENGTHS + 1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", b"".join(bytes(colour if step >= 0 or below is None else below) for step in steps)),
        (b"tRNS", bytes(255 * abs(step) // STRENGTHS for step in steps)),
        (b"IDAT", zlib.compress(scanlines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def data_uri(png: bytes) -> str:
    """Return the image as a data URI, which causes no request."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
