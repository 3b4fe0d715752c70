"""Draw docs/images anew, from real runs: ``make pictures``. What README.md shows is what gainstage wrote.

Each picture is the upper part of a page as a browser shows it, in light and in dark.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

import gainstage as gs
from gainstage.report.html import save_html
from gainstage.workflows import demo

IMAGES = Path(__file__).parent / "images"
WIDTH = 1080
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def report(page: Path) -> None:
    """The network of ``gainstage demo``: what was wrong, both trainings, before and after."""
    shown = demo.deep("digits", steps=600, seed=0)
    save_html(page, shown.fixed, trainings=(shown.before, shown.after))


def diagnosis(page: Path) -> None:
    """Thirty layers of relu started as if they were linear: what is measured, against what theory expects."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(64, 128), nn.ReLU()]
    for _ in range(29):
        layers += [nn.Linear(128, 128), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(128, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=1 / layer.in_features**0.5)
            nn.init.zeros_(layer.bias)
    x, y = torch.randn(256, 64), torch.randint(10, (256,))
    loss = nn.functional.cross_entropy
    save_html(page, gs.check(model, x, y, loss=loss), predicted=gs.predict(model, x, y, loss=loss))


def comparison(page: Path) -> None:
    """Ten sigmoid layers on the digits from four starts."""

    def build() -> nn.Module:
        layers: list[nn.Module] = [nn.Linear(64, 64), nn.Sigmoid()]
        for _ in range(9):
            layers += [nn.Linear(64, 64), nn.Sigmoid()]
        return nn.Sequential(*layers, nn.Linear(64, 10))

    save_html(page, gs.compare(build, "digits", ("keep", "glorot_normal", "he_normal", "auto"), seeds=5))


PAGES = {
    "report": (report, "h2:nth-of-type(3)"),
    "diagnosis": (diagnosis, "h2:nth-of-type(3)"),
    "comparison": (comparison, ""),
}
"""Name, what writes the page, and how much of it is shown: up to this element, or one screen."""


def photograph(browser: Any, page: Path, name: str, until: str) -> None:
    """The upper part of a page in light and in dark."""
    for scheme in ("light", "dark"):
        tab = browser.new_page(viewport={"width": WIDTH, "height": 1000}, color_scheme=scheme)
        tab.goto(page.as_uri())
        end = tab.locator(until).first.bounding_box() if until else None
        height = min(end["y"] - 20, 2400) if end else 1000
        target = IMAGES / f"{name}-{scheme}.png"
        tab.set_viewport_size({"width": WIDTH, "height": int(height)})
        tab.screenshot(path=str(target))
        print(f"{target}  {target.stat().st_size / 1e3:.0f} kB")
        tab.close()


SIGMOIDS = "activation=sigmoid&depth=10&width=64&data=digits"


def explore(tab: Any) -> None:
    """Ten sigmoid layers at Xavier's start, in the lab."""
    tab.locator("#depth[data-stage=theory]").wait_for(timeout=300_000)


def train(tab: Any) -> None:
    """The same network, trained from Xavier's start and from the automatic one."""
    tab.locator("body[data-ready]").wait_for()
    tab.locator("#tab-train").click()
    tab.locator("#run").click()
    tab.get_by_text("The trainings are over.").wait_for(timeout=600_000)


def lab(browser: Any) -> None:
    """The lab: exploring, training, and one card before and after its run."""
    from gainstage.lab.server import start
    from gainstage.lab.state import read_state

    running = start(state=read_state(SIGMOIDS))
    for name, act in (("explore", explore), ("train", train)):
        tab = browser.new_page(viewport={"width": 1280, "height": 960})
        tab.goto(running.address)
        act(tab)
        shot(tab, f"lab-{name}-light")
        tab.close()
    tab = browser.new_page(viewport={"width": 1080, "height": 900})
    tab.goto(f"{running.address}&view=questions")
    card = tab.locator("[data-claim='1.1']")
    card.wait_for(timeout=300_000)
    for case in ("sigmoid, default", "tanh, Xavier"):
        card.get_by_label(case, exact=True).check()
    shot(card, "lab-card-guess")
    card.locator("button.primary").click()
    card.locator(".why").wait_for(timeout=300_000)
    shot(card, "lab-card-verdict")
    tab.close()
    running.stop()


def shot(part: Any, name: str) -> None:
    """Photograph a tab or a part of it."""
    target = IMAGES / f"{name}.png"
    part.screenshot(path=str(target))
    print(f"{target}  {target.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Write every picture, or those that are named."""
    from playwright.sync_api import sync_playwright

    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        sys.exit("No Chromium was found; install it with 'make browser'.")
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name in sys.argv[1:] or (*PAGES, "lab"):
            if name == "lab":
                lab(browser)
                continue
            write, until = PAGES[name]
            page = Path(folder) / f"{name}.html"
            write(page)
            photograph(browser, page, name, until)
        browser.close()


if __name__ == "__main__":
    main()
