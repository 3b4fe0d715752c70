"""``gainstage predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import Request, fail_options, html_option, json_option, request_options
from gainstage.cli.output import console, exit_code, status, write_page

if TYPE_CHECKING:
    from gainstage.records import Diagnosis

__all__ = ["command"]


@click.command("predict")
@request_options
@click.option(
    "--scheme", default=None, envvar="GAINSTAGE_SCHEME",
    help="Predict as if this scheme or recipe had been applied (auto, he_normal, fixup, …). By default from the "
    "weights as the model was built; with --device meta, where there are none, as auto would set them.",
)  # fmt: skip
@json_option
@html_option
@fail_options
def command(
    request: Request, scheme: str | None, as_json: bool, page: Path | None, fail_on: str, exit_zero: bool
) -> int:
    """Predict signal and gradient through depth by theory, without running the model, and judge them.

    Needs no memory for the weights with --device meta, whatever the size of the model. Each figure is the mean over
    draws of the weights, with the band that holds nine of ten draws; inputs are independent standard normal values, or
    those of --data.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage predict mlp:64x256x256x256x10,act=tanh --scheme glorot_normal
        gainstage predict mypackage.nets:build --input 3,224,224
        gainstage predict hf:llama,num_hidden_layers=80,hidden_size=8192 --device meta --batch-size 2
    """  # noqa: D301
    from gainstage.backends import backend_of
    from gainstage.cli.subject import forecast, prepare
    from gainstage.report import json, text
    from gainstage.rules import judge

    with status(f"Predicting {request.model}"):
        subject = prepare(request)
        profile = forecast(subject, scheme or ("auto" if request.device == "meta" else None))
        diagnosis = judge(profile, backend_of(subject.model).words())
    if as_json:
        click.echo(json.dumps(profile, indent=2))
    else:
        text.print_to(console(), profile)
        _list(request, diagnosis)
    write_page(page, diagnosis)
    return 0 if exit_zero else exit_code(diagnosis, fail_on)


def _list(request: Request, diagnosis: Diagnosis) -> None:
    """One line for each finding; their evidence and cure are for ``gainstage check --predict``."""
    for finding in diagnosis.findings:
        click.echo(f"{finding.severity.upper():8}{finding.code}  {finding.title}, at '{finding.place or 'the model'}'")
    if diagnosis.findings:
        click.echo(f"Why, and what to do: gainstage check {request.model} --predict, with the same options.")
    else:
        click.echo("Nothing is wrong with it as far as theory tells.")
