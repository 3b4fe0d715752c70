"""Predicted against measured second moments, forward and back, over the whole collection and over seeds.

Writes ``docs/agreement.md`` and its picture. What was measured is kept in ``build/agreement`` and gone on from.
``--only VGG GRU`` looks at a few architectures and prints every operation that is off instead.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
from pathlib import Path

import torch
from collection import ARCHITECTURES, Architecture
from collection.measure import Measured, batch_of, measure, model_of
from collection.page import page, picture
from collection.rows import Row, rows_of, summary

import gainstage as gs
from gainstage.records import InputMoments

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "agreement"


def predicted(case: Architecture, seeds: int, *, real: bool) -> list[gs.Profile]:
    """Predictions for the input's distribution: noise, or the images of all seeds.

    One, from a plan, which is the same for every seed; or one for the weights of every seed, where no plan says how
    they were drawn.
    """
    told = None
    if real:
        told = InputMoments.of(torch.cat([batch_of(case, seed, real=True) for seed in range(seeds)]).numpy())
    profiles = []
    for seed in range(seeds if case.scheme is None else 1):
        batch = batch_of(case, seed, real=real)
        model, plan = model_of(case, seed, batch)
        if real or not batch.is_floating_point():  # tokens are uniform, as a prediction takes them to be
            profiles.append(gs.predict(model, batch, input_moments=told, plan=plan))
        else:
            profiles.append(gs.predict(model, input_shape=tuple(batch.shape), plan=plan))
    return profiles


def compared(case: Architecture, seeds: int, *, real: bool = False) -> list[Row]:
    """One row for every weighted operation and direction."""
    measured: Measured = measure(case, seeds, KEPT, real=real)
    return rows_of(case, measured, predicted(case, seeds, real=real), real=real)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=30)
    options.add_argument("--only", nargs="*", help="words that names of architectures begin with")
    options.add_argument("--measure", action="store_true", help="measure what is missing, and compare nothing")
    given = options.parse_args()
    wanted = [case for case in ARCHITECTURES if not given.only or case.name.startswith(tuple(given.only))]
    rows: list[Row] = []
    for case in wanted:
        for real in (False, True) if case.real else (False,):
            if given.measure:
                measure(case, given.seeds, KEPT, real=real)
                print(case.name, "on real images" if real else "", flush=True)
                continue
            found = compared(case, given.seeds, real=real)
            print(summary(found), flush=True)
            if given.only:
                print("\n".join(row.line() for row in found if row.off))
            rows += found
    if not given.only and not given.measure:
        docs = ROOT / "docs"
        (docs / "agreement.md").write_text(page(rows, given.seeds), encoding="utf-8")
        (docs / "agreement.svg").write_text(picture(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
