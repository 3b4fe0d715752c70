"""Keras fixes its backend when it is imported, so every backend is tested in a process of its own:

KERAS_BACKEND=tensorflow pytest tests/backends_keras src/gainstage/backends/keras
"""

from collections.abc import Callable

import numpy as np
import pytest


def pytest_configure(config: pytest.Config) -> None:
    # Keras's own variables do not know NumPy 2's copy argument yet; TensorFlow reads them so.
    ours = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    config.addinivalue_line("filterwarnings", ours)


@pytest.fixture(autouse=True)
def _fresh_names() -> None:
    """Every test starts with the counters of automatic names at zero, and with the same random weights."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture
def white() -> Callable[..., np.ndarray]:
    """Standard normal values."""

    def draw(*shape: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)

    return draw
