"""Everything that the page shows of one state, in stages: what is quick comes first."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from gainstage.backends.protocol import LayerLevel
from gainstage.errors import GainstageError
from gainstage.lab import pictures
from gainstage.lab.state import State
from gainstage.lab.subject import Given, Prepared
from gainstage.records import Diagnosis, Profile
from gainstage.workflows import check, predict

__all__ = ["Looks", "Stage"]

Stage = dict[str, Any]
"""One part of the answer: its name under ``stage``, and fragments of the page."""

KEPT = 3
"""Prepared networks that are kept: one for each of a few tabs."""


class Looks:
    """Looks at networks, one at a time; the networks of the last states stay ready.

    Args:
        given: the model that the lab was started with.
    """

    def __init__(self, given: Given | None = None) -> None:
        self.given = given
        self._ready: OrderedDict[State, Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def prepared(self, state: State) -> Prepared:
        """Return the network of a state, from those that are ready where possible; call it under the lock."""
        key = Prepared.key(state)
        found = self._ready.pop(key, None)
        if found is None:
            found = Prepared(state, self.given)
        else:
            found.to(state)
        self._ready[key] = found
        while len(self._ready) > KEPT:
            self._ready.popitem(last=False)
        return found

    def stages(self, state: State, width: float, side: float | None = None) -> Iterator[Stage]:
        """Yield level and gradient, then findings and plan, then theory, phase diagram and histograms.

        Args:
            state: what the page asks for.
            width: of the chart through depth, in pixels.
            side: of the charts that stand side by side; by default as wide.

        Raises:
            GainstageError: the network cannot be built or run.
        """
        started = time.perf_counter()

        def stage(name: str, **parts: Any) -> Stage:
            return {"stage": name, "ms": round(1e3 * (time.perf_counter() - started)), **parts}

        with self._lock:
            ready = self.prepared(state)
            subject = ready.subject
            levels: tuple[LayerLevel, ...] = ()
            if subject.plain:
                levels = subject.bench.layer_levels(subject.model, subject.x, subject.y, subject.loss)
        if levels:
            yield stage("levels", chart=pictures.levels_chart(levels, width))
        diagnosis, plan = self._examined(state)
        yield stage(
            "findings",
            chart=pictures.through(diagnosis.profile, None, diagnosis.findings, width),
            findings=pictures.findings(diagnosis),
            plan=pictures.plan_table(plan),
        )
        theory = self._expected(state)
        yield stage(
            "theory",
            chart="" if theory is None else pictures.through(diagnosis.profile, theory, diagnosis.findings, width),
            phase=pictures.phase(diagnosis.profile, side or width),
            histograms=pictures.histograms(diagnosis.profile, side or width),
        )

    def _examined(self, state: State) -> tuple[Diagnosis, Any]:
        with self._lock:
            ready = self.prepared(state)
            s = ready.subject
            return check(s.model, s.x, s.y, loss=s.loss, seed=state.seed % 2**63, synthetic=s.synthetic), ready.plan

    def _expected(self, state: State) -> Profile | None:
        """Return the prediction; None where theory says nothing."""
        with self._lock:
            s = self.prepared(state).subject
            try:
                return predict(s.model, s.x, s.y, loss=s.loss)
            except GainstageError:
                return None

    def warm(self, state: State) -> None:
        """Import the framework and prepare the network of a state, so that the first picture is quick."""
        next(self.stages(state, 720.0), None)

    def page(self, state: State) -> tuple[Diagnosis, Profile | None]:
        """Return diagnosis and prediction of a state, for the page that is downloaded."""
        return self._examined(state)[0], self._expected(state)
