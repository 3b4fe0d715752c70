"""Laws of every kind of chart: any depth, any figure, any name, at the width of a phone and of a large screen."""

import base64
import dataclasses
import math
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage import theory
from gainstage.errors import InputError
from gainstage.records import Diagnosis, Fixed, Histogram, Plan, Profile
from gainstage.report.charts import (
    Estimate,
    Pair,
    Place,
    Series,
    agreement,
    curves,
    curves_by_place,
    depth_profile,
    histogram_strip,
    intervals,
    phase_diagram,
    update_ratio,
    value_map,
)
from gainstage.report.charts.png import shaded
from gainstage.report.scale import SignedScale
from gainstage.theory import critical_point
from report.pictures import SVG, parsed, titles

NAN, INF = math.nan, math.inf
Profiles = Callable[..., Profile]
WIDTHS = pytest.mark.parametrize("width", [360, 1600])
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, NAN, INF, -INF, 1e-308, 1.7e308]))


def with_histograms(profile: Profile, histograms: Sequence[Histogram | None]) -> Profile:
    nodes = tuple(dataclasses.replace(n, histogram=h) for n, h in zip(profile.nodes, histograms, strict=True))
    return dataclasses.replace(profile, nodes=nodes)


def bell(spread: float) -> Histogram:
    edges = np.linspace(-4, 4, 33)
    return Histogram(-4 * spread, 4 * spread, tuple(int(4096 * math.exp(-(e**2) / 2)) for e in edges[:-1]))


def pixels(svg: str) -> np.ndarray:
    """The strengths of a heat map's image."""
    uri = next(e for e in parsed(svg).iter(f"{SVG}image")).attrib["href"]
    png = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    columns, rows = struct.unpack(">II", png[16:24])
    data = png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8]
    return np.frombuffer(zlib.decompress(data), np.uint8).reshape(rows, columns + 1)[:, 1:]


@WIDTHS
@pytest.mark.parametrize("depth", [1, 3, 40, 2000])
def test_distributions_of_any_depth(depth: int, width: int, profile_of: Profiles) -> None:
    spreads = [0.98**i for i in range(depth)]
    profile = with_histograms(profile_of(spreads, [None] * depth), [bell(s) for s in spreads])
    strip = parsed(histogram_strip(profile, width=width))
    bars = [e for e in strip.iter(f"{SVG}path") if e.get("class", "").startswith("bars")]
    assert 1 <= len(bars) <= min(depth, 14)
    svg = value_map(profile, width=width)
    assert len(list(parsed(svg).iter(f"{SVG}image"))) == 1
    assert len(svg) < 80_000


def test_the_map_is_dark_where_the_values_lie(profile_of: Profiles) -> None:
    """A layer a fifth as wide covers a fifth of the axis, and the middle of both is darkest."""
    profile = with_histograms(profile_of([1.0, 0.2], [None] * 2), [bell(1.0), bell(0.2)])
    strengths = pixels(value_map(profile))
    wide, small = (np.flatnonzero(strengths[:, i]) for i in (0, 1))
    assert len(wide) > 0.9 * len(strengths)
    assert len(small) <= 0.2 * len(strengths) + 2  # a row is cut at either end
    for column in strengths.T:
        darkest = np.flatnonzero(column == column.max())
        assert abs(darkest.mean() - len(column) / 2) <= 2


def test_sizes_far_apart_take_a_logarithmic_axis(profile_of: Profiles) -> None:
    spreads = [1.0, 1e-3, 1e-6]
    profile = with_histograms(profile_of(spreads, [None] * 3), [bell(s) for s in spreads])
    strengths = pixels(value_map(profile))
    heights = [np.flatnonzero(column)[0] for column in strengths.T]
    assert heights[0] < heights[1] < heights[2]  # every layer reaches a height of its own
    assert "logarithmic" in " ".join(titles(parsed(value_map(profile))))


@pytest.mark.parametrize(
    "histograms",
    [
        [None, None],
        [Histogram(0.0, 0.0, (64,)), Histogram(3.0, 3.0, (64,))],
        [Histogram(-1e300, 1e300, (1,) * 32), Histogram(0.0, 1e-300, (1,) * 32)],
        [Histogram(0.0, 1.0, (0,) * 32), None],
        [Histogram(1e-12, 2e-12, (0,) * 31 + (5,)), Histogram(-5.0, -4.0, (5,) + (0,) * 31)],
    ],
)
def test_odd_distributions_are_drawn(histograms: list[Histogram | None], profile_of: Profiles) -> None:
    profile = with_histograms(profile_of([0.0, NAN], [None] * 2), histograms)
    for width in (360, 1600):
        parsed(histogram_strip(profile, width=width))
        parsed(value_map(profile, width=width))


def test_a_layer_that_is_not_finite_is_marked(profile_of: Profiles) -> None:
    profile = with_histograms(profile_of([1.0, NAN], [None] * 2), [bell(1.0), None])
    assert any("layer 2: values are not finite" in told for told in titles(parsed(value_map(profile))))


@WIDTHS
def test_updates_compare_a_step_with_its_weight(width: int, profile_of: Profiles) -> None:
    before = profile_of([1.0] * 3, [1e-3] * 3)
    told = titles(parsed(update_ratio(before, width=width)))
    ratio = 1e-4 / 0.02  # of the records' moments
    assert f"layers.0.weight: {ratio:.3g}" in told
    stepped = dataclasses.replace(
        before, parameters=tuple(dataclasses.replace(p, update=10.0**-i) for i, p in enumerate(before.parameters))
    )
    told = titles(parsed(update_ratio(stepped, before, width=width)))
    assert "layers.2.weight: 0.01" in told
    parsed(update_ratio(profile_of([], []), width=width))


@WIDTHS
@settings(deadline=None, max_examples=40)
@given(pairs=st.lists(st.tuples(FLOATS, FLOATS, st.sampled_from("abc")), min_size=1, max_size=30))
def test_agreement_of_any_figures(width: int, pairs: list[tuple[float, float, str]]) -> None:
    drawn = [Pair(f"layer {i}", p, m, group) for i, (p, m, group) in enumerate(pairs)]
    root = parsed(agreement(drawn, within=0.1, width=width))
    points = [t for t in titles(root) if t.startswith("layer ")]
    assert len(points) == len(pairs)  # everything is drawn, also what has no place


def test_agreement_counts_what_lies_in_its_band() -> None:
    pairs = [Pair("a", 1.0, 1.05), Pair("b", 1.0, 0.95), Pair("c", 1.0, 1.2), Pair("d", 0.0, 0.0)]
    label = parsed(agreement(pairs, within=0.1)).get("aria-label") or ""
    assert "2 of 4 within 10%" in label


def growth(activation: str, sigma_w: Sequence[float], sigma_b: Sequence[float]) -> np.ndarray:
    return theory.phase_diagram(activation, sigma_w, sigma_b).chi_1


@WIDTHS
@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_phase_diagrams_hold_the_line_and_the_places(activation: str, width: int) -> None:
    sigma_w, sigma_b = np.linspace(0.2, 3.0, 6), np.linspace(0.0, 1.0, 3)
    here = [Place("you are here", 0.6, 0.0), Place("x" * 200, 2.2, 0.4), Place("far away", 9.0, 5.0)]
    root = parsed(phase_diagram(sigma_w, sigma_b, growth(activation, sigma_w, sigma_b), here, width=width))
    told = root.get("aria-label") or ""
    assert all(place.label[:10] in told for place in here)
    assert {"ordered", "chaotic", "critical"} <= {(e.text or "").split(":")[0] for e in root.iter(f"{SVG}text")}
    lines = [e for e in root.iter(f"{SVG}path") if "critical: gradients" in "".join(t.text or "" for t in e)]
    assert bool(lines) == (activation != "sigmoid")  # whose gradients vanish everywhere in this picture


def test_the_critical_line_lies_where_theory_has_it() -> None:
    """χ₁ = 1 by interpolation between points of a grid, against the equation solved for it."""
    sigma_w, sigma_b = np.linspace(0.5, 2.0, 31), np.linspace(0.05, 0.8, 4)
    root = parsed(phase_diagram(sigma_w, sigma_b, growth("tanh", sigma_w, sigma_b), width=1600, height=900))
    line = next(e for e in root.iter(f"{SVG}path") if e.get("class") == "line s5" and e.findall(f"{SVG}title"))
    frame = next(e for e in root.iter(f"{SVG}svg") if e is not root)
    left, top, across, up = (float(frame.attrib[k]) for k in ("x", "y", "width", "height"))
    for point, bias in zip(line.attrib["d"].lstrip("M").split("L"), sigma_b, strict=True):
        x, y = map(float, point.split())
        assert 0.8 - (y - top) / up * 0.75 == pytest.approx(bias, abs=0.002)
        assert 0.5 + (x - left) / across * 1.5 == pytest.approx(critical_point("tanh", bias).sigma_w, abs=0.01)


@WIDTHS
@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=12), log=st.booleans())
def test_intervals_of_any_figures(width: int, values: list[tuple[float, float, float]], log: bool) -> None:
    estimates = [Estimate(f"case {i}", *v) for i, v in enumerate(values)]
    guides = [("asked: above", 0.9), ("asked: below", 1.1)]
    root = parsed(intervals(estimates, title="Ratio", log=log, guides=guides, width=width))
    assert sum(t.startswith("case ") for t in titles(root)) >= len(values)


@WIDTHS
def test_before_after_and_predicted_share_one_picture(width: int, sick: Diagnosis, healthy: Diagnosis) -> None:
    svg = depth_profile(sick.profile, healthy.profile, predicted=healthy.profile, findings=sick.findings, width=width)
    texts = [e.text for e in parsed(svg).iter(f"{SVG}text")]
    assert {"before", "after", "predicted", "GS201"} <= set(texts)


def test_the_band_of_a_prediction_is_drawn_in_its_own_units(profile_of: Profiles) -> None:
    """The band is a factor on the second moment; the picture shows its root."""
    plain = profile_of([1.0, 1.0], [None, None])
    nodes = tuple(dataclasses.replace(n, forward=dataclasses.replace(n.forward, band=(0.01, 4.0))) for n in plain.nodes)
    root = parsed(depth_profile(dataclasses.replace(plain, nodes=nodes)))
    band = next(e for e in root.iter(f"{SVG}path") if e.get("class", "").startswith("band"))
    line = next(e for e in root.iter(f"{SVG}path") if e.get("class", "").startswith("line"))
    heights = {float(point.split()[1]) for point in band.attrib["d"].lstrip("M").rstrip("Z").split("L")}
    middle = float(line.attrib["d"].lstrip("M").split("L")[0].split()[1])
    up, down = middle - min(heights), max(heights) - middle
    assert down / up == pytest.approx(math.log(10) / math.log(2), rel=0.02)  # 1/10 and 2 of the spread


@WIDTHS
def test_many_findings_at_one_place_are_one_flag(width: int, sick: Diagnosis) -> None:
    findings = tuple(dataclasses.replace(sick.findings[0], node=1 + i % 12, code=f"GS{200 + i}") for i in range(40))
    root = parsed(depth_profile(sick.profile, findings=findings, width=width))
    flags = [e.text for e in root.iter(f"{SVG}text") if (e.get("class") or "").startswith("flag")]
    assert flags[0] == "GS200 +3"
    assert len(flags) == len(set(flags)) <= 12


def test_hostile_names_are_only_text_in_every_chart(
    hostile: str, distrusted: Callable[[str], tuple[Fixed, Plan]]
) -> None:
    fixed, _ = distrusted(hostile)
    profile = with_histograms(fixed.before.profile, [bell(1.0), bell(0.1)])
    drawings = (
        depth_profile(profile, findings=fixed.before.findings), histogram_strip(profile), value_map(profile),
        update_ratio(profile, profile), agreement([Pair(hostile, 1, 2, hostile), Pair(hostile, 1, 2)], title=hostile),
        phase_diagram([0, 2], [0, 1], np.ones((2, 2)), [Place(hostile, 1, 0)], title=hostile, subtitle=hostile),
        intervals([Estimate(hostile, 1, 0, 2)], title=hostile, x_label=hostile),
        curves([Series(hostile, (1.0,), (1.0,))] * 2, title=hostile, guides=[(hostile, 1.0)]),
    )  # fmt: skip
    for width_free in drawings:
        parsed(width_free)
        assert "<script" not in width_free


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: agreement([]), "received 0"),
        (lambda: intervals([], title=""), "1 to 60 estimates; received 0"),
        (lambda: phase_diagram([], [], []), r"received sigma_w \(0,\)"),
        (lambda: phase_diagram([1.0], [0.0], [[1.0]]), "two of each at least"),
        (lambda: phase_diagram([1, 2], [0, 1, 2], np.ones((2, 3))), r"chi \(2, 3\)"),
        (lambda: phase_diagram([1, 2], [0, 1], np.ones((2, 2)), width=100), "at least 240×240"),
        (lambda: intervals([Estimate("a", 1, 0, 2)], title="", width=100), "at least 240×240"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_the_image_is_a_png_of_that_size() -> None:
    png = shaded(np.eye(3), (1, 2, 3))
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (3, 3)
    data = zlib.decompress(png[png.index(b"IDAT") + 4 : png.index(b"IEND") - 8])
    assert np.frombuffer(data, np.uint8).reshape(3, 4).tolist() == [[0, 31, 0, 0], [0, 0, 31, 0], [0, 0, 0, 31]]


@given(st.floats(1e-12, 1e12), st.floats(1e-12, 1.0), st.lists(st.floats(allow_nan=False), min_size=2))
def test_a_signed_axis_keeps_order_and_is_even(limit: float, share: float, values: list[float]) -> None:
    scale = SignedScale(limit, limit * share)
    placed = [(v, f) for v in sorted(values) if (f := scale.fraction(v)) is not None]
    assert [f for _, f in placed] == sorted(f for _, f in placed)
    assert all(scale.fraction(-v) == pytest.approx(1 - f) for v, f in placed)
    ticks = scale.ticks(7)
    assert [t.value for t in ticks] == sorted(t.value for t in ticks)
    assert len({t.label for t in ticks}) == len(ticks)


def places_of(*heights: float) -> list[list[Series]]:
    return [[Series(name, (1.0, 2.0), (1.0, h)) for name in ("a", "b")] for h in heights]


@WIDTHS
@given(heights=st.lists(FLOATS, min_size=1, max_size=6), log=st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_place_of_a_slider_is_drawn_and_one_is_shown(width: int, heights: list[float], log: bool) -> None:
    shown = len(heights) - 1
    root = parsed(curves_by_place(places_of(*heights), shown=shown, title="t", log_y=log, width=width))
    groups = [g for g in root.iter(f"{SVG}g") if g.get("class") == "place"]
    assert [g.get("display") for g in groups] == ["none"] * shown + [None]


def test_places_share_one_pair_of_axes() -> None:
    low, high = (parsed(curves_by_place(places_of(2.0, 50.0), shown=i, title="t")) for i in (0, 1))
    paths = [[p.get("d") for p in root.iter(f"{SVG}path")] for root in (low, high)]
    assert paths[0] == paths[1]  # nothing but what is hidden differs


@pytest.mark.parametrize(
    ("places", "shown", "told"),
    [
        ([], 0, "at least one"),
        ([[]], 0, "at least one"),
        ([places_of(1.0)[0], places_of(1.0)[0][:1]], 0, "the same lines"),
        (places_of(1.0, 2.0), 2, "one of 2"),
        (places_of(1.0, 2.0), -1, "one of 2"),
    ],
)
def test_places_that_cannot_be_drawn_are_refused(places: list[list[Series]], shown: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        curves_by_place(places, shown=shown, title="t")
