"""Real trainings: every network from every start, each at its best learning rate of a grid, medians over seeds.

Every result goes into a store as soon as it is there, so that a run that was stopped goes on where it was. ``--report``
writes the table; ``--starts``, ``--nets``, ``--seeds`` choose a part.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median

import torch
from networks import NETS, Net, data

import gainstage as gs
from gainstage.backends.torch.training import Criterion, Examples, Start, train_together
from gainstage.records.training import Schedule, TrainingCurve

STARTS = ("pytorch_default", "glorot_normal", "he_normal", "orthogonal", "auto")
TEXTBOOK, DEFAULT = STARTS[:-1], STARTS[0]
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
BATCH, CALIBRATION = 32, 256
STORE = Path(".trainings.jsonl")


@dataclass(frozen=True)
class Result:
    """One training."""

    net: str
    start: str
    rate: float
    seed: int
    accuracy: float
    loss: float
    train_loss: float


@cache
def examples(name: str) -> Examples:
    return Examples.of(data(name))


def run(net: Net, start: str, seeds: list[int]) -> Iterator[Result]:
    """All rates and seeds of one start, as one vectorised training."""
    dataset, seen = data(net.data), examples(net.data)
    starts = []
    for seed in seeds:
        torch.manual_seed(seed)
        model = net.build(dataset)
        gs.initialize(model, start, x=seen.x[:CALIBRATION], seed=seed)
        starts += [Start(copy.deepcopy(model), rate, seed) for rate in RATES]
    schedule = Schedule(steps=net.steps, batch=BATCH, evaluations=1)
    curves = train_together(starts, seen, schedule, criterion=Criterion.of(None, seen.classes))
    for begun, curve in zip(starts, curves, strict=True):
        yield result(net, start, begun, curve, seen.chance_accuracy or 0.0)


def result(net: Net, start: str, begun: Start, curve: TrainingCurve, chance: float) -> Result:
    """A training that diverged guesses."""
    if curve.trained is None or not math.isfinite(curve.final.loss):
        return Result(net.name, start, begun.learning_rate, begun.seed, chance, math.inf, math.inf)
    final = curve.final
    return Result(
        net.name, start, begun.learning_rate, begun.seed, final.accuracy or 0.0, final.loss, curve.trained.loss
    )


def stored(path: Path) -> list[Result]:
    """What is there already; of two results of one training the later one counts."""
    lines = path.read_text().splitlines() if path.exists() else []
    results = (Result(**json.loads(line)) for line in lines)
    return list({(r.net, r.start, r.rate, r.seed): r for r in results}.values())


def at_best_rate(results: list[Result]) -> list[Result]:
    """The seeds of the rate whose mean accuracy is highest, of equal ones that whose loss is lowest.

    The mean, so that nobody's best rate is one at which a seed in five diverges.
    """
    rates = {rate: [r for r in results if r.rate == rate] for rate in sorted({r.rate for r in results})}
    best = max(rates.values(), key=lambda rs: (fmean(r.accuracy for r in rs), -median(r.loss for r in rs)))
    return sorted(best, key=lambda r: r.seed)


def report(results: list[Result]) -> str:
    """What follows, and every figure."""
    rows, verdicts = [], []
    for net in NETS:
        found = {s: at_best_rate([r for r in results if (r.net, r.start) == (net.name, s)]) for s in STARTS
                 if any((r.net, r.start) == (net.name, s) for r in results)}  # fmt: skip
        rows += [_row(net, start, best) for start, best in found.items()]
        if set(found) == set(STARTS):
            verdicts.append(_verdicts(net, found, examples(net.data).chance_accuracy or 0.0))
    columns = "network, data, steps, start, rate, accuracy: median [smallest largest], validation loss, training loss"
    lines = ["| network | auto | best textbook start | auto against it | PyTorch's own start | auto against it | |"]
    lines += ["|---|---|---|---|---|---|---|", *verdicts, ""]
    lines += [f"| {' | '.join(columns.split(', '))} |", "|---|---|---|---|---|---|---|---|", *rows]
    return "\n".join(lines)


def _row(net: Net, start: str, best: list[Result]) -> str:
    losses = f"{median(r.loss for r in best):.3f} | {median(r.train_loss for r in best):.3f}"
    return f"| {net.name} | {net.data} | {net.steps} | {start} | {best[0].rate:g} | {_accuracy(best)} | {losses} |"


def _verdicts(net: Net, found: dict[str, list[Result]], chance: float) -> str:
    """Auto against the best textbook start, and against PyTorch's own; learning means twice the chance of guessing."""
    best = max(TEXTBOOK, key=lambda s: median(r.accuracy for r in found[s]))
    stuck = {s for s in STARTS if median(r.accuracy for r in found[s]) < 2 * chance}
    own = _accuracy(found[DEFAULT]) + (", at chance" if DEFAULT in stuck else "")
    alone = "alone in learning" if stuck == set(TEXTBOOK) else ""
    cells = (
        net.name, _accuracy(found["auto"]), f"{best} {_accuracy(found[best])}", _against(found["auto"], found[best]),
        own, _against(found["auto"], found[DEFAULT]), alone,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _accuracy(seeds: list[Result]) -> str:
    accuracy = [r.accuracy for r in seeds]
    return f"{median(accuracy):.3f} [{min(accuracy):.3f}, {max(accuracy):.3f}]"


def _against(auto: list[Result], others: list[Result]) -> str:
    """Better or worse where the ranges over seeds do not overlap."""
    mine, theirs = [r.accuracy for r in auto], [r.accuracy for r in others]
    if min(mine) > max(theirs):
        return "better"
    return "worse" if max(mine) < min(theirs) else "no difference"


def main() -> None:
    warnings.filterwarnings("ignore", category=UserWarning)
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--nets", nargs="*", default=[n.name for n in NETS], choices=[n.name for n in NETS])
    options.add_argument("--starts", nargs="*", default=list(STARTS), choices=STARTS)
    options.add_argument("--store", type=Path, default=STORE)
    options.add_argument("--report", action="store_true", help="print the table of what is stored, and train nothing")
    given = options.parse_args()
    torch.set_num_threads(1)
    for net in NETS if not given.report else ():
        for start in STARTS:
            if net.name not in given.nets or start not in given.starts:
                continue
            done = {r.seed for r in stored(given.store) if (r.net, r.start) == (net.name, start)}
            missing = [seed for seed in range(given.seeds) if seed not in done]
            if missing:
                results = list(run(net, start, missing))
                with given.store.open("a") as file:
                    file.writelines(json.dumps(asdict(r)) + "\n" for r in results)
                print(f"{net.name}: {start}", file=sys.stderr, flush=True)
    print(report(stored(given.store)))


if __name__ == "__main__":
    main()
