"""``gainstage scaling``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gainstage.cli.options import Request, html_option, json_option, request_options, sizes_options
from gainstage.cli.output import console, status, write_page

__all__ = ["command"]


@click.command("scaling")
@request_options
@sizes_options
@click.option(
    "--scheme", default=None, envvar="GAINSTAGE_SCHEME",
    help="The scheme or recipe that draws the weights (mup, complete_p, he_normal, …). By default as the model's own "
    "code draws them, which takes memory.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(0, 1000), default=0, show_default=True,
    help="Also train so many steps on one batch at every size, with --lr, and measure how far each output moves.",
)  # fmt: skip
@json_option
@html_option
def command(
    request: Request, widths: tuple[int, ...], depths: tuple[int, ...], rates: str, scheme: str | None, steps: int,
    as_json: bool, page: Path | None,
) -> int:  # fmt: skip
    """Show what width and depth do to every module, and whether a learning rate carries over.

    Theory predicts level, gradient and first update at every size; nothing is run unless --steps asks for it. The exit
    code is 1 where a module changes with size.

    MODEL is named as in 'gainstage check': an mlp: or hf: model, whose width and depth are set by its name, or
    package.module:function or path/file.py:function, which is called with width= and depth=, and RUN.

    \b
        gainstage scaling mlp:64x256x256x10 --widths 64,256,1024 --scheme mup --rates scaled
        gainstage scaling hf:gpt2 --depths 2,8,32 --scheme complete_p --rates scaled --batch-size 2
    """  # noqa: D301
    from gainstage.cli.subject import prepare, sized
    from gainstage.report import json, text
    from gainstage.workflows import scaling

    with status(f"Scaling {request.model}"):
        subject = prepare(sized(request, widths, depths))
        found = scaling(
            subject.builder(request), subject.inputs, subject.labels, loss=subject.loss, widths=widths, depths=depths,
            plan=scheme, optimizer=request.optimizer or "adam", rates=rates,  # type: ignore[arg-type]
            steps=steps, learning_rate=request.learning_rate or 1e-3,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        text.print_to(console(), found)
    write_page(page, found)
    return 0 if found.ok else 1
