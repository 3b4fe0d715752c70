"""The story of a demonstration says what its figures say."""

from __future__ import annotations

import dataclasses
import math
from xml.etree import ElementTree

import pytest
from rich.console import Console

from gainstage.cli import story
from gainstage.records import Evaluation
from gainstage.workflows import demo


@pytest.fixture(scope="module")
def told():
    return demo.classic("digits", steps=40)


def written(shown, width=80):
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        story.tell(console, shown, "picture.svg")
    return captured.get()


def ending(shown, before, after):
    def last(curve, accuracy):
        final = Evaluation(curve.final.step, curve.final.loss, accuracy)
        return dataclasses.replace(curve, evaluations=(*curve.evaluations[:-1], final))

    return dataclasses.replace(shown, before=last(shown.before, before), after=last(shown.after, after))


def test_the_verdict_follows_the_sampling_error(told):
    held = told.examples[1]
    error = math.sqrt(2 * 0.9 * 0.1 / held)
    assert "No lasting harm" in written(ending(told, 0.9, 0.9 + error))
    assert "right more often" in written(ending(told, 0.9, 0.9 + 3 * error))
    assert "right less often" in written(ending(told, 0.9, 0.9 - 3 * error))


def test_a_weight_that_is_off_is_called_off(told):
    assert "as drawn" in written(told)
    assert " off" not in written(told)
    weight = told.weights[0]
    doubled = dataclasses.replace(told, weights=(dataclasses.replace(weight, variance=2 * weight.target),))
    assert " off" in written(doubled)


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_fit_the_terminal(told, width):
    to_copy = {
        line.strip() for f in (*told.diagnosis.findings, *told.mended.findings) for line in f.remedy.code.split("\n")
    }
    lines = [line for line in written(told, width).splitlines() if line.strip() not in to_copy]
    assert max(map(len, lines)) <= width


def test_the_picture_names_both_starts(told):
    picture = story.picture(told)
    texts = " ".join(element.text or "" for element in ElementTree.fromstring(picture).iter())
    assert told.before.label in texts
    assert told.after.label in texts


def test_too_few_steps_for_an_early_look_are_told_too():
    assert "verdict" in written(demo.classic("digits", steps=1))
