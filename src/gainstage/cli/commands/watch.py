"""``gainstage watch``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gainstage.cli.options import html_option, json_option, traceback_option
from gainstage.cli.output import console

__all__ = ["command"]


@click.command("watch")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--fail-on", type=click.Choice(("error", "warning", "note", "never")), default="never", show_default=True,
              help="Exit with 1 where a finding is at least as bad.")  # fmt: skip
@json_option
@html_option
@traceback_option
def command(path: Path, fail_on: str, as_json: bool, page: Path | None) -> int:
    """Read the history of a training and show what was found.

    PATH is a history that gs.watch or gainstage run wrote (of a killed run as well), a saved history, a folder or file
    of TensorBoard's events, or a table of numbers over steps that TensorBoard or wandb exported as CSV (columns such as
    step, loss, grad_norm); the rules then judge as far as those numbers go.

    \b
        gainstage watch gainstage-history.jsonl
        gainstage watch gainstage-history.jsonl --html history.html
        gainstage watch exported.csv
        gainstage watch runs/Dec01_host
    """  # noqa: D301
    from gainstage.records import Severity
    from gainstage.report import json, text
    from gainstage.report.html import save_html
    from gainstage.workflows.watching.reading import read_history

    history = read_history(path)
    if as_json:
        click.echo(json.dumps(history, indent=2))
    else:
        text.print_to(console(), history)
    if page is not None:
        save_html(page, history)
        click.echo(f"Wrote {page}.", err=True)
    if not history.judged:
        return 2
    ranks = ["error", "warning", "note", "never"].index(fail_on)
    found = [*history.findings, *(history.start.findings if history.start is not None else ())]
    return int(fail_on != "never" and any(list(Severity).index(f.severity) <= ranks for f in found))
