import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gainstage.report.text.repeats import runs
from gainstage.report.text.sparkline import ASCII_BARS, BARS, sparkline

PATHS = st.lists(st.sampled_from(["a.0", "a.1", "a.2", "b.0.w", "b.1.w", "b.1.v", "b.2.w", "b2.3.w", "c"]), max_size=30)


@given(PATHS)
def test_collapsing_loses_nothing(paths: list[str]) -> None:
    collapsed = runs(paths, str, lambda path: None)
    assert sorted(path for run in collapsed for path in run.items) == sorted(paths)
    for run in collapsed:
        if len(run.items) == 1:
            assert run.label == run.items[0]
        else:
            assert len(set(run.items)) == len(run.items)


def test_blocks_of_several_arrays_with_a_stride() -> None:
    paths = [f"net.{i}.{end}" for i in range(0, 12, 2) for end in ("weight", "bias")]
    assert [run.label for run in runs(paths, str, lambda p: None)] == ["net.0,2…10.weight", "net.0,2…10.bias"]


def test_unlike_blocks_are_kept_apart() -> None:
    paths = [f"net.{i}.weight" for i in range(6)]
    labels = [run.label for run in runs(paths, str, lambda p: p in paths[:3])]
    assert labels == ["net.0–2.weight", "net.3–5.weight"]


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=300), st.integers(0, 100), st.booleans())
def test_sparklines_fit_and_speak_only_their_signs(values: list[float | None], columns: int, unicode: bool) -> None:
    line = sparkline(values, columns, unicode=unicode)
    assert len(line) <= columns
    assert set(line) <= set(BARS if unicode else ASCII_BARS) | set("!0 ")
    if values and columns:
        assert len(line) >= min(len(values), columns)


@given(st.lists(st.floats(1e-300, 1e300), min_size=2, max_size=40))
def test_bars_keep_the_order_of_the_figures(values: list[float]) -> None:
    line = sparkline(values, len(values))
    for (a, bar_a), (b, bar_b) in itertools.combinations(zip(values, line, strict=True), 2):
        if a <= b:
            assert BARS.index(bar_a) <= BARS.index(bar_b)


def test_noise_does_not_look_like_a_trend() -> None:
    # A decade is at least eight bars: figures within 10 % of each other differ by less than one bar.
    line = sparkline([1.0, 1.05, 0.95, 1.02], 4)
    levels = [BARS.index(bar) for bar in line]
    assert max(levels) - min(levels) <= math.ceil(math.log10(1.05 / 0.95) * len(BARS))


@pytest.mark.parametrize(("value", "sign"), [(math.nan, "!"), (math.inf, "!"), (0.0, "0"), (None, " ")])
def test_odd_figures_have_signs_of_their_own(value: float | None, sign: str) -> None:
    assert sparkline([1.0, value, 2.0], 3)[1] == sign
    assert sign == " " or sparkline([1.0] * 50 + [value] + [1.0] * 49, 10)[5] == sign  # not averaged away
