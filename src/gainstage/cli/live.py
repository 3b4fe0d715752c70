"""What is seen while a comparison runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gainstage.cli.output import lively

if TYPE_CHECKING:
    from rich.table import Table

    from gainstage.workflows.progress import Progress

__all__ = ["watching"]


@contextmanager
def watching() -> Iterator[Callable[[Progress], None] | None]:
    """One line a scheme on stderr, moved by calling what is yielded; None where nobody is watching."""
    if not lively():
        yield None
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:

        def show(progress: Progress) -> None:
            live.update(_table(progress), refresh=True)

        yield show


def _table(progress: Progress) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("scheme", "steps", "loss now", "trials left"):
        table.add_column(title, justify="left" if title in ("scheme", "steps") else "right")
    for line in progress.lines:
        loss = f"{line.loss:.3g}" if math.isfinite(line.loss) else "–"
        bar = ProgressBar(total=1, completed=line.share, width=30)
        table.add_row(line.scheme, bar, loss, str(line.total - line.done))
    table.add_row("all", "", "", f"{progress.total - progress.done} of {progress.total}", style="bold")
    return table
