"""A running lab, plain requests to it, and a real browser where there is one."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from gainstage.lab.server import Running, start
from gainstage.lab.state import State

SMALL = State(depth=6, width=16, batch=64, steps=12)
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """One lab for all tests of this process, with a small network."""
    lab = start(state=SMALL)
    yield lab
    lab.stop()


Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(scope="session")
def send(running: Running) -> Callable[..., Answer]:
    """Send a request as no browser would, and return status, headers and body."""

    def request(
        method: str, path: str, body: Any = None, *, token: str | None = None, headers: dict[str, str] | None = None,
        **query: str,
    ) -> Answer:  # fmt: skip
        token = running.lab.token if token is None else token
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)
        sent = body if isinstance(body, bytes | str | None) else json.dumps(body)
        given = {"content-type": "application/json", **(headers or {})}
        connection.request(method, f"{path}?{urlencode({**query, 'token': token})}", sent, given)
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    return request


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a file; where there is none, CI fails and other places skip, and say so."""
    path = os.environ.get("GAINSTAGE_CHROMIUM") or next((found for n in NAMES if (found := shutil.which(n))), None)
    if path is None or not importlib.util.find_spec("playwright"):
        told = "NO BROWSER TESTS WERE RUN: this machine lacks Chromium or Playwright (make browser)."
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        launched.close()
