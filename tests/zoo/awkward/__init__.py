"""Models that hide their weights, change their inputs, look at values, or are called in unusual ways."""

from zoo.awkward.derived import DERIVED
from zoo.awkward.interfaces import INTERFACES, RAISES
from zoo.awkward.layers import LAYERS
from zoo.awkward.recurrence import RECURRENCE
from zoo.awkward.runtime import RUNTIME
from zoo.awkward.streams import STREAMS
from zoo.awkward.weights import WEIGHTS

__all__ = ["AWKWARD", "RAISES"]

AWKWARD = (*WEIGHTS, *DERIVED, *LAYERS, *RECURRENCE, *STREAMS, *INTERFACES, *RUNTIME)
