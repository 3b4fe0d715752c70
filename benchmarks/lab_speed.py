"""The lab's speed in a real browser: from a moved slider to the picture, median of 20, at depth 50 and width 256.

Prints milliseconds of the wall clock. The targets are 150 for level and gradient, and 600 for findings and plan.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time

from gainstage.lab.server import start
from gainstage.lab.state import State

ROUNDS = 20
TARGETS = {"levels": 150, "findings": 600}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> None:
    from playwright.sync_api import sync_playwright

    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        sys.exit("No Chromium was found; install it with 'make browser'.")
    import torch  # noqa: F401 (its import is not counted)

    began = time.perf_counter()
    running = start(state=State(depth=50, width=256))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(running.address)
        page.locator("#depth svg").wait_for(timeout=300_000)
        print(f"first picture after the server's start: {1e3 * (time.perf_counter() - began):.0f} ms")
        page.locator("#depth[data-stage=theory]").wait_for(timeout=300_000)
        seen: dict[str, list[float]] = {name: [] for name in TARGETS}
        for turn in range(ROUNDS):
            page.locator("#c-gain").press("ArrowRight" if turn % 2 else "ArrowLeft")
            page.wait_for_timeout(20)
            page.locator("#depth[data-stage=theory]").wait_for(timeout=300_000)
            shown = page.evaluate("({...document.body.dataset})")
            for name in TARGETS:
                seen[name].append(float(shown[name]))
        browser.close()
    running.stop()
    for name, target in TARGETS.items():
        print(f"slider to {name}: median {statistics.median(seen[name]):.0f} ms of {ROUNDS} (target {target})")


if __name__ == "__main__":
    main()
