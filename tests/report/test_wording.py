import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gainstage.report.wording import clean, elide, figure, to_ascii


@given(st.text())
def test_clean_text_has_nothing_invisible_and_is_stable(text: str) -> None:
    cleaned = clean(text)
    assert not [c for c in cleaned if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}]
    assert clean(cleaned) == cleaned


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"])))
def test_readable_text_is_left_alone(text: str) -> None:
    assert clean(text) == text


@given(st.text(alphabet="ab名前.é", max_size=300), st.integers(3, 80))
def test_elided_text_fits_and_keeps_both_ends(text: str, limit: int) -> None:
    short = elide(text, limit)
    assert cell_len(short) <= limit
    if cell_len(text) <= limit:
        assert short == text
    else:
        head, tail = short.split("…")
        assert text.startswith(head)
        assert text.endswith(tail)


@given(st.text())
def test_ascii_is_ascii(text: str) -> None:
    assert to_ascii(text).isascii()


@given(st.floats(-1e300, 1e300))
def test_a_figure_is_the_number_to_the_digits_it_shows(value: float) -> None:
    shown = figure(value)
    digits = 1 if "e" in shown else 2  # after the first one
    # Rounding is off by at most half a unit of the last digit, and the number is at least one unit of the first.
    half_unit = 0.5 * 10.0**-digits
    assert abs(float(shown) - value) <= half_unit * (1 + 1e-12) * abs(value) + 5e-324
    assert len(shown) <= 9


@pytest.mark.parametrize(("value", "shown"), [(math.nan, "NaN"), (math.inf, "inf"), (-math.inf, "-inf"), (0.0, "0")])
def test_what_is_no_number_is_named(value: float, shown: str) -> None:
    assert figure(value) == shown
