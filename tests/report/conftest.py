"""Records made by hand: a deep network that vanishes, its mended self, and names nobody should trust."""

import dataclasses
import itertools
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from gainstage.graph import DerivationStep, KernelShape, Node, Operation, Parameter, Role, SignalGraph, Use
from gainstage.records import (
    Answer,
    Answers,
    Arm,
    Assignment,
    Band,
    Bound,
    Change,
    Check,
    Claim,
    Comparison,
    Contrast,
    Diagnosis,
    Evaluation,
    Evidence,
    Figure,
    Finding,
    Fixed,
    InputFacts,
    Line,
    LossFacts,
    Moments,
    NodeProfile,
    Note,
    OptimizerFacts,
    OutputFacts,
    ParameterProfile,
    Picture,
    Plan,
    Profile,
    RateLimit,
    Remedy,
    Severity,
    Slider,
    Source,
    Step,
    TargetFacts,
    Task,
    TrainingCurve,
    Trial,
    UnitStats,
    Unjudged,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "[red]layer[/red] [link=https://example.org]x[/link]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "line one\nline two\r\ttab",
    "\u202eesrever\u2066 \u2028 \u200b",
    "\"quote\" & 'quote' ]]> <!-- -->",
    "\ud800 surrogate",
    ":warning: %0A::error::x",
    "名前" * 50,
    "x" * 200,
)


def moments(spread: float, count: int = 8192, share: float | None = 0.5) -> Moments:
    return Moments(count, 0.0, spread**2, spread**2, 0 if math.isfinite(spread) else count, example_share=share)


def make_profile(
    spreads: Sequence[float], gradients: Sequence[float | None], names: Sequence[str] | None = None
) -> Profile:
    """A chain of linear layers with these spreads; ``gradients`` are root mean squares."""
    names = names or [f"layers.{i}" for i in range(len(spreads))]
    nodes = [Node(0, Operation.INPUT, "input", (), (64, 128))]
    parameters = []
    for i, name in enumerate(names, start=1):
        use = Use(f"{name}.weight", "weight", (DerivationStep.TRANSPOSE,))
        nodes.append(
            Node(i, Operation.LINEAR, "addmm", (i - 1,), (64, 128), name, (use,), KernelShape(128, 128), example_axis=0)
        )
        parameters.append(
            Parameter(
                f"{name}.weight", (128, 128), "float32", Role.HIDDEN, KernelShape(128, 128), aliases=(), nodes=(i,)
            )
        )
    last = len(nodes)
    nodes.append(Node(last, Operation.LOSS, "nll_loss", (last - 1,), (), function="cross_entropy", stage="loss"))
    graph = SignalGraph(tuple(nodes), tuple(parameters), (0,), (last - 1,), last)
    measured = [
        NodeProfile(i, moments(s), None if g is None else moments(g), UnitStats(128, 64, 64, zero_share=0.5))
        for i, (s, g) in enumerate(zip(spreads, gradients, strict=True), start=1)
    ]
    return Profile(
        graph,
        tuple(measured),
        tuple(ParameterProfile(p.path, moments(0.02), moments(1e-4), unit_spread=(0.01, 0.03)) for p in parameters),
        Task(
            inputs=(
                InputFacts((64, 128), "values", mean=0.0, spread=1.0, feature_spread=(0.9, 1.0, 1.1), features=128),
            ),
            target=TargetFacts((64,), "classes", 0.0, 9.0, 4.5, 2.9, 10, 2.3),
            output=OutputFacts(last - 1, (64, 10), 10, spread=0.1, spread_within=0.09),
            loss=LossFacts("cross_entropy", 2.31, last, "log_softmax", 2.29, math.log(10)),
            optimizer=OptimizerFacts("SGD", (0.1,)),
            examples=64,
        ),
        Source("measured", "torch 2.13.0", batch=(64, 128), seed=0),
        step=Step(-0.01, 0.002, 2.30),
        notes=(Note("GS903", "The batch holds one example twice.", "layers.0"),),
    )


def make_finding(code: str = "GS201", path: str = "layers.0", **changes: object) -> Finding:
    values: dict[str, object] = {
        "code": code,
        "title": "The gradient vanishes towards the input",
        "severity": Severity.ERROR,
        "path": path,
        "evidence": "The norm of the gradient falls from 0.0123 at layers.11 to 4.5e-9 at layers.0, 3.5 times a layer.",
        "measured": 3.5,
        "bound": 1.4,
        "cause": "Each weight has a spread of 0.02; at 128 inputs a relu needs 0.125 to hold the level.",
        "remedy": Remedy(
            "Draw the weights with the spread that relu needs.",
            'import gainstage as gs\ngs.initialize(model, "he_normal", x=x)',
            "initialize",
            "he_normal",
            ("layers.*",),
        ),
        "node": 1,
    }
    return Finding(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> str:
    """A name nobody should trust."""
    return str(request.param)


@pytest.fixture(scope="session")
def profile_of() -> Callable[..., Profile]:
    """A profile with given spreads and gradients."""
    return make_profile


@pytest.fixture(scope="session")
def distrusted() -> Callable[[str], tuple[Fixed, Plan]]:
    """Records with one string in every place that holds free text."""

    def build(name: str) -> tuple[Fixed, Plan]:
        profile = make_profile([1.0, 0.5], [1e-3, 1e-4], [name, f"{name}.1"])
        profile = dataclasses.replace(profile, notes=(Note("GS901", name, name),))
        remedy = Remedy(name, name)
        finding = make_finding(path=name, title=name, evidence=name, cause=name, remedy=remedy)
        finding = dataclasses.replace(finding, consequences=(finding, make_finding("GS102", name, title=name)))
        diagnosis = Diagnosis(profile, (finding,) * 8, ("GS103",), (Unjudged("GS104", name),))
        changes = tuple(
            Change(finding, applied, cured, name) for applied, cured in ((True, True), (True, False), (False, False))
        )
        assignment = Assignment(name, Role.OTHER, (2, 3), name, spread=0.1, reason=name)
        return Fixed(diagnosis, diagnosis, changes), Plan((assignment,) * 14, 0, name, (name,))

    return build


@pytest.fixture(scope="session")
def sick() -> Diagnosis:
    depth = 12
    profile = make_profile([0.28**i for i in range(1, depth + 1)], [1e-5 * 0.28 ** (depth - i) for i in range(depth)])
    lower = make_finding("GS101", "layers.1", title="The signal fades", severity=Severity.ERROR)
    return Diagnosis(
        profile,
        (
            make_finding(consequences=(lower, make_finding("GS101", "layers.2", title="The signal fades"))),
            make_finding(
                "GS502",
                "",
                title="The loss starts above chance",
                severity=Severity.WARNING,
                evidence="The loss is 4.71 at the start; a constant guess reaches 2.29.",
                measured=4.71,
                bound=3.29,
                cause="The logits have a spread of 5.2 within an example.",
                remedy=Remedy("Start the head at zero.", "torch.nn.init.zeros_(model.head.weight)"),
                node=None,
            ),
        ),
        passed=("GS102", "GS301"),
        unjudged=(Unjudged("GS601", "no input was given"), Unjudged("GS701", "no optimizer was given")),
    )


@pytest.fixture(scope="session")
def healthy() -> Diagnosis:
    return Diagnosis(make_profile([1.0] * 12, [1e-4] * 12), (), tuple(f"GS{i}" for i in range(101, 131)))


@pytest.fixture(scope="session")
def fixed(sick: Diagnosis, healthy: Diagnosis) -> Fixed:
    first, second = sick.findings
    after = Diagnosis(healthy.profile, (second,), healthy.passed, sick.unjudged)
    return Fixed(
        sick,
        after,
        (
            Change(first, True, True, "12 weights were drawn with he_normal."),
            Change(second, False, False, "It is a change of your own code."),
        ),
    )


@pytest.fixture(scope="session")
def plan() -> Plan:
    """A small transformer."""
    items = [Assignment("embed.weight", Role.EMBEDDING, (1000, 64), "normal", spread=0.02, reason="Embeddings: 0.02.")]
    for i in range(12):
        block = f"blocks.{i}"
        items += [
            Assignment(f"{block}.norm.weight", Role.NORM_SCALE, (64,), "ones", reason="Scales start at one."),
            Assignment(
                f"{block}.attn.weight",
                Role.PACKED_ATTENTION,
                (192, 64),
                "glorot_normal",
                kernel=KernelShape(64, 64),
                blocks=3,
                spread=0.125,
                reason="Each of the three stacked matrices has its own fan.",
            ),
            Assignment(f"{block}.attn.bias", Role.BIAS, (192,), "keep", bias="zero", weight=f"{block}.attn.weight"),
            Assignment(
                f"{block}.out.weight",
                Role.BRANCH_END,
                (64, 64),
                "normal",
                spread=0.0255 + 1e-3 * i,
                scale=1.01,
                reason="24 branches share one stream: 1/√24.",
            ),
        ]
    items.append(
        Assignment("head.weight", Role.HEAD, (1000, 64), "normal", spread=0.0375, reason="Logits at most 0.3.")
    )
    return Plan(tuple(items), 7, "auto", ("head.weight is tied to nothing.",))


@pytest.fixture(scope="session")
def answers() -> Answers:
    """Two questions; claims with and without a picture, with and without intervals."""
    figures = tuple(
        Figure("gradient at layer 1 over layer 16", v, v / 1.2, v * 1.2, n=6, case=case)
        for v, case in ((1.6e-13, "sigmoid, default"), (1.7e-4, "tanh, default"), (0.19, "tanh, Xavier"))
    )
    bounds = tuple(Bound(f.name, below=0.1, case=f.case) for f in figures)
    checks = tuple(Check(b, b.outcome(f)) for b, f in zip(bounds, figures, strict=True))
    x = tuple(float(i) for i in range(1, 17))
    lines = tuple(Line(f.case, x, tuple(f.value ** ((16 - i) / 15) for i in x)) for f in figures)
    picture = Picture(
        "Gradient, as a share of that at the last hidden layer", "hidden layer", "gradient (rms)", lines, True
    )
    claim = Claim("1.1", "In deep networks gradients shrink layer by layer.", bounds, "Hochreiter 1991")
    shrinks = Evidence(claim, figures, checks, "holds under conditions", "Does not hold for: tanh, Xavier.", picture)
    exact = Figure("slope at zero", 0.25, 0.25, 0.25)
    bound = Bound(exact.name, below=0.3)
    slope = Evidence(
        Claim("2.1", "A sigmoid's slope is at most 1/4.", (bound,), ""), (exact,), (Check(bound, "met"),), "holds"
    )
    places = (0.5, 1.0, 2.0)
    played = tuple(
        dataclasses.replace(picture, lines=tuple(Line(line.label, x, tuple(y**p for y in line.y)) for line in lines))
        for p in places
    )
    slider = Slider("gain on Xavier's weights", places, played, 1, "At 2 every line falls twice as fast.")
    one = Answer(1, "vanishing", "Vanishing gradients: what are they?", ("Factors below one.",) * 3, (shrinks,),
        ("gainstage check mlp:64x128x10,act=sigmoid",), ("Hochreiter 1991",), "the digits", 0, True, 8.0,
        slider)  # fmt: skip
    two = Answer(2, "slope", "How steep is a sigmoid?", ("Not very.",), (slope,), ("gainstage gain sigmoid",), ())
    return Answers((one, two))


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """Three starts at two learning rates with three seeds: one good, one stuck, one that could not be run."""
    steps, rates, seeds = tuple(range(0, 301, 50)), (0.01, 0.1), (0, 1, 2)
    final = {"he_normal": 0.95, "keep": 0.11}

    def band(level: float) -> Band:
        middle = tuple(0.1 + (level - 0.1) * s / (s + 40) for s in steps)
        return Band(steps, middle, tuple(0.98 * m for m in middle), tuple(min(1.02 * m, 1.0) for m in middle))

    def arm(scheme: str, rate: float) -> Arm:
        if scheme not in final:
            return Arm(scheme, "", rate, 3, 3)
        level = final[scheme] * (1 if rate == 0.1 else 0.9)
        score = Figure("accuracy", level, level - 0.01, level + 0.01, n=3)
        trained, diverged = Figure("share", float(level > 0.5), 0.4, 1.0, n=3), Figure("share", 0.0, 0.0, 0.6, n=3)
        return Arm(
            scheme, "", rate, 3, 0, score, level, 0.2, 0.3, level, level, trained, diverged,
            120.0 if level > 0.5 else None, 0.8, 0.01, 3.0, band(1 - level), band(level),
        )  # fmt: skip

    def trial(scheme: str, rate: float, seed: int) -> Trial:
        if scheme not in final:
            return Trial(scheme, rate, seed, error="ValueError: the model has no weights")
        level = final[scheme]
        looks = Evaluation(0, 2.3, 0.1), Evaluation(300, 1 - level, level)
        outcome = "trained" if level > 0.5 else "stuck"
        return Trial(scheme, rate, seed, "", outcome, TrainingCurve(scheme, (2.3, 1 - level), looks), seconds=0.5)

    schemes = (*final, "orthogonal")
    difference = Figure("difference", 0.84, 0.8, 0.88, n=3)
    contrast = Contrast("he_normal", "keep", difference, Figure("beats", 1.0, 0.8, 1.0, n=3), "he_normal")
    return Comparison(
        "12 × 128 sigmoid", "digits", "accuracy", schemes, ("",), rates, seeds, 300, 64, "Adam", "cross-entropy",
        0.5, 2.3, 0.1, tuple(trial(*each) for each in itertools.product(schemes, rates, seeds)),
        tuple(arm(s, 0.1) for s in schemes), tuple(arm(*each) for each in itertools.product(schemes, rates)),
        (contrast,), (RateLimit("he_normal", "", 0.1, None, 0.01), RateLimit("keep", "", None)),
        ("Three seeds are few.",),
    )  # fmt: skip


@pytest.fixture(scope="session")
def golden() -> Callable[[str, str], None]:
    """Compare with a stored file; GAINSTAGE_UPDATE_GOLDEN=1 writes it anew."""
    folder = Path(__file__).parent / "golden"

    def check(name: str, text: str) -> None:
        path = folder / name
        if os.environ.get("GAINSTAGE_UPDATE_GOLDEN") == "1":
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{name} is not stored; run with GAINSTAGE_UPDATE_GOLDEN=1 and read it"
        assert text == path.read_text(encoding="utf-8")

    return check
