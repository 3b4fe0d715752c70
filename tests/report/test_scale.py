import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from gainstage.report.placement import spread_apart
from gainstage.report.scale import scale_for

VALUES = st.lists(st.one_of(st.floats(), st.floats(-1, 1)), max_size=30)


@given(VALUES, st.booleans(), st.integers(1, 20))
def test_ticks_rise_inside_the_axis_and_differ(values: list[float], log: bool, most: int) -> None:
    scale = scale_for(values, log=log)
    assert scale.low < scale.high
    ticks = scale.ticks(most)
    assert ticks
    room = 1e-6 * (scale.high - scale.low)  # ticks are products of a rounded step
    assert all(scale.low - room <= t.value <= scale.high + room for t in ticks)
    assert all(a.value < b.value for a, b in itertools.pairwise(ticks))
    assert len({t.label for t in ticks}) == len(ticks)
    assert len(ticks) <= 2 * max(most, 2) + 1


@given(VALUES, st.booleans())
def test_every_value_that_has_a_place_keeps_its_order(values: list[float], log: bool) -> None:
    scale = scale_for(values, log=log)
    placed = sorted(v for v in values if math.isfinite(v) and (v > 0 or not log))
    fractions = [scale.fraction(v) for v in placed]
    assert all(f is not None and 0 <= f <= 1 for f in fractions)
    assert fractions == sorted(fractions)  # type: ignore[type-var]
    assert [scale.fraction(v) for v in (math.nan, math.inf, -math.inf)] == [None] * 3


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_whole_axes_have_whole_ticks(values: list[int]) -> None:
    scale = scale_for(map(float, values), whole=True)
    assert all(t.value.is_integer() and "." not in t.label for t in scale.ticks(6))


def test_a_constant_is_in_the_middle() -> None:
    assert scale_for([3.0, 3.0]).fraction(3.0) == 0.5
    assert scale_for([1.0], log=True).fraction(1.0) == 0.5


@given(st.lists(st.floats(-50, 150), max_size=12), st.floats(0.5, 40))
def test_labels_keep_their_distance_and_order(wanted: list[float], distance: float) -> None:
    places = spread_apart(wanted, distance, 0.0, 100.0)
    assert len(places) == len(wanted)
    least = min(distance, 100 / max(len(wanted) - 1, 1))
    for a, b in itertools.pairwise(sorted(places)):
        assert b - a >= least - 1e-9
    assert all(-1e-9 <= place <= 100 + 1e-9 for place in places)
    for i, j in itertools.combinations(range(len(wanted)), 2):
        if wanted[i] < wanted[j]:
            assert places[i] < places[j]


def test_labels_with_room_stay_where_they_want() -> None:
    assert spread_apart([80.0, 10.0, 40.0], 15.0, 0.0, 100.0) == [80.0, 10.0, 40.0]
