"""``gainstage gain``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import rich_click as click

from gainstage.cli.options import json_option, traceback_option
from gainstage.errors import InputError

if TYPE_CHECKING:
    from gainstage.theory import Activation, Convention

__all__ = ["CONVENTIONS", "command"]

CONVENTIONS: Mapping[Convention, str] = {
    "second_moment": "keeps E[x²] of the signal",
    "centred": "keeps the variance, where the mean is taken off",
    "backward": "keeps E[x²] of the gradient",
    "pytorch": "torch.nn.init.calculate_gain",
}
"""What a gain keeps; the first is gainstage's own."""


@click.command("gain")
@click.argument("name")
@click.option(
    "--convention", type=click.Choice([*CONVENTIONS]), envvar="GAINSTAGE_CONVENTION",
    help="Print this one figure alone, for use in scripts.",
)  # fmt: skip
@click.option("--level", type=float, default=1.0, show_default=True, help="E[x²] before the activation.")
@click.option(
    "--depth", type=click.IntRange(min=1), default=None, help="Also print how far so many layers are from an isometry."
)
@json_option
@traceback_option
def command(name: str, convention: Convention | None, level: float, depth: int | None, as_json: bool) -> None:
    """Print the factor on 1/√fan_in that keeps the level of a signal through an activation.

    It belongs to the layer that FOLLOWS the activation: spread of its weights = gain / √fan_in.

    \b
        gainstage gain gelu
        gainstage gain swiglu
        gainstage gain leaky_relu,negative_slope=0.2
        gainstage gain tanh --convention pytorch
        gainstage gain tanh --depth 50
    """  # noqa: D301
    if not (math.isfinite(level) and level > 0):
        raise InputError(f"The level is a positive number; received {level}.")
    from gainstage.theory import gated_unit, level_gain, stability

    gated = gated_unit(name) is not None
    act, label = (name, name) if gated else (found := _activation(name), found.label)
    if convention is not None and not as_json:
        click.echo(f"{level_gain(act, convention, level):.6f}")
        return
    chosen = [convention] if convention else [*CONVENTIONS]
    gains: dict[Convention, float | None] = {}
    reasons: dict[Convention, str] = {}
    for each in chosen:
        try:
            gains[each] = level_gain(act, each, level)
        except InputError as none:
            if convention:
                raise
            gains[each], reasons[each] = None, str(none)
    if as_json:
        known = (name, {}) if isinstance(act, str) else (act.name, dict(act.settings))
        document = {"activation": known[0], "settings": known[1], "level": level, "gains": gains}
        click.echo(json.dumps({"schema_version": 1, "kind": "gain", **document}, indent=2, allow_nan=False))
        return
    click.echo(f"{label} at level {level:g}: spread of the next layer's weights = gain / √fan_in")
    for each, value in gains.items():
        figure = "       –" if value is None else f"{value:8.6f}"
        click.echo(f"  {each:<14} {figure}  {CONVENTIONS[each] if value is not None else reasons[each]}")
    if not gated and gains.get("second_moment") is not None and not (kept := stability(act, level)).stable:
        click.echo(
            f"  Not stable: an error in the level grows by {kept.slope:.4g} a layer, and a deep plain net runs away "
            "from it.\n  Hold it by a normalisation, by skips, or by calibrating on a batch."
        )
    for line in _depth(act, depth):
        click.echo(line)


def _depth(act: str | Activation, depth: int | None) -> Iterator[str]:
    """What theory says of a deep plain stack of this function: critical point, growth behind norms, isometry."""
    from gainstage.theory import (
        batch_norm_growth,
        critical_point,
        gated_chi,
        gated_unit,
        jacobian_moments,
        layer_norm_growth,
    )

    if isinstance(act, str):
        inner = gated_unit(act) or act
        yield f"  gradient       {gated_chi(inner):8.6f}  growth of E[g²] a layer, unless norms or skips hold it"
        return
    try:
        point = critical_point(act)
        level = "every level" if act.homogeneous else f"level {point.level:.3g}"
        kept = "" if point.stable else ", which a deep plain net does not keep"
        yield f"  critical       {point.sigma_w:8.6f}  keeps gradients at any depth: zero biases, {level}{kept}"
    except InputError as none:
        yield f"  critical              –  {none}"
    try:
        yield f"  batch norm     {batch_norm_growth(act):8.6f}  growth of E[g²] a layer with batch norm and no skips"
        yield f"  layer norm     {layer_norm_growth(act):8.6f}  the same with layer or RMS norm"
        if depth is not None:
            spreads = ", ".join(
                f"{jacobian_moments(act, depth, weights=kind).relative_variance:.4g} ({kind})"
                for kind in ("gaussian", "orthogonal")
            )
            yield f"  isometry       variance of the squared singular values over {depth} layers: {spreads}"
    except InputError:
        return  # a function that carries nothing: the gains above say so


def _activation(text: str) -> Activation:
    from gainstage.theory import activation

    name, *options = text.split(",")
    settings = {}
    for option in options:
        key, given, value = option.partition("=")
        try:
            settings[key] = float(value)
        except ValueError:
            given = ""
        if not given or not key:
            raise InputError(f"Cannot read '{option}' in '{text}'; settings are written like negative_slope=0.2.")
    return activation(name, settings)
