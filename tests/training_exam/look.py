"""Print the losses of the exam's trainings, without any watch: python tests/training_exam/look.py [NAME ...]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from training_exam import catalogue
from training_exam.case import shown

for question in catalogue.questions():
    if len(sys.argv) > 1 and question.name not in sys.argv[1:]:
        continue
    start, training = time.perf_counter(), question.build()
    losses = [training.step(i) for i in range(training.steps)]
    at = " ".join(f"{losses[int(i * (len(losses) - 1) / 8)]:.3g}" for i in range(9))
    kind = "sick" if question.causes else "sound"
    seconds = time.perf_counter() - start
    print(f"{question.half:6} {kind:5} {question.name:40} shown {shown(losses)!s:5} {seconds:4.1f}s  {at}")
