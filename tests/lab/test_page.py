"""The page in a real browser: every control, live training, keyboard alone, small screens, hostile names, two tabs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from gainstage.lab.server import Running, start
from gainstage.lab.state import State
from gainstage.lab.subject import Given

WAIT = 90_000  # milliseconds that a busy machine may take


class Visit:
    """One tab, and everything that must not happen in it."""

    def __init__(self, context: Any, running: Running, state: str = "") -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.origin = f"http://127.0.0.1:{running.port}"
        self.page.goto(running.address.partition("#")[0] + (f"#{state}" if state else f"#{running.lab.state.query}"))

    def settled(self) -> Any:
        self.page.locator("#depth[data-stage=theory][aria-busy=false]").wait_for()
        return self.page

    def check(self) -> None:
        outside = [url for url in self.requests if not url.startswith((self.origin, "data:"))]
        assert not outside
        assert not self.complaints


@pytest.fixture
def visit(browser: Any, running: Running) -> Iterator[Callable[..., Visit]]:
    contexts, visits = [], []

    def open_tab(state: str = "", *, width: int = 1280, scheme: str = "light", lab: Running = running) -> Visit:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        visits.append(Visit(contexts[-1], lab, state))
        return visits[-1]

    yield open_tab
    for one in visits:
        one.check()
    for context in contexts:
        context.close()


def drawn(page: Any) -> str:
    """The lines of the chart through depth."""
    return " ".join(path.get_attribute("d") for path in page.locator("#depth path.line").all())


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_the_page_shows_everything_and_fits(visit, width, scheme):
    page = visit(width=width, scheme=scheme).settled()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("depth", "phase", "histograms"):
        assert page.locator(f"#{name} > svg").count() == 1
    assert page.locator("#findings .verdict").count() == 1
    ground = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 380
    assert light == (scheme == "light")


def test_every_control_changes_the_picture(visit):
    tab = visit()
    page = tab.settled()
    before = drawn(page)
    for name in ("depth", "width", "gain", "bias"):
        page.locator(f"#c-{name}").press("ArrowRight")
        tab.page.wait_for_timeout(50)
        tab.settled()
        after = drawn(page)
        assert after != before, name
        before = after
    for name, value in (
        ("activation", "relu"), ("mirrored", ""), ("scheme", "he_normal"), ("norm", "layer"), ("residual", ""),
    ):  # fmt: skip
        control = page.locator(f"#c-{name}")
        control.select_option(value) if value else control.check()
        tab.page.wait_for_timeout(50)
        tab.settled()
        after = drawn(page)
        assert after != before, name
        before = after
    for word in ("depth", "activation=relu", "norm=layer", "scheme=he_normal", "residual=true"):
        assert word in page.url


def test_an_address_restores_everything(visit):
    first = visit("depth=5&width=16&activation=softsign&gain=1.5&seed=7&batch=32").settled()
    second = visit(first.url.partition("#")[2]).settled()
    assert drawn(first) == drawn(second)
    assert second.locator("#c-activation").input_value() == "softsign"


def test_a_remedy_is_applied_by_a_click(visit):
    tab = visit("depth=12&width=32&activation=sigmoid&scheme=pytorch_default&batch=64")
    page = tab.settled()
    assert "error" in page.locator("#findings .verdict").get_attribute("class")
    page.locator("#findings .apply").first.click()
    page.locator("#findings .verdict.good").wait_for()
    assert "scheme=auto" in page.url


def test_training_streams_and_stops_with_the_page(visit, running):
    page = visit("depth=3&width=16&batch=32&steps=2000").settled()
    page.locator("#tab-train").click()
    page.locator("#run").click()
    page.locator("#chart-loss svg").wait_for()
    seen = page.locator("#chart-loss svg").inner_html()
    page.locator("#hold").click()
    page.get_by_text("The trainings wait.").wait_for()
    assert page.locator("#chart-loss svg").inner_html() != seen
    assert page.locator("#chart-moved svg").count() == page.locator("#chart-gradient svg").count() == 1
    run = list(running.lab._runs.values())[-1]
    steps = max(len(one.steps) for one in run.trained)
    page.locator("#step").click()
    page.locator("#rows td").get_by_text(str(steps + 1), exact=True).first.wait_for()
    assert not run.over
    page.goto("about:blank")
    run.join(30)
    assert run.over
    assert len(run.trained[0].steps) < 2000


def test_a_guess_a_run_and_a_verdict(visit):
    page = visit("view=questions")
    card = page.page.locator("[data-claim='3.7']")
    page.page.locator("#list button").nth(2).click()
    card.get_by_role("button", name="Run the experiment").click()
    card.get_by_text("Guess first").wait_for()
    card.get_by_label("No").check()
    card.get_by_role("button", name="Run the experiment").click()
    card.get_by_text("What that overlooked").wait_for()
    assert "0 of 1 right" in card.inner_text()
    page.page.reload()
    page.page.locator("#list button").nth(2).get_by_text("1 of 7 cards, 0 of 1 right").wait_for()
    page.page.locator("#list button").nth(6).click()
    assert page.page.locator(".beside pre").count() == 2


def test_the_keyboard_alone_suffices(visit):
    tab = visit()
    page = tab.settled()
    page.locator("#tab-explore").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#train").is_visible()
    page.keyboard.press("ArrowLeft")
    tab.settled()
    page.locator("#depth svg").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "hidden.1" in page.locator("#tip").inner_text()
    focusable = page.evaluate(
        "[...document.querySelectorAll('#controls input, #controls select')].every(e => e.tabIndex === 0)"
    )
    assert focusable


def test_controls_have_names_for_those_who_do_not_see_them(visit):
    page = visit().settled()
    for role, names in (("slider", ["hidden layers", "gain"]), ("combobox", ["activation", "scheme"]),
                        ("checkbox", ["skips"]), ("tab", ["Explore", "Train", "Seven questions"])):  # fmt: skip
        for name in names:
            assert page.get_by_role(role, name=name, exact=True).count() == 1, name
    assert page.locator("#depth svg[role=img]").get_attribute("aria-label").startswith("Signal through")


class Hostile(nn.Module):
    """Layers whose names would be markup."""

    NAME = "<img src=x onerror=alert(1)>"

    def __init__(self) -> None:
        super().__init__()
        self.add_module(self.NAME, nn.Linear(4, 8))
        self.add_module('"><script>alert(2)</script>', nn.Linear(8, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self.children():
            x = module(x)
        return x


def test_hostile_names_stay_text(visit):
    torch.manual_seed(0)
    given = Given(Hostile(), torch.randn(16, 4), torch.randint(3, (16,)), "cross_entropy", "<b>mine</b>")
    lab = start(given, State(model="own", scheme="keep"))
    try:
        page = visit(lab=lab).settled()
        assert page.locator("script").count() == 1
        assert page.locator("main img").count() == 0
        page.locator("#depth svg").focus()
        page.keyboard.press("End")
        page.keyboard.press("Home")
        assert Hostile.NAME in page.locator("#tip").inner_text()
        assert page.locator("#c-model option").all_inner_texts()[1] == "<b>mine</b>"
    finally:
        lab.stop()


def test_two_tabs_do_not_disturb_each_other(visit):
    one, other = visit("depth=4&width=16&batch=32"), visit("depth=5&width=32&batch=32&activation=relu")
    one.settled(), other.settled()
    first, second = drawn(one.page), drawn(other.page)
    one.page.locator("#c-gain").press("ArrowRight")
    one.page.wait_for_timeout(50)
    one.settled()
    assert drawn(one.page) != first
    assert drawn(other.page) == second


def test_a_lab_that_went_away_says_so(browser):
    lab = start(state=State(depth=3, width=8, batch=32))
    context = browser.new_context()
    page = context.new_page()
    page.goto(lab.address)
    page.locator("#depth[data-stage=theory]").wait_for(timeout=WAIT)
    lab.stop()
    page.locator("#c-gain").press("ArrowRight")
    page.locator("#status.failed").get_by_text("does not answer").wait_for(timeout=WAIT)
    again = start(state=State(depth=3, width=8, batch=32), port=lab.port)
    try:  # an earlier run's token computes nothing
        page.locator("#status.failed").get_by_text("token").wait_for(timeout=WAIT)
        page.goto(again.address)
        page.reload()
        page.locator("#depth[data-stage=theory]").wait_for(timeout=WAIT)
    finally:
        context.close()
        again.stop()


def test_the_teacher_s_page_prints(visit, running):
    page = visit().page
    page.goto(f"http://127.0.0.1:{running.port}/teacher")
    assert page.locator("h2").count() == 7
    assert page.locator("section.card").count() == 41
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
