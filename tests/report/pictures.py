"""Laws that hold for every chart."""

import itertools
from xml.etree import ElementTree

from gainstage.report.charts.labels import width_of

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"svg", "style", "g", "rect", "path", "circle", "text", "title", "image"}


def parsed(svg: str) -> ElementTree.Element:
    """The picture, after every law that holds for all of them."""
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= ALLOWED
    _, _, width, height = map(float, root.get("viewBox", "").split())
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on")]
        assert element.get("href", "data:image/png;base64,").startswith("data:image/png;base64,")
        if element.tag == f"{SVG}image":
            continue  # its edges may be cut
        for name in ("x", "y", "cx", "cy"):
            if name in element.attrib:
                assert 0 <= float(element.attrib[name]) <= (width if name.endswith("x") else height)
        path = element.get("d", "").lstrip("M").rstrip("Z")
        if path and not set("hmVa") & set(path):
            for point in path.split("L"):
                x, y = map(float, point.split())
                assert 0 <= x <= width
                assert 0 <= y <= height
    assert not overlapping(root)
    assert all(left >= 0 and right <= width for _, left, _, right, _ in boxes(root))
    return root


def boxes(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    """The rectangle of every text, by the width the charts reserve for it."""
    found = []
    for element in root.iter(f"{SVG}text"):
        content, css = element.text or "", element.get("class") or ""
        size = width_of(content, bold=css.startswith(("name", "title", "flag"))) * (14 / 12 if css == "title" else 1)
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        left = x - {"start": 0, "middle": size / 2, "end": size}[element.get("text-anchor") or "start"]
        found.append((content, left, y - 9, left + size, y + 2))
    return found


def overlapping(root: ElementTree.Element) -> list[tuple[str, str]]:
    return [
        (a[0], b[0])
        for a, b in itertools.combinations(boxes(root), 2)
        if a[1] < b[3] and b[1] < a[3] and a[2] < b[4] and b[2] < a[4]
    ]


def titles(root: ElementTree.Element) -> list[str]:
    return [title.text or "" for title in root.iter(f"{SVG}title")]
