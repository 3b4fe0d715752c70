"""Apply the remedies that findings propose, measure again, and say what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gainstage import planning, rules
from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.records import Change, Diagnosis, Finding, Fixed, Proof, Remedy, Severity
from gainstage.workflows.mending import is_worse
from gainstage.workflows.proving import Prover
from gainstage.workflows.supplying import batch_of, default_loss
from gainstage.workflows.task import Loss, Optimizer, require_seed

__all__ = ["fix"]


def fix(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    loss: Loss = None,
    optimizer: Optimizer = None,
    learning_rate: float | None = None,
    diagnosis: Diagnosis | None = None,
    seed: int = 0,
    prove: bool = False,
) -> Fixed:
    """Check a model, apply what the diagnosis proposes, in place, and check it a second time.

    A remedy that re-draws weights is applied; one that is a change of the user's own code is left to the user. Should
    the second look find errors that the new weights have caused, as many as they have cured, or should a training from
    them be worse, the weights are put back.

    Args:
        model: a module of a supported framework.
        x, y, loss, optimizer, learning_rate: as in :func:`check`.
        diagnosis: from :func:`check` with the same arguments; without it the model is checked first.
        seed: of the weights, and of the first check where it is made here.
        prove: also train copies of the model before and after, for 100 steps on the data given, and compare.

    Returns:
        both diagnoses, and for every finding whether its remedy was applied and cured it.

    Raises:
        InputError, UnknownNameError, ModelError: as :func:`check`.

    >>> import torch
    >>> import gainstage as gs
    >>> _ = torch.manual_seed(0)
    >>> net = torch.nn.Sequential(*[m for _ in range(20) for m in (torch.nn.Linear(64, 64), torch.nn.Sigmoid())])
    >>> fixed = gs.fix(net, torch.randn(32, 64))
    >>> fixed.before.ok, fixed.after.ok
    (False, True)
    """
    backend, optimizer_given = backend_of(model), optimizer
    supplied, (x, y) = y, batch_of(x, y)
    if loss is None and supplied is None:
        loss = default_loss(y)
    seed = require_seed(seed)
    backend.materialise(model, x)
    measure = backend.loss_of(loss, labelled=y is not None)
    optimizer = backend.optimizer_of(model, optimizer, learning_rate)
    if diagnosis is None:
        profile = backend.record(model, x, y, loss=measure, optimizer=optimizer, seed=seed)
        diagnosis = rules.judge(profile, backend.words())
    elif not isinstance(diagnosis, Diagnosis):
        raise InputError(
            f"diagnosis is what gs.check returned; received {type(diagnosis).__name__}. Leave it out, and the model is "
            "checked first."
        )
    prover = _prover(x, y, loss, optimizer_given, learning_rate, seed) if prove else None
    wanted = [f for f in diagnosis.findings if f.remedy.action == "initialize" and f.severity is not Severity.NOTE]
    restore = backend.snapshot(model)
    before = prover.train(model, "before") if prover is not None and wanted else None
    for scheme, patterns in _treatments(wanted):
        # Traced as `initialize` traces it, with labels, which say along which axis examples lie. The loss adds nothing.
        graph = backend.trace(model, x, y, loss=measure)
        plan = planning.plan(graph, scheme, seed=seed, only=patterns)
        backend.apply(model, plan)
        if planning.recipe_entry(plan.scheme).levels.is_calibrated:
            backend.calibrate(model, plan, x)
    first = diagnosis.profile
    profile = backend.record(
        model,
        x,
        y,
        loss=measure,
        optimizer=optimizer,
        detail=first.source.detail,
        seed=first.source.seed or 0,
        synthetic=any(facts.synthetic for facts in first.task.inputs),
    )
    after = rules.judge(profile, backend.words())
    proof = None
    if prover is not None and before is not None:
        proof = Proof(before, prover.train(model, "after"))
    why = _why_put_back(diagnosis, after, proof) if wanted else ""
    if not why:
        after = _without_applied(after, wanted)
    changes = tuple(_change(f, f in wanted, after, why) for f in diagnosis.findings if f.severity is not Severity.NOTE)
    if why:
        restore()
        after = _without_applied(diagnosis, wanted)
    return Fixed(diagnosis, after, changes, proof)


def _prover(x: Any, y: Any, loss: Loss, optimizer: Optimizer, learning_rate: float | None, seed: int) -> Prover:
    return Prover(x, y, loss=loss, optimizer=optimizer, learning_rate=learning_rate, seed=seed)


def _why_put_back(before: Diagnosis, after: Diagnosis, proof: Proof | None) -> str:
    """Return the reason why the new weights are worse; empty where they are not."""
    cause = is_worse(before, after)
    if cause is not None:
        place = f" at '{cause.path}'" if cause.path else ""
        return f"they caused an error that was not there before ({cause.code}{place})"
    if proof is not None and proof.verdict == "worse":
        return "a training from them is worse (mean loss {1:.4g}, {0:.4g} before)".format(*proof.losses)
    return ""


def _without_applied(diagnosis: Diagnosis, applied: Iterable[Finding]) -> Diagnosis:
    """The diagnosis, in which a remedy that has just been applied is not offered again."""
    used = {(f.remedy.scheme, f.remedy.patterns) for f in applied}
    whole = {scheme for scheme, patterns in used if not patterns}

    def offered(finding: Finding) -> Finding:
        remedy, below = finding.remedy, tuple(offered(f) for f in finding.consequences)
        again = remedy.action == "initialize" and (remedy.scheme in whole or (remedy.scheme, remedy.patterns) in used)
        return replace(finding, remedy=_TRIED if again else remedy, consequences=below)

    return replace(diagnosis, findings=tuple(offered(f) for f in diagnosis.findings))


_TRIED = Remedy(
    "New weights were tried just now and did not cure this. It is a matter of the model's structure or of its data: "
    "see what the rule says.",
    "gs.rule(code)  # what the rule measures, and what else helps",
)


def _treatments(findings: Iterable[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    """What to draw anew: one treatment of the whole model makes every narrower one of the same scheme needless."""
    asked = list(dict.fromkeys((f.remedy.scheme, f.remedy.patterns) for f in findings))
    whole = {scheme for scheme, patterns in asked if not patterns}
    return [(scheme, patterns) for scheme, patterns in asked if not patterns or scheme not in whole]


def _flatten(findings: Iterable[Finding]) -> Iterable[Finding]:
    for finding in findings:
        yield finding
        yield from _flatten(finding.consequences)


def _change(finding: Finding, applied: bool, after: Diagnosis, why: str) -> Change:
    """What became of one finding."""
    left = [f for f in _flatten(after.findings) if f.code == finding.code and f.severity is not Severity.NOTE]
    same = [f for f in left if f.path == finding.path] or left
    if why:
        return Change(finding, applied, False, f"New weights were tried and put back, since {why}.")
    if not same:
        how = "The remedy was applied, and the finding is gone." if applied else "Gone after the other remedies."
        return Change(finding, applied, True, how)
    now = f"It is still there: {same[0].evidence}"
    if not applied:
        return Change(finding, False, False, f"This is a change of your own code: {finding.remedy.summary}")
    return Change(finding, True, False, f"The remedy was applied and did not cure it. {now}")
