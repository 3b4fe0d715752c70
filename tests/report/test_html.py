"""Laws of the page: one file, no request, nothing that a name could break out of, readable without a script."""

import base64
import dataclasses
import hashlib
import re
import typing
from html.parser import HTMLParser

import pytest

from gainstage.errors import InputError
from gainstage.records import Answer, Answers, Claim, Diagnosis, Evaluation, Evidence, Line, Picture, TrainingCurve
from gainstage.report.html import html_page, save_html
from gainstage.report.json import load, loads

VOID = {"meta", "input", "br", "link", "img"}
ENDED_BY = {"td": {"td", "tr", "tbody"}, "tr": {"tr", "tbody"}}  # elements that need no end tag of their own


class Reader(HTMLParser):
    """Every element, the text that a reader sees, and whether tags are balanced."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        self.balanced = True
        self.feed(page)
        self.close()

    def end_what_ends_by_itself(self, tag):
        while self.open and tag in ENDED_BY.get(self.open[-1], ()):
            self.open.pop()

    def handle_starttag(self, tag, attrs):
        self.end_what_ends_by_itself(tag)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self.open and self.open[-1] != tag:
            self.end_what_ends_by_itself(tag)
        self.balanced &= bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        self.contents.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.fixture(params=["sick", "healthy", "fixed", "plan", "profile", "answers", "comparison"])
def record(request, sick):
    return sick.profile if request.param == "profile" else request.getfixturevalue(request.param)


def test_the_page_is_balanced_and_makes_no_request(record):
    page = html_page(record)
    reader = Reader(page)
    assert reader.balanced
    assert reader.open == []
    for tag, attributes in reader.elements:
        assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}
        assert not {"src", "srcset", "action", "style"} & set(attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith(("#", "data:image/png;base64,"))
        assert not any(name.startswith("on") for name in attributes)


def test_the_policy_allows_exactly_what_is_there(record):
    page = html_page(record)
    reader = Reader(page)
    policy = next(a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    for kind, tag in (("style-src", "style"), ("script-src", "script")):
        allowed = set(re.search(rf"{kind} ([^;]*)", policy)[1].replace("'", "").split())
        runs = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes = {"sha256-" + base64.b64encode(hashlib.sha256(r.encode()).digest()).decode() for r in runs}
        assert hashes == allowed


def test_the_record_travels_along(record, tmp_path):
    save_html(tmp_path / "page.html", record)
    assert repr(load(tmp_path / "page.html")) == repr(record)  # NaN differs from itself
    assert repr(loads(html_page(record), type(record))) == repr(record)


def test_hostile_names_stay_text(hostile, distrusted):
    plain, plain_plan = distrusted("harmless")
    bad, bad_plan = distrusted(hostile)
    for ours, theirs in ((plain, bad), (plain_plan, bad_plan), (plain.before, bad.before)):
        count = [tag for tag, _ in Reader(html_page(ours)).elements]
        page = html_page(theirs)
        page.encode("utf-8")
        assert [tag for tag, _ in Reader(page).elements] == count


def with_every_text(record, text):
    """The record with one string in place of every free text in it; identifiers within it stay distinct."""
    if dataclasses.is_dataclass(record):
        hints = typing.get_type_hints(type(record))
        values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        return type(record)(
            **{n: text if hints[n] is str and v else with_every_text(v, text) for n, v in values.items()}
        )
    if isinstance(record, tuple):
        return tuple(text if isinstance(item, str) else with_every_text(item, text) for item in record)
    return record


@pytest.mark.parametrize("name", ["answers", "comparison"])
def test_hostile_texts_stay_text_in_answers_and_comparisons(name, hostile, request):
    record = request.getfixturevalue(name)
    plain, bad = (html_page(with_every_text(record, text)) for text in ("harmless", hostile))
    bad.encode("utf-8")
    ours, theirs = Reader(plain), Reader(bad)
    assert theirs.balanced
    assert {tag for tag, _ in theirs.elements} <= {tag for tag, _ in ours.elements} | {"title"}
    assert sum(tag == "script" for tag, _ in theirs.elements) == 2
    assert {name for _, a in theirs.elements for name in a} <= {name for _, a in ours.elements for name in a}


def test_every_finding_is_told_whole(sick):
    seen = " ".join(text for texts in Reader(html_page(sick)).contents.values() for text in texts)
    for finding in sick.findings:
        for words in (finding.code, finding.title, finding.evidence, finding.cause, finding.remedy.summary):
            assert words in seen
        assert all(line in seen for line in finding.remedy.code.splitlines())
    for measured in sick.profile.nodes:
        assert sick.profile.node(measured).path in seen


def test_a_page_is_written_whole_or_not_at_all(tmp_path, plan):
    save_html(tmp_path / "plan.html", plan)
    assert (tmp_path / "plan.html").read_text(encoding="utf-8") == html_page(plan)
    with pytest.raises(InputError, match="Cannot write"):
        save_html(tmp_path / "missing" / "plan.html", plan)
    assert [p.name for p in tmp_path.iterdir()] == ["plan.html"]


@pytest.mark.parametrize("taken", ["directory", "read-only directory", "missing directory"])
def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path, sick, taken, monkeypatch):
    path = tmp_path / "page.html"
    if taken == "directory":
        path.mkdir()
    elif taken == "missing directory":
        path = tmp_path / "missing" / "page.html"
    else:  # a root user may write anywhere, so the system call itself refuses
        monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "denied")))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="Cannot write"):
        sick.save_html(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_every_record_saves_its_own_page(record, tmp_path):
    record.save_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == html_page(record)


def test_trainings_come_first(sick):
    looks = (Evaluation(0, 2.3, 0.1), Evaluation(100, 0.4, 0.9))
    page = html_page(sick, trainings=[TrainingCurve(n, (2.3, 0.4), looks, 2.3, 0.1) for n in ("default", "mended")])
    assert page.index(">mended<") < page.index("The signal through depth")
    assert "guessing" in page


def test_doubts_of_a_prediction_stand_beside_the_layer(sick):
    doubts = {3: "a mask is taken to be causal"}
    nodes = tuple(dataclasses.replace(n, doubt=doubts.get(n.node, "")) for n in sick.profile.nodes)
    page = html_page(dataclasses.replace(sick.profile, nodes=nodes))
    assert page.count("a mask is taken to be causal") == 1
    assert ">doubt<" in page
    assert ">doubt<" not in html_page(sick.profile)


def test_bad_input():
    with pytest.raises(InputError, match="no page for a str"):
        html_page("a string")


def test_five_hundred_layers_stay_small(profile_of):
    layers = 500
    page = html_page(
        Diagnosis(profile_of([0.99**i for i in range(layers)], [1e-3 * 1.01**i for i in range(layers)]), ())
    )
    assert len(page.encode()) < 500_000


@pytest.mark.parametrize("kept", [-500, 0, 1, 500, 1000])
def test_a_page_cut_short_is_refused(sick, kept):
    page = html_page(sick)
    start = page.index('id="record">') + len('id="record">')
    with pytest.raises(InputError, match="damaged" if kept >= 0 else "without a record"):
        loads(page[: start + kept])


def test_a_page_of_another_kind_is_refused():
    with pytest.raises(InputError, match="gainstage did not write it"):
        loads("<!DOCTYPE html><html><body>Hello</body></html>")


def test_no_answers_is_a_page():
    assert Reader(html_page(Answers(()))).balanced


def test_a_picture_of_an_answer_has_its_axes_the_right_way_round():
    line = Line("loss", x=(0.0, 500.0), y=(2.0, 3.0))
    claim = Claim("1.1", "It falls.", (), "")
    evidence = Evidence(claim, (), (), "holds", picture=Picture("Loss", "step", "nats", (line,)))
    answer = Answer(1, "loss", "Does it fall?", ("Yes.",), (evidence,), ("gainstage ask 1",), ())
    page = html_page(answer)
    chart = re.search(r"<svg.*?</svg>", page, re.DOTALL)[0]
    below = re.findall(r'<text[^>]*text-anchor="middle"[^>]*>([^<]*)', chart)
    assert "500" in below, below
