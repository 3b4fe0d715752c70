"""A real browser: Chromium driven by Playwright. Where there is none, CI fails and other places skip, and say so."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium() -> str | None:
    """The browser's path: of the environment's choice, or the first one found."""
    return os.environ.get("GAINSTAGE_CHROMIUM") or next((path for n in NAMES if (path := shutil.which(n))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a file: two that are driven at once do not go together in one process."""
    path = chromium()
    lacking = [] if path else ["Chromium (apt-get install chromium, or GAINSTAGE_CHROMIUM=/path)"]
    lacking += [] if importlib.util.find_spec("playwright") else ["Playwright (pip install playwright)"]
    if lacking:
        told = f"NO BROWSER TESTS WERE RUN: this machine lacks {' and '.join(lacking)}."
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        launched.close()


class Visit:
    """One look at a file from disk, and everything that must not happen during it."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page, self.path = page, path
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())

    def close(self) -> None:
        """Nothing but the file itself and the pictures inside it was read, and nobody complained."""
        outside = [url for url in self.requests if url != self.path.as_uri() and not url.startswith("data:image/png")]
        assert not outside
        assert not self.complaints
        self.page.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page of HTML from disk in a window of its own."""
    visits: list[Visit] = []

    def open_page(html: str, *, width: int = 1280, scheme: str = "light", scripts: bool = True) -> Any:
        path = tmp_path / f"page{len(visits)}.html"
        path.write_text(html, encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
        )
        visits.append(Visit(context.new_page(), path))
        return visits[-1].page

    yield open_page
    for one in visits:
        one.close()
