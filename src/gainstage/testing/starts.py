"""Assert that a model starts as it did when its golden file was written."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy import special

from gainstage.errors import InputError
from gainstage.graph import SignalGraph
from gainstage.records import Profile
from gainstage.testing.plugin import UPDATE
from gainstage.workflows import check

__all__ = ["assert_start"]

FORMAT = 1
_FALSE_ALARMS = 1e-3
"""Chance that a start that has not changed fails, over all its figures together."""

_ROUNDING = 1e-5
"""Relative difference of figures that do not vary from draw to draw: sums in another order."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """The logarithm of a root mean square over draws; a root mean square of zero has none.

    Args:
        mean: over draws; None where every draw is zero.
        deviation: between draws.
    """

    mean: float | None
    deviation: float = 0.0


def assert_start(
    build: Callable[[], Any], golden: str | Path, x: Any, y: Any = None, *, draws: int = 8, **options: Any
) -> None:
    """Compare the weights and signals of a model's start with those that a golden file holds.

    Several models are built. Of every parameter the role, the shape and the spread are compared, of every operation
    with weights the level of its output on the batch. A figure has changed where the means over draws differ by more
    than Student's t allows for all figures together, so that an unchanged start fails in one run of a thousand. What
    does not vary from draw to draw, a bias of zero or a scale of one, has to be the same.

    The file is written where it does not exist, and written anew under ``pytest --gainstage-update``. It is meant to be
    committed: a change of a start then shows in a diff.

    Args:
        build: makes a model with new weights.
        golden: a file of JSON.
        x, y: a batch as in ``gs.check``.
        draws: number of models; at least three.
        options: further arguments of ``gs.check``: ``loss``, ….

    Raises:
        AssertionError: a role, shape, spread or level has changed, or a parameter or operation has come or gone.
        InputError: too few draws, a file that is no golden file, or a model that always starts the same although
            its file says that it varies.

    >>> import tempfile, torch
    >>> folder = tempfile.TemporaryDirectory()
    >>> file, x = Path(folder.name, "start.json"), torch.randn(32, 64)
    >>> assert_start(lambda: torch.nn.Linear(64, 64), file, x)
    >>> assert_start(lambda: torch.nn.Linear(64, 64), file, x)
    >>> def louder():
    ...     model = torch.nn.Linear(64, 64)
    ...     torch.nn.init.kaiming_normal_(model.weight)
    ...     return model
    >>> assert_start(louder, file, x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: The start has changed...
    >>> folder.cleanup()
    """
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 3:
        raise InputError(f"draws is a number of models, at least 3; received {draws!r}.")
    if not callable(build):
        raise InputError("build makes a model with new weights, as a class or function does.")
    path = Path(golden)
    seen = _seen([check(build(), x, y, **options).profile for _ in range(draws)])
    if os.environ.get(UPDATE) or not path.exists():
        _write(path, seen, draws)
        return
    before, count = _read(path)
    changes = _changes(before, count, seen, draws)
    if changes:
        told = "\n".join(f"  {change}" for change in changes)
        raise AssertionError(
            f"The start has changed since {path.name} was written:\n{told}\n"
            "Where that is meant, write the file anew: pytest --gainstage-update."
        )


# -- figures of a start ------------------------------------------------------------------------------------------------

Seen = dict[str, dict[str, Any]]
"""``parameters`` by path, with role, shape and spread; ``levels`` by place."""


def _seen(profiles: Sequence[Profile]) -> Seen:
    graph = profiles[0].graph
    parameters = {}
    for parameter in graph.parameters:
        moments = [profile.by_path[parameter.path].weight for profile in profiles if parameter.path in profile.by_path]
        if moments:
            spread = _figure([m.second_moment for m in moments])
            parameters[parameter.path] = {
                "role": str(parameter.role), "shape": list(parameter.shape), "spread": asdict(spread)
            }  # fmt: skip
    levels: dict[str, Any] = {}
    for index, place in _places(graph).items():
        found = [profile.by_node[index].forward for profile in profiles if index in profile.by_node]
        if len(found) == len(profiles):
            levels[place] = asdict(_figure([m.second_moment for m in found]))
    return {"parameters": parameters, "levels": levels}


def _places(graph: SignalGraph) -> dict[int, str]:
    """Names of the operations that use weights, the same in every draw: module path, operation, and count."""
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for node in graph.nodes:
        if node.uses and node.stage == "model":
            name = f"{node.path or 'model'} ({node.operation})"
            counts[name] = counts.get(name, 0) + 1
            names[node.index] = name if counts[name] == 1 else f"{name} {counts[name]}"
    return names


def _figure(second_moments: Sequence[float]) -> _Figure:
    if not all(second_moments):
        return _Figure(None)
    logarithms = [0.5 * math.log(moment) for moment in second_moments]
    return _Figure(round(fmean(logarithms), 9), round(stdev(logarithms), 9))


# -- what has changed --------------------------------------------------------------------------------------------------


def _changes(before: Seen, count: int, now: Seen, draws: int) -> list[str]:
    """Differences in words, one for every parameter or operation that has changed."""
    found: list[str] = []
    for kind, word in (("parameters", "parameter"), ("levels", "operation")):
        found += [f"{name}: this {word} is gone" for name in before[kind] if name not in now[kind]]
        found += [f"{name}: this {word} is new" for name in now[kind] if name not in before[kind]]
    figures = sum(len(before[kind]) for kind in ("parameters", "levels"))
    bound = float(special.stdtrit(count + draws - 2, 1 - _FALSE_ALARMS / max(1, 2 * figures)))
    for name, old in before["parameters"].items():
        new = now["parameters"].get(name)
        if new is not None:
            found += [
                f"{name}: {field} {old[field]} → {new[field]}"
                for field in ("role", "shape")
                if old[field] != new[field]
            ]
            found += _moved(f"{name}: spread", old["spread"], count, new["spread"], draws, bound)
    for name, old in before["levels"].items():
        if name in now["levels"]:
            found += _moved(f"{name}: root mean square of the output", old, count, now["levels"][name], draws, bound)
    return found


def _moved(
    name: str, old: Mapping[str, Any], count: int, new: Mapping[str, Any], draws: int, bound: float
) -> list[str]:
    """The change of one figure in words; nothing where the means are as near as chance brings them."""
    before, after = _Figure(**old), _Figure(**new)
    if before.mean is None or after.mean is None:
        return [] if before.mean is after.mean else [f"{name} {_told(before)} → {_told(after)}"]
    pooled = ((count - 1) * before.deviation**2 + (draws - 1) * after.deviation**2) / (count + draws - 2)
    allowed = bound * math.sqrt(pooled * (1 / count + 1 / draws)) + _ROUNDING
    return [f"{name} {_told(before)} → {_told(after)}"] if abs(after.mean - before.mean) > allowed else []


def _told(figure: _Figure) -> str:
    return "0" if figure.mean is None else f"{math.exp(figure.mean):.3g}"


# -- the file ----------------------------------------------------------------------------------------------------------


def _write(path: Path, seen: Seen, draws: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"gainstage_start": FORMAT, "draws": draws, **seen}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> tuple[Seen, int]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["gainstage_start"] != FORMAT:
            raise ValueError(f"format {record['gainstage_start']}")
        return {kind: dict(record[kind]) for kind in ("parameters", "levels")}, int(record["draws"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(path)!r} is no golden file of a start ({error}). Delete it, or choose another."
        ) from error
