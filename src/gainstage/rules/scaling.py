"""Judges what changes with width or depth, module by module, and says what to change."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.graph import Role
from gainstage.records import Axis, Trend

__all__ = ["judged"]

_MUP = "start from the recipe 'mup' and take the rates of gs.parameter_groups(model, x, base_width=…)"
_DEPTH = "start from the recipe 'complete_p' and take the rates of gs.parameter_groups(…, base_depth=…)"


def judged(axis: Axis, role: str, trends: Sequence[Trend], optimizer: str) -> tuple[str, str]:
    """Return what changes with size, with its cause, and what to change; both empty where nothing does.

    The null hypothesis is that every quantity keeps its order of magnitude. It is given up where the whole interval of
    a slope lies beyond ``CARRIES``.

    Args:
        axis: what was varied.
        role: of the weight.
        trends: of the module.
        optimizer: the kind of optimizer.

    >>> from gainstage.records import Slope
    >>> judged("width", "head", [Trend("update", (1.0, 2.0), Slope(1.0, 1.0, 1.0))], "adam")[0]
    'update grows with width (slope 1.00): a readout that is neither zero nor scaled'
    """
    found = {trend.quantity: trend for trend in trends}
    for quantity in ("movement", "update"):
        trend = found.get(quantity)
        if trend is not None and (trend.slope.grows or trend.slope.shrinks):
            return _of_updates(axis, role, trend, optimizer)
    signal = found.get("signal")
    if signal is None:
        return "", ""
    if signal.slope.grows:
        fans = "its spread does not fall as 1/√fan_in" if axis == "width" else "what the branches add gathers"
        cure = "draw it with a scheme that knows its fan-in" if axis == "width" else _DEPTH
        return f"signal grows with {axis} ({_slope(signal)}): {fans}", cure
    meant = role == Role.HEAD or (axis == "depth" and role == Role.BRANCH_END)  # what starts near zero to carry over
    if signal.slope.shrinks and not meant:
        return f"signal shrinks with {axis} ({_slope(signal)}): it arrives too small in large models", (
            "draw it with a scheme that knows its fan-in" if axis == "width" else _DEPTH
        )
    return "", ""


def _of_updates(axis: Axis, role: str, trend: Trend, optimizer: str) -> tuple[str, str]:
    told = f"{trend.quantity} {'grows' if trend.slope.grows else 'shrinks'} with {axis} ({_slope(trend)})"
    if axis == "depth":
        if trend.slope.grows:
            return f"{told}: the updates of all blocks add up on the stream", _DEPTH
        return f"{told}: its block learns less in a deeper model", _DEPTH
    if trend.slope.shrinks:
        return f"{told}: it learns less in a wider model, at the same rate", _MUP
    if role == Role.HEAD:
        return f"{told}: a readout that is neither zero nor scaled", (
            f"divide its spread by the root of the width and its rate by the width: {_MUP}"
        )
    if optimizer == "adam":
        return f"{told}: Adam moves every weight by the rate, and {_terms(role)} moves add up", (
            f"divide its rate by the width: {_MUP}"
        )
    return f"{told}: its gradient and what it reads grow together", _MUP


def _terms(role: str) -> str:
    return "the rows'" if role == Role.EMBEDDING else "fan_in"


def _slope(trend: Trend) -> str:
    slope = trend.slope
    if slope.high - slope.low < 0.01:
        return f"slope {slope.value:.2f}"
    return f"slope {slope.value:.2f}, {slope.low:.2f} to {slope.high:.2f}"
