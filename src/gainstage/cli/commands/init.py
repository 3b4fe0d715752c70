"""``gainstage init``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import (
    Request,
    branch_option,
    html_option,
    json_option,
    output_option,
    overrides_option,
    request_options,
    scheme_option,
)
from gainstage.cli.output import console, status, write_page
from gainstage.errors import InputError

if TYPE_CHECKING:
    from gainstage.backends import Framework
    from gainstage.planning import BranchStart

__all__ = ["command"]


@click.command("init")
@request_options
@scheme_option
@overrides_option
@branch_option
@output_option(
    "--out",
    metavar="FILE",
    help="Write the weights here: .safetensors, .pt or .pth; of Keras models .weights.h5 or .keras.",
)
@click.option("--dry-run", is_flag=True, help="Only show the plan.")
@click.option(
    "--emit-code", is_flag=True,
    help="Print a function in plain PyTorch, without gainstage, that sets the same spreads, instead of the plan.",
)  # fmt: skip
@json_option
@html_option
def command(
    request: Request,
    scheme: str,
    overrides: tuple[str, ...],
    branch_start: BranchStart,
    out: Path | None,
    dry_run: bool,
    emit_code: bool,
    as_json: bool,
    page: Path | None,
) -> None:
    """Initialize a model, write its weights, print the plan they follow.

    The bytes follow from the plan and the seed alone: not from the order, thread count or machine.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage init mlp:784x128x10 --scheme he_normal --out weights.safetensors
        gainstage init mypackage.nets:build --input 3,32,32 --override 'head.*=zeros' --out net.pt
        gainstage init hf:gpt2,n_layer=2 --emit-code > initialize.py
    """  # noqa: D301
    if out is None and not (dry_run or emit_code):
        raise InputError(
            "Where to? Give --out weights.safetensors, --dry-run to see the plan only, or --emit-code for a function."
        )
    if emit_code and as_json:
        raise InputError("--emit-code prints Python and --json prints JSON; choose one.")
    from gainstage.backends import workbench_of
    from gainstage.backends.load import framework_named
    from gainstage.cli.subject import parse_overrides, prepare, refuse_unusable
    from gainstage.report import json, text
    from gainstage.workflows import initialize, plan

    _refuse_emitting(emit_code, framework_named(request.model))
    if out is not None:
        refuse_unusable(out, framework_named(request.model))
    chosen = parse_overrides(overrides)
    with status(f"Initializing {request.model}"):
        subject = prepare(request)
        _refuse_emitting(emit_code, subject.framework)
        if out is not None:
            refuse_unusable(out, subject.framework)
        carry_out = plan if dry_run else initialize
        planned = carry_out(
            subject.model, scheme, x=subject.inputs, seed=request.seed, overrides=chosen, branch_start=branch_start
        )
    if emit_code:
        click.echo(planned.to_code(), nl=False)
    elif as_json:
        click.echo(json.dumps(planned, indent=2))
    else:
        text.print_to(console(), planned)
    write_page(page, planned)
    if out is not None and not dry_run:
        click.echo(
            f"Wrote the weights to {workbench_of(subject.framework).save_weights(subject.model, out)}.", err=True
        )


def _refuse_emitting(emit_code: bool, framework: Framework | None) -> None:
    if emit_code and framework == "keras":
        raise InputError("--emit-code prints PyTorch; give a Keras model --out net.weights.h5 or --dry-run.")
