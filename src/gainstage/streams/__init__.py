"""Counter-based random numbers: every parameter has a stream of its own, and every element of it an address."""

from gainstage.streams.distributions import Distribution, Normal, Sign, Uniform
from gainstage.streams.engine import CHOICE
from gainstage.streams.filling import copy, require_memory
from gainstage.streams.stream import Stream

__all__ = ["Distribution", "Normal", "Sign", "Stream", "Uniform", "copy", "expect", "require_memory"]

expect = CHOICE.expect
