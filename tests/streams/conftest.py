"""Every law of drawing holds for both engines: NumPy and the compiled kernels."""

import dataclasses

import pytest

from gainstage.streams import engine

ENGINES = {"numpy": engine.NUMPY, "compiled": engine.compiled()}


def use(monkeypatch, name):
    """Draws everything by one engine."""
    assert ENGINES[name] is not None, "Numba is part of the test extra"
    monkeypatch.setattr(engine.Choice, "engine", lambda self, elements: ENGINES[name])


@pytest.fixture(params=ENGINES)
def each_engine(request, monkeypatch):
    """Runs a test once with each engine."""
    use(monkeypatch, request.param)
    return request.param


@pytest.fixture
def compiled(monkeypatch):
    """Draws by the compiled engine, for tests that need many elements."""
    use(monkeypatch, "compiled")
    return dataclasses.replace(ENGINES["compiled"])
