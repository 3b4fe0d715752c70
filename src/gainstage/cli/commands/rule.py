"""``gainstage rule``."""

from __future__ import annotations

import json

import rich_click as click

from gainstage.cli.options import json_option, traceback_option
from gainstage.cli.output import console

__all__ = ["command"]


@click.command("rule")
@click.argument("code", required=False)
@json_option
@traceback_option
def command(code: str | None, as_json: bool) -> None:
    """Explain a rule (what it sees, why that matters, what to do), or list all.

    \b
        gainstage rule
        gainstage rule GS201
        gainstage rule GT301
    """  # noqa: D301
    from gainstage import rules

    every: list[rules.Rule | rules.TrainingRule] = [*rules.all_rules(), *rules.training_rules()]
    chosen = [rules.get(code.upper())] if code else every
    if as_json:
        pages = [{"code": r.code, "title": r.title, "summary": r.summary, "text": r.text} for r in chosen]
        click.echo(json.dumps({"schema_version": 1, "kind": "rules", "rules": pages}, indent=2, ensure_ascii=False))
    elif code:
        from gainstage.report import text

        text.print_to(console(), chosen[0])
    else:
        for rule in chosen:
            click.echo(f"{rule.code}  {rule.title}")
