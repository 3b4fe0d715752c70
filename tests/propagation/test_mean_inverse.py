"""The mean of one over a variance that few numbers decide, against draws of them."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage.propagation.normalization import mean_inverse


@pytest.mark.parametrize("numbers", [0.7, 4.0, 30.0, 199.0, 201.0, 3000.0])
@pytest.mark.parametrize("share", [0.05, 0.4, 0.8])
def test_against_draws(share, numbers):
    drawn = 1 / (1 - share + share * np.random.default_rng(0).chisquare(numbers, 200_000) / numbers)
    error = drawn.std() / np.sqrt(drawn.size)
    assert mean_inverse(share, numbers) == pytest.approx(drawn.mean(), abs=4 * error, rel=2e-4)
