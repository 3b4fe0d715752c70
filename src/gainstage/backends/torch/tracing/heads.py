"""The heads of a model that returns its loss alone, found by walking back from it."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.backends.torch.tracing.call import Draft

__all__ = ["behind", "last_weighted"]


def last_weighted(drafts: Sequence[Draft], end: int) -> tuple[int, ...]:
    """The weighted operations of the signal from which a way leads to ``end`` past no other one, in order."""
    pending, known, found = [end], {end}, set()
    while pending:
        draft = drafts[pending.pop()]
        if draft.operation.weighted and draft.from_input:
            found.add(draft.index)
            continue
        fresh = [i for i in draft.inputs if i not in known]
        known.update(fresh)
        pending += fresh
    return tuple(sorted(found))


def behind(drafts: Sequence[Draft], heads: Sequence[int]) -> list[int]:
    """The operations behind the heads from which no way leads to another weighted operation."""
    after = set(heads)
    for draft in drafts:
        if any(i in after for i in draft.inputs):
            after.add(draft.index)
    onward: set[int] = set()
    for draft in reversed(drafts):
        if draft.operation.weighted or draft.index in onward:
            onward.update(draft.inputs)
    return [index for index in sorted(after) if index not in onward and not drafts[index].operation.weighted]
