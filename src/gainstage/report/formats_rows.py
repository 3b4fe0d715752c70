"""Sentences and rows about number formats, for text and pages alike."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Formats, FormatShares, LossScale, TensorFormats
from gainstage.report.wording import count, figure

__all__ = ["KINDS", "rows", "share", "shown", "verdict"]

KINDS = {
    "output": "output", "gradient": "gradient", "weight": "weight", "weight_gradient": "its gradient", "step": "step",
}  # fmt: skip

SHOWN = 0.0005
"""Smaller shares are not written out."""


def verdict(found: Formats, form: str) -> str:
    """Return one sentence about one format: what it harms, and the loss scale that cures it."""
    harmed = found.harmed(form)
    over = sum(t.of(form).overflow > 0 for t in harmed)
    under = len(harmed) - over
    told = [f"{count(over, 'tensor')} overflow{'s' if over == 1 else ''}"] if over else []
    told += [f"{count(under, 'tensor')} {'is' if under == 1 else 'are'} too small for it"] if under else []
    said = f"{'; '.join(told).capitalize()}." if told else f"None of {count(len(found.tensors), 'tensor')} is harmed."
    scale = found.loss_scale(form)
    if scale is not None and any("gradient" in t.kind for t in harmed):
        said += _cure(scale)
    if any(s.lost is not None for t in found.tensors for s in t.shares):
        stuck, weights = len(found.stuck(form)), sum(t.of(form).lost is not None for t in found.tensors)
        moved = f"leaves most of {stuck} of {count(weights, 'parameter')} as they are" if stuck else "moves all of them"
        said += f" Were the weights kept in it, the first update {moved}."
    return said


def _cure(scale: LossScale) -> str:
    if not scale.left:
        return f" A loss scale of {figure(scale.advised)} cures the gradients."
    left = count(scale.left, "gradient")
    return f" No single loss scale cures them: at {figure(scale.advised)}, out of range are still {left}."


def shown(found: Formats, most: int) -> Sequence[TensorFormats]:
    """Return the tensors that formats harm most, at most ``most`` of them, in the order of the model."""

    def loss(tensor: TensorFormats) -> float:
        return max(max(s.overflow, s.error, s.underflow, s.lost or 0.0) for s in tensor.shares)

    ranked = sorted((t for t in found.tensors if loss(t) > SHOWN), key=lambda t: (not _harmed(t), -loss(t)))
    kept = {id(t) for t in ranked[:most]}
    return [t for t in found.tensors if id(t) in kept]


def _harmed(tensor: TensorFormats) -> bool:
    return any(s.harmed for s in tensor.shares)


def rows(tensors: Sequence[TensorFormats]) -> list[tuple[str, ...]]:
    """Return one row for every tensor: its name, kind, own format and size, and what every format loses of it."""
    return [
        (
            t.path or "the model itself",
            KINDS[t.kind],
            t.dtype or "predicted",
            figure(t.median),
            figure(t.largest),
            *(share(s) for s in t.shares),
        )
        for t in tensors
    ]


def share(shares: FormatShares) -> str:
    """Return what one format loses of one tensor, in a few words.

    >>> share(FormatShares("float16", 0.0, 0.12, 0.3)), share(FormatShares("bfloat16", 0.0, 0.0, 0.0))
    ('12 % to 0', '–')
    """
    told = []
    if shares.overflow > 0:
        told.append(f"{_percent(shares.overflow)} over")
    if shares.underflow > SHOWN:
        told.append(f"{_percent(shares.underflow)} to 0")
    if shares.lost is not None and shares.lost > SHOWN:
        told.append(f"{_percent(shares.lost)} unmoved")
    return ", ".join(told) or "–"


def _percent(value: float) -> str:
    return f"{figure(100 * value) if value < 0.01 else f'{100 * value:.0f}'} %"
