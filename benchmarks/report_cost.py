"""How long a page of 500 layers takes to write, how large it is, and when a browser shows its first picture."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from _timing import paired, row
from torch import nn

import gainstage as gs
from gainstage.records import Diagnosis
from gainstage.report.html import html_page, save_html
from gainstage.report.json import dumps
from gainstage.report.text import render

LAYERS = 500
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def deep(layers: int) -> Diagnosis:
    """A chain of linear and relu, measured with labels."""
    torch.manual_seed(0)
    inner = [module for _ in range(layers - 1) for module in (nn.Linear(32, 32), nn.ReLU())]
    model = nn.Sequential(*inner, nn.Linear(32, 10))
    return gs.check(model, torch.randn(16, 32), torch.randint(10, (16,)), loss=nn.functional.cross_entropy)


def first_paint(page: Path, runs: int = 5) -> float | None:
    """Median seconds from opening the file to the first painted content; None without a browser."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        return None
    from playwright.sync_api import sync_playwright

    seen = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(runs):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            paint = "() => new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))"
            seen.append(tab.evaluate(f"{paint}.observe({{type: 'paint', buffered: true}}))"))
            tab.close()
        browser.close()
    return median(seen) / 1e3


def main() -> None:
    start = perf_counter()
    diagnosis = deep(LAYERS)
    checked = perf_counter() - start
    page, share = paired(lambda: html_page(diagnosis), lambda: dumps(diagnosis))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        start = perf_counter()
        save_html(file, diagnosis)
        written = perf_counter() - start
        size = file.stat().st_size
        paint = first_paint(file)
    row(f"check of {LAYERS} layers, for comparison", f"{checked:.2f} s", "")
    row("its page, made", f"{page * 1e3:.0f} ms", "")
    row("its page, made and written", f"{written * 1e3:.0f} ms", "under 300 ms")
    row("its JSON over its page, time", f"{share:.2f}", "")
    row("its page, size", f"{size / 1e6:.3f} MB", "under 0.5 MB")
    row(
        "its page, first picture in the browser",
        "no browser" if paint is None else f"{paint * 1e3:.0f} ms",
        "under 500 ms",
    )
    start = perf_counter()
    render(diagnosis, width=100)
    row("its text", f"{(perf_counter() - start) * 1e3:.0f} ms", "")
    if "--save" in sys.argv:
        save_html("report-500.html", diagnosis)


if __name__ == "__main__":
    main()
