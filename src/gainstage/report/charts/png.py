"""One colour in many strengths as a PNG: a heat map is one element of a picture, not twenty thousand."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["data_uri", "shaded"]

STRENGTHS = 64


def shaded(strength: NDArray[np.float64], colour: tuple[int, int, int]) -> bytes:
    r"""A picture that is transparent where ``strength`` is 0 and of that colour where it is 1.

    Args:
        strength: (rows, columns), the upper row first; between 0 and 1.
        colour: red, green and blue, 0 to 255.

    >>> shaded(np.zeros((2, 3)), (0, 0, 0))[:4]
    b'\x89PNG'
    """
    rows, columns = strength.shape
    indices = np.rint(np.clip(strength, 0.0, 1.0) * (STRENGTHS - 1)).astype(np.uint8)
    scanlines = np.concatenate([np.zeros((rows, 1), np.uint8), indices], axis=1)  # 0: no filter
    opacity = bytes(255 * i // (STRENGTHS - 1) for i in range(STRENGTHS))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", bytes(colour) * STRENGTHS),
        (b"tRNS", opacity),
        (b"IDAT", zlib.compress(scanlines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def data_uri(png: bytes) -> str:
    """The picture as an address that leads nowhere else."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
