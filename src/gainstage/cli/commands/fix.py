"""``gainstage fix``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import Request, fail_options, html_option, json_option, output_option, request_options
from gainstage.cli.output import console, exit_code, status, write_page

if TYPE_CHECKING:
    from gainstage.records import Diagnosis

__all__ = ["command"]


@click.command("fix")
@request_options
@output_option(
    "--out",
    metavar="FILE",
    help="Write the mended weights here: .safetensors, .pt or .pth; of Keras models .weights.h5 or .keras.",
)
@click.option(
    "--prove", is_flag=True, help="Also train copies before and after for 100 steps on the data, and compare."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@html_option
@fail_options
def command(
    request: Request,
    out: Path | None,
    prove: bool,
    dry_run: bool,
    as_json: bool,
    page: Path | None,
    fail_on: str,
    exit_zero: bool,
) -> int:
    """Apply the remedies that a check proposes, and check again: before and after.

    Applied is what is a matter of weights.
    A remedy that is a change of your own code is printed as the lines to change. The exit code is about the second
    check.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage fix mlp:64x128x128x10,act=sigmoid --data digits
        gainstage fix src/net.py:Net --input 3,32,32 --out mended.safetensors
    """  # noqa: D301
    from gainstage.backends import workbench_of
    from gainstage.backends.load import framework_named
    from gainstage.cli.subject import examine, prepare, refuse_unusable

    if out is not None:
        refuse_unusable(out, framework_named(request.model))
    from gainstage.report import json, text
    from gainstage.workflows import fix

    with status(f"Checking {request.model}"):
        subject = prepare(request)
        if out is not None:
            refuse_unusable(out, subject.framework)
        diagnosis = examine(subject)
    if dry_run:
        write_page(page, diagnosis)
        if as_json:
            click.echo(json.dumps(diagnosis, indent=2))
        else:
            text.print_to(console(), diagnosis)
            _announce(diagnosis)
        return 0 if exit_zero else exit_code(diagnosis, fail_on)
    with status(f"Mending {request.model}"):
        fixed = fix(
            subject.model, subject.inputs, subject.labels,
            loss=subject.loss, optimizer=subject.optimizer, diagnosis=diagnosis, seed=request.seed,
            prove=prove,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(fixed, indent=2))
    else:
        text.print_to(console(), fixed)
    write_page(page, fixed)
    if out is not None:
        click.echo(
            f"Wrote the weights to {workbench_of(subject.framework).save_weights(subject.model, out)}.", err=True
        )
    return 0 if exit_zero else exit_code(fixed.after, fail_on)


def _announce(diagnosis: Diagnosis) -> None:
    remedies = {f.remedy.summary: f.code for f in diagnosis.findings if f.remedy.action == "initialize"}
    if not remedies:
        click.echo("Nothing to apply: no finding is a matter of weights alone.")
    for summary, code in remedies.items():
        click.echo(f"Would apply for {code}: {summary}")
