"""``gainstage gain``."""

from __future__ import annotations

import rich_click as click

from gainstage.cli.options import json_option, traceback_option

__all__ = ["command"]


@click.command("gain")
@click.argument("name")
@json_option
@traceback_option
def command(name: str, as_json: bool) -> None:
    """Print the factor on 1/√fan_in that keeps the level of a signal through an activation.

    \b
        gainstage gain gelu
    """  # noqa: D301
    from gainstage import theory

    value = theory.gain(name)
    click.echo(f"{value:.6f}")
