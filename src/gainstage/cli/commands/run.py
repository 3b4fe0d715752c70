"""``gainstage run``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gainstage.cli.options import html_option, traceback_option
from gainstage.cli.output import FAIL_ON

__all__ = ["command"]


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-m", "as_module", is_flag=True, help="Run a module, as python -m does.")
@click.option("--every", type=click.IntRange(min=1), default=50, show_default=True,
              help="Steps between looks at every layer.")  # fmt: skip
@click.option("--to", type=click.Path(path_type=Path), default=Path("gainstage-history.jsonl"), show_default=True,
              help="Where the history is written; a file that exists gets a number behind its name.")  # fmt: skip
@click.option("--refuse", is_flag=True, help="End the program before its first step where the start has an error.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave rules out, by code or its beginning.")
@click.option("--fail-on", type=click.Choice(FAIL_ON), default="error", show_default=True,
              help="Exit with 1 where a finding is at least as bad.")  # fmt: skip
@html_option
@traceback_option
@click.argument("program")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(
    as_module: bool, every: int, to: Path, refuse: bool, ignore: tuple[str, ...], fail_on: str, page: Path | None,
    program: str, arguments: tuple[str, ...],
) -> int:  # fmt: skip
    """Run a training program unchanged, watch it, and say at the end how it went.

    PROGRAM is a file, run as python would run it with its ARGUMENTS. Every model that an optimizer of PyTorch or fit of
    Keras trains is watched: plain loops, Lightning, Trainer, several models at once. What goes wrong is told while it
    happens, one line each, on standard error; there the verdict is printed too.

    Exits with what the program exits with where that is not 0; else with 1 for findings, 2 where no training was seen.

    \b
        gainstage run train.py --epochs 3
        gainstage run --html training.html --every 100 train.py
        gainstage run -m mypackage.train config.yaml
    """  # noqa: D301
    from rich.console import Console

    from gainstage.integrations.script import run
    from gainstage.records import Severity
    from gainstage.report import text
    from gainstage.report.html import save_html

    ended = run(program, arguments, as_module=as_module, every=every, to=to, refuse=refuse, ignore=ignore)
    told = Console(stderr=True, highlight=False)
    for history, path in zip(ended.histories, ended.paths, strict=True):
        text.print_to(told, history)
        if path is not None:
            click.echo(f"Wrote {path}.", err=True)
    if page is not None:
        for number, history in enumerate(ended.histories, start=1):
            own = page if number == 1 else page.with_stem(f"{page.stem}-{number}")
            save_html(own, history)
            click.echo(f"Wrote {own}.", err=True)
    if ended.refused:
        return 1
    if ended.status:
        return ended.status
    if not any(history.judged for history in ended.histories):
        click.echo("No training was seen: no optimizer of PyTorch and no fit of Keras made a step.", err=True)
        return 2
    ranks = FAIL_ON.index(fail_on)
    starts = [f for h in ended.histories if h.start is not None for f in h.start.findings]
    found = [*(f for h in ended.histories for f in h.findings), *starts]
    return int(fail_on != "never" and any(list(Severity).index(f.severity) <= ranks for f in found))
