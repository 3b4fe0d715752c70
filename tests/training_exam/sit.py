"""Sit the exam: watch every training, and compare the first finding with the known cause.

python tests/training_exam/sit.py seen            # the half on which rules were developed
python tests/training_exam/sit.py both --write    # docs/exam-of-trainings.md
python tests/training_exam/sit.py NAME NAME
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import gainstage as gs
from gainstage.records import Alert, Severity
from gainstage.rules.training import training_rules
from training_exam import catalogue
from training_exam.case import Question, shown

__all__ = ["Result", "sit"]

CAUSES = {rule.code: rule.cause for rule in training_rules()}
EVERY = 25
PAGE = Path(__file__).parents[2] / "docs" / "exam-of-trainings.md"


@dataclass(frozen=True)
class Result:
    """The verdict of the watch on one training.

    Args:
        question: the training.
        alerts: errors and warnings in order.
        shown: the first step at which the loss alone shows a fault; None where it never does.
        seconds: of the whole training with its watch.
        notes: what the watch could not see.
    """

    question: Question
    alerts: tuple[Alert, ...]
    shown: int | None
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Report whether the first finding names a right cause."""
        return bool(self.alerts) and CAUSES[self.alerts[0].finding.code] in self.question.causes

    @property
    def lead(self) -> int | None:
        """Steps between the first right finding and the loss; None where the loss shows nothing."""
        right = [a.step for a in self.alerts if CAUSES[a.finding.code] in self.question.causes]
        return self.shown - right[0] if right and self.shown is not None else None


def sit(question: Question) -> Result:
    """Train once under a watch."""
    start, training = time.perf_counter(), question.build()
    with gs.watch(
        training.model, training.optimizer, loss=training.loss, every=EVERY, to=None, on_finding="collect", check=False
    ) as watching:
        losses = [training.step(number) for number in range(training.steps)]
    history = watching.history
    serious = tuple(a for a in history.alerts if a.finding.severity is not Severity.NOTE)
    return Result(question, serious, shown(losses), time.perf_counter() - start, history.notes)


def told(result: Result) -> str:
    """One line of a result."""
    kind = "sick" if result.question.causes else "sound"
    verdict = "right" if result.right else "WRONG" if bool(result.alerts) or kind == "sick" else "silent"
    said = ", ".join(f"{a.finding.code}@{a.step}" for a in result.alerts)
    return f"{verdict:6} {kind:5} {result.question.name:40} shown {result.shown!s:5} {result.seconds:5.1f}s  {said}"


def summary(results: list[Result]) -> dict[str, float]:
    """The figures of one half."""
    sick = [r for r in results if r.question.causes]
    leads = [r.lead for r in sick if r.lead is not None]
    return {
        "sick": len(sick),
        "found": sum(bool(r.alerts) for r in sick),
        "right": sum(r.right for r in sick),
        "sound": len(results) - len(sick),
        "false": sum(bool(r.alerts) for r in results if not r.question.causes),
        "lead": median(leads) if leads else float("nan"),
        "leads": len(leads),
    }


def main(arguments: list[str]) -> None:
    """Sit the exam and print it."""
    names = [a for a in arguments if not a.startswith("--") and a not in ("seen", "unseen", "both")]
    halves = ("seen", "unseen") if "both" in arguments else tuple(a for a in arguments if a in ("seen", "unseen"))
    results: dict[str, list[Result]] = {"seen": [], "unseen": []}
    for question in catalogue.questions():
        if question.name in names or question.half in halves:
            results[question.half].append(sit(question))
            print(told(results[question.half][-1]), *results[question.half][-1].notes, flush=True)
    for half, found in results.items():
        if found:
            print(half, summary(found))
    if "--write" in arguments:
        from training_exam.page import page

        PAGE.write_text(page(results), encoding="utf-8")
        print(f"Wrote {PAGE}")


if __name__ == "__main__":
    main(sys.argv[1:])
