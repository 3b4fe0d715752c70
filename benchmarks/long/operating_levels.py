"""At which level gelu and silu should run: plain nets at several levels, with and without centring, on digits.

Every level at its best rate of the grid of ``trainings.py``; median, smallest and largest accuracy over seeds.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
from statistics import median
from unittest import mock

import torch
from networks import Net, data, plain
from torch import nn
from trainings import BATCH, CALIBRATION, RATES, at_best_rate, result

import gainstage as gs
from gainstage.backends.torch.training import Criterion, Examples, Start, train_together
from gainstage.planning import levels
from gainstage.records.training import Schedule
from gainstage.theory import Activation, OperatingPoint, gaussian_moments

LEVELS = (1.0, 0.3, 0.1, 0.03, 0.01)
NETS = (
    Net("gelu 20", "digits", plain(nn.GELU, 20), 200),
    Net("silu 20", "digits", plain(nn.SiLU, 20), 200),
    Net("gelu 40", "digits", plain(nn.GELU, 40), 200),
)


def at(level: float, *, centred: bool) -> Callable[[Activation, int], OperatingPoint]:
    """A rule that gives every activation the same level."""

    def point(function: Activation, depth: int) -> OperatingPoint:
        moments = gaussian_moments(function, level)
        power = moments.variance if centred else moments.second_moment
        chi = moments.chi_centred if centred else moments.chi
        told = f"{function.label}, {depth} layers: level {level:g}, as asked"
        return OperatingPoint(level, math.sqrt(level / power), centred, moments.mean, chi, moments.slope, told)

    return point


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--nets", nargs="*", default=[n.name for n in NETS])
    given = options.parse_args()
    torch.set_num_threads(1)
    for net in (n for n in NETS if n.name in given.nets):
        dataset = data(net.data)
        seen = Examples.of(dataset)
        for level, centred in ((level, centred) for centred in (False, True) for level in LEVELS):
            starts = []
            for seed in range(given.seeds):
                torch.manual_seed(seed)
                model = net.build(dataset)
                with mock.patch.object(levels, "operating_point", at(level, centred=centred)):
                    gs.initialize(model, "auto", x=seen.x[:CALIBRATION], seed=seed)
                starts += [Start(copy.deepcopy(model), rate, seed) for rate in RATES]
            schedule = Schedule(steps=net.steps, batch=BATCH, evaluations=1)
            curves = train_together(starts, seen, schedule, criterion=Criterion.of(None, seen.classes))
            results = [
                result(net, "auto", begun, curve, seen.chance_accuracy or 0.0)
                for begun, curve in zip(starts, curves, strict=True)
            ]
            best = at_best_rate(results)
            found = [r.accuracy for r in best]
            print(
                f"{net.name:10} level {level:<5g} {'centred' if centred else 'as it is':9} {median(found):.3f} "
                f"[{min(found):.3f}, {max(found):.3f}]  loss {median(r.loss for r in best):.3f}  at {best[0].rate:g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
