"""``gainstage formats``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gainstage.cli.options import Request, html_option, json_option, request_options
from gainstage.cli.output import console, status, write_page

__all__ = ["command"]


@click.command("formats")
@request_options
@click.option(
    "--number-format", "names", multiple=True, metavar="NAME", envvar="GAINSTAGE_NUMBER_FORMAT",
    help="float16, bfloat16, float8_e4m3 or float8_e5m2. Repeatable; by default all of them.",
)  # fmt: skip
@click.option(
    "--scheme", default=None, envvar="GAINSTAGE_SCHEME",
    help="Predict as if this scheme or recipe had been applied, without running the model; with --device meta, where "
    "there are no weights, by default auto.",
)  # fmt: skip
@json_option
@html_option
def command(
    request: Request, names: tuple[str, ...], scheme: str | None, as_json: bool, page: Path | None
) -> None:  # fmt: skip
    """Show what float16, bfloat16 and fp8 would do to signal, gradients and updates.

    Runs one forward and one backward pass; with --device meta or --scheme theory predicts the same without running.
    For every tensor: the share beyond the largest number, the share that becomes zero, and with --optimizer and --lr
    the share of a weight's elements that the first update leaves as they are; and the loss scale that cures it.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage formats mlp:64x128x128x10 --data digits --optimizer adam --lr 1e-3
        gainstage formats mypackage.nets:build --input 3,32,32 --number-format float16 --html formats.html
        gainstage formats hf:llama,num_hidden_layers=80 --device meta --batch-size 2
    """  # noqa: D301
    from gainstage.cli.subject import prepare
    from gainstage.report import json, text
    from gainstage.workflows import formats

    with status(f"Measuring {request.model}"):
        subject = prepare(request)
        plan = scheme or ("auto" if request.device == "meta" else None)
        optimizer = subject.optimizer if plan is None else request.optimizer
        found = formats(
            subject.model, subject.inputs, subject.labels, loss=subject.loss, optimizer=optimizer,
            learning_rate=None if plan is None else request.learning_rate, formats=names, plan=plan,
            seed=request.seed,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        text.print_to(console(), found)
    write_page(page, found)
