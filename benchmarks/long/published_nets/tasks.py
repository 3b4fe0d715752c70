"""Small tasks for published networks: digits, texts with a known entropy, masked texts, copies and sounds."""

from __future__ import annotations

import torch
from starts_exam.case import Data
from starts_exam.sources import generator, halves, markov_text, mnist_images
from torch.nn import functional as F

__all__ = ["LENGTH", "MASK", "SYMBOLS", "VOCABULARY", "copied_text", "colour_images", "masked_text", "sounds", "text"]

SYMBOLS, LENGTH = 48, 16
MASK, VOCABULARY = SYMBOLS, 64
"""The token that hides another one, and the rows of a table: symbols, the mask, and room for special tokens."""
_HIDDEN = 0.15  # share of the symbols of a text that are masked, as BERT has it
_BANDS, _FRAMES = 16, 4  # numbers a frame of sound, frames a symbol


def colour_images(seed: int, *, size: int = 32) -> Data:
    """5,000 MNIST images with a frame of background, (3, size, size): three equal channels; 500 are held out."""
    data = mnist_images(seed)
    edge = (size - 28) // 2
    dark = float(data.x.min())

    def wide(x):
        return F.pad(x, (edge,) * 4, value=dark).expand(-1, 3, -1, -1).contiguous()

    return Data(wide(data.x), data.y, wide(data.x_held), data.y_held)


def text(seed: int) -> Data:
    """Texts of 16 symbols, and the symbol that follows each; log 3 nats is the best that a model can reach."""
    return markov_text(seed, symbols=SYMBOLS, length=LENGTH)


def masked_text(seed: int) -> Data:
    """Texts in which 15 % of the symbols are hidden; labels elsewhere are -100."""
    data = text(seed)
    g = generator(seed)

    def hide(x):
        hidden = torch.rand(x.shape, generator=g) < _HIDDEN
        return x.masked_fill(hidden, MASK), x.masked_fill(~hidden, -100)

    x, y = hide(data.x)
    x_held, y_held = hide(data.x_held)
    return Data(x, y, x_held, y_held)


def copied_text(seed: int) -> Data:
    """Random texts that a decoder writes down again: a pair (what the encoder reads, what the decoder has written)."""
    g = generator(seed)
    x = torch.randint(0, SYMBOLS, (1_280, 8), generator=g)
    return halves((x, _shifted(x)), x, 128, seed)


def sounds(seed: int) -> Data:
    """Spectra of 8 symbols in a row with noise, (16 bands, 32 frames), and the text that a decoder writes down."""
    g = generator(seed)
    symbols = 12
    spectra = torch.randn(symbols, _BANDS, _FRAMES, generator=g)
    y = torch.randint(0, symbols, (1_280, 8), generator=g)
    x = spectra[y].permute(0, 2, 1, 3).flatten(2)
    x = x + 0.5 * torch.randn(x.shape, generator=g)
    return halves((x, _shifted(y)), y, 128, seed)


def _shifted(x: torch.Tensor) -> torch.Tensor:
    """Return texts behind a token that begins them."""
    return torch.cat([torch.full_like(x[:, :1], MASK), x[:, :-1]], 1)
