"""From a graph to a plan: which parameter gets which values, and why. Nothing here knows a framework."""

from gainstage.planning.compose import plan
from gainstage.planning.overrides import Override, Overrides

__all__ = ["Override", "Overrides", "plan"]
