"""``gainstage lab``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import Request, traceback_option
from gainstage.errors import InputError

if TYPE_CHECKING:
    from gainstage.lab.state import State
    from gainstage.lab.subject import Given

__all__ = ["command"]


@click.command("lab")
@click.argument("model", required=False)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SHAPE",
    envvar="GAINSTAGE_INPUT",
    help="Shape of one example of MODEL without the batch, as in 'gainstage check'.",
)
@click.option(
    "--data",
    metavar="NAME|FILE",
    envvar="GAINSTAGE_DATA",
    help="Real examples and labels for MODEL: digits, mnist, or a .npz file; without them it is not trained.",
)
@click.option(
    "--state",
    "query",
    metavar="SETTINGS",
    default="",
    help="Settings to open with, as the page copies them: 'depth=50&gain=1.2'.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="A free one by default.")
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
@traceback_option
def command(
    model: str | None, inputs: tuple[str, ...], data: str | None, query: str, port: int, browser: bool
) -> None:  # fmt: skip
    """Open the lab: a page to move a gain and see the signal die, train two starts side by side, and guess first.

    The server answers on this machine's loopback interface alone, to the page whose address it prints.

    MODEL is named as in 'gainstage check'; package.module:attribute and path/file.py:attribute RUN that code.

    \b
        gainstage lab
        gainstage lab --state 'depth=50&activation=sigmoid'
        gainstage lab mypackage.nets:build --input 3,32,32
        gainstage lab src/net.py:Net --data mine.npz
    """  # noqa: D301
    from gainstage.lab.notebook import require_server

    require_server()
    from gainstage.lab.server import serve
    from gainstage.lab.state import read_state

    if model is None and (inputs or data):
        raise InputError("--input and --data describe what a MODEL takes. Name one, or choose the data in the page.")
    state = read_state(query)
    given = None if model is None else _given(model, inputs, data, state)
    if given is not None and not query:
        state = state.changed(model="own", scheme="keep")
    serve(given, state, port, browser=browser)


def _given(model: str, inputs: tuple[str, ...], data: str | None, state: State) -> Given:
    from gainstage.cli.subject import prepare
    from gainstage.lab.subject import Given

    subject = prepare(
        Request(model, inputs, state.batch if data else 32, data, None, None, None, None, state.seed, "cpu")
    )
    return Given(subject.model, subject.inputs, subject.labels, subject.loss, model)
