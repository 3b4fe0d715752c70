"""The level that a weight's output should have, and the gain that reaches it, by the weight's role."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gainstage.graph import Node, Parameter, Role
from gainstage.planning.branches import Budget
from gainstage.planning.levels import Levels
from gainstage.planning.products import LOGIT_SPREAD, Factor

__all__ = ["WeightTarget", "weight_target"]

_BOLDEST = 10.0
"""Times 1/√fan_in. No activation asks for more than five: a prediction that asks for more has lost the signal."""
_GATED = 1.0  # the same where nothing can be measured inside a fused recurrent operation
_UNLIKE = 0.05  # of a factor on scores: less than one draw of queries and keys scatters by


class Surveyed(Protocol):
    """What a recipe knows of a graph when it asks for a target."""

    @property
    def levels(self) -> Levels:
        """The level at every place."""
        ...

    @property
    def budgets(self) -> Mapping[int, Budget]:
        """The shares of a residual stream that the last weights of its branches may bring."""
        ...

    @property
    def terms(self) -> Mapping[int, int]:
        """The number of weights whose outputs are added at once."""
        ...

    @property
    def scores(self) -> Mapping[int, float]:
        """The spread of attention scores where queries and keys have level one."""
        ...

    @property
    def factors(self) -> Mapping[int, Factor]:
        """The weights that make the output by a product with another signal."""
        ...


@dataclass(frozen=True, slots=True)
class WeightTarget:
    """One use's demand on a weight.

    Args:
        level: second moment of its output.
        gain: the factor on 1/√fan_in that reaches it.
        orthogonal: whether isometry helps.
        centred: whether its weights are to sum to zero.
        reason: in words.
    """

    level: float
    gain: float
    orthogonal: bool
    centred: bool
    reason: str


def weight_target(known: Surveyed, parameter: Parameter, node: Node) -> WeightTarget:
    """Return the demand of one use of a weight.

    Args:
        known: of the graph.
        parameter: the weight.
        node: the operation that uses it.
    """
    arrival = known.levels.arriving(node.index)
    count = known.terms.get(node.index, 1)
    orthogonal = False
    match parameter.role:
        case Role.HEAD:
            level, why = LOGIT_SPREAD**2, f"outputs of spread {LOGIT_SPREAD:g}, so that the loss starts at chance"
        case Role.BRANCH_END:
            budget = known.budgets.get(node.index, Budget())
            level, why = budget.level, budget.reason
        case Role.BEFORE_NORM:
            level, why, count = 1.0, "level 1; a normalisation divides the scale out again", 1
        case Role.QUERY | Role.KEY:
            level, why, count = *_scoring(known.scores.get(node.index, 1.0)), 1
        case Role.PACKED_ATTENTION:
            level, why, count = *_scoring(1.0), 1
        case Role.RECURRENT_INPUT:
            level, why, count = 1.0, "level 1 at every gate", 1
        case _ if (factor := known.factors.get(node.index)) is not None:
            level, why = factor.level, factor.reason
        case _:
            level, why = known.levels.target(node.index), known.levels.reason(node.index)
            orthogonal = parameter.kernel is not None and known.levels.isometry_pays(node.index, parameter.kernel)
    if count > 1:
        level, why = level / count, f"{why}, shared by {count} terms of a sum"
    gain = min(math.sqrt(level / arrival.power), _GATED if parameter.role is Role.RECURRENT_INPUT else _BOLDEST)
    return WeightTarget(level, gain, orthogonal, arrival.centred == "weights", f"{why}; {arrival.reason}")


def _scoring(spread: float) -> tuple[float, str]:
    """The level of queries and of keys at which scores have a spread of one at most, and why."""
    told = "so that attention scores have a spread of about one"
    if spread < 1 + _UNLIKE:
        return 1.0, f"level 1, {told}"
    return 1 / spread, f"level {1 / spread:.3g}, {told}, which the model leaves {spread:.3g} times as wide"
