"""Numba is loaded when enough is drawn, and never missed."""

import subprocess
import sys

import numpy as np
import pytest

from gainstage.streams import Normal, Stream, engine


def loaded(code):
    """Whether Numba is imported by a process that runs some code."""
    question = f"import sys, numpy as np\nfrom gainstage.streams import *\n{code}\nprint('numba' in sys.modules)"
    return (
        subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=True).stdout == "True\n"
    )


def test_small_draws_never_import_numba():
    assert not loaded("for i in range(100): Stream(i, 'w').normal(10_000)")


def test_much_in_one_draw_or_in_many_loads_the_kernels(monkeypatch):
    monkeypatch.setattr(engine, "_WORTH_LOADING", 1000)
    assert engine.Choice().engine(1000) is engine.compiled()
    choice = engine.Choice()
    assert choice.engine(999) is engine.NUMPY
    assert choice.engine(1) is engine.compiled()


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_without_numba_numpy_draws_on(monkeypatch, error):
    class Broken:
        def find_spec(self, name, *_):
            if name == "gainstage.streams.kernels":
                raise error("no Numba, or no directory for its cache")

    engine.compiled.cache_clear()
    monkeypatch.delitem(sys.modules, "gainstage.streams.kernels", raising=False)
    monkeypatch.delattr("gainstage.streams.kernels", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    monkeypatch.setattr(engine, "_WORTH_LOADING", 0)
    try:
        assert engine.compiled() is None
        assert engine.Choice().engine(1) is engine.NUMPY
    finally:
        engine.compiled.cache_clear()


def test_bfloat16_rounds_ties_to_even():
    halfway = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0xBF808000], dtype=np.uint32).view(np.float32)
    for each in (engine.NUMPY, engine.compiled()):
        assert each.round_to_bfloat16(halfway).tolist() == [0x3F80, 0x3F82, 0x3F81, 0xBF80]


@pytest.mark.parametrize(("asked", "count"), [("3", 3), ("1", 1)])
def test_threads_follow_the_environment(monkeypatch, asked, count):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert engine.threads() == count


@pytest.mark.parametrize("asked", ["", "0", "many"])
def test_threads_fall_back_to_the_cores(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert engine.threads() >= 1


def test_kernels_round_as_numpy_does():
    """A fused product and sum, or arithmetic in float64, would differ in about every second value."""
    constants = Normal(0.3, bound=2.5).constants
    key, count = Stream(0, "w").key, 1 << 20
    one, other = np.empty(count, dtype=np.float32), np.empty(count, dtype=np.float32)
    engine.NUMPY.fill(one, key, 1, constants)
    engine.compiled().fill(other, key, 1, constants)
    np.testing.assert_array_equal(one.view(np.int32), other.view(np.int32))
