"""Options that several commands share, and what they say together about the model under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click

__all__ = [
    "Request",
    "branch_option",
    "device_option",
    "fail_options",
    "finding_options",
    "force_option",
    "html_option",
    "json_option",
    "output_option",
    "overrides_option",
    "request_options",
    "scheme_option",
    "seed_option",
    "sizes_options",
    "traceback_option",
]

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A model and what to feed it, in the words of the command line.

    Args:
        model: a name that ``load`` understands.
        inputs: shapes, as in ``--input``.
        batch_size: number of examples.
        data: a dataset or file to take them from instead.
        weights: a file to load into the model; None leaves those that it was built with.
        loss: name of the loss; None leaves it to the labels.
        optimizer: name, judged together with the rate.
        learning_rate: for it.
        seed: of weights and synthetic inputs.
        device: where to run.
        sizes: another width or depth than the name says.
    """

    model: str
    inputs: tuple[str, ...]
    batch_size: int
    data: str | None
    weights: Path | None
    loss: str | None
    optimizer: str | None
    learning_rate: float | None
    seed: int
    device: str
    sizes: tuple[tuple[str, int], ...] = ()


def _show_traceback(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:  # noqa: ARG001
    if given:
        ctx.find_root().ensure_object(dict)["traceback"] = True


traceback_option = click.option(
    "--traceback", is_flag=True, expose_value=False, callback=_show_traceback, envvar="GAINSTAGE_TRACEBACK",
    help="Show the whole Python traceback when something fails.",
)  # fmt: skip


def _refused(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:  # noqa: ARG001
    """Refuse a path before the work: one that cannot be written, and a file that gainstage did not write."""
    if path is None:
        return None
    from gainstage.report.files import require_writable

    require_writable(path, force=bool((ctx.find_root().obj or {}).get("force")), option="--force")
    return path


def _force(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:  # noqa: ARG001
    ctx.find_root().ensure_object(dict)["force"] = given


force_option = click.option(
    "--force", is_flag=True, is_eager=True, expose_value=False, callback=_force,
    help="Replace files that gainstage did not write.",
)  # fmt: skip


def output_option(*names: str, **settings: Any) -> Callable[[Command], Command]:
    """An option that names a file to be written, refused before the work where it cannot or should not be."""
    return click.option(*names, type=click.Path(path_type=Path), callback=_refused, **settings)


def html_option(function: Command) -> Command:
    """A page beside the text, and leave to replace what gainstage did not write."""
    page = output_option("--html", "page", metavar="FILE", help="Also write one self-contained page here.")
    return page(force_option(function))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")

seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, envvar="GAINSTAGE_SEED",
    help="Fixes every random number.",
)  # fmt: skip

device_option = click.option(
    "--device",
    default="cpu",
    show_default=True,
    envvar="GAINSTAGE_DEVICE",
    help="Where to run: cpu, cuda, cuda:1, mps; meta builds the model without memory, for predict, plan and "
    "check --predict.",
)

scheme_option = click.option(
    "--scheme", default="mend", show_default=True, envvar="GAINSTAGE_SCHEME",
    help="mend (a start that a check finds healthy stays, others as auto); auto (all anew, by roles and the signal "
    "that arrives); keep (only what --override names); a recipe of the literature: "
    "fixup, t_fixup, zero_branches, gpt2, deepnorm, delta_orthogonal, lsuv, mirrored, mup, complete_p; or a named one "
    "such as he_normal, glorot_uniform, orthogonal.",
)  # fmt: skip

branch_option = click.option(
    "--branch-start", type=click.Choice(["scaled", "zero"]), default="scaled", show_default=True,
    help="With auto and mend: residual branches start with their share of the stream's budget, or silent.",
)  # fmt: skip

overrides_option = click.option(
    "--override", "overrides", multiple=True, metavar="PATTERN=SCHEME", envvar="GAINSTAGE_OVERRIDE",
    help="Another scheme for some parameters, e.g. 'head.*=zeros'. Repeatable; later ones win.",
)  # fmt: skip


def finding_options(function: Command) -> Command:
    """Options that say which findings count: rules by code, and what was found before."""
    for option in reversed((
        click.option(
            "--select", multiple=True, metavar="CODES", callback=_codes, envvar="GAINSTAGE_SELECT",
            help="Judge by these rules alone: codes or their beginnings, with commas between (GS1,GS204). Repeatable.",
        ),
        click.option(
            "--ignore", multiple=True, metavar="CODES", callback=_codes, envvar="GAINSTAGE_IGNORE",
            help="Leave these rules out. To accept a finding at one layer, see [[tool.gainstage.accept]] (docs/ci.md).",
        ),
        click.option(
            "--baseline", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            envvar="GAINSTAGE_BASELINE", help="Count only findings that this file does not hold, or that became worse.",
        ),
        click.option(
            "--write-baseline", "new_baseline", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="Write what is found to this file, for --baseline, and exit with 0.",
        ),
    )):  # fmt: skip
        function = option(function)
    return function


def _codes(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG001
    return tuple(code.strip().upper() for text in given for code in text.split(",") if code.strip())


def fail_options(function: Command) -> Command:
    """Which findings make the exit code 1."""
    function = click.option(
        "--exit-zero", is_flag=True, envvar="GAINSTAGE_EXIT_ZERO", help="Exit with 0 whatever is found."
    )(function)
    return click.option(
        "--fail-on", type=click.Choice(["error", "warning", "note", "never"]), default="error", show_default=True,
        envvar="GAINSTAGE_FAIL_ON", help="Exit with 1 on findings at least this bad.",
    )(function)  # fmt: skip


def _sizes(ctx: click.Context, parameter: click.Parameter, given: str | None) -> tuple[int, ...]:  # noqa: ARG001
    parts = [part.strip() for part in (given or "").split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(
            f"sizes are whole numbers with commas between, e.g. 256,1024,4096; received {given!r}."
        )
    return tuple(sorted({int(part) for part in parts}))


def sizes_options(function: Command) -> Command:
    """The widths and depths at which a model is also built, and how its rates change with them."""
    for option in reversed((
        click.option("--widths", metavar="N,N,…", callback=_sizes, envvar="GAINSTAGE_WIDTHS",
                     help="Widths at which the model is also looked at, at least two."),
        click.option("--depths", metavar="N,N,…", callback=_sizes, envvar="GAINSTAGE_DEPTHS",
                     help="Depths at which the model is also looked at, at least two."),
        click.option("--rates", type=click.Choice(["same", "scaled"]), default="same", show_default=True,
                     envvar="GAINSTAGE_RATES",
                     help="One rate for all sizes and weights, or those of gs.parameter_groups."),
    )):  # fmt: skip
        function = option(function)
    return function


_REQUEST = (
    click.argument("model"),
    click.option(
        "--input", "inputs", multiple=True, metavar="SHAPE", envvar="GAINSTAGE_INPUT",
        help="Shape of one example without the batch: 3,224,224, or ids:128 for integer tokens. Repeatable; name=SHAPE "
        "for a named argument. Known by itself for mlp:, timm:, torchvision:, keras: and most hf: models, and for"
        " Keras models that have an Input.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(1, 10**9), default=32, show_default=True, envvar="GAINSTAGE_BATCH_SIZE",
        help="Number of examples; a batch of one blinds half of the rules.",
    ),
    click.option(
        "--data", metavar="NAME|FILE", envvar="GAINSTAGE_DATA",
        help="Real examples and labels instead of random inputs: digits, mnist, or a .npz file with arrays x and y "
        "(taken as it is, so that unscaled inputs are seen).",
    ),
    click.option(
        "--weights", type=click.Path(path_type=Path), metavar="FILE",
        help="Load these into the model first: .safetensors, .pt or .pth (opened without running any code), "
        ".weights.h5 of Keras models; what --out wrote, or a checkpoint that holds a state dict.",
    ),
    click.option(
        "--loss", metavar="NAME", envvar="GAINSTAGE_LOSS",
        help="cross_entropy, nll, bce, bce_logits, mse, l1 or huber; needs --data, but for language models "
        "(hf:), which take their own tokens as labels. By default cross_entropy for class "
        "labels and mse for values; a compiled Keras model brings its own, and Keras's names will do too. "
        "Without labels no loss is invented, and what hangs on it is listed as not judged.",
    ),
    click.option(
        "--optimizer", metavar="NAME", envvar="GAINSTAGE_OPTIMIZER",
        help="sgd, momentum, adam or adamw, to judge the size of the first step; needs --lr.",
    ),
    click.option("--lr", "learning_rate", type=float, envvar="GAINSTAGE_LR", help="Learning rate of --optimizer."),
    seed_option,
    device_option,
    traceback_option,
)  # fmt: skip


def request_options(function: Command) -> Command:
    """Give a command MODEL and the options that say what to feed it; it receives them as one ``Request``."""
    names = [field.name for field in fields(Request) if field.name != "sizes"]

    @wraps(function)
    def command(**given: Any) -> Any:
        request = Request(*(given.pop(name) for name in names))
        return function(request, **given)

    for option in reversed(_REQUEST):
        command = option(command)
    return command
