"""``gainstage compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import rich_click as click

from gainstage.cli.options import device_option, html_option, json_option, output_option, traceback_option
from gainstage.cli.output import console, status, write_page
from gainstage.cli.streams import aside
from gainstage.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gainstage.records import Comparison, Trial
    from gainstage.trials import Engine, Store
    from gainstage.workflows.experiment import Experiment

__all__ = ["command"]


@click.command("compare")
@click.argument("model")
@click.option(
    "--data",
    required=True,
    metavar="NAME|FILE",
    envvar="GAINSTAGE_DATA",
    help="digits, mnist, or a .npz file with arrays x and y, taken as it is. A fifth is held back.",
)
@click.option(
    "--schemes",
    default="keep,auto",
    show_default=True,
    metavar="A,B,…",
    envvar="GAINSTAGE_SCHEMES",
    help="What to compare: named schemes, auto, recipes; keep leaves the weights as the model was built.",
)
@click.option(
    "--seeds",
    default="5",
    show_default=True,
    metavar="N|A,B,…",
    envvar="GAINSTAGE_SEEDS",
    help="How many, or which. Few seeds show little: five is a good start.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME=MODEL",
    help="A further network to train with every scheme, e.g. normalised=mlp:64x128x10,norm=batch. Repeatable.",
)
@click.option(
    "--lr",
    "rates",
    default="0.001",
    show_default=True,
    metavar="RATE,…",
    envvar="GAINSTAGE_LR",
    help="Learning rate; with several, every scheme is judged at its own best.",
)
@click.option(
    "--sweep", type=click.Choice(["lr"]), help="Try learning rates from tiny to huge, and find the largest that trains."
)
@click.option(
    "--optimizer",
    default="adam",
    show_default=True,
    metavar="NAME",
    envvar="GAINSTAGE_OPTIMIZER",
    help="sgd, momentum, adam, adamw or rmsprop.",
)
@click.option(
    "--loss",
    metavar="NAME",
    envvar="GAINSTAGE_LOSS",
    help="cross_entropy, nll, bce, bce_logits, mse, l1 or huber. By default cross_entropy for class labels and mse for "
    "values.",
)
@click.option("--steps", type=click.IntRange(1), default=400, show_default=True, help="Batches of every training.")
@click.option("--batch-size", type=click.IntRange(1), default=64, show_default=True, envvar="GAINSTAGE_BATCH_SIZE",
              help="Examples in one.")  # fmt: skip
@click.option("--clip", type=float, metavar="NORM", help="Shorten longer gradients to this norm.")
@click.option("--measure", type=click.Choice(["accuracy", "loss"]), help="What to judge by, at the end, on held-back "
              "examples. By default accuracy for class labels.")  # fmt: skip
@click.option("--target-loss", type=float, help="Count the steps to this loss. By default half the loss of guessing.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep every trial in this file as soon as it ends.",
)
@click.option("--resume", is_flag=True, help="Go on with --store: run only what is missing.")
@click.option(
    "--engine",
    type=click.Choice(["local", "dask", "ray"]),
    default="local",
    show_default=True,
    help="Where trials run: processes of this machine, a Dask or a Ray cluster.",
)
@click.option(
    "--together", type=click.IntRange(1), default=32, show_default=True,
    help="At most so many trainings run as one vectorised model; 1 runs them one by one.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1), help="Processes; by default one a core where there is work for them."
)
@click.option("--address", help="Of a cluster that is running; without it one is started here.")
@device_option
@output_option("--svg", metavar="FILE", help="Also draw the training curves here.")
@html_option
@json_option
@traceback_option
def command(
    model: str,
    data: str,
    schemes: str,
    seeds: str,
    variants: tuple[str, ...],
    rates: str,
    sweep: Literal["lr"] | None,
    optimizer: str,
    loss: str | None,
    steps: int,
    batch_size: int,
    clip: float | None,
    measure: Literal["accuracy", "loss"] | None,
    target_loss: float | None,
    store: Path | None,
    resume: bool,
    engine: Engine,
    together: int,
    workers: int | None,
    address: str | None,
    device: str,
    svg: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Train the same network from several starts, and say which is better and how sure that is.

    Every scheme is trained with every seed; trainings of one seed see the same examples in the same order. MODEL is
    named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    Ctrl-C shows what has ended by then. With --store nothing that ended is ever run again.

    \b
        gainstage compare mlp:64x128x128x10,act=tanh --data digits
        gainstage compare mypackage.nets:build --data mine.npz --sweep lr
        gainstage compare nets.py:build --data mnist --store runs.db --resume
    """  # noqa: D301
    if resume and store is None:
        raise InputError("--resume goes on with a file of trials. Name it: --store runs.db")
    from gainstage.trials import Store
    from gainstage.workflows.comparing import concluded, experiment

    with status(f"Preparing {model}"):
        planned = experiment(
            _builds(model, variants, device), data, _words(schemes, "--schemes"), seeds=_seeds(seeds),
            learning_rates=[_number(rate, float, "--lr") for rate in _words(rates, "--lr")], sweep=sweep,
            optimizer=optimizer, loss=loss, steps=steps, batch_size=batch_size, clip=clip,
            together=together,
        )  # fmt: skip
        kept = Store(store, planned.facts, resume=resume) if store is not None else None
    try:
        trials, interrupted = _run(planned, kept, engine=engine, workers=workers, address=address)
    finally:
        if kept is not None:
            kept.close()
    _show(concluded(planned, trials, measure=measure, target_loss=target_loss), svg, page, as_json=as_json)
    if interrupted:
        raise click.Abort


def _run(
    planned: Experiment, store: Store | None, *, engine: Engine, workers: int | None, address: str | None
) -> tuple[list[Trial], bool]:
    """The trials that ended, and whether the user cut it short."""
    from gainstage.cli.live import watching

    trials: list[Trial] = []
    try:
        with aside(), watching() as show:
            for trial in planned.trials(store, engine=engine, workers=workers, address=address, on_progress=show):
                trials.append(trial)  # noqa: PERF402 (those that ended are kept when the next one is interrupted)
    except KeyboardInterrupt:
        return trials, True
    return trials, False


def _show(comparison: Comparison, svg: Path | None, page: Path | None, *, as_json: bool) -> None:
    from gainstage.report import dumps, text

    if as_json:
        click.echo(dumps(comparison, indent=2))
    else:
        text.print_to(console(), comparison)
    if svg is not None:
        from gainstage.report.charts.comparison import comparison_curves
        from gainstage.report.files import write_picture

        write_picture(svg, comparison_curves(comparison))
        click.echo(f"Wrote {svg}.", err=True)
    write_page(page, comparison)


def _builds(model: str, variants: tuple[str, ...], device: str) -> dict[str, Callable[[], Any]]:
    from gainstage.workflows.building import Named

    if not variants:
        return {"": Named(model, device)}
    builds: dict[str, Callable[[], Any]] = {model: Named(model, device)}
    for variant in variants:
        name, _, rest = variant.partition("=")
        if not (name and rest):
            raise InputError(
                f"Cannot read --variant '{variant}'. Write a name and a model: normalised=mlp:64x128x10,norm=batch."
            )
        builds[name] = Named(rest, device)
    if len(builds) <= len(variants):
        raise InputError(f"Every --variant needs a name of its own; received {', '.join(variants)}.")
    return builds


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InputError(f"{option} names nothing. Separate several by commas.")
    return words


def _seeds(text: str) -> int | list[int]:
    numbers = [_number(word, int, "--seeds") for word in _words(text, "--seeds")]
    return numbers[0] if "," not in text else numbers


def _number(word: str, kind: Callable[[str], Any], option: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise InputError(f"Cannot read '{word}' in {option} as a number. Separate several by commas.") from None
