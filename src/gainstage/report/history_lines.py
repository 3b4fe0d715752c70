"""Writes and reads histories as lines of JSON: one line for what is watched, then one for every event."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gainstage.errors import InputError
from gainstage.records import Alert, Diagnosis, History, Look, StepReading
from gainstage.report.codec import decode, encode

__all__ = ["LINES_VERSION", "history_of_lines", "is_lines", "line_of"]

LINES_VERSION = 1
"""The version increases with every change that an older reader would refuse."""

_KINDS: dict[str, type[Any]] = {
    "history": History, "start": Diagnosis, "step": StepReading, "look": Look, "alert": Alert, "end": History,
}  # fmt: skip


def line_of(kind: str, record: Any) -> str:
    """Return one event as a line of JSON, without its line break.

    Args:
        kind: ``history`` for the first line; ``start``, ``step``, ``look``, ``alert``, ``note`` and ``end`` behind it.
        record: the event; of the whole history at its end, steps and looks are left out.

    >>> line_of("step", StepReading(3, loss=0.5))
    '{"step": {"step": 3, "loss": 0.5}}'
    """
    if kind == "note":
        return json.dumps({"note": str(record)})
    if isinstance(record, History):
        record = replace(record, steps=(), looks=(), start=None)
    event = {kind: encode(record, lean=True)}
    return json.dumps({"lines_version": LINES_VERSION, **event} if kind == "history" else event, allow_nan=False)


def is_lines(text: str) -> bool:
    """Report whether a text is a history in lines."""
    return text.lstrip().startswith('{"lines_version"')


def history_of_lines(text: str, where: str = "text") -> History:
    """Return the history; a last line that was cut off when the run was killed is left out.

    Raises:
        InputError: the text is no such history, has a newer version, or a line in its middle is damaged.

    >>> lines = [line_of("history", History("Net")), line_of("step", StepReading(1, loss=2.0)), '{"step": {"st']
    >>> history_of_lines(chr(10).join(lines)).steps[0].loss
    2.0
    """
    lines = [line for line in text.splitlines() if line.strip()]
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(json.loads(line))
        except ValueError as error:
            if number == len(lines) and number > 1:
                break
            raise InputError(f"The {where} is damaged in line {number}: {error}.") from None
    return _assembled(events, where)


def _assembled(events: list[Any], where: str) -> History:
    first = events[0] if events else None
    if not isinstance(first, dict) or "history" not in first:
        raise InputError(f"The {where} is no history of a training: its first line does not say what was watched.")
    if first.get("lines_version", 0) > LINES_VERSION:
        raise InputError(
            f"The {where} has lines_version {first['lines_version']}; this gainstage reads up to {LINES_VERSION}. "
            "Update it with: pip install --upgrade gainstage"
        )
    found: dict[str, list[Any]] = {"start": [], "step": [], "look": [], "alert": [], "note": [], "end": []}
    for event in events[1:]:
        for kind, data in event.items() if isinstance(event, dict) else ():
            if kind in found:
                found[kind].append(data if kind == "note" else decode(data, _KINDS[kind]))
    history = decode(first["history"], History)
    end = found["end"][-1] if found["end"] else None
    return replace(
        history,
        steps=tuple(found["step"]),
        looks=tuple(found["look"]),
        alerts=end.alerts if end is not None else tuple(found["alert"]),
        start=found["start"][-1] if found["start"] else None,
        notes=(*history.notes, *(str(note) for note in found["note"])),
        unjudged=end.unjudged if end is not None else (),
        finished=end is not None,
    )
