"""``gainstage plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import (
    Request,
    branch_option,
    html_option,
    json_option,
    overrides_option,
    request_options,
    scheme_option,
)
from gainstage.cli.output import console, status, write_page

if TYPE_CHECKING:
    from gainstage.planning import BranchStart

__all__ = ["command"]


@click.command("plan")
@request_options
@scheme_option
@overrides_option
@branch_option
@json_option
@html_option
def command(
    request: Request,
    scheme: str,
    overrides: tuple[str, ...],
    branch_start: BranchStart,
    as_json: bool,
    page: Path | None,
) -> None:
    """Show which parameter would get which values, and why; nothing is written.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage plan hf:gpt2,n_layer=2
        gainstage plan mypackage.nets:build --input 3,32,32 --scheme he_normal --override 'head.*=zeros'
        gainstage plan mlp:784x128x10 --json > plan.json
    """  # noqa: D301
    from gainstage.cli.subject import parse_overrides, prepare
    from gainstage.report import json, text
    from gainstage.workflows import plan

    chosen = parse_overrides(overrides)
    with status(f"Planning {request.model}"):
        subject = prepare(request)
        planned = plan(
            subject.model, scheme, x=subject.inputs, seed=request.seed, overrides=chosen, branch_start=branch_start
        )
    if as_json:
        click.echo(json.dumps(planned, indent=2))
    else:
        text.print_to(console(), planned)
    write_page(page, planned)
