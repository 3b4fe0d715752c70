"""What a recipe is: something that turns a parameter into an assignment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import drawn, neutral
from gainstage.planning.context import adapter_ends
from gainstage.planning.embeddings import embedding_spread
from gainstage.records import Assignment

__all__ = ["Recipe", "Rule", "RuleBased"]

Rule = Callable[[Parameter], Assignment | None]
"""The assignment of one parameter, or None where the recipe has nothing of its own to say."""


class Recipe(Protocol):
    """Turns a parameter that may be changed into an assignment."""

    @property
    def claims(self) -> frozenset[str]:
        """Parameters of no common role (learned multipliers) that it sets all the same."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the plan should know."""
        ...

    def assign(self, parameter: Parameter, gain: float = 1.0) -> Assignment:
        """The assignment, its spread multiplied by ``gain``."""
        ...


@dataclass(frozen=True, slots=True)
class RuleBased:
    """A recipe made of one rule for weights; the rest gets its neutral value.

    Args:
        graph: the model.
        rule: of the recipe.
        scheme: for weights that the rule says nothing about.
        notes: for the reader of the plan.
        claims: parameters of no common role that the rule sets.
    """

    graph: SignalGraph
    rule: Rule
    scheme: str
    notes: tuple[str, ...] = ()
    claims: frozenset[str] = frozenset()

    def assign(self, parameter: Parameter, gain: float = 1.0) -> Assignment:
        """What the recipe means for one parameter."""
        found = self.rule(parameter) or neutral(self.graph, parameter, adapter_ends(self.graph))
        if found is None and parameter.role is Role.EMBEDDING:
            spread, reason = embedding_spread(self.graph, parameter, lambda head: self.assign(head).spread)
            found = drawn(parameter, "pytorch_embedding", reason, gain=spread)
        if found is None:
            found = drawn(parameter, self.scheme, self.scheme)
        if found.bias is not None:
            return found
        spread_now = None if found.spread is None else found.spread * gain
        return replace(found, gain=found.gain * gain, spread=spread_now)
