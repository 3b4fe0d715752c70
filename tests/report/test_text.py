import dataclasses
import io
import re
import unicodedata
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from gainstage.errors import InputError
from gainstage.records import Diagnosis, Fixed, Plan, Profile, Severity
from gainstage.report.text import Shown, print_to, render
from gainstage.report.wording import clean, figure

NAMES = ["sick", "healthy", "fixed", "plan", "profile"]
Distrusted = Callable[[str], tuple[Fixed, Plan]]


@dataclasses.dataclass(frozen=True)
class Page:
    """What a rule has."""

    code: str = "GS201"
    title: str = "The gradient vanishes"
    summary: str = "The gradient shrinks layer after layer."
    text: str = """Why it matters:
    Early layers learn slowly.

    Remedy:

        gs.initialize(model, "he_normal")
        # again
    """


@pytest.fixture(params=NAMES)
def record(request: pytest.FixtureRequest, sick: Diagnosis) -> Shown:
    return sick.profile if request.param == "profile" else request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str, width: int, sick: Diagnosis, request: pytest.FixtureRequest, golden: Callable) -> None:
    record = sick.profile if name == "profile" else request.getfixturevalue(name)
    golden(f"{name}_{width}.txt", render(record, width=width))


def code_lines(record: Shown) -> set[str]:
    diagnosis = record.after if isinstance(record, Fixed) else record
    findings = diagnosis.findings if isinstance(diagnosis, Diagnosis) else ()
    return {clean(line) for f in findings for line in f.remedy.code.splitlines()}


@pytest.mark.parametrize("width", [60, 61, 79, 80, 100, 133, 200])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_but_code_is_wider_than_asked_for(record: Shown, width: int, unicode: bool) -> None:
    text = render(record, width=width, unicode=unicode)
    wide = [line for line in text.splitlines() if cell_len(line) > width]
    assert {line.strip() for line in wide} <= code_lines(record)
    assert unicode or text.isascii()


def test_an_ordinary_diagnosis_fits_one_screen(sick: Diagnosis, healthy: Diagnosis) -> None:
    one_fault = dataclasses.replace(sick, findings=sick.findings[:1])
    assert len(render(one_fault, width=100).splitlines()) <= 24
    assert len(render(healthy, width=100).splitlines()) <= 10


def test_the_verdict_comes_first(sick: Diagnosis, healthy: Diagnosis, fixed: Fixed) -> None:
    assert render(sick, width=100).startswith("2 FINDINGS  1 error, 1 warning: as it is, this model will not train.")
    assert render(healthy, width=100).startswith("HEALTHY  30 rules passed, 0 could not be judged.")
    assert render(fixed, width=100).startswith("NOT HEALTHY YET  2 findings before; now: 1 warning")
    assert render(Fixed(sick, healthy, ()), width=100).startswith("FIXED  2 findings before; now: 30 rules passed")


def test_notes_alone_are_healthy(sick: Diagnosis) -> None:
    note = dataclasses.replace(sick.findings[1], severity=Severity.NOTE)
    text = render(dataclasses.replace(sick, findings=(note,)), width=100)
    assert text.startswith("HEALTHY  1 note, no error and no warning.")
    assert "NOTE GS502" in text


def test_everything_said_of_a_finding_is_there(sick: Diagnosis) -> None:
    told = " ".join(render(sick, width=90).split())
    for finding in sick.findings:
        for part in (
            finding.code,
            finding.title,
            finding.path,
            finding.evidence,
            finding.cause,
            finding.remedy.summary,
        ):
            assert part in told
        assert finding.severity.value.upper() in told
    assert "GS101 The signal fades ×2" in told
    for unjudged in sick.unjudged:
        assert f"{unjudged.code}: {unjudged.reason}" in told
    depth = sick.profile.nodes
    for measured in (depth[0], depth[-1]):
        assert measured.backward is not None
        assert figure(measured.forward.spread) in told
        assert figure(measured.backward.norm) in told
    for fact in ("torch 2.13.0", "float32", "64×128", "2.31", "2.29", "GS903 The batch holds one example twice."):
        assert fact in told


def test_code_can_be_copied(sick: Diagnosis) -> None:
    lines = render(sick, width=60).splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "import gainstage as gs")
    block = lines[start : start + 2]
    assert [line.strip() for line in block] == sick.findings[0].remedy.code.splitlines()
    assert all(line.startswith("    ") for line in block)


def test_long_code_is_never_wrapped(sick: Diagnosis) -> None:
    code = f"model = build({', '.join(f'layer_{i}=1' for i in range(40))})"
    finding = dataclasses.replace(
        sick.findings[0], remedy=dataclasses.replace(sick.findings[0].remedy, code=code), consequences=()
    )
    assert code in [x.strip() for x in render(dataclasses.replace(sick, findings=(finding,)), width=60).splitlines()]


def test_many_findings_are_all_named(sick: Diagnosis) -> None:
    findings = tuple(dataclasses.replace(sick.findings[0], code=f"GS{i}", consequences=()) for i in range(100, 120))
    text = render(dataclasses.replace(sick, findings=findings), width=100)
    assert all(finding.code in text for finding in findings)
    assert text.startswith("20 FINDINGS")


def test_hostile_names_are_only_text(hostile: str, distrusted: Distrusted) -> None:
    for record in (*(f := distrusted(hostile))[:1], f[0].before, f[0].before.profile, f[1], rule_of(hostile)):
        for width in (60, 100):
            text = render(record, width=width, color=False)
            assert not [
                c for c in text if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
            ]
            text.encode("utf-8")
            assert render(record, width=width, unicode=False).isascii()


def rule_of(name: str) -> Page:
    return Page(name, name, name, name)


def test_markup_is_shown_not_obeyed(distrusted: Distrusted) -> None:
    text = render(distrusted("[red]layer[/red] :warning:")[0].before, width=100, color=True)
    assert "[red]layer[/red] :warning:" in text


def test_long_names_are_cut_in_the_middle(distrusted: Distrusted) -> None:
    fixed, plan = distrusted("first" + "x" * 190 + "last")
    for record in (fixed, fixed.before, fixed.before.profile, plan):
        text = "\n".join(line for line in render(record, width=100).splitlines() if len(line) <= 100)
        assert re.search(r"firstx+…x+last", text)


def test_colour_only_adds(record: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain, coloured = render(record, width=100), render(record, width=100, color=True)
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in stripped.splitlines()] == plain.splitlines()


def test_no_color_overrules_colour(sick: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    codes = set(re.findall(r"\x1b\[([\d;]*)m", render(sick, width=100, color=True)))
    assert codes <= {"0", "1", "2", "1;2"}  # bold and dim remain


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_printing_to_a_console_of_any_encoding(record: Shown, encoding: str) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding) as file:
        print_to(Console(file=file, width=100, color_system=None), record)
        file.flush()
        text = raw.getvalue().decode(encoding)
    expected = render(record, width=100, unicode=encoding == "utf-8")
    assert [line.rstrip() for line in text.rstrip().splitlines()] == expected.rstrip().splitlines()


def test_print_shows_the_page(sick: Diagnosis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert str(sick) == render(sick, width=90).rstrip("\n")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert str(sick).isascii()


def test_widths_are_held_in_bounds(sick: Diagnosis) -> None:
    assert render(sick, width=1) == render(sick, width=40)
    assert render(sick, width=1000) == render(sick, width=200)


def test_a_rule_page() -> None:
    text = render(Page(), width=80)
    assert text.splitlines() == [
        "GS201  The gradient vanishes",
        "",
        "The gradient shrinks layer after layer.",
        "",
        "Why it matters:",
        "Early layers learn slowly.",
        "",
        "Remedy:",
        "",
        '    gs.initialize(model, "he_normal")',
        "    # again",
    ]


def test_plans_collapse_blocks_and_lose_none(plan: Plan) -> None:
    text = render(plan, width=120)
    assert len(text.splitlines()) < 20
    assert text.count("×12") == 4
    assert "blocks.0–11.attn.weight" in text
    assert "0.0255–0.0365" in text
    for reason in {a.reason for a in plan if a.reason}:
        assert reason in text


@pytest.mark.parametrize("width", [60, 100])
def test_odd_profiles(width: int, profile_of: Callable[..., Profile], sick: Diagnosis) -> None:
    nan, inf = float("nan"), float("inf")
    odd = profile_of([1.0, 0.0, nan, inf, 1e-160, 1e150], [None, 0.0, nan, inf, 1.0, 1e-40])
    text = render(odd, width=width)
    assert "NaN" in text
    assert "inf" in text
    empty = dataclasses.replace(odd, nodes=())
    assert "no layer with a weight was measured" in render(empty, width=width)
    deep = profile_of([1.0] * 2000, [1.0] * 2000)
    assert len(render(deep, width=width).splitlines()) < 60
    assert "… 1960 more layers" in render(deep, width=width)
    assert render(Fixed(dataclasses.replace(sick, profile=empty), sick, ()), width=width)


def test_other_things_have_no_text() -> None:
    with pytest.raises(InputError, match="no text form of a list"):
        render([])  # type: ignore[arg-type]
