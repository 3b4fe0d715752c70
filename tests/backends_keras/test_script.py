"""A program that calls ``fit``, unchanged, under ``gainstage run``."""

from __future__ import annotations

from pathlib import Path

import keras

from gainstage.integrations.script import run

SCRIPT = Path(__file__).parents[1] / "integrations" / "scripts" / "keras_fit.py"


def test_every_call_of_fit_is_watched_and_keras_is_put_back():
    before = keras.Model.fit
    (history,) = run(str(SCRIPT), to=None, on_finding="collect").histories
    assert (history.model, len(history.steps)) == ("Sequential", 8)
    assert history.start.judged
    assert keras.Model.fit is before
    assert "fit" not in vars(keras.Model)
