"""Write docs/exam-of-trainings.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["page"]

HEAD = """# An exam of trainings

`make trainings-exam` trains thirty networks that go wrong for a known reason and twenty-three healthy ones
under `gs.watch`, with a look every 25 steps. The trainings were frozen before any rule was written; the hash
of a name decides the half. Rules were developed on the seen half alone. *Right* means that the first error or
warning names a known cause; *lead* is the number of steps between the first right finding and the step at
which the loss alone shows a fault (the median of ten losses doubles, or a loss is no number), where it ever
does.

"""


def page(results: Mapping[str, Sequence[Any]]) -> str:
    """The page as text."""
    return HEAD + "\n".join(_lines(results)) + "\n"


def _lines(results: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    from training_exam.sit import summary

    yield "| half | sick | found | right cause | healthy | false alarms | median lead | trainings with a lead |"
    yield "|---|---|---|---|---|---|---|---|"
    for half, found in results.items():
        s = summary(list(found))
        yield (
            f"| {half} | {s['sick']} | {s['found']} | {s['right']} | {s['sound']} | {s['false']} | {s['lead']:g} | "
            f"{s['leads']} |"
        )
    for half, found in results.items():
        yield f"\n## The {half} half\n"
        yield "| training | what was done | said, with its step | right | the loss shows it at |"
        yield "|---|---|---|---|---|"
        for r in found:
            said = ", ".join(f"{a.finding.code} at {a.step}" for a in r.alerts) or "nothing"
            sick = bool(r.question.causes)
            right = ("yes" if r.right else "no") if sick else ("yes" if not r.alerts else "false alarm")
            what = r.question.why or f"healthy: {r.question.source}"
            yield f"| {r.question.name.replace('_', ' ')} | {what} | {said} | {right} | {r.shown or '–'} |"
