"""gainstage sets the level of every layer before step one.

>>> import torch
>>> import gainstage as gs
>>> model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
>>> plan = gs.initialize(model, x=torch.randn(32, 64), seed=0)
>>> gs.check(model, torch.randn(32, 64)).ok
True
"""

from __future__ import annotations

import importlib
import random
from typing import TYPE_CHECKING, Any

from gainstage.lab import lab  # now, since the room of that name would take the function's place later

if TYPE_CHECKING:
    from gainstage.backends import keras
    from gainstage.errors import GainstageError
    from gainstage.graph import SignalGraph
    from gainstage.planning import Override
    from gainstage.records import (
        Comparison,
        Diagnosis,
        Finding,
        Fixed,
        Formats,
        History,
        InputMoments,
        Plan,
        Preflight,
        Profile,
        Scaling,
        Severity,
    )
    from gainstage.report.json import dumps, load, loads
    from gainstage.report.schema import schema
    from gainstage.rules import get as rule
    from gainstage.theory import gain, meanfield
    from gainstage.workflows import (
        apply,
        check,
        compare,
        fix,
        formats,
        initialize,
        materialize,
        parameter_groups,
        plan,
        predict,
        preflight,
        trace,
        watch,
    )  # fmt: skip
    from gainstage.workflows.resizing import scaling

__version__ = "0.1.0"

_HOMES = {
    "GainstageError": "errors",
    "SignalGraph": "graph",
    "Override": "planning",
    **dict.fromkeys(
        (
            "Comparison",
            "Diagnosis",
            "Finding",
            "Fixed",
            "Formats",
            "History",
            "InputMoments",
            "Plan",
            "Preflight",
            "Profile",
            "Scaling",
            "Severity",
        ),
        "records",
    ),
    **dict.fromkeys(("dumps", "load", "loads"), "report.json"),
    "schema": "report.schema",
    "rule": "rules",
    **dict.fromkeys(("gain", "meanfield"), "theory"),
    "keras": "backends",
    **dict.fromkeys(
        (
            "apply",
            "check",
            "compare",
            "fix",
            "formats",
            "initialize",
            "materialize",
            "parameter_groups",
            "plan",
            "predict",
            "preflight",
            "scaling",
            "trace",
            "watch",
        ),
        "workflows",
    ),
}
_RENAMED = {"rule": "get"}
_WITH_RECORDS = {"records", "report.json", "workflows"}
"""Homes of names that hand out records, which then can be shown, saved and written as code."""

__all__ = [
    "Comparison", "Diagnosis", "Finding", "Fixed", "Formats", "GainstageError", "History", "InputMoments", "Override",
    "Plan", "Preflight", "Profile", "Scaling", "Severity", "SignalGraph", "apply", "check", "compare", "dumps", "fix",
    "formats", "gain", "initialize", "keras", "lab", "load", "loads", "materialize", "meanfield", "parameter_groups",
    "plan", "predict", "preflight", "rule", "scaling", "schema", "trace", "watch",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that ``import gainstage`` costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gainstage' has no attribute {name!r}")
    if _HOMES[name] in _WITH_RECORDS:
        state = random.getstate()
        importlib.import_module("gainstage.report")  # registers how records are shown and saved
        importlib.import_module("gainstage.backends")  # registers how a plan is written as code
        random.setstate(state)  # rich draws a number when it is imported
    if name == "keras":  # a room of its own, with what only Keras people need
        return importlib.import_module("gainstage.backends.keras")
    found = getattr(importlib.import_module(f"gainstage.{_HOMES[name]}"), _RENAMED.get(name, name))
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
