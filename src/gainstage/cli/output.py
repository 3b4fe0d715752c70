"""Results to stdout, progress to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gainstage.cli.streams import aside

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from gainstage.records import Diagnosis, Profile
    from gainstage.report.html.page import Document

__all__ = ["FAIL_ON", "console", "exit_code", "learning", "lively", "progress", "status", "write_page"]

FAIL_ON = ("error", "warning", "note", "never")


def console() -> Console:
    """Standard output, with colours only on a terminal and without ``NO_COLOR``."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=False)


def exit_code(diagnosis: Diagnosis, fail_on: str) -> int:
    """2 for a model that could not be judged, 1 if a finding is at least as bad as ``fail_on``, else 0."""
    if not diagnosis.judged:
        return 2
    if fail_on == "never":
        return 0
    return int(any(FAIL_ON.index(finding.severity) <= FAIL_ON.index(fail_on) for finding in diagnosis.findings))


def lively() -> bool:
    """Report whether a person watches stderr and has not asked for quiet."""
    context = click.get_current_context(silent=True)
    quiet = context is not None and (context.find_root().obj or {}).get("quiet", False)
    return sys.stderr.isatty() and not os.environ.get("CI") and not quiet


def write_page(path: Path | None, record: Document, predicted: Profile | None = None) -> None:
    """Write the record's page where one was asked for, beside what theory says of the model, and say so."""
    if path is None:
        return
    from gainstage.report.html import save_html

    save_html(path, record, predicted=predicted)
    click.echo(f"Wrote {path}.", err=True)


def learning() -> Callable[[int, float], None]:
    """Return a function that says on stderr how a short training goes: every step to a terminal, else each fiftieth."""
    watched = lively()

    def say(step: int, loss: float) -> None:
        if watched or step % 50 == 0:
            click.echo(f"{chr(13) if watched else ''}Learning one batch: step {step}, loss {loss:.3g}  ", err=True,
                       nl=not watched)  # fmt: skip

    return say


@contextmanager
def status(message: str) -> Iterator[None]:
    """Say on stderr what is going on, where someone is watching; what user code prints meanwhile goes there too."""
    with aside():
        if not lively():
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(message):
            yield


def _unseen(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on stderr, where someone is watching; it is moved by calling it with (stage, done, total)."""
    if not lively():
        yield _unseen
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1)

        def move(stage: str, done: int, total: int) -> None:
            bar.update(task, description=stage, completed=done, total=total)

        yield move
