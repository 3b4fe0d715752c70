import itertools
import math
import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage.errors import InputError
from gainstage.records import Diagnosis, Fixed, Plan, Profile
from gainstage.report.charts import Series, curves, depth_profile, series
from gainstage.report.charts.panel import Panel
from gainstage.report.scale import Scale
from report.pictures import SVG, parsed, titles

NAN, INF = math.nan, math.inf
Profiles = Callable[..., Profile]


@pytest.mark.parametrize("width", [360, 720, 1600])
@pytest.mark.parametrize("depth", [1, 2, 3, 12, 150, 500, 2000])
def test_depth_profiles_of_any_depth_and_width(depth: int, width: int, profile_of: Profiles) -> None:
    before = profile_of([0.9**i for i in range(depth)], [1e-3 * 0.8 ** (depth - i) for i in range(depth)])
    after = profile_of([1.0] * depth, [1e-3] * depth)
    svg = depth_profile(before, after, width=width)
    root = parsed(svg)
    assert {"before", "after"} <= {e.text for e in root.iter(f"{SVG}text")}
    assert len(svg) < 300_000
    parsed(depth_profile(before, width=width))


@pytest.mark.parametrize(
    ("spreads", "gradients"),
    [
        ([NAN] * 3, [NAN] * 3),
        ([0.0] * 3, [0.0] * 3),
        ([INF, 1.0, NAN, 0.0, 1.0], [1.0, None, 0.0, INF, NAN]),
        ([1e-150, 1e150], [1e-160, 1e140]),
        ([1.0] * 4, [None] * 4),
        ([], []),
    ],
)
def test_odd_figures_are_drawn_and_named(
    spreads: list[float], gradients: list[float | None], profile_of: Profiles
) -> None:
    root = parsed(depth_profile(profile_of(spreads, gradients)))
    told = titles(root)
    for values, heading in ((spreads, "forward spread"), (gradients, "gradient norm")):
        for shown, odd in (("NaN", math.isnan), ("inf", math.isinf), ("0", lambda v: v == 0)):
            if any(v is not None and odd(v) for v in values):
                assert any(heading in note and note.endswith(f": {shown}") for note in told)
    ElementTree.tostring(root)


def test_the_lines_lie_where_the_figures_say(profile_of: Profiles) -> None:
    spreads = [1.0, 0.1, 0.01, 0.001]
    root = parsed(depth_profile(profile_of(spreads, [None] * 4)))
    dots = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{SVG}circle")]
    steps = {(round(b[0] - a[0], 0), round(b[1] - a[1], 0)) for a, b in itertools.pairwise(dots)}
    assert len(steps) == 1  # equal factors are equal distances
    assert steps.pop()[1] > 0  # and downwards
    assert [note.rsplit(": ", 1)[1] for note in titles(root) if "layers." in note] == ["1", "0.1", "0.01", "0.001"]


def test_the_label_says_what_the_picture_shows(sick: Diagnosis, healthy: Diagnosis) -> None:
    label = parsed(depth_profile(sick.profile, healthy.profile)).get("aria-label")
    assert label is not None
    assert "12 layers" in label
    assert "Forward spread before from 0.28 to 2.3e-7" in label
    assert "Gradient norm after from 0.00905 to 0.00905" in label


def test_hostile_names_are_only_text(hostile: str, distrusted: Callable[[str], tuple[Fixed, Plan]]) -> None:
    profile = distrusted(hostile)[0].before.profile
    parsed(depth_profile(profile, profile))
    svg = curves([series(hostile, [1, 2]), series("other", [2, 1])], title=hostile, x_label="step", y_label=hostile)
    parsed(svg)
    assert "<script" not in svg


FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, NAN, INF, -INF, 1e-308, 1.7e308]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(FLOATS, min_size=1, max_size=20), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([360, 1600]),
)
def test_curves_of_any_figures(values: list[list[float]], log_y: bool, width: int) -> None:
    lines = [series(f"line {i}", v) for i, v in enumerate(values)]
    parsed(curves(lines, title="Loss", x_label="step", log_y=log_y, width=width))


def test_bands_are_closed_areas_that_stop_at_gaps() -> None:
    x = tuple(map(float, range(6)))
    y = (1.0, 1.0, NAN, 1.0, 1.0, 1.0)
    low, high = tuple(v - 0.1 for v in y), tuple(v + 0.1 for v in y)
    root = parsed(curves([Series("mean", x, y, low, high)], title="Loss"))
    bands = [e for e in root.iter(f"{SVG}path") if e.get("class", "").startswith("band")]
    assert [e.attrib["d"].count("L") + 1 for e in bands] == [4, 6]
    assert all(e.attrib["d"].endswith("Z") for e in bands)


def test_thinning_keeps_first_last_and_extremes() -> None:
    y = [1.0] * 50_000
    y[12_345], y[34_567] = 9.0, -7.0
    svg = curves([series("loss", y)], title="Loss")
    root = parsed(svg)
    assert len(svg) < 100_000
    path = next(e for e in root.iter(f"{SVG}path") if e.get("class", "").startswith("line"))
    points = [tuple(map(float, p.split())) for p in path.attrib["d"].lstrip("M").split("L")]
    heights = [p[1] for p in points]
    level = heights[0]
    assert min(heights) < level < max(heights)
    assert points[0][0] == min(p[0] for p in points)
    assert points[-1][0] == max(p[0] for p in points)


def test_twelve_lines_keep_their_names_apart() -> None:
    lines = [series(f"a rather long name of line {i}", [1.0, 1.0 + i * 1e-3]) for i in range(12)]
    root = parsed(curves(lines, title="Loss", width=360))
    assert sum(e.get("class", "").startswith("name") for e in root.iter(f"{SVG}text")) == 12


@pytest.mark.parametrize("names", [("a", "b"), ("he_normal", "auto"), ("sigmoid, momentum", "y")])
def test_names_that_fit_are_shown_whole(names: tuple[str, ...]) -> None:
    root = parsed(curves([series(name, [1.0, 2.0]) for name in names], title="Loss"))
    assert {e.text for e in root.iter(f"{SVG}text")} >= set(names)


def test_light_and_dark_and_no_request(sick: Diagnosis) -> None:
    svg = depth_profile(sick.profile)
    assert "@media (prefers-color-scheme:dark)" in svg
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in svg


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1."""

    def luminance(colour: str) -> float:
        colour = "".join(2 * c for c in colour) if len(colour) == 3 else colour
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_of_a_name_can_be_read_on_its_ground(dark: bool, sick: Diagnosis) -> None:
    light_css, dark_css = depth_profile(sick.profile).split("@media")[:2]
    css = dark_css if dark else light_css
    ground = re.findall(r"\.ground\{fill:#(\w+)", css)[0]
    colours = re.findall(r"\.f\d\{fill:#(\w+)", css) + re.findall(r"\.gs text\{fill:#(\w+)", css)
    assert len(colours) == 7
    assert min(contrast(colour, ground) for colour in colours) >= 4.5  # WCAG 2.1, level AA, for text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: curves([], title=""), "one to 12 lines; received 0"),
        (lambda: curves([series("a", [1])] * 13, title=""), "received 13"),
        (lambda: curves([series("a", [1])], title="", width=100), "at least 240×240 pixels; received 100×360"),
        (lambda: series("a", []), "no points"),
        (lambda: Series("a", (1.0,), (1.0, 2.0)), "1 points in x; received y 2"),
        (lambda: Series("a", (1.0,), (1.0,), low=(1.0,)), "one edge of a band"),
        (lambda: Series("a", (1.0,), (1.0,), low=(1.0, 2.0), high=(1.0,)), "received low 2"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_a_picture_too_small_is_refused(sick: Diagnosis) -> None:
    with pytest.raises(InputError, match="received 720×100"):
        depth_profile(sick.profile, height=100)


def test_a_point_off_the_axes_has_no_place() -> None:
    panel = Panel(0, 0, 100, 100, Scale(0, 1), Scale(1e-3, 1, log=True))
    assert panel.pixel(0.5, 1.0) == (50, 0)
    places: Sequence[object] = [panel.pixel(0.5, v) for v in (0.0, -1.0, NAN, INF)]
    assert places == [None] * 4
