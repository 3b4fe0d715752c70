"""Initialize what is at fault or stands to gain, and leave a healthy start as the model made it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median

from gainstage import planning, rules
from gainstage.backends import Backend
from gainstage.errors import ModelError
from gainstage.graph import SignalGraph
from gainstage.planning import BranchStart, Override, Overrides
from gainstage.records import Diagnosis, Finding, Plan, Severity
from gainstage.rules import Fitness
from gainstage.workflows.task import Loss

__all__ = ["Standing", "examples_needed", "harm", "is_worse", "left_alone", "limited", "standing", "taken_back"]

_HEALTHY = "left as the model made it: a check found nothing at fault"
_OUTSIDE = "left as the model made it: nothing was found at fault here"
_TABLES = (
    "tables hold PyTorch's default N(0, 1), at which Adam changes them √d times as slowly as hidden weights of 1/√d"
)
_TOLD = 4  # faults that a note lists
_NUMBERS, _NORMALISED, _FEWEST = 1 << 16, 64, 4
_RANDOM_STATES = 1 << 63
"""Seeds of a check; those of a plan go further."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The start that a model has before anything is written.

    Args:
        diagnosis: of that start; None where no check was needed, or possible.
        gains: what theory predicts that the model gains by other weights, in words.
        obstacle: why no check was possible, in words; else empty.
    """

    diagnosis: Diagnosis | None
    gains: tuple[str, ...] = ()
    obstacle: str = ""

    def fitness(self, branch_start: BranchStart) -> Fitness:
        """Return the reasons for drawing weights anew; none where the start may stay.

        Args:
            branch_start: the start of residual branches that the caller asks for.
        """
        found = rules.fitness(self.diagnosis) if self.diagnosis is not None else Fitness((), ())
        whole = [*self.gains, *([self.obstacle] if self.obstacle else [])]
        if branch_start != "scaled":
            whole.append(f"residual branches are to start at '{branch_start}', as asked")
        return replace(found, faults=(*found.faults, *whole), patterns=()) if whole else found


def standing(
    backend: Backend, model: object, x: object, y: object, loss: Loss, seed: int, graph: SignalGraph
) -> Standing:
    """Check the start that a model has, from one forward and one backward pass.

    Labels count only together with a loss. Without one, so many examples are read as tell the levels.

    Args:
        graph: of the model on the whole batch, which tells how large its layers are.
    """
    measure = backend.loss_of(loss, labelled=y is not None)
    target = y if measure is not None else None
    few = backend.first_examples(x, examples_needed(graph)) if measure is None else x
    refusal: ModelError | None = None
    for batch in (few, x) if few is not x else (x,):  # some models take batches of one size alone
        try:
            profile = backend.record(model, batch, target, loss=measure, detail="start", seed=seed % _RANDOM_STATES)
            return Standing(rules.judge(profile))
        except ModelError as error:
            refusal = error
    told = str(refusal).partition(". ")[0].rstrip(".")
    return Standing(None, obstacle=f"the start that it has could not be checked ({told})")


def examples_needed(graph: SignalGraph) -> int:
    """Return how many examples of a batch tell the levels of a model.

    The median layer then holds 65,536 numbers, whose second moment is known within 1 %, and every batch norm
    standardises by at least 64 values.

    Args:
        graph: of the model on a whole batch, whose first axis runs over the examples.
    """
    batch = graph.nodes[graph.inputs[0]].shape[:1] if graph.inputs else ()
    layers = [math.prod(n.shape[1:]) for n in graph.nodes if n.operation.weighted and n.shape[:1] == batch]
    needed = math.ceil(_NUMBERS / max(median(layers), 1)) if layers else _NUMBERS
    norms = (math.prod(n.shape[2:]) for n in graph.nodes if n.function == "batch_norm" and n.shape[:1] == batch)
    return max(_FEWEST, needed, *(math.ceil(_NORMALISED / max(places, 1)) for places in norms))


def left_alone(graph: SignalGraph, fit: Fitness, overrides: Overrides | None, seed: int) -> Plan:
    """A plan that keeps everything but what overrides name, with what was measured.

    Args:
        graph: the model.
        fit: what the check found.
        overrides: schemes or gains that the caller asks for; a gain alone is one on the automatic spread.
        seed: of what is drawn all the same.
    """
    asked = {pattern: _drawn(override) for pattern, override in overrides.items()} if overrides else None
    plan = planning.plan(graph, "keep", seed=seed, overrides=asked)
    named = planning.resolve(overrides or {}, graph.parameters)
    lines = tuple(a if a.parameter in named or a.scheme != "keep" else replace(a, reason=_HEALTHY) for a in plan)
    found = f": {fit.evidence}" if fit.evidence else ""
    note = f"Left as the model made it, since a check found nothing at fault{found}. The scheme 'auto' draws it anew."
    return replace(plan, assignments=lines, scheme="mend", notes=(*plan.notes, note))


def _drawn(override: str | Override) -> str | Override:
    """An override of the gain alone as one of the automatic scheme's gain."""
    if isinstance(override, Override) and override.scheme is None:
        return replace(override, scheme="auto")
    return override


def limited(plan: Plan, fit: Fitness) -> Plan:
    """The plan of what is drawn anew, with the reasons.

    Args:
        plan: limited to the parameters at fault.
        fit: what the check found.
    """
    lines = tuple(
        replace(a, reason=_OUTSIDE) if a.scheme == "keep" and fit.drawn and "not among" in a.reason else a for a in plan
    )
    faults = (*fit.faults[:_TOLD], *([_TABLES] if fit.drawn and fit.tables else []))
    told = "; ".join(faults)
    more = f"; and {len(fit.faults) - _TOLD} more" if len(fit.faults) > _TOLD else ""
    where = f"{len(lines) - sum(a.scheme == 'keep' for a in lines)} of {len(lines)} arrays" if fit.drawn else "all"
    return replace(
        plan, assignments=lines, scheme="mend", notes=(*plan.notes, f"Drawn anew ({where}), since {told}{more}.")
    )


def is_worse(before: Diagnosis, after: Diagnosis) -> Finding | None:
    """The first error that new weights have caused, where they have caused as many as they have cured; else None.

    An error is known by its rule and its place: one that moves on to another rule is a new one.
    """
    old, new = _errors(before), _errors(after)
    caused = [finding for key, finding in new.items() if key not in old]
    cured = [key for key in old if key not in new]
    return caused[0] if caused and len(caused) >= len(cured) else None


def taken_back(plan: Plan, kept: Plan, why: str) -> Plan:
    """A plan that keeps everything and says what the weights of another plan have made worse."""
    note = f"New weights were tried and taken back, since {why}"
    return replace(kept, scheme="mend", notes=(*plan.notes, note))


def harm(before: Standing, after: Standing) -> str:
    """Return in words what new weights have made worse; empty where nothing is.

    Args:
        before: the start that the model had.
        after: the new one.
    """
    if before.diagnosis is None or after.diagnosis is None:
        return after.obstacle
    cause = is_worse(before.diagnosis, after.diagnosis)
    if cause is not None:
        place = f" at '{cause.path}'" if cause.path else ""
        return f"they caused an error that was not there before: {cause.code}{place}: {cause.evidence}"
    return rules.widened(before.diagnosis.profile, after.diagnosis.profile)


def _errors(diagnosis: Diagnosis) -> dict[tuple[str, str], Finding]:
    return {(f.code, f.path): f for f in diagnosis.findings if f.severity is Severity.ERROR}
