"""Results as lines of JSON, one a training, kept by case, rate, seed and the fingerprint of the start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Result", "Store"]

Key = tuple[str, float, int, str]


@dataclass(frozen=True, slots=True)
class Result:
    """One training.

    Args:
        case: its name.
        start: ``author`` or ``auto``.
        factor: the learning rate in units of the author's.
        seed: of data, weights, order and noise.
        fingerprint: of all weights and buffers before the first step; empty where the start failed.
        before, value, loss, seconds: as in ``running.Ended``; None for a figure that is not finite.
        error: the message, where the start could not be made.
    """

    case: str
    start: str
    factor: float
    seed: int
    fingerprint: str
    before: float | None = None
    value: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    error: str = ""

    @property
    def key(self) -> Key:
        """A training is the same whatever the name of its start."""
        return self.case, self.factor, self.seed, self.fingerprint


class Store:
    """Results in a file; of two with one key the later one counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self.results = [Result(**json.loads(line)) for line in lines]
        self._known: dict[Key, dict[str, Result]] = {}
        for result in self.results:
            self._remember(result)

    def _remember(self, result: Result) -> None:
        if result.fingerprint:
            self._known.setdefault(result.key, {})[result.start] = result

    def get(self, case: str, start: str, factor: float, seed: int, fingerprint: str) -> Result | None:
        """Return the result of an equal training, of the start of that name if there are two."""
        found = self._known.get((case, factor, seed, fingerprint), {})
        return found.get(start) or next(iter(found.values()), None)

    def add(self, result: Result) -> None:
        """Append a result to the file."""
        self.results.append(result)
        self._remember(result)
        with self.path.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def latest(self) -> list[Result]:
        """Return the last result of every case, start, factor and seed."""
        return list({(r.case, r.start, r.factor, r.seed): r for r in self.results}.values())
