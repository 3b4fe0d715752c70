"""The remedies that several rules share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gainstage.records import Remedy, TargetFacts

__all__ = ["Edit", "Phrase", "Words", "edit", "initialize", "on_logits", "phrase"]

Words = Mapping[str, str]
"""What a framework's users write, by what it means; values in braces are filled in."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Something that every framework writes in words of its own.

    Args:
        meaning: in plain English; each backend's table of words has an entry of this name.
        values: what is filled in.
    """

    meaning: str
    values: tuple[tuple[str, str], ...] = ()

    def said(self, words: Words) -> str:
        """The words of a framework; the meaning itself where it has none.

        >>> phrase("a layer of units", units=3).said({"a layer of units": "Dense({units})"})
        'Dense(3)'
        """
        own = words.get(self.meaning)
        return self.meaning if own is None else own.format(**dict(self.values))


@dataclass(frozen=True, slots=True)
class Edit(Remedy):
    """A change of the user's own code that is still to be put into the words of a framework.

    Args:
        change: what to write; ``code`` is empty.
    """

    change: Phrase = Phrase("")

    def said(self, words: Words) -> Remedy:
        """The remedy in the words of a framework."""
        code = self.change.said(words)
        return Remedy(self.summary, f"# {code}" if self.change.meaning not in words else code)


def phrase(meaning: str, **values: object) -> Phrase:
    """Name what is to be said, with values to fill in."""
    return Phrase(meaning, tuple((name, str(value)) for name, value in values.items()))


def on_logits(target: TargetFacts | None) -> Phrase:
    """The cross-entropy on logits that takes labels of this kind."""
    one_hot = target is not None and target.kind in ("one_hot", "probabilities")
    return phrase("a cross-entropy on logits, of shares" if one_hot else "a cross-entropy on logits, of class numbers")


def initialize(summary: str, patterns: Sequence[str] = ()) -> Remedy:
    """Draw weights anew, from the signal that really arrives; without patterns the whole model.

    >>> initialize("Draw it anew.").code.splitlines()[-1]
    'gs.initialize(model, "auto", x=x)'
    """
    if not patterns:
        return Remedy(summary, 'import gainstage as gs\n\ngs.initialize(model, "auto", x=x)', "initialize")
    names = ", ".join(f'"{p}": "auto"' for p in patterns[:3])
    more = "  # and the others named above" if len(patterns) > 3 else ""
    code = f'import gainstage as gs\n\ngs.initialize(model, "keep", x=x, overrides={{{names}}}){more}'
    return Remedy(summary, code, "initialize", "auto", tuple(patterns))


def edit(summary: str, code: str | Phrase) -> Remedy:
    """A change of the user's own code, in plain Python or as a phrase that each framework writes in its own words."""
    return Remedy(summary, code) if isinstance(code, str) else Edit(summary, "", change=code)
