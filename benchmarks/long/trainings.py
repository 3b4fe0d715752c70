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
from statistics import median

import torch
from networks import NETS, Net, data

import gainstage as gs
from gainstage.backends.torch.training import Criterion, Examples, Start, train_together
from gainstage.records.training import Schedule, TrainingCurve

STARTS = ("pytorch_default", "glorot_normal", "he_normal", "orthogonal", "auto")
TEXTBOOK = STARTS[:-1]
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
        gs.initialize(model, start, batch=seen.x[:CALIBRATION], seed=seed)
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
    """The seeds of the rate whose median accuracy is highest, of equal ones that whose loss is lowest."""
    rates = {rate: [r for r in results if r.rate == rate] for rate in sorted({r.rate for r in results})}
    best = max(rates.values(), key=lambda rs: (median(r.accuracy for r in rs), -median(r.loss for r in rs)))
    return sorted(best, key=lambda r: r.seed)


def report(results: list[Result]) -> str:
    """The table, and what follows from it."""
    rows, verdicts = [], []
    for net in NETS:
        found = {s: at_best_rate([r for r in results if (r.net, r.start) == (net.name, s)]) for s in STARTS
                 if any((r.net, r.start) == (net.name, s) for r in results)}  # fmt: skip
        chance = examples(net.data).chance_accuracy or 0.0
        for start, best in found.items():
            rows.append(_row(net, start, best))
        if set(found) == set(STARTS):
            verdicts.append((net, _verdict(found, chance)))
    columns = "network, data, steps, start, rate, accuracy: median [smallest largest], validation loss, training loss"
    lines = [f"| {' | '.join(columns.split(', '))} |", "|---|---|---|---|---|---|---|---|", *rows, ""]
    lines += ["| network | auto against the best textbook start |", "|---|---|"]
    return "\n".join((*lines, *(f"| {net.name} | {verdict} |" for net, verdict in verdicts)))


def _row(net: Net, start: str, best: list[Result]) -> str:
    accuracy = [r.accuracy for r in best]
    told = f"{median(accuracy):.3f} [{min(accuracy):.3f}, {max(accuracy):.3f}]"
    losses = f"{median(r.loss for r in best):.3f} | {median(r.train_loss for r in best):.3f}"
    return f"| {net.name} | {net.data} | {net.steps} | {start} | {best[0].rate:g} | {told} | {losses} |"


def _verdict(found: dict[str, list[Result]], chance: float) -> str:
    """Better or worse where the ranges over seeds do not overlap; learning means twice the chance of guessing."""
    auto = [r.accuracy for r in found["auto"]]
    name = max(TEXTBOOK, key=lambda s: median(r.accuracy for r in found[s]))
    other = [r.accuracy for r in found[name]]
    if min(auto) > max(other):
        told = "better"
    elif max(auto) < min(other):
        told = "worse"
    else:
        told = "no difference beyond the seeds"
    told += f" ({median(auto):.3f} against {median(other):.3f}, {name})"
    stuck = [s for s in TEXTBOOK if median(r.accuracy for r in found[s]) < 2 * chance]
    if stuck:
        told += f"; at chance: {', '.join(stuck)}" if len(stuck) < len(TEXTBOOK) else "; alone in learning"
    return told


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
