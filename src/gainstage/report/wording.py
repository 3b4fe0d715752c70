"""Formats names and numbers for people. Names of layers are untrusted input and enter a report through ``clean``."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

__all__ = ["clean", "count", "elide", "figure", "folded", "shape_text", "to_ascii"]

# Control, format (bidirectional overrides, zero-width), surrogate, private use, line and paragraph separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

_ASCII = str.maketrans(
    {
        "×": "x", "·": ".", "–": "-", "—": "-", "−": "-", "…": "...", "√": "sqrt ", "‖": "||", "≥": ">=", "≤": "<=",
        "²": "^2", "³": "^3", "ᵀ": "^T", "→": "->", "±": "+/-", "≈": "~", "∞": "inf", "’": "'", "‘": "'", "“": '"',
        "”": '"', "σ": "sigma", "χ": "chi", "α": "alpha", "β": "beta", "μ": "mu",
    }
)  # fmt: skip


def clean(text: str) -> str:
    r"""Return the text on one line, with every invisible character as an escape sequence.

    The result cannot move a cursor, start a colour, break a line or reverse the reading order.

    >>> clean("conv\x1b[31m\n1")
    'conv\\x1b[31m\\n1'
    """
    if text.isprintable():
        return text
    return "".join(_escaped(c) if unicodedata.category(c) in _INVISIBLE else c for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def elide(text: str, limit: int) -> str:
    """Shorten a text to ``limit`` terminal cells by cutting its middle, since both ends of a path distinguish layers.

    The numbers of layers stay as long as there is room for them: they alone tell one row from the next.

    >>> elide("encoder.layers.11.attention.query", 15), elide("encoder.layer_norm.attention.query", 15)
    ('enc….11.….query', 'encoder…n.query')
    """
    if cell_len(text) <= limit:
        return text
    numbers = [part for part in text.split(".")[1:-1] if part.isdigit()]
    kept = f"….{'.….'.join(numbers)}.…"
    room = limit - cell_len(kept)
    if numbers and room >= _ENDS:
        head, tail = text.split(f".{numbers[0]}.")[0], text.rsplit(f".{numbers[-1]}.")[-1]
        after = min(cell_len(tail), room - min(cell_len(head), room // 3))
        return f"{_start(head, room - after)}{kept}{_end(tail, after)}"
    room = max(limit - 1, 2)
    return f"{_start(text, room // 2)}…{_end(text, room - room // 2)}"


_ENDS = 8  # with fewer cells for both ends together, a name cannot be recognised


def _start(text: str, cells: int) -> str:
    """Return the longest beginning of at most ``cells`` cells."""
    head = ""
    for character in text:
        if cell_len(head + character) > cells:
            break
        head += character
    return head


def _end(text: str, cells: int) -> str:
    """Return the longest end of at most ``cells`` cells."""
    tail = ""
    for character in reversed(text):
        if cell_len(character + tail) > cells:
            break
        tail = character + tail
    return tail


def to_ascii(text: str) -> str:
    """Replace characters that a terminal without Unicode lacks.

    >>> to_ascii("σ ≈ 1/√n — 3 × 4")
    'sigma ~ 1/sqrt n - 3 x 4'
    """
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    return "".join(c if c.isascii() else "?" for c in plain if not unicodedata.combining(c))


def figure(value: float | None) -> str:
    """Format a number with at most three significant digits, as a power of ten where that is shorter.

    >>> [figure(v) for v in (0.1 + 0.2, 3.2e-9, 1234.5, 0.0, float("nan"), float("-inf"), None)]
    ['0.3', '3.2e-9', '1234', '0', 'NaN', '-inf', '–']
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 9999.5:
        return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 layer``, ``12 layers``.

    >>> count(1, "layer"), count(12000, "layer")
    ('1 layer', '12,000 layers')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shape_text(shape: Sequence[int]) -> str:
    """Format a shape, such as ``64×128``.

    >>> shape_text((64, 3, 7, 7)), shape_text(())
    ('64×3×7×7', 'scalar')
    """
    return "×".join(str(n) for n in shape) if shape else "scalar"


def folded(items: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Group ``(key, item)`` pairs by key, in order of first appearance.

    >>> folded([("no labels", "GS501"), ("no optimizer", "GS701"), ("no labels", "GS502")])
    [('no labels', ['GS501', 'GS502']), ('no optimizer', ['GS701'])]
    """
    groups: dict[str, list[str]] = {}
    for key, item in items:
        groups.setdefault(key, []).append(item)
    return list(groups.items())
