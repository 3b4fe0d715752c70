"""The remedies that several rules share."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Remedy

__all__ = ["edit", "initialize"]


def initialize(summary: str, patterns: Sequence[str] = ()) -> Remedy:
    """Draw weights anew, from the signal that really arrives; without patterns the whole model.

    >>> initialize("Draw it anew.").code.splitlines()[-1]
    'gs.initialize(model, x=x)'
    """
    if not patterns:
        return Remedy(summary, "import gainstage as gs\n\ngs.initialize(model, x=x)", "initialize")
    names = ", ".join(f'"{p}": "auto"' for p in patterns[:3])
    more = "  # and the others named above" if len(patterns) > 3 else ""
    code = f'import gainstage as gs\n\ngs.initialize(model, "keep", x=x, overrides={{{names}}}){more}'
    return Remedy(summary, code, "initialize", "auto", tuple(patterns))


def edit(summary: str, code: str) -> Remedy:
    """A change of the user's own code."""
    return Remedy(summary, code)
