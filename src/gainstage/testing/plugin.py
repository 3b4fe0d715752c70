"""The plugin of pytest: one option. It imports nothing until the option is given."""

from __future__ import annotations

from typing import Any

__all__ = ["UPDATE", "pytest_addoption", "pytest_configure"]

UPDATE = "GAINSTAGE_UPDATE"
"""The environment variable that has golden files written anew, in the workers of pytest-xdist too."""


def pytest_addoption(parser: Any) -> None:
    """Add ``--gainstage-update``."""
    parser.getgroup("gainstage").addoption(
        "--gainstage-update", action="store_true", help="Write the golden files of gainstage.testing.assert_start anew."
    )


def pytest_configure(config: Any) -> None:
    """Hand the option on to the assertions."""
    if config.getoption("--gainstage-update", default=False):
        import os

        os.environ[UPDATE] = "1"
