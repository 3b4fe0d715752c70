"""GS120: time constants of state-space layers outside of the range that a sequence can use."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import DerivationStep, Node, Operation
from gainstage.records import NodeProfile, Profile, Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

TOO_LONG = 10.0  # sequences


@rule("GS120", "A state-space layer forgets at once, or never")
def time_constants(profile: Profile) -> Iterator[Fault]:
    """The states of a layer decay within one step, or do not decay over the whole sequence.

    What it does:
    Finds factors exp(−Δ·a) whose a > 0 is the exponential of a parameter, takes their extremes over all states,
    positions and examples, and from these the time constants −1/ln(factor), in steps.

    Why it matters:
    A state that decays within one step carries nothing to the next: the layer is an expensive elementwise function. One
    that does not decay over ten sequences is the running sum of its inputs, at every position about the same.

    Null hypothesis:
    Time constants of a start spread from a few steps to the length of the sequence, and each state has its own. It is
    enough that some of them lie in between.

    Bound and where it comes from:
    All time constants below one step; or all above ten sequences, over which a state then loses less than a tenth. A
    warning.

    Example:
    A step size Δ of 10 where 0.001 to 0.1 is usual; or a bias that makes softplus return 1e-6.

    Remedy:
    Spread the time constants between one step and the sequence:

        dt = torch.exp(torch.rand(channels) * (math.log(0.1) - math.log(0.001)) + math.log(0.001))

    Reference:
    Gu et al. 2022, On the Parameterization and Initialization of Diagonal State Space Models; Gu and Dao 2023, Mamba.
    """
    for at in profile.nodes:
        node = profile.node(at)
        longest, shortest = _constants(at)
        if not _is_decay(profile, node) or longest is None or shortest is None:
            continue
        length = _length(profile)
        if longest < 1:
            measured, bound, what = longest, 1.0, f"the longest time constant is {figure(longest)} steps"
            cause = "The step size or the decay rates are so large that every state is forgotten at once."
        elif length > 1 and shortest > TOO_LONG * length:
            measured, bound = shortest, TOO_LONG * length
            what = f"the shortest time constant is {figure(shortest)} steps, for sequences of {length}"
            cause = "The step size or the decay rates are so small that no state decays."
        else:
            continue
        yield Fault(
            Severity.WARNING,
            place(node),
            f"Of all states, {what}.",
            measured,
            bound,
            cause,
            edit("Spread the time constants between one step and the sequence.",
                 phrase("time constants over the sequence")),
            node.index,
        )  # fmt: skip


def _constants(at: NodeProfile) -> tuple[float | None, float | None]:
    """The longest and the shortest time constant of factors between zero and one; None for others."""
    low, high = at.forward.minimum, at.forward.maximum
    if low is None or high is None or low < 0 or high > 1:
        return None, None

    def constant(factor: float) -> float:
        return 0.0 if factor <= 0 else math.inf if factor >= 1 else -1 / math.log(factor)

    return constant(high), constant(low)


def _is_decay(profile: Profile, node: Node) -> bool:
    """Report whether a node is the exponential of a product with the negative exponential of a parameter."""
    if node.function != "exp" or len(node.inputs) != 1:
        return False
    product = profile.graph.nodes[node.inputs[0]]
    if product.operation not in (Operation.MULTIPLY, Operation.SCALE):
        return False
    return any(
        DerivationStep.EXPONENTIAL in use.derivation and DerivationStep.NEGATE in use.derivation for use in product.uses
    )


def _length(profile: Profile) -> int:
    """Positions of the first input: its second axis."""
    inputs = profile.graph.inputs
    shape = profile.graph.nodes[inputs[0]].shape if inputs else ()
    return shape[1] if len(shape) > 1 else 1
