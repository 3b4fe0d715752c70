"""GS607: coordinates whose detail a network does not show, or shows too fast to be followed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation
from gainstage.records import Profile, Severity
from gainstage.rules.remedies import edit
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

SLOWER = 100.0  # two decades of learning speed
PERIODIC = frozenset({"sin", "cos"})


@rule("GS607", "Coordinates and the network's own detail do not match")
def detail(profile: Profile) -> Iterator[Fault]:
    """The targets vary over the coordinates much faster than the network does, or its first waves skip between them.

    What it does:
    For inputs of at most three dimensions, takes the difference between examples that are nearest neighbours, relative
    to that between any two, of the targets and of what the network returns at the start. Takes the step that the
    argument of a periodic function makes from one example to the next.

    Why it matters:
    A network fits functions as coarse as its own at the start first. What is f times finer is learned about f to the
    power of the dimensions plus one times more slowly. Waves that turn by more than half a period between neighbours
    cannot be told from slower ones.

    Null hypothesis:
    The network starts with functions about as fine as the target: with Fourier features or sines of a fitting
    frequency. Targets whose differences do not grow with the distance are noise, and are not judged.

    Bound and where it comes from:
    A slowdown by 100, two of the four decades of useful step sizes: a warning, where targets are smooth at the distance
    of neighbours. A step of π of the argument: a warning, half a period.

    Example:
    Pixel coordinates in [0, 1] into a relu network that is to learn a picture; pixel numbers from 0 to 511 into a sine
    network made for -1 to 1.

    Remedy:
    Give the network waves of the fineness that the target has, on coordinates from -1 to 1:

        x = torch.cat([torch.sin(x @ B), torch.cos(x @ B)], dim=-1)   # B drawn with spread 2π · frequency

    Reference:
    Tancik et al. 2020, Fourier Features; Rahaman et al. 2019, On the spectral bias of neural networks.
    """
    facts = profile.task.coordinates
    if facts is None:
        raise Lacking("the inputs are no coordinates of at most three dimensions with values as targets")
    for node in profile.graph.nodes:
        turn = _turn(profile, node) * facts.spacing
        if turn > math.pi:
            yield Fault(
                Severity.WARNING, place(node),
                f"The argument of {node.function} changes by {figure(turn)} from an example to its neighbour.", turn,
                math.pi, "Coordinates or frequencies are too large: neighbours lie more than half a wave apart.",
                edit("Bring the coordinates to -1 to 1.", "x = 2 * (x - x.min(0)) / (x.max(0) - x.min(0)) - 1"),
                node.index,
            )  # fmt: skip
            return
    ratio = facts.target / facts.output
    slower = ratio ** (facts.dimensions + 1)
    if not facts.target_is_smooth or slower <= SLOWER:
        return
    yield Fault(
        Severity.WARNING, "",
        f"From an example to its neighbour the targets change by {figure(facts.target)} of their spread, the outputs "
        f"by {figure(facts.output)} of theirs.",
        slower, SLOWER,
        f"The network's own functions are {figure(ratio)} times coarser than the target; such detail is learned about "
        f"{figure(slower)} times more slowly.",
        edit("Give the network waves as fine as the target.", "x = np.concatenate([np.sin(x @ B), np.cos(x @ B)], -1)"),
    )  # fmt: skip


def _turn(profile: Profile, node: Node) -> float:
    """Root mean square difference between two examples of a periodic function's argument behind the first layer."""
    if node.operation is not Operation.ACTIVATION or node.function not in PERIODIC or not node.inputs:
        return 0.0
    factor, here = 1.0, profile.graph.nodes[node.inputs[0]]
    while here.operation is Operation.SCALE and here.index not in profile.by_node:
        factor *= abs(here.setting("other", 1.0))
        here = profile.graph.nodes[here.inputs[0]]
    first = here.operation is Operation.LINEAR and here.inputs and here.inputs[0] in profile.graph.inputs
    at = profile.by_node.get(here.index)
    return factor * math.sqrt(2) * at.forward.spread if first and at is not None else 0.0
