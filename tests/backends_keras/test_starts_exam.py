"""The Keras cases of the exam of starts build deterministically and take a step."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import starts_exam
from starts_exam.running import train
from starts_exam.starts import fingerprint, restore, weights

CASES = starts_exam.keras_cases()


def test_they_are_the_frozen_ones():
    frozen = json.loads(starts_exam.FROZEN.read_text())["halves"]
    assert [case.name for case in CASES] == [name for name in frozen if name.startswith("keras-")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_builds_deterministically_and_takes_a_step(case):
    model = case.model(3)
    kept = weights(case, model)
    assert fingerprint(kept) == fingerprint(weights(case, case.model(3)))
    ended = train(replace(case, steps=1), model, case.data(0), case.rate, seed=0)
    assert math.isfinite(ended.before)
    assert math.isfinite(ended.loss)
    assert fingerprint(weights(case, model)) != fingerprint(kept)
    restore(case, model, kept)
    assert fingerprint(weights(case, model)) == fingerprint(kept)
