"""Mirrored pairs by depth and activation: ``auto`` as it is, without pairs, with pairs everywhere, and He's rule.

Short trainings on scikit-learn's digits, each start at the best of a few rates, means over seeds. It says where pairs
begin to pay, which is what ``theory.plain_loss`` predicts.
"""

from __future__ import annotations

import argparse
from statistics import fmean
from unittest.mock import patch

import torch
import trainings
from networks import Net, plain, stacked
from torch import nn

from gainstage.planning import automatic
from gainstage.planning.mirroring import UNMIRRORED

NETS = (
    *(Net(f"relu {n}", "digits", plain(nn.ReLU, n), 200) for n in (2, 4, 6, 8, 10, 30, 50, 100)),
    *(Net(f"gelu {n}", "digits", plain(nn.GELU, n), 200) for n in (3, 6, 10, 20, 50)),
    *(Net(f"silu {n}", "digits", plain(nn.SiLU, n), 200) for n in (6, 20)),
    Net("hardswish 20", "digits", plain(nn.Hardswish, 20), 200),
    Net("softplus 20", "digits", plain(nn.Softplus, 20), 200),
    Net("mish 20", "digits", plain(nn.Mish, 20), 200),
    *(Net(f"elu {n}", "digits", plain(nn.ELU, n), 200) for n in (30, 60)),
    Net("selu 30", "digits", plain(nn.SELU, 30), 200),
    *(Net(f"convolutions {n}", "digits", lambda d, n=n: stacked(d, n), 150) for n in (4, 8, 16, 30)),
    *(Net(f"batch norm {n}", "digits", plain(nn.ReLU, n, norm=nn.BatchNorm1d), 200) for n in (4, 8, 16, 40)),
)
STARTS = ("auto", "auto without pairs", "mirrored", "mirrored_delta", "he_normal", "orthogonal")


def row(net: Net, start: str, seeds: int) -> str:
    """One line of the table: the seeds of the best rate."""
    if start == "auto without pairs":
        with patch.object(automatic, "paying_links", lambda *_: UNMIRRORED):
            results = list(trainings.run(net, "auto", list(range(seeds))))
    else:
        results = list(trainings.run(net, start, list(range(seeds))))
    best = trainings.at_best_rate(results)
    accuracy = [r.accuracy for r in best]
    figures = f"{fmean(accuracy):.3f} [{min(accuracy):.3f}, {max(accuracy):.3f}]"
    return f"| {net.name} | {start} | {best[0].rate:g} | {figures} | {fmean(r.train_loss for r in best):.3f} |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nets", nargs="*", default=[n.name for n in NETS], choices=[n.name for n in NETS])
    options.add_argument("--starts", nargs="*", default=["auto without pairs", "mirrored"], choices=STARTS)
    options.add_argument("--rates", nargs="*", type=float, default=[3e-4, 1e-3, 3e-3])
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    torch.set_num_threads(1)
    trainings.RATES = tuple(given.rates)
    print("| network | start | rate | accuracy: mean [smallest, largest] | training loss |\n|---|---|---|---|---|")
    for net in NETS:
        for start in given.starts if net.name in given.nets else ():
            print(row(net, start, given.seeds), flush=True)


if __name__ == "__main__":
    main()
