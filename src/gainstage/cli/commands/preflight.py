"""``gainstage preflight``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gainstage.cli.options import Request, html_option, json_option, request_options, sizes_options
from gainstage.cli.output import console, status, write_page

__all__ = ["command"]


@click.command("preflight")
@request_options
@click.option(
    "--dtype", default="bfloat16", show_default=True, envvar="GAINSTAGE_DTYPE",
    help="Number format of the run: bfloat16, float16, float8_e4m3 or float8_e5m2.",
)  # fmt: skip
@click.option(
    "--scheme", default="auto", show_default=True, envvar="GAINSTAGE_SCHEME",
    help="The scheme or recipe that will draw the weights.",
)  # fmt: skip
@sizes_options
@json_option
@html_option
def command(
    request: Request, dtype: str, scheme: str, widths: tuple[int, ...], depths: tuple[int, ...], rates: str,
    as_json: bool, page: Path | None,
) -> int:  # fmt: skip
    """Predict all that a large run depends on, on one page, without memory for the weights.

    Will the signal hold; what overflows or underflows in the number format; what changes with width and depth; which
    rates carry over; how long the start takes and what memory it needs. The model is built on the meta device; nothing
    is run. The exit code is 1 where something is to be changed first.

    MODEL is named as in 'gainstage check'; sizes as in 'gainstage scaling'.

    \b
        gainstage preflight mlp:64x1024x1024x10 --dtype bfloat16 --widths 256,1024,4096
        gainstage preflight hf:llama,hidden_size=8192,num_hidden_layers=80,num_attention_heads=64 --batch-size 2
    """  # noqa: D301
    from dataclasses import replace

    from gainstage.cli.subject import prepare
    from gainstage.report import json, text
    from gainstage.workflows import preflight

    with status(f"Predicting {request.model}"):
        asked = replace(request, device="meta", optimizer=None, learning_rate=None)
        subject = prepare(asked)
        found = preflight(
            subject.model, subject.inputs, subject.labels, loss=subject.loss, dtype=dtype, plan=scheme,
            optimizer=request.optimizer or "adamw", learning_rate=request.learning_rate,
            build=subject.builder(request), widths=widths, depths=depths, rates=rates,  # type: ignore[arg-type]
            name=request.model,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        text.print_to(console(), found)
    write_page(page, found)
    return 0 if found.ok else 1
