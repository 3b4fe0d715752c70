"""``gainstage check``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.configuration import accepted, configured
from gainstage.cli.options import Request, fail_options, finding_options, html_option, json_option, request_options
from gainstage.cli.output import console, exit_code, learning, status, write_page

if TYPE_CHECKING:
    from gainstage.records import Diagnosis

__all__ = ["command"]

FORMATS = ("text", "json", "github", "junit", "sarif")


@click.command("check")
@request_options
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="text", show_default=True, envvar="GAINSTAGE_FORMAT",
    help="github: annotations of a workflow run; junit and sarif: for CI servers and code scanning.",
)  # fmt: skip
@click.option(
    "--predict", "predicted", is_flag=True,
    help="Judge what theory predicts instead of a run: for models that fit no memory (with --device meta).",
)  # fmt: skip
@click.option(
    "--overfit", is_flag=True,
    help="Also train on this batch for at most half a minute, and say whether it can be learned by heart. Nothing of "
    "the model is changed.",
)  # fmt: skip
@click.option(
    "--trained/--untrained",
    default=None,
    help="Whether the weights were trained: then rules about starts keep silent. By default the evidence decides.",
)
@json_option
@html_option
@fail_options
@finding_options
def command(
    request: Request, style: str, predicted: bool, overfit: bool, trained: bool | None, as_json: bool,
    page: Path | None, fail_on: str, exit_zero: bool,
    select: tuple[str, ...], ignore: tuple[str, ...], baseline: Path | None, new_baseline: Path | None,
) -> int:  # fmt: skip
    """Check signal and gradient of a network at its start, and name what is wrong.

    Runs one forward and one backward pass, and writes nothing into the model.

    MODEL is package.module:attribute or path/file.py:attribute (a PyTorch module or Keras model, or a class or function
    that makes one without arguments; this imports and RUNS that code), torchvision:resnet50, timm:resnet50, hf:gpt2
    (configuration only, never weights), keras:VGG16, a saved path/model.keras, or
    mlp:784x128x10,act=relu,norm=batch,bias=false.

    \b
        gainstage check mlp:64x128x128x10,act=sigmoid --data digits
        gainstage check mypackage.nets:build --input 3,32,32
        gainstage check src/net.py:Net --data mine.npz --loss mse --optimizer adam --lr 1e-3
        gainstage check hf:gpt2,n_layer=2 --json --html report.html
        gainstage check hf:llama --predict --device meta
        gainstage check src/net.py:Net --ignore GS6 --baseline gainstage-baseline.txt
    """  # noqa: D301
    from gainstage.backends import backend_of
    from gainstage.cli.subject import examine, expected, forecast, prepare
    from gainstage.records import accepting, against
    from gainstage.report.baseline import read_baseline, write_baseline
    from gainstage.rules import judge, selected

    decisions, before = accepted(configured()), None if baseline is None else read_baseline(baseline)
    selected(select, ignore)  # a code that no rule has is refused before the work, as is a file that is no baseline
    if new_baseline is not None and new_baseline.exists():
        read_baseline(new_baseline)
    if overfit and predicted:
        raise click.UsageError("--overfit trains, and --predict runs nothing. Leave one of them out.")
    with status(f"Checking {request.model}"):
        subject = prepare(request)
        unset = "auto" if request.device == "meta" else None
        words = backend_of(subject.model).words()
        if predicted:
            diagnosis = judge(forecast(subject, unset), words, select=select, ignore=ignore)
        else:
            diagnosis = examine(subject, select, ignore, trained=trained, on_progress=learning() if overfit else None)
        theory = expected(subject) if page is not None and not predicted else None
    if new_baseline is not None:
        write_baseline(new_baseline, diagnosis)
        click.echo(f"Wrote {new_baseline}.", err=True)
    diagnosis = accepting(diagnosis, decisions)
    diagnosis = diagnosis if before is None else against(diagnosis, before)
    _show(diagnosis, "json" if as_json else style)
    write_page(page, diagnosis, theory)
    return 0 if exit_zero or new_baseline is not None else exit_code(diagnosis, fail_on)


def _show(diagnosis: Diagnosis, style: str) -> None:
    from gainstage.report import formats, json, text

    match style:
        case "text":
            text.print_to(console(), diagnosis)
        case "json":
            click.echo(json.dumps(diagnosis, indent=2))
        case _:
            click.echo(formats.render_as(style, diagnosis), nl=False)
