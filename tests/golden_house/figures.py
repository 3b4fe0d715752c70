"""Figures that must stay what they are while code moves.

    python tests/golden_house/figures.py --write                PyTorch, into torch.json
    python tests/golden_house/figures.py --compare              what differs from it, model by model; exits with 1
    python tests/golden_house/figures.py --compare --only lstm --framework keras

Of every model: roles, plans, drawn weights, predicted and measured second moments, findings.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # sums in the same order
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import numpy as np  # noqa: E402

from golden_house import asked  # noqa: E402
from golden_house.differences import differences  # noqa: E402

TARGET_DIGITS, PREDICTED_DIGITS, MEASURED_DIGITS = 10, 12, 7
FIRST = 4  # values shown of a draw whose bytes may differ

Figures = dict[str, Any]


def figures_of(subject: asked.Subject) -> Figures:
    """All figures of one model, as JSON has them; where a question raises, the kind of error."""
    plain = _tried(asked.planned, subject, "he_normal", data=False)
    informed = _tried(asked.planned, subject, "he_normal", data=True)
    auto = _tried(asked.planned, subject, "auto", data=True)  # which does not go without a batch
    looked = _tried(asked.looked, subject)
    measured, findings = looked if isinstance(looked, tuple) else (looked, looked)
    levels = {
        "predicted": (_tried(asked.predicted, subject), PREDICTED_DIGITS),
        "predicted under auto": (_tried(asked.predicted, subject, auto), PREDICTED_DIGITS),
        "measured": (measured, MEASURED_DIGITS),
    }
    return {
        "roles": _tried(asked.roles, subject),
        "plan he_normal": _tried(_plan, plain),
        "plan he_normal with data": _tried(_plan, informed),
        "plan auto with data": _tried(_plan, auto),
        "drawn he_normal": _tried(_drawn, subject, plain),
        "drawn auto with data": _tried(_drawn, subject, auto),
        "drawn auto, calibrated": _tried(_calibrated, subject),
        "findings": findings,
        **{name: answer for name, (answer, _) in levels.items() if isinstance(answer, str)},
        "levels": _rows([({} if isinstance(a, str) else a, digits) for a, digits in levels.values()]),
    }


def _tried(ask: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The answer; the kind of error where one is raised, or was raised before."""
    for earlier in given:
        if isinstance(earlier, str) and earlier.startswith("raises "):
            return earlier
    try:
        return ask(*given, **named)
    except Exception as error:
        return f"raises {type(error).__name__}"


def _plan(plan: Any) -> dict[str, list[Any]]:
    return {path: [_rounded(v, TARGET_DIGITS) for v in line] for path, line in asked.targets(plan).items()}


def _drawn(subject: asked.Subject, plan: Any) -> dict[str, list[Any]]:
    """Of every weight the root mean square and a hash of its bytes; of an orthogonal draw its first values instead.

    A weight that goes by another name than in the plan (Keras) is known by its shape there.
    """
    orthogonal, paths = asked.orthogonal(plan), asked.targets(plan)
    return {
        name: _weight(
            values, exact=name not in orthogonal and (name in paths or values.shape not in orthogonal.values())
        )
        for name, values in subject.weights(asked.applied(subject, plan)).items()
    }


def _calibrated(subject: asked.Subject) -> dict[str, list[Any]]:
    model = asked.calibrated(subject, "auto")
    return {name: _weight(values, exact=False) for name, values in subject.weights(model).items()}


def _weight(values: Any, *, exact: bool) -> list[Any]:
    flat = values.reshape(-1).astype(complex if np.iscomplexobj(values) else float)
    size = _rounded(math.sqrt(np.mean(np.abs(flat) ** 2)), MEASURED_DIGITS)
    if exact:
        return [size, hashlib.sha256(values.tobytes()).hexdigest()[:16]]
    return [size, [_rounded(float(value.real), MEASURED_DIGITS) for value in flat[:FIRST]]]


def _rows(sources: list[tuple[asked.Levels, int]]) -> list[list[Any]]:
    """One row for every node in the order of execution: its label, then the numbers of every source."""
    labels = {index: label for levels, _ in sources for index, (label, *_) in levels.items()}
    return [
        [
            labels[index],
            *(_rounded(v, digits) for levels, digits in sources for v in levels.get(index, ("", None, None))[1:]),
        ]
        for index in sorted(labels)
    ]


def _rounded(value: Any, digits: int) -> Any:
    return float(f"{value:.{digits - 1}e}") if isinstance(value, float) else value


def chosen(framework: str, only: str) -> Iterator[asked.Subject]:
    """The models of a framework whose names hold a word, or match a pattern."""
    pattern = only if any(sign in only for sign in "*?[") else f"*{only}*"
    for subject in importlib.import_module(f"golden_house.{framework}_models").subjects():
        if fnmatchcase(subject.name, pattern):
            yield subject


def read(path: Path) -> dict[str, Figures]:
    """What was written before."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(path: Path, figures: dict[str, Figures]) -> None:
    """One line for every part of every model."""
    models = (
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"{json.dumps(part)}: {_compact(value)}" for part, value in parts.items())
        + "\n}"
        for name, parts in figures.items()
    )
    path.write_text("{\n" + ",\n".join(models) + "\n}\n")


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> int:
    """Write, or compare and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="replace what is stored")
    what.add_argument("--compare", action="store_true", help="show what differs from what is stored")
    parser.add_argument("--only", default="*", help="models whose name holds this word, or matches this pattern")
    parser.add_argument("--framework", choices=("torch", "keras"), default="torch")
    parser.add_argument("--lines", type=int, default=6, help="lines shown of one model")
    parser.add_argument("--times", action="store_true", help="say how long every model took")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()  # libraries tell of their own choices
    path, begun = HERE / f"{given.framework}.json", time.perf_counter()
    stored, found, differing = read(path), {}, 0
    for subject in chosen(given.framework, given.only):
        since = time.perf_counter()
        found[subject.name] = figures_of(subject)
        if given.times:
            print(f"{time.perf_counter() - since:6.2f} s  {subject.name}", flush=True)
        if given.compare:
            differing += _shown(subject.name, stored.get(subject.name), found[subject.name], given.lines)
    gone = [name for name in stored if name not in found] if given.only == "*" else []
    if given.write:
        write(path, found if given.only == "*" else stored | found)
    else:
        for name in gone:
            print(f"{name}\n    is stored, and not among the models")
    took = time.perf_counter() - begun
    print(
        f"{len(found)} models of {given.framework} in {took:.0f} s: "
        + ("written" if given.write else f"{differing + len(gone)} differ")
    )
    return int(given.compare and bool(differing or gone))


def _shown(name: str, then: Figures | None, now: Figures, most: int) -> bool:
    lines = ["is not stored"] if then is None else list(differences(then, json.loads(_compact(now))))
    if lines:
        further = [f"and {len(lines) - most} more (--lines)"] if len(lines) > most else []
        print("\n    ".join([name, *lines[:most], *further]), flush=True)
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
