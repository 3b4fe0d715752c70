import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from gainstage.errors import InputError
from gainstage.report.charts import series
from gainstage.report.text.plot import ASCII_SIGNS, SIGNS, line_plot

VALUES = st.lists(st.floats(), min_size=1, max_size=50)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.integers(40, 160), st.integers(6, 30), st.booleans(), st.booleans())
def test_any_figures_fit_any_size(
    values: list[list[float]], width: int, height: int, log_y: bool, unicode: bool
) -> None:
    lines = [series(f"line {i}", v) for i, v in enumerate(values)]
    text = line_plot(lines, width=width, height=height, log_y=log_y, unicode=unicode, y_label="loss").plain
    rows = text.splitlines()
    assert len(rows) == height + 3
    assert max(map(cell_len, rows)) <= width
    assert unicode or text.isascii()
    for sign, line in zip(SIGNS if unicode else ASCII_SIGNS, lines, strict=False):
        assert f"{sign} {line.label}" in text


@pytest.mark.parametrize("unicode", [True, False])
def test_lines_are_told_apart_without_colour(unicode: bool) -> None:
    lines = [series("up", [0.0, 1.0]), series("down", [1.0, 0.0])]
    drawn = [row.split("  ")[0] for row in line_plot(lines, height=12, unicode=unicode).plain.splitlines()]
    rows = line_plot(lines, width=80, height=12, unicode=unicode).plain.splitlines()[:12]
    up, down = (SIGNS if unicode else ASCII_SIGNS)[:2]
    assert drawn
    body = [row[:60] for row in rows]
    assert sum(row.count(up) for row in body) >= 2
    assert sum(row.count(down) for row in body) >= 2
    assert rows[0].rstrip().endswith("up 1")
    assert rows[-1].rstrip().endswith("down 0")


def test_the_line_goes_where_the_figures_go() -> None:
    rows = line_plot([series("x", [0, 1, 2, 3])], width=60, height=8, unicode=False).plain.splitlines()[:8]
    first = [row.split("|")[-1].split("+")[-1].find("*") for row in rows]
    assert all(a > b for a, b in itertools.pairwise(first))  # rising to the right: higher rows start later


def test_odd_figures_interrupt_and_are_named() -> None:
    text = line_plot([series("loss", [1.0, math.nan, 1.0, math.inf])], width=60).plain
    assert "loss inf" in text


def test_a_name_is_cleaned_and_cut(hostile: str) -> None:
    text = line_plot([series(hostile, [1.0, 2.0])], x_label=hostile, y_label=hostile).plain
    assert "\x1b" not in text
    assert "\r" not in text
    assert len(text.splitlines()) == 14 + 3


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (0, (80, 14), "one to 4 lines; received 0"),
        (5, (80, 14), "received 5"),
        (1, (39, 14), "received 39×14"),
        (1, (80, 5), "received 80×5"),
    ],
)
def test_bad_input_is_refused(count: int, size: tuple[int, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        line_plot([series("a", [1.0])] * count, width=size[0], height=size[1])
