"""Public tools on the exam in tests/exam, each in its most natural use: faults found, false alarms; totals alone.

    python -m pip install --target tools --no-deps torchtest2 torch-audit torchmortem pytest-torch trainpulse trainscope
    python benchmarks/tools.py --tools tools             # prints a table; tools that are missing are left out
    python benchmarks/tools.py --tools tools --write     # and keeps its lines in docs/verdicts-tools.md

Checks before training get model, batch, loss and optimizer. Tools that watch a training see 20 steps on the whole
batch. A flag is anything above information by the tool's own grading. Where a tool raises on a network that trains, it
counts as no flag. Only PyTorch cases are taken. Nothing is printed of single cases.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from exam.case import Case, Entry  # noqa: E402
from exam.catalogue import catalogue, halves  # noqa: E402

STEPS = 20
PAGE = ROOT / "docs" / "verdicts-tools.md"
HEADER = (
    "# What public tools find on the same networks",
    "",
    "`python benchmarks/tools.py --write` adds these lines: each tool in its most natural use, on the two halves of",
    "the exam that [findings on networks of others](verdicts.md) describes.",
    "",
    "| tool | half | found | healthy, flagged |",
    "|---|---|---|---|",
)


def _output(case: Case) -> Any:
    x = case.x
    return case.model(**x) if isinstance(x, dict) else case.model(*x) if isinstance(x, tuple) else case.model(x)


def _loss(case: Case) -> torch.Tensor:
    output = _output(case)
    return case.loss(output, case.y) if case.loss is not None else output.loss


def _optimizer(case: Case) -> Any:
    make = case.optimizer or (lambda model: torch.optim.Adam(model.parameters()))
    return make(case.model)


def _train(case: Case, optimizer: Any, after: Callable[[int, float], None] = lambda _s, _l: None) -> None:
    """Steps of training, with a call between the backward pass and the optimizer's step."""
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = _loss(case)
        loss.backward()
        after(step, float(loss.detach()))
        optimizer.step()


def torchtest2(case: Case, *, overfit: bool) -> bool:
    """``check_model`` with its own settings; without its overfit run where that is switched off."""
    from torchtest2 import Status, check_model

    settings = {} if overfit else {"skip": ["overfit_batch"]}
    loss = {"loss_fn": case.loss} if case.loss is not None else {}
    report = check_model(case.model, case.x, case.y, optimizer=_optimizer(case), **loss, **settings)
    return any(result.status in (Status.WARN, Status.FAIL) for result in report.results)


def torch_audit(case: Case) -> bool:
    """``autopatch`` at every step."""
    from torch_audit import autopatch

    optimizer = _optimizer(case)
    auditor = autopatch(case.model, optimizer=optimizer, every_n_steps=1, reporters=[], run_static=True, run_init=True)
    try:
        with contextlib.suppress(RuntimeError, ValueError):
            _train(case, optimizer)
        return auditor.finish().max_severity.value != "INFO"
    finally:
        auditor.unpatch()


def torchmortem(case: Case) -> bool:
    """``Autopsy`` around the training."""
    from torchmortem import Autopsy

    optimizer = _optimizer(case)
    with Autopsy(case.model, optimizer=optimizer) as autopsy:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = _loss(case)
            loss.backward()
            optimizer.step()
            autopsy.step(loss=float(loss.detach()))
    return any(f.severity.name != "INFO" for f in autopsy._report.findings)


def pytest_torch(case: Case) -> bool:
    """The training checks of a generated suite, one by one, and the contract of inference."""
    from pytest_torch import training
    from pytest_torch.contract import check_inference_contract

    inputs = case.x
    loss = lambda output, *_: case.loss(output, case.y) if case.loss is not None else output.loss  # noqa: E731
    for check in (
        lambda: training.assert_gradients_finite(case.model, inputs, loss),
        lambda: training.assert_all_params_receive_grad(case.model, inputs, loss),
        lambda: training.assert_loss_decreases(case.model, inputs, loss, optimizer=case.optimizer and _of(case)),
        lambda: training.assert_overfits_one_batch(case.model, inputs, loss),
        lambda: check_inference_contract(case.model, inputs),
    ):
        try:
            check()
        except AssertionError:
            return True
    return False


def _of(case: Case) -> Callable[[Any], Any]:
    """A maker of the case's optimizer from parameters, as the tool calls it."""
    return lambda _parameters: _optimizer(case)


def trainpulse(case: Case) -> bool:
    """``Monitor`` fed with loss and gradient norm."""
    from trainpulse import Monitor

    monitor = Monitor()

    def log(step: int, loss: float) -> None:
        grads = [p.grad.norm() for p in case.model.parameters() if p.grad is not None]
        monitor.log("loss", step, loss)
        monitor.log("grad_norm", step, float(torch.stack(grads).norm()) if grads else 0.0)

    _train(case, _optimizer(case), log)
    report = monitor.report()
    return bool(report.n_warnings or report.n_critical)


def trainscope(case: Case) -> bool:
    """``TrainScope`` attached to the model; a spike is a flag."""
    from trainscope import TrainScope
    from trainscope.core.config import TrainScopeConfig

    optimizer, spikes = _optimizer(case), []
    with tempfile.TemporaryDirectory() as folder:
        scope = TrainScope(case.model, optimizer, config=TrainScopeConfig(run_dir=folder)).attach()
        try:
            _train(case, optimizer, lambda step, loss: spikes.append(scope.step(loss, batch_index=step)))
        finally:
            scope.detach()
    return any(spikes)


TOOLS: dict[str, tuple[str, Callable[[Case], bool]]] = {
    "torchtest2, without overfitting": ("torchtest2", lambda case: torchtest2(case, overfit=False)),
    "torchtest2": ("torchtest2", lambda case: torchtest2(case, overfit=True)),
    "torch-audit": ("torch_audit", torch_audit),
    "torchmortem": ("torchmortem", torchmortem),
    "pytest-torch": ("pytest_torch", pytest_torch),
    "trainpulse": ("trainpulse", trainpulse),
    "trainscope": ("trainscope", trainscope),
}


def flagged(entry: Entry, look: Callable[[Case], bool]) -> bool | None:
    """Report whether a tool flags a case; None where the tool or the watched training raises."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return look(entry.build(0))
    except Exception:
        return None


def _of_all(found: list[bool | None]) -> str:
    marked, raised = sum(f is True for f in found), sum(f is None for f in found)
    return f"{marked} of {len(found)} ({100 * marked / max(len(found), 1):.0f} %)" + (
        f", {raised} raised" if raised else ""
    )


def lines_of(only: str) -> Iterator[tuple[str, str]]:
    """The beginning of a line and the whole line, for every tool and half."""
    half = halves()
    entries = [e for e in catalogue().values() if e.framework == "torch" and (e.visible or not e.sick)]
    for name, (module, look) in TOOLS.items():
        try:
            __import__(module)
        except ImportError:
            continue
        for side in ("seen", "unseen") if only in name else ():
            part = [e for e in entries if half[e.name] == side]
            sick, well = ([flagged(e, look) for e in part if e.sick is kind] for kind in (True, False))
            yield f"| {name} | {side} |", f"| {name} | {side} | {_of_all(sick)} | {_of_all(well)} |"


def main() -> None:
    """Print the table, and keep its lines where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", help="folder that the tools were installed into")
    parser.add_argument("--only", default="", help="part of a tool's name")
    parser.add_argument("--write", action="store_true", help="keep the lines in docs/verdicts-tools.md")
    arguments = parser.parse_args()
    if arguments.tools:
        sys.path.append(arguments.tools)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    for begin, line in lines_of(arguments.only):
        print(line, flush=True)
        if arguments.write:
            before = PAGE.read_text(encoding="utf-8").splitlines()[len(HEADER) :] if PAGE.exists() else []
            rows = [row for row in before if not row.startswith(begin)] + [line]
            PAGE.write_text("\n".join([*HEADER, *sorted(rows)]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
