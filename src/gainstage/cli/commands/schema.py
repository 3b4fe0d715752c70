"""``gainstage schema``."""

from __future__ import annotations

import json

import rich_click as click

from gainstage.cli.options import traceback_option

__all__ = ["command"]


@click.command("schema")
@click.argument("kind", required=False)
@traceback_option
def command(kind: str | None) -> None:
    """Print the JSON Schema of what --json prints and save() writes.

    KIND is diagnosis, fixed, plan, profile, comparison, answer or answers; without it, any of them is valid.

    \b
        gainstage schema > gainstage.schema.json
        gainstage schema diagnosis
    """  # noqa: D301
    from gainstage.report.schema import schema

    click.echo(json.dumps(schema(kind), indent=2, ensure_ascii=False))
