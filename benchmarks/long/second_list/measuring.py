"""Measure a case over draws of weights and batch, and predict it; what was measured is kept and gone on from."""

from __future__ import annotations

import re
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.errors import GainstageError
from second_list.case import Case
from second_list.rows import Draws, Row, rows_of

__all__ = ["compared", "measured"]


def drawn(case: Case, seed: int, examples: int) -> tuple[nn.Module, Any, gs.Plan | None]:
    """A model and a batch of this seed, and the plan where a recipe draws the weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the library, on its own defaults
        torch.manual_seed(seed)
        model = case.build()
        torch.manual_seed(10_000 + seed)
        batch = case.batch(examples)
        if case.scheme is None:
            return model, batch, None
        plan = gs.plan(model, case.scheme, x=batch, seed=seed)
        gs.apply(model, plan)
        return model, batch, plan


def measured(case: Case, examples: int, draws: int, folder: Path) -> Draws:
    """Second moments of signal and gradient at every weighted operation, draw by draw.

    Only the figures of operations that every draw has are kept; routes that depend on values can differ.
    """
    file = folder / f"{re.sub(r'[^a-z0-9]+', '-', case.name.lower())}-{examples}.npz"
    found = Draws.read(file)
    start = 0 if found is None else found.forward.shape[0]
    for seed in range(start, draws):
        model, batch, _ = drawn(case, seed, examples)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            profile = record(model, batch, seed=seed, detail="lean")
        one = Draws.of(profile)
        found = one if found is None else found.beside(one)
        folder.mkdir(parents=True, exist_ok=True)
        found.write(file)
    assert found is not None
    return found.first(draws)


def compared(case: Case, examples: int, draws: int, folder: Path) -> tuple[list[Row], str, float]:
    """Rows of one case; what went wrong where nothing can be compared; seconds of the prediction.

    One prediction, from the weights of the first draw, is held against all draws. Noise and uniform tokens are what a
    prediction takes inputs to be, so that it is given the batch for its shape alone.
    """
    try:
        found = measured(case, examples, draws, folder)
        model, batch, plan = drawn(case, 0, examples)
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if batch.is_floating_point():
                profile = gs.predict(model, input_shape=tuple(batch.shape), plan=plan)
            else:
                profile = gs.predict(model, batch, plan=plan)
        seconds = time.perf_counter() - start
    except (GainstageError, ArithmeticError, LookupError, TypeError, ValueError, AssertionError) as error:
        return [], f"{type(error).__name__}: {error}", 0.0
    return rows_of(case, examples, found, profile), "", seconds
