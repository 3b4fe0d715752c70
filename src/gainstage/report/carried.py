"""Embeds a JSON document in a page, compressed, since the JSON of 500 layers has two megabytes."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from gainstage.errors import InputError

__all__ = ["carried", "carries_record", "is_page", "taken_out"]

TYPE = "application/vnd.gainstage+json;zlib;base64"
_OPENING = f'<script type="{TYPE}" id="record">'
_PAGE = re.compile(r"\s*<!doctype html", re.IGNORECASE)


def carried(document: str) -> str:
    """Return an HTML element that contains the document and that browsers do not execute.

    >>> taken_out("<!doctype html>" + carried("{}"), "page")
    '{}'
    """
    packed = base64.b64encode(zlib.compress(document.encode("utf-8"), 6)).decode("ascii")
    return f"{_OPENING}{packed}</script>"


def is_page(text: str) -> bool:
    """Report whether a text is HTML rather than JSON."""
    return _PAGE.match(text) is not None


def carries_record(text: str) -> bool:
    """Report whether a text is a page that gainstage wrote."""
    return is_page(text) and _OPENING in text


MOST = 1 << 28
"""Bytes of a document: a hundred times what a network of 500 layers needs."""


def _unpacked(packed: bytes) -> bytes:
    """Decompress up to a maximal size, since a small page may expand beyond the memory."""
    stream = zlib.decompressobj()
    document = stream.decompress(packed, MOST)
    if stream.unconsumed_tail:
        raise ValueError(f"it holds more than {MOST >> 20} MiB, which no record of gainstage does")
    if not stream.eof:
        raise ValueError("it ends too early: was it cut off?")
    return document


def taken_out(page: str, where: str) -> str:
    """Return the document that ``carried`` embedded in a page.

    Raises:
        InputError: the page contains no document, or a damaged one.
    """
    _, opening, rest = page.partition(_OPENING)
    packed, closing, _ = rest.partition("</script>")
    if not opening:
        raise InputError(f"The {where} is a web page without a record: gainstage did not write it.")
    try:
        if not closing:
            raise ValueError("it ends too early: was it cut off?")
        return _unpacked(base64.b64decode(packed, validate=True)).decode("utf-8")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputError(f"The record in the {where} is damaged: {error}") from None
