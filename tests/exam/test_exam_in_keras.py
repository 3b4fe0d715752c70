"""The same for the cases of Keras, in a process of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exam.case import Entry
from exam.catalogue import catalogue

KERAS = [entry for entry in catalogue().values() if entry.framework == "keras"]
VERSIONS = [(entry, cured) for entry in KERAS for cured in ((False, True) if entry.sick else (False,))]


def _arrays(value: Any) -> list[np.ndarray]:
    if isinstance(value, dict):
        value = list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


@pytest.mark.filterwarnings("ignore")  # sick networks may make the framework warn
@pytest.mark.parametrize(("entry", "cured"), VERSIONS, ids=lambda v: v.name if isinstance(v, Entry) else "cured" * v)
def test_builds_alike_and_runs(entry: Entry, cured: bool) -> None:
    first = entry.build(3, cured=cured)
    weights = first.model.get_weights()
    output = _arrays(first.model.predict(first.x, verbose=0))
    again = entry.build(3, cured=cured)
    for a, b in zip(weights, again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(_arrays(first.x), _arrays(again.x), strict=True):
        np.testing.assert_array_equal(a, b)
    assert all(len(part) == len(_arrays(first.x)[0]) for part in output)
    assert first.model.optimizer is not None
