"""``gainstage init``."""

from __future__ import annotations

from dataclasses import replace
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
from gainstage.cli.output import console, progress, status, write_page
from gainstage.errors import InputError

if TYPE_CHECKING:
    from gainstage.backends import Framework
    from gainstage.cli.subject import Subject
    from gainstage.planning import BranchStart
    from gainstage.records import Plan

__all__ = ["command"]


@click.command("init")
@request_options
@scheme_option
@overrides_option
@branch_option
@output_option(
    "--out",
    metavar="FILE",
    help="Write the weights here: .safetensors, .pt or .pth; of Keras models .weights.h5 or .keras. With --device meta "
    "a .safetensors file or a folder, which from_pretrained then loads; an interrupted command goes on where it was.",
)
@click.option(
    "--dtype", metavar="NAME",
    help="With --device meta: store the weights as bfloat16, float16 or float32; by default as the model says.",
)  # fmt: skip
@click.option(
    "--shard-size", default="5GB", show_default=True, metavar="SIZE",
    help="With --device meta: the largest size of one file; a larger model gets several and an index.",
)  # fmt: skip
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
    dtype: str | None,
    shard_size: str,
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
        gainstage init hf:llama --device meta --dtype bfloat16 --out model.safetensors   # without the model's memory
    """  # noqa: D301
    if out is None and not (dry_run or emit_code):
        raise InputError(
            "Where to? Give --out weights.safetensors, --dry-run to see the plan only, or --emit-code for a function."
        )
    if emit_code and as_json:
        raise InputError("--emit-code prints Python and --json prints JSON; choose one.")
    memoryless = request.device == "meta"
    if dtype is not None and not memoryless:
        raise InputError("--dtype is for weights that are streamed to a file; it needs --device meta and --out.")
    from gainstage.backends.load import framework_named
    from gainstage.cli.subject import parse_overrides, prepare
    from gainstage.workflows import initialize, plan

    _refuse_emitting(emit_code, framework_named(request.model))
    _refuse_unusable(out, framework_named(request.model), memoryless)
    chosen = parse_overrides(overrides)
    with status(f"Initializing {request.model}"):
        subject = prepare(request)
        _refuse_emitting(emit_code, subject.framework)
        _refuse_unusable(out, subject.framework, memoryless)
        carry_out = plan if dry_run or memoryless else initialize
        planned = carry_out(
            subject.model, scheme, x=subject.inputs, seed=request.seed, overrides=chosen, branch_start=branch_start
        )
    written: tuple[Path, ...] = ()
    if out is not None and not dry_run:
        written = _stream(subject, planned, out, dtype, shard_size) if memoryless else _save(subject, out)
        planned = replace(planned, written=True)
    _show(planned, emit_code=emit_code, as_json=as_json)
    write_page(page, planned)
    if written:
        click.echo(f"Wrote the weights to {', '.join(map(str, written))}.", err=True)


def _save(subject: Subject, out: Path) -> tuple[Path, ...]:
    from gainstage.backends import workbench_of

    return (workbench_of(subject.framework).save_weights(subject.model, out),)


def _stream(subject: Subject, planned: Plan, out: Path, dtype: str | None, shard_size: str) -> tuple[Path, ...]:
    """Write the weights piece by piece, with a bar that counts bytes."""
    from gainstage.workflows import materialize

    with progress() as move:
        return materialize(subject.model, planned, out, dtype=dtype, max_shard_size=shard_size, on_progress=move)


def _show(planned: Plan, *, emit_code: bool, as_json: bool) -> None:
    from gainstage.report import json, text

    if emit_code:
        click.echo(planned.to_code(), nl=False)
    elif as_json:
        click.echo(json.dumps(planned, indent=2))
    else:
        text.print_to(console(), planned)


def _refuse_unusable(out: Path | None, framework: Framework | None, memoryless: bool) -> None:
    """Refuse a place for weights before anything is computed; a streamed checkpoint checks its own."""
    from gainstage.cli.subject import refuse_unusable

    if out is not None and not memoryless:
        refuse_unusable(out, framework)


def _refuse_emitting(emit_code: bool, framework: Framework | None) -> None:
    if emit_code and framework == "keras":
        raise InputError("--emit-code prints PyTorch; give a Keras model --out net.weights.h5 or --dry-run.")
